"""The authors' parameter names, turned into ours."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from napari_hybridseg.networks.authors_keys import StateDictError
from napari_hybridseg.networks.registry import MODULE_OF, get_architecture

__all__ = ["StateDictError", "convert_state_dict", "strip_wrapper_prefixes"]

WRAPPER_PREFIXES = ("module.", "_orig_mod.", "U_ResTran3D.")


def convert_state_dict(
    state: Mapping[str, Tensor],
    architecture: str,
    config: Mapping[str, Any] | None = None,
) -> dict[str, Tensor]:
    """Rename the parameters of an authors' state dict to ours.

    Parameters
    ----------
    state : mapping
        Parameter name to tensor, as the authors' code saves it, with or without the prefixes
        that data parallelism, ``torch.compile`` and nnU-Net add.
    architecture : str
        Name of ours.
    config : mapping, optional
        The architecture's settings.

    Returns
    -------
    dict
        Fits ``create_network(architecture, ..., **config).load_state_dict``.

    Raises
    ------
    StateDictError
        If the architecture has no foreign layout, or a name is not of that layout.
    """
    settings = get_architecture(architecture).make_config(config)
    module = importlib.import_module(MODULE_OF[architecture])
    convert = getattr(module, "convert_authors_state_dict", None)
    if convert is None:
        raise StateDictError(f"{architecture} has no authors' checkpoint layout that we know.")
    converted: dict[str, Tensor] = convert(
        {strip_wrapper_prefixes(key): value for key, value in state.items()}, settings
    )
    return converted


def strip_wrapper_prefixes(key: str) -> str:
    """Take off what ``DataParallel``, ``torch.compile`` and the CoTr trainer put before a key."""
    while key.startswith(WRAPPER_PREFIXES):
        key = key[len(next(p for p in WRAPPER_PREFIXES if key.startswith(p))) :]
    return key
