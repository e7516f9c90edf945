"""Opening other people's PyTorch files without running anything that is in them.

PyTorch's own restricted reader is used, which builds tensors and plain containers only. What
nnU-Net writes beside the weights (numpy numbers in its training log) is let in by name, for the
one call.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from napari_hybridseg.errors import UNREADABLE_PICKLE, HybridSegError

_NUMPY_TYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")

# What nnU-Net's numpy numbers are made with. Numpy moved `core` to `_core`; files have either name.
_MAKERS = {
    "scalar": np.float64(0).__reduce__()[0],
    "_reconstruct": np.zeros(0).__reduce__()[0],
}
_ALLOWED: tuple[Any, ...] = (
    np.dtype,
    np.ndarray,
    *(type(np.dtype(name)) for name in _NUMPY_TYPES),
    *(
        (maker, f"numpy.{core}.multiarray.{name}")
        for name, maker in _MAKERS.items()
        for core in ("core", "_core")
    ),
)
_FOREIGN_NAME = re.compile(r"GLOBAL (\w[\w.]*\.\w+)|got <class '([\w.]+)'")


class ForeignFileError(HybridSegError):
    """Somebody else's file that cannot be turned into a checkpoint; the message says why."""


def read_torch_file(content: bytes, name: str) -> Any:
    """Read what a PyTorch file holds, on the CPU, as tensors and plain containers.

    Parameters
    ----------
    content : bytes
        The file.
    name : str
        What an error calls it.

    Raises
    ------
    ForeignFileError
        If the file is damaged, or holds more than weights; nothing in it has been run.
    """
    try:
        with _allowing(_ALLOWED), warnings.catch_warnings():
            # that a file is a TorchScript program is said by the error
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except UNREADABLE_PICKLE as error:
        raise ForeignFileError(_reason(name, str(error))) from error


def read_safetensors(content: bytes, name: str) -> dict[str, Tensor]:
    """Read the table of weights in a ``.safetensors`` file, which can hold nothing else.

    Raises
    ------
    ForeignFileError
        If the file is damaged.
    """
    try:
        return safetensors.torch.load(content)
    except SafetensorError as error:
        raise ForeignFileError(
            f"{name} is no whole .safetensors file ({error}); copy or download it again."
        ) from error


def state_dict_of(content: Any, name: str) -> dict[str, Tensor]:
    """Find the table of weights in what an authors' file holds.

    CBIM's files may hold the averaged weights (``ema_model_state_dict``), which are what the
    authors test with, beside the last ones; nnU-Net v1's and others' have the weights under a
    name; many files are the table itself.

    Raises
    ------
    ForeignFileError
        If there is no such table.
    """
    if isinstance(content, Mapping):
        for key in ("ema_model_state_dict", "model_state_dict", "state_dict", "model"):
            # the averaged weights of a run that averaged none are None or empty
            if isinstance(content.get(key), Mapping) and content[key]:
                content = content[key]
                break
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(value, Tensor) for value in content.values())
    ):
        raise ForeignFileError(
            f"{name} holds no table of weights; ask its publisher for the network's state dict."
        )
    return {str(key): value for key, value in content.items()}


def _reason(name: str, message: str) -> str:
    foreign = _FOREIGN_NAME.search(message)
    if foreign:
        what = foreign[1] or foreign[2]
        return (
            f"{name} holds more than weights ({what}), which could run a program, so it was not "
            "opened; ask its publisher for a file with the state dict alone."
        )
    if "TorchScript" in message:
        return (
            f"{name} holds a program (TorchScript), which is not run; ask its publisher for a file "
            "with the state dict alone."
        )
    return (
        f"{name} cannot be read as a PyTorch file of weights: it is damaged, cut short or of "
        "another kind; copy or download it again."
    )


def _allowing(names: tuple[Any, ...]) -> AbstractContextManager[None]:
    context: Callable[[list[Any]], AbstractContextManager[None]] = torch.serialization.safe_globals
    return context(list(names))
