"""Architectures of other packages: whatever is wrong with one becomes a sentence.

A plugin that cannot be used must not keep anybody from the networks that can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import wraps
from typing import Any, get_args

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.networks.registry import (
    Architecture,
    ArchitectureError,
    Explanation,
    NetworkConfig,
)

# a module that calls sys.exit() when it is imported is at fault like any other
_FAULTS = (Exception, SystemExit)


def load_third_party(point: Any) -> Architecture:
    """Load what an entry point names.

    Parameters
    ----------
    point : importlib.metadata.EntryPoint
        Of the group ``napari_hybridseg.architectures``.

    Raises
    ------
    ArchitectureError
        If it does not load, or is not an ``Architecture`` as its documentation says.
    """
    try:
        loaded = point.load()
    except _FAULTS as error:
        raise ArchitectureError(
            f"The architecture {point.name!r} of {point.value!r} does not load: {_said(error)}."
        ) from error
    if not isinstance(loaded, Architecture):
        raise ArchitectureError(
            f"The architecture {point.name!r} of {point.value!r} is no Architecture object."
        )
    wrong = [name for name, right in _fields_that_fit(loaded).items() if not right]
    if wrong:
        raise ArchitectureError(
            f"The architecture {point.name!r} of {point.value!r} cannot be used: "
            f"{' and '.join(f'{name} {getattr(loaded, name)!r}' for name in wrong)} is not what "
            "an Architecture says."
        )
    parts = {field.name: getattr(loaded, field.name) for field in fields(Architecture)}
    guarded = {
        "build": _guarded(loaded.build, point, "Module"),
        "constraints": _guarded(loaded.constraints, point, "Constraints"),
    }
    if loaded.load_backbone is not None:
        guarded["load_backbone"] = _guarded(loaded.load_backbone, point, "str")
    return _ThirdParty(**parts | guarded | {"name": point.name}, point=point)


@dataclass(frozen=True)
class _ThirdParty(Architecture):
    """An entry of a plugin, whose every fault is a sentence; ``point`` is where it is from."""

    point: Any = None

    def make_config(self, config: Mapping[str, Any] | NetworkConfig | None = None) -> NetworkConfig:
        made: NetworkConfig = _guarded(super().make_config, self.point, "NetworkConfig")(config)
        # a checkpoint's card holds the config as JSON
        _guarded(made.model_dump_json, self.point, "str")()
        return made


def _fields_that_fit(entry: Architecture) -> dict[str, bool]:
    """Say of each field that is only read whether it can be."""
    counts = entry.paper_channels
    return {
        "title": isinstance(entry.title, str),
        "paper": isinstance(entry.paper, str),
        "note": isinstance(entry.note, str),
        "spatial_dims": entry.spatial_dims in (2, 3),
        "config_class": isinstance(entry.config_class, type)
        and issubclass(entry.config_class, NetworkConfig),
        "build": callable(entry.build),
        "constraints": callable(entry.constraints),
        "explains": isinstance(entry.explains, tuple)
        and all(kind in get_args(Explanation) for kind in entry.explains),
        "paper_parameters": entry.paper_parameters is None
        or isinstance(entry.paper_parameters, (int, float)),
        "paper_channels": isinstance(counts, tuple)
        and len(counts) == 2
        and all(isinstance(count, int) and count > 0 for count in counts),
        "load_backbone": entry.load_backbone is None or callable(entry.load_backbone),
    }


def _guarded(call: Callable[..., Any], point: Any, kind: str) -> Callable[..., Any]:
    """Turn any fault of a plugin's function into a sentence; it has to give an object of a kind."""

    @wraps(call)
    def guarded(*arguments: Any) -> Any:
        try:
            made = call(*arguments)
            # by its name: torch is not imported to look at a config
            if kind not in (base.__name__ for base in type(made).__mro__):
                raise TypeError(f"it gives a {type(made).__name__} where a {kind} is needed")
        except HybridSegError:
            raise
        except _FAULTS as error:
            raise ArchitectureError(
                f"The architecture {point.name!r} of {point.value!r} cannot be built: "
                f"{_said(error)}."
            ) from error
        return made

    return guarded


def _said(error: BaseException) -> str:
    """Give what an error says, on one line; its kind where it says nothing."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
