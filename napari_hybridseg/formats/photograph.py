"""Photographs: PNG and JPEG, as endoscopes and dermatoscopes give them.

A photograph is one plane of grey values or of red, green and blue, and knows no millimetres.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from struct import error as StructError

import numpy as np
from PIL import Image

from napari_hybridseg.formats.files import check_readable
from napari_hybridseg.formats.grids import RawImage
from napari_hybridseg.formats.header_text import damaged
from napari_hybridseg.formats.stored import UNSTATED, ChannelAxis, FormatError

PHOTOGRAPHS = (".png", ".jpg", ".jpeg")

_KINDS = ("PNG", "JPEG")
# as Pillow names what a voxel is; the numbers of a palette say nothing without its colours
_GREY = {"1": "L", "L": "L", "LA": "L", "I": "I", "I;16": "I;16", "I;16B": "I;16", "F": "F"}
_UNCHANGED = ("L", "RGB", "I;16", "I", "F")
_TURNED = 0x0112  # EXIF's number for how a camera was held
_UPRIGHT = 1
NO_MILLIMETRES = "A photograph states no millimetres: 1 mm for a pixel is assumed."


def read_photograph(path: Path) -> RawImage:
    """Read a PNG or JPEG file as one plane, (1 or 3, 1, Y, X).

    Raises
    ------
    FormatError
        If the file is none, damaged, cut short, an animation, or vast.
    """
    check_readable(path)
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images, and refuses vast ones
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_KINDS) as image:
                image.load()
                return _raw(image, path)
    except Image.UnidentifiedImageError as error:
        raise FormatError(
            f"{path} is not a PNG or JPEG file, whatever its name says; open the original or "
            "export it again."
        ) from error
    except Image.DecompressionBombError as error:
        raise FormatError(
            f"{path} has more pixels than a photograph can have; cut out the part of interest."
        ) from error
    # Pillow's readers raise these on damaged bytes
    except (OSError, SyntaxError, ValueError, LookupError, TypeError, StructError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise damaged(path, " ".join(str(error).split()).rstrip(".")) from error


def _raw(image: Image.Image, path: Path) -> RawImage:
    if getattr(image, "n_frames", 1) > 1:
        raise FormatError(f"{path} is an animation; save the picture of interest on its own.")
    notes = [NO_MILLIMETRES]
    mode = _GREY.get(image.mode, "RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        notes.append("Its opacity was left out.")
    if image.getexif().get(_TURNED, _UPRIGHT) != _UPRIGHT:
        notes.append("Its camera was turned: it is read as stored, and viewers may show it turned.")
    pixels = np.array(image if image.mode == mode in _UNCHANGED else image.convert(mode))
    colours = pixels.ndim == 3
    array = np.moveaxis(pixels, -1, 0) if colours else pixels[None]
    axis = ChannelAxis("colours") if colours else UNSTATED
    return RawImage(np.ascontiguousarray(array[:, None]), np.eye(4), None, "", tuple(notes), axis)
