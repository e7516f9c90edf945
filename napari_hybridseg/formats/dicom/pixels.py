"""From stored pixels to intensities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.formats.dicom.headers import Frame
from napari_hybridseg.formats.dicom.libraries import INSTALL, parsing, read_whole
from napari_hybridseg.formats.header_text import damaged
from napari_hybridseg.formats.stored import FormatError

if TYPE_CHECKING:
    from pydicom import FileDataset

# The first that knows a file's compression is taken. pydicom's own RLE comes before pylibjpeg's,
# which ends the process on damaged data.
_DECODERS = ("pyjpegls", "pydicom", "pylibjpeg", "gdcm", "pillow")
_LARGEST_INTERCEPT = 1 << 24
_PIXEL_ELEMENTS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def read_intensities(frames: Sequence[Sequence[Frame]]) -> NDArray[np.generic]:
    """Decode frames and apply each one's slope and intercept.

    Parameters
    ----------
    frames : sequence of sequences of Frame
        For every position its frames, all positions the same number of them.

    Returns
    -------
    ndarray
        Shape (C, Z, Y, X): frames at one position, or the colours of the only one, are channels.
        Whole numbers keep the smallest type that holds them all.

    Raises
    ------
    FormatError
        If a file's pixels are missing, cut short, or of a kind that no decoder here knows.
    """
    places = {
        (frame.path, frame.index): (channel, z)
        for z, stack in enumerate(frames)
        for channel, frame in enumerate(stack)
    }
    ordered = [frame for stack in frames for frame in stack]
    whole = all(f.slope == 1 and _is_whole(f.intercept) for f in ordered)
    intercepts = {f.intercept for f in ordered}
    array: NDArray[np.generic] | None = None
    for frame, pixels in _decoded(ordered):
        channel, z = places[frame.path, frame.index]
        values = pixels if whole and intercepts == {0.0} else _scaled(pixels, frame, whole)
        planes = np.moveaxis(values, -1, 0) if frame.samples > 1 else values[None]
        if array is None:
            channels = len(frames[0]) * len(planes)
            array = np.empty((channels, len(frames), *planes.shape[1:]), values.dtype)
        elif values.dtype != array.dtype:
            array = array.astype(np.result_type(array.dtype, values.dtype))
        array[channel : channel + len(planes), z] = planes
    assert array is not None
    return array if not whole or intercepts == {0.0} else _narrow(array)


def _decoded(frames: Sequence[Frame]) -> Iterator[tuple[Frame, NDArray[np.generic]]]:
    """Yield every frame with its stored values, one file after the other."""
    by_file: dict[Path, dict[int, Frame]] = {}
    for frame in frames:
        by_file.setdefault(frame.path, {})[frame.index] = frame
    for path, wanted in by_file.items():
        dataset = read_pixels(path)
        for index, pixels in enumerate(decode(dataset, path)):
            if index in wanted:
                frame = wanted.pop(index)
                expected = (frame.rows, frame.columns, *((frame.samples,) * (frame.samples > 1)))
                if pixels.shape != expected:
                    raise damaged(path, f"its pixels form a slice of {pixels.shape}")
                yield frame, pixels
        if wanted:
            raise damaged(path, f"{len(wanted)} of the slices that it promises are missing")


def read_pixels(path: Path) -> FileDataset:
    """Read a whole file, and check that its pixels are there.

    Raises
    ------
    FormatError
        If it is damaged or ends before its pixels do.
    """
    dataset = read_whole(path)
    with parsing(path, "its pixels cannot be found"):
        present = any(dataset.get(element) for element in _PIXEL_ELEMENTS)
    if not present:
        raise FormatError(
            f"{path} is cut short: it ends before its pixels begin; copy or export it again."
        )
    return dataset


def decode(dataset: FileDataset, path: Path) -> Iterator[NDArray[np.generic]]:
    """Yield the stored values of all frames of a file, shape (Y, X) or (Y, X, colours).

    Raises
    ------
    FormatError
        If the compression is unknown, or the pixels are damaged or too few.
    """
    from pydicom.pixels import get_decoder

    with parsing(path, "its way of storing pixels cannot be found"):
        syntax = dataset.file_meta.TransferSyntaxUID
        name = syntax.name
        encapsulated = syntax.is_encapsulated
    decoders: list[str] = [""]
    if encapsulated:
        try:
            known = get_decoder(syntax).available_plugins
        except NotImplementedError:
            known = ()
        decoders = [each for each in _DECODERS if each in known]
        if not decoders:
            raise FormatError(
                f"{path} is compressed as {name}, for which no decoder is installed; run: "
                f"{INSTALL}, or export it uncompressed."
            )
    yield from _frames(dataset, path, decoders[0])


def _frames(dataset: FileDataset, path: Path, plugin: str) -> Iterator[NDArray[np.generic]]:
    from pydicom.pixels import iter_pixels

    reason = "its pixels are too few, too many or cannot be decompressed"
    with parsing(path, reason):
        frames = iter_pixels(dataset, decoding_plugin=plugin)
    while True:
        with parsing(path, reason):
            pixels = next(frames, None)
        if pixels is None:
            return
        yield pixels


def _is_whole(intercept: float) -> bool:
    return abs(intercept) <= _LARGEST_INTERCEPT and intercept.is_integer()


def _scaled(pixels: NDArray[np.generic], frame: Frame, whole: bool) -> NDArray[np.generic]:
    if whole and pixels.dtype.kind in "ui" and pixels.dtype.itemsize <= 4:
        if pixels.dtype.itemsize <= 2:
            return pixels.astype(np.int32) + np.int32(frame.intercept)
        return pixels.astype(np.int64) + np.int64(frame.intercept)
    fine = pixels.dtype.itemsize > 2
    scaled = pixels.astype(np.float64) * frame.slope + frame.intercept
    return scaled if fine else scaled.astype(np.float32)


def _narrow(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Give whole numbers the smallest common type that holds them."""
    if array.dtype.kind not in "ui":
        return array
    low, high = int(array.min()), int(array.max())
    for kind in (np.int16, np.uint16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return array.astype(kind, copy=False)
    return array
