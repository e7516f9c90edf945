"""A DICOM series as one image: chosen, stacked, decoded, and true in every millimetre."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.formats.dicom.catalogue import Catalogue, Series, SeriesInfo, survey
from napari_hybridseg.formats.dicom.headers import Frame
from napari_hybridseg.formats.dicom.pixels import read_intensities
from napari_hybridseg.formats.dicom.stacking import Stack, stack_up
from napari_hybridseg.formats.grids import ROUNDING_VOXELS, RawImage, Sheared, settle
from napari_hybridseg.formats.stored import (
    ChannelAxis,
    FormatError,
    IrregularGridError,
    StoredImage,
    volumes_note,
)
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.older_python import zip

_MOST_LISTED = 8
_MOST_GROWTH = 4
_EVEN = 0.01


def list_series(path: str | PathLike[str]) -> list[SeriesInfo]:
    """List the series of which a volume may be made, for a chooser.

    Parameters
    ----------
    path : path-like
        A folder (the folders in it are searched too) or any file of a series.

    Raises
    ------
    FormatError
        If there is no DICOM file, or no image with a position in the patient.
    """
    path = Path(path)
    found = survey(path)
    if not found.series:
        raise _no_volume(path, found)
    return [series.info for series in found.series]


def read_series(
    path: str | PathLike[str],
    series_uid: str | None = None,
    *,
    irregular: Sheared = "refuse",
) -> StoredImage:
    """Read a series as a volume.

    Slices are sorted along the normal of their planes, towards it. Each slice's slope and
    intercept are applied. Several frames at every position (time points, echoes) and colours
    become channels.

    Parameters
    ----------
    path : path-like
        A folder, or any file of the series.
    series_uid : str or None
        Which series, as in `SeriesInfo.uid`; None for that of the file, or the only one in the
        folder.
    irregular : {"refuse", "resample", "resample-nearest"}
        What to do with unevenly spaced or missing slices, several slices at one place, and a
        tilted gantry: refuse with the slices' positions, interpolate onto an even, right-angled
        grid, or take the nearest slice or voxel.

    Returns
    -------
    StoredImage
        Nothing in it identifies the patient.

    Raises
    ------
    FormatError
        If there are several series and none was chosen, or the chosen one cannot be read truly.
    """
    path = Path(path)
    return read_found(path, survey(path), series_uid, irregular)


def read_found(
    path: Path, found: Catalogue, series_uid: str | None = None, irregular: Sheared = "refuse"
) -> StoredImage:
    """Read a series as `read_series` does from what a survey of ``path`` found."""
    series = choose(path, found, series_uid)
    alone = series.info.files == (path,) and series.info.count > 1
    if found.damaged and not alone:
        # It may be a slice of this series: without it the volume would be too short.
        raise next(iter(found.damaged.values()))
    with np.errstate(all="ignore"):
        stack = _stacked(path, series)
        if irregular == "refuse":
            _check_regular(path, stack)
        raw = _assembled(path, series, stack, irregular)
        notes = (*_stack_notes(series, stack), *raw.notes, *found.notes)
        raw = RawImage(
            raw.array, raw.affine, None, series.info.modality, notes, _channel_axis(stack)
        )
        return settle(raw, path, irregular)


def grid_of(path: Path, series: Series) -> Geometry:
    """Give the grid of a series without reading its pixels.

    Parameters
    ----------
    path : Path
        What the grid is for, for the message.
    series : Series
        The series.

    Raises
    ------
    FormatError
        If its slices are irregular or tilted.
    """
    with np.errstate(all="ignore"):
        stack = _stacked(path, series)
        _check_regular(path, stack)
        size = (1, len(stack.frames), series.info.size[1], series.info.size[0])
        voxels = np.broadcast_to(np.uint8(0), size)
        return settle(RawImage(voxels, stack.affine()), path).geometry


def choose(path: Path, found: Catalogue, series_uid: str | None = None) -> Series:
    """Give the series that is meant.

    Raises
    ------
    FormatError
        If it is not there, or several are and none is chosen; the sentence lists them.
    """
    if not found.series:
        raise _no_volume(path, found)
    candidates = found.series
    if series_uid is not None:
        candidates = tuple(s for s in found.series if s.info.uid == series_uid)
        if not candidates:
            raise FormatError(
                f"{path} holds no series {series_uid}; choose one of "
                f"{_listing(path, found.series)}."
            )
    elif path.is_file():
        candidates = tuple(s for s in found.series if path in s.info.files)
        if not candidates:
            raise _no_volume(path, found)
    if len(candidates) == 1:
        return candidates[0]
    mixed = len({s.series_uid for s in candidates}) == 1
    what = "one series that mixes orientations or sizes" if mixed else "several series"
    raise FormatError(
        f"{path} holds {what}; open one file of the one that you want: "
        f"{_listing(path, candidates)}."
    )


def _listing(path: Path, series: tuple[Series, ...]) -> str:
    listed = [s.info.describe(path) for s in series[:_MOST_LISTED]]
    if len(series) > _MOST_LISTED:
        listed.append(f"and {len(series) - _MOST_LISTED} more")
    return "; ".join(listed)


def _no_volume(path: Path, found: Catalogue) -> FormatError:
    if found.damaged:
        return found.damaged.get(path) or next(iter(found.damaged.values()))
    flat = [f for f in found.flat if path in (f.path, *f.path.parents)]
    if flat:
        kind = "microscope slide" if flat[0].modality == "SM" else "plain X-ray or a screenshot"
        return FormatError(
            f"{path} is no volume: its image states no position in the patient (a {kind}?); "
            "choose a CT or MR series."
        )
    return FormatError(
        f"{path} holds no image that could be a volume (a report, a plan or a segmentation?); "
        "choose a CT or MR series."
    )


def _stacked(path: Path, series: Series) -> Stack:
    if series.problem:
        raise FormatError(f"{path} {series.problem}.")
    unplaced = sum(not frame.is_placed for frame in series.frames)
    if unplaced:
        raise FormatError(
            f"{path} cannot be a volume: {unplaced} of its {len(series.frames)} slices state no "
            "position in the patient; export the series again."
        )
    stack = stack_up(series.frames)
    if stack.strays > ROUNDING_VOXELS:
        raise FormatError(
            f"{path} is no straight stack: a slice lies {stack.strays:.1f} pixels beside the line "
            "of the others; export the series again, or convert its parts one by one."
        )
    if stack.frames[0][0].samples > 1 and stack.channels > 1:
        raise FormatError(
            f"{path} holds {stack.channels} colour slices at each position; export one series at "
            "a time."
        )
    return stack


def _check_regular(path: Path, stack: Stack) -> None:
    if not stack.channels:
        most = max(map(len, stack.frames))
        places = [h for h, f in zip(stack.heights, stack.frames, strict=True) if len(f) > 1]
        shown = ", ".join(f"{height:.1f}" for height in places[:_MOST_LISTED])
        raise IrregularGridError(
            f"{path} has up to {most} slices at the same position and fewer at others (at {shown} "
            "mm along the stack)"
        )
    if not stack.is_even:
        missing = round(float(stack.gaps.max()) / stack.usual_gap) - 1
        guess = f" ({missing} missing?)" if missing > 0 else ""
        raise IrregularGridError(
            f"{path} has slices that are not evenly spaced: the gaps run from "
            f"{stack.gaps.min():.2f} to {stack.gaps.max():.2f} mm{guess} at the positions "
            f"{stack.describe_positions()} mm along the stack"
        )
    if stack.is_tilted:
        raise IrregularGridError(
            f"{path} was scanned with a tilted gantry: its slices, at the positions "
            f"{stack.describe_positions()} mm along their normal, are shifted against each other "
            f"by {stack.tilt:.1f} degrees",
            "export it again with the tilt corrected",
        )


def _assembled(path: Path, series: Series, stack: Stack, irregular: Sheared) -> RawImage:
    """Decode a stack, and make it even where it is not."""
    notes: list[str] = []
    frames = stack.frames
    if not stack.channels:
        frames = tuple(stack_frames[:1] for stack_frames in frames)
        extra = len(series.frames) - len(frames)
        notes.append(f"{extra} slices repeated the position of another and were left out.")
    array = read_intensities(frames)
    if stack.is_even:
        return RawImage(array, stack.affine(), None, "", (*notes, *stack.rounding_notes))
    length = float(stack.heights[-1] - stack.heights[0])
    steps = max(1, round(length / stack.usual_gap))
    if steps + 1 > _MOST_GROWTH * len(stack.heights):
        raise FormatError(
            f"{path} has gaps of {stack.gaps.max():.2f} mm between slices {stack.usual_gap:.2f} "
            "mm apart, too large to fill; export the series again."
        )
    even = np.linspace(stack.heights[0], stack.heights[-1], steps + 1)
    array = _between_slices(array, stack.heights, even, linear=irregular == "resample")
    notes.append(
        f"The slices were not evenly spaced: {len(stack.heights)} were resampled to {steps + 1}, "
        f"{length / steps:.3g} mm apart."
    )
    return RawImage(array, stack.affine(steps), None, "", tuple(notes))


def _between_slices(
    array: NDArray[np.generic],
    heights: NDArray[np.float64],
    wanted: NDArray[np.float64],
    *,
    linear: bool,
) -> NDArray[np.generic]:
    """Interpolate (C, Z, Y, X) between slices at ``heights`` to slices at ``wanted``."""
    result = np.empty((len(array), len(wanted), *array.shape[2:]), array.dtype)
    place = np.interp(wanted, heights, np.arange(len(heights)))
    for index, exact in enumerate(place):
        below = min(int(exact), len(heights) - 2)
        part = float(exact) - below
        if not linear:
            part = float(np.rint(part))
        # A slice that lies where it should is kept as it is, number for number.
        if part < 1e-6 or part > 1 - 1e-6:
            result[:, index] = array[:, below + round(part)]
        else:
            one, other = (array[:, k].astype(np.float64) for k in (below, below + 1))
            mixed = one * (1 - part) + other * part
            result[:, index] = np.rint(mixed) if array.dtype.kind in "ui" else mixed
    return result


def _channel_axis(stack: Stack) -> ChannelAxis:
    """Say what the frames at one position are: colours, or time points where they say so."""
    if stack.frames[0][0].samples > 1:
        return ChannelAxis("colours")
    if stack.channels < 2:
        return ChannelAxis()
    if not all(_are_moments(frames) for frames in stack.frames):
        return ChannelAxis()
    steps = np.diff([frame.moment_s or 0.0 for frame in stack.frames[0]])
    is_even = np.ptp(steps) <= _EVEN * abs(steps.mean())
    return ChannelAxis("time", max(0.0, float(steps.mean())) if is_even else 0.0)


def _are_moments(frames: tuple[Frame, ...]) -> bool:
    """Say whether every frame at a position was taken at a time of its own, as the files say."""
    moments = {frame.moment_s for frame in frames}
    is_timed = None not in moments and len(moments) == len(frames)
    return is_timed or len({frame.order[0] for frame in frames}) == len(frames)


def _stack_notes(series: Series, stack: Stack) -> tuple[str, ...]:
    notes = []
    frame = stack.frames[0][0]
    if stack.channels > 1 and _channel_axis(stack).kind == "time":
        notes.append(volumes_note(stack.channels, _channel_axis(stack)))
    elif stack.channels > 1:
        notes.append(
            f"Each of the {len(stack.heights)} positions has {stack.channels} slices, and the "
            "files do not say whether they are time points, echoes or directions."
        )
    if frame.samples > 1:
        notes.append(f"The image is in colour; its {frame.samples} colours became channels.")
    if series.siblings > 1:
        notes.append(
            f"The series mixes {series.siblings} orientations or sizes: this is one of them."
        )
    if not series.is_named:
        notes.append("The files name no series: those in one folder were taken as one.")
    if len(stack.heights) == 1:
        stated = f"its stated thickness of {frame.thickness:.3g} mm" if frame.thickness else "1 mm"
        notes.append(f"There is one slice only; {stated} was taken as its spacing.")
    return tuple(notes)
