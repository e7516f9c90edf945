"""Telling of which network a table of weights is."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from napari_hybridseg.interop.foreign_files import ForeignFileError
from napari_hybridseg.interop.imported import listed
from napari_hybridseg.interop.sniff_cotr import sniff_cotr
from napari_hybridseg.interop.sniff_transfuse import sniff_transfuse
from napari_hybridseg.interop.sniff_utnetv2 import sniff_utnetv2
from napari_hybridseg.interop.sniff_uxnet import sniff_uxnet
from napari_hybridseg.interop.sniffed import Sniffed

_SNIFFERS = (sniff_utnetv2, sniff_cotr, sniff_transfuse, sniff_uxnet)


def sniff(state: Mapping[str, Tensor], name: str) -> Sniffed:
    """Tell of which network a table of weights is, and what it is like.

    Parameters
    ----------
    state : mapping
        The authors' names, without wrapper prefixes.
    name : str
        What an error calls the file.

    Raises
    ------
    ForeignFileError
        If it is of none that we know, or lacks a part of one.
    """
    try:
        found = next((found for look in _SNIFFERS if (found := look(state))), None)
    except (KeyError, IndexError, ZeroDivisionError, ValueError, TypeError) as error:
        raise ForeignFileError(
            f"{name} holds only a part of a network ({error} is missing or too small); ask its "
            "publisher for the whole state dict."
        ) from error
    if found is None:
        raise ForeignFileError(
            f"{name} is of no network that we know (its weights are called {listed(state)}); "
            "files of CBIM, CoTr, TransFuse and 3D UX-Net can be imported, and nnU-Net and MONAI "
            "models as their whole folder."
        )
    return found
