"""Photographs: PNG and JPEG, as endoscopes and dermatoscopes give them, and masks of them.

A photograph is one plane of grey values or of red, green and blue, and knows no millimetres. A mask
is one plane of label numbers: the indices of a palette, or grey values.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from struct import error as StructError

import numpy as np
from numpy.typing import NDArray
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
_DARK, _MIDDLE, _BRIGHT = 63, 127, 192  # a JPEG's black and white are off by less
_MOST_UNCLEAR = 0.02
NO_MILLIMETRES = "A photograph states no millimetres: 1 mm for a pixel is assumed."


def read_photograph(path: Path, as_labels: bool = False) -> RawImage:
    """Read a PNG or JPEG file as one plane, (1 or 3, 1, Y, X).

    Parameters
    ----------
    path : Path
        The file.
    as_labels : bool
        Whether numbers of labels are wanted: of a palette its indices instead of its colours, of
        black and white 0 and 1 (PNG with single bits) or 0 and 255, of colours that are all grey
        one of the three.

    Raises
    ------
    FormatError
        If the file is none, damaged, cut short, an animation, or vast; or a JPEG of more than
        black and white where labels are wanted, since its numbers are not exact.
    """
    check_readable(path)
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images, and refuses vast ones
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_KINDS) as image:
                image.load()
                return _mask(image, path) if as_labels else _raw(image, path)
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


def _mask(image: Image.Image, path: Path) -> RawImage:
    if image.mode in ("1", "P"):
        _refuse_animation(image, path)
        numbers = np.array(image).astype(np.uint8)
        notes = (NO_MILLIMETRES, *_background_note(image))
        return RawImage(numbers[None, None], np.eye(4), None, "", notes)
    raw = _raw(image, path)
    first = raw.array[:1]
    if np.equal(raw.array, first).all():
        raw = replace(raw, array=first, channel_axis=UNSTATED)
    return raw if image.format == "PNG" else _of_black_and_white(raw, path)


def _background_note(image: Image.Image) -> tuple[str, ...]:
    """Say where the background of a palette has another colour than black."""
    if image.mode != "P":
        return ()
    first = tuple((image.getpalette() or [])[:3])
    if not any(first):
        return ()
    return (f"Number 0 of its palette is background, though its colour is {first} and not black.",)


def _of_black_and_white(raw: RawImage, path: Path) -> RawImage:
    """Round the grey values of a JPEG to 0 and 255."""
    array = raw.array.astype(np.uint8, copy=False)  # as all that a JPEG holds
    dark, bright = array <= _DARK, array >= _BRIGHT
    unclear = 1 - np.count_nonzero(dark | bright) / array.size
    if len(array) != 1 or unclear > _MOST_UNCLEAR or (array.any() and not bright.any()):
        raise FormatError(
            f"{path} is a JPEG, which keeps no number exactly, so it can only be a mask of black "
            "and white; save the label map as PNG."
        )
    rounded: NDArray[np.uint8] = np.where(array > _MIDDLE, 255, 0).astype(np.uint8)
    note = "A JPEG keeps no number exactly: it was rounded to black and white."
    notes = raw.notes if np.array_equal(rounded, array) else (*raw.notes, note)
    return replace(raw, array=rounded, notes=notes)


def _refuse_animation(image: Image.Image, path: Path) -> None:
    if getattr(image, "n_frames", 1) > 1:
        raise FormatError(f"{path} is an animation; save the picture of interest on its own.")


def _raw(image: Image.Image, path: Path) -> RawImage:
    _refuse_animation(image, path)
    notes = [NO_MILLIMETRES]
    if image.mode == "P":
        notes.append("Its colours are a palette's; where labels are wanted its numbers are read.")
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
