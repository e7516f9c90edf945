"""Files to stored images and back: NIfTI, NRRD, MetaImage, MGH, Slicer's segmentations."""

from __future__ import annotations

from napari_hybridseg.formats.grids import Sheared
from napari_hybridseg.formats.readers import (
    image_name,
    is_image_path,
    read_image,
    supported_extensions,
)
from napari_hybridseg.formats.stored import (
    UNSTATED,
    ChannelAxis,
    FormatError,
    IrregularGridError,
    StoredImage,
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
    "read_image",
    "supported_extensions",
    "writable_extensions",
    "write_image",
]
