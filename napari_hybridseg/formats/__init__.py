"""Files to stored images and back: NIfTI, NRRD, MetaImage, MGH, Slicer's segmentations, PNG."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_hybridseg.formats.stored import (
    UNSTATED,
    ChannelAxis,
    FormatError,
    IrregularGridError,
    StoredImage,
)

if TYPE_CHECKING:
    from napari_hybridseg.formats.grids import Sheared
    from napari_hybridseg.formats.readers import (
        image_name,
        is_image_path,
        is_photograph,
        read_image,
        supported_extensions,
    )
    from napari_hybridseg.formats.writers import writable_extensions, write_image

__all__ = [
    "UNSTATED",
    "ChannelAxis",
    "FormatError",
    "IrregularGridError",
    "Sheared",
    "StoredImage",
    "image_name",
    "is_image_path",
    "is_photograph",
    "read_image",
    "supported_extensions",
    "writable_extensions",
    "write_image",
]

_ROOMS = ("grids", "readers", "writers")


def __getattr__(name: str) -> Any:
    """Find a name when it is asked for: a panel opens before it reads a file."""
    if name in __all__:
        for room in _ROOMS:
            found = getattr(import_module(f"{__name__}.{room}"), name, None)
            if found is not None:
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
