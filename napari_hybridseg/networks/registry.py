"""Every architecture by name: what it is, what it can be given, how it is built.

This module imports no torch: looking at an architecture imports the file that describes it,
listing the names does not.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.older_python import entry_points, zip

if TYPE_CHECKING:
    from torch import nn

ENTRY_POINT_GROUP = "napari_hybridseg.architectures"

_UTNET = "napari_hybridseg.networks.utnetv2"
_COTR = "napari_hybridseg.networks.cotr"
_TRANSFUSE = "napari_hybridseg.networks.transfuse"
_UXNET = "napari_hybridseg.networks.uxnet"
_BASELINES = "napari_hybridseg.networks.baselines"
_ENSEMBLE = "napari_hybridseg.networks.ensemble"

MODULE_OF: Mapping[str, str] = {
    "utnetv2-2d": _UTNET,
    "utnetv2-3d": _UTNET,
    "medformer-2d": _UTNET,
    "medformer-3d": _UTNET,
    "cotr": _COTR,
    "cotr-dagger": _COTR,
    "cotr-star": _COTR,
    "transfuse-s": _TRANSFUSE,
    "transfuse-l": _TRANSFUSE,
    "transfuse-l384": _TRANSFUSE,
    "transfuse-lstar": _TRANSFUSE,
    "uxnet-3d": _UXNET,
    "unet": _BASELINES,
    "basic-unet": _BASELINES,
    "unet-plus-plus": _BASELINES,
    "attention-unet": _BASELINES,
    "vnet": _BASELINES,
    "segresnet": _BASELINES,
    "unetr": _BASELINES,
    "swin-unetr": _BASELINES,
    "dynunet": _BASELINES,
    "mednext": _BASELINES,
    "plain-conv-unet": _BASELINES,
    "residual-encoder-unet": _BASELINES,
    "ensemble": _ENSEMBLE,
}


class ArchitectureError(HybridSegError):
    """An unknown architecture, a config it does not accept, or a plugin that does not load."""


class NetworkConfig(BaseModel):
    """Base of every architecture's config: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Constraints:
    """The window sizes that a network can be given, in voxels.

    ``divisors`` and ``minimum`` are per spatial axis, (Z, Y, X) for a 3D network and
    (Y, X) for a 2D one.
    """

    divisors: tuple[int, ...]
    minimum: tuple[int, ...]

    def fit(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Give the smallest allowed size that is at least ``size`` on every axis."""
        return tuple(
            max(-(-low // divisor), -(-length // divisor)) * divisor
            for length, divisor, low in zip(size, self.divisors, self.minimum, strict=True)
        )

    def allows(self, size: tuple[int, ...]) -> bool:
        """Say whether a window of this size can be given to the network."""
        return self.fit(size) == tuple(size)


Explanation = Literal["bmha", "fusion", "deformable", "bifusion", "attention-gate", "vit"]

# by module, or by name where a module has several kinds of network
_EXPLAINS: Mapping[str, tuple[Explanation, ...]] = {
    _UTNET: ("bmha", "fusion"),
    _COTR: ("deformable",),
    _TRANSFUSE: ("bifusion", "attention-gate", "vit"),
    "attention-unet": ("attention-gate",),
}


def explanations_of(name: str) -> tuple[Explanation, ...]:
    """Say what an architecture can show of its inner workings; no network is imported for ours.

    Raises
    ------
    ArchitectureError
        If there is none of that name, or a third party's does not load.
    """
    if name in MODULE_OF:
        return _EXPLAINS.get(name, _EXPLAINS.get(MODULE_OF[name], ()))
    return get_architecture(name).explains


@dataclass(frozen=True)
class Architecture:
    """One entry of the registry.

    Attributes
    ----------
    name : str
        What the user types, e.g. ``"utnetv2-3d"``.
    title : str
        What a person reads, e.g. ``"UTNetV2 (3D)"``.
    paper : str
        Authors, year and arXiv number or DOI.
    spatial_dims : int
        2 or 3.
    config_class : type
        The pydantic model of the config; its defaults are the paper's full size.
    build : callable
        ``build(in_channels, num_classes, config) -> nn.Module``.
    constraints : callable
        ``constraints(config) -> Constraints``.
    explains : tuple of str
        What the network can show of its inner workings.
    paper_parameters : float or None
        Millions of parameters that the paper states.
    note : str
        One line on why ours and the paper's number differ, where they do.
    paper_channels : tuple of int
        The (input channels, output classes) that the paper's number is counted with.
    load_backbone : callable or None
        ``load_backbone(network, path) -> str`` copies a public classifier's weights into the
        part of a fresh network that they fit, and names that part.
    """

    name: str
    title: str
    paper: str
    spatial_dims: Literal[2, 3]
    config_class: type[NetworkConfig]
    build: Callable[[int, int, Any], nn.Module]
    constraints: Callable[[Any], Constraints]
    explains: tuple[Explanation, ...] = ()
    paper_parameters: float | None = None
    note: str = ""
    paper_channels: tuple[int, int] = (1, 2)
    load_backbone: Callable[[Any, Path], str] | None = None

    def dims_of(self, config: NetworkConfig) -> int:
        """Give the number of spatial axes, 2 or 3, of a network with this config."""
        return len(self.constraints(config).divisors)

    def make_config(self, config: Mapping[str, Any] | NetworkConfig | None = None) -> NetworkConfig:
        """Check a config, filling in the paper's values for what is not given.

        Raises
        ------
        ArchitectureError
            With the allowed keys, or with what is wrong with a value.
        """
        if isinstance(config, self.config_class):
            return config
        values = config.model_dump() if isinstance(config, NetworkConfig) else dict(config or {})
        unknown = sorted(set(values) - set(self.config_class.model_fields))
        if unknown:
            allowed = ", ".join(self.config_class.model_fields) or "nothing"
            raise ArchitectureError(
                f"{self.name} has no setting {', '.join(map(repr, unknown))}; it takes: {allowed}."
            )
        try:
            return self.config_class(**values)
        except ValidationError as error:
            reasons = "; ".join(
                f"{'.'.join(map(str, item['loc'])) or 'config'}: {item['msg']}"
                for item in error.errors()
            )
            raise ArchitectureError(f"{self.name} cannot be built like this: {reasons}.") from error


def architecture_names() -> tuple[str, ...]:
    """Give every name that ``get_architecture`` knows, without importing any network."""
    third_party = sorted(point.name for point in entry_points(group=ENTRY_POINT_GROUP))
    return (*MODULE_OF, *(name for name in third_party if name not in MODULE_OF))


def get_architecture(name: str) -> Architecture:
    """Look an architecture up by name.

    Raises
    ------
    ArchitectureError
        If there is none of that name, or a third party's does not load.
    """
    if name in MODULE_OF:
        module = importlib.import_module(MODULE_OF[name])
        return next(entry for entry in module.ARCHITECTURES if entry.name == name)
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name == name:
            # not at the top: that file describes third parties' entries in this one's words
            from napari_hybridseg.networks.third_party import load_third_party

            return load_third_party(point)
    raise ArchitectureError(
        f"There is no architecture {name!r}; choose one of: {', '.join(architecture_names())}."
    )


def create_network(
    name: str,
    in_channels: int = 1,
    num_classes: int = 2,
    **config: Any,
) -> nn.Module:
    """Build a network with freshly initialised weights.

    Parameters
    ----------
    name : str
        An architecture's name.
    in_channels : int
        Channels of the image.
    num_classes : int
        Output channels, background included.
    **config
        Settings of the architecture; what is not given is the paper's.

    Raises
    ------
    ArchitectureError
        If the name or a setting is not allowed; the message says what is.
    """
    architecture = get_architecture(name)
    # asked as an index would be, which numpy's whole numbers can be and 2.0 cannot
    if any(not hasattr(count, "__index__") or count < 1 for count in (in_channels, num_classes)):
        raise ArchitectureError(
            f"{name} needs at least one input channel and one class, both whole numbers, "
            f"not {in_channels!r} and {num_classes!r}."
        )
    return architecture.build(in_channels, num_classes, architecture.make_config(config))
