"""What 'teach here' learnt, as a small file that is bound to its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_hybridseg.atomic import atomic_path
from napari_hybridseg.corrections.errors import CorrectionError

_PARENT_KEY = "hybridseg.parent_sha256"


def save_delta(path: Path, delta: Mapping[str, NDArray], parent_sha256: str) -> None:
    """Write what was learnt into a ``.safetensors`` file.

    Parameters
    ----------
    path : path
        A new file.
    delta : mapping
        By name of the parameter, what is added to the checkpoint's.
    parent_sha256 : str
        The checkpoint's hash.

    Raises
    ------
    WriteError
        If the disk refuses, or the file exists.
    """
    from safetensors.numpy import save

    content = save(dict(delta), metadata={_PARENT_KEY: parent_sha256})
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def with_delta(weights: Mapping[str, Tensor], path: Path, parent_sha256: str) -> dict[str, Tensor]:
    """Give the weights of a checkpoint with what was taught to it added.

    Parameters
    ----------
    weights : mapping
        The checkpoint's; they stay as they are.
    path : path
        What `save_delta` wrote.
    parent_sha256 : str
        The hash of the checkpoint whose weights these are.

    Raises
    ------
    CorrectionError
        If the file cannot be read, or belongs to another checkpoint.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            parent = (file.metadata() or {}).get(_PARENT_KEY)
            delta = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CorrectionError(f"{path} cannot be read as a taught change ({error}).") from error
    fits = all(name in weights and weights[name].shape == d.shape for name, d in delta.items())
    if parent != parent_sha256 or not fits:
        raise CorrectionError(
            f"{path} was taught to another checkpoint; choose the one that it began with."
        )
    return {
        name: value + delta[name].to(value) if name in delta else value
        for name, value in weights.items()
    }


def apply_delta(network: nn.Module, path: Path, parent_sha256: str) -> None:
    """Add what was taught to a network of its checkpoint, in place.

    Raises
    ------
    CorrectionError
        As `with_delta`.
    """
    taught = with_delta(dict(network.named_parameters()), path, parent_sha256)
    with torch.no_grad():
        for name, value in network.named_parameters():
            value.copy_(taught[name])
