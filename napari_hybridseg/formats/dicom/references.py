"""Segmentations and structure sets as reference label maps, on the grid of the scan."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np

from napari_hybridseg.formats.dicom.catalogue import Catalogue, Series, survey, survey_near
from napari_hybridseg.formats.dicom.contours import rasterise, read_structures
from napari_hybridseg.formats.dicom.headers import SEGMENTATION, STRUCTURES, read_header
from napari_hybridseg.formats.dicom.libraries import check_installed, open_header, parsing
from napari_hybridseg.formats.dicom.reading import choose, grid_of
from napari_hybridseg.formats.dicom.segmentations import LabelGrid, read_segments, series_of
from napari_hybridseg.formats.files import check_readable
from napari_hybridseg.formats.grids import RawImage, settle
from napari_hybridseg.formats.stored import FormatError, IrregularGridError, StoredImage
from napari_hybridseg.geometry import Geometry

_ON_VOXEL = 0.01


def read_segmentation(
    path: str | PathLike[str], referenced_series: str | PathLike[str] | None = None
) -> StoredImage:
    """Read a DICOM SEG or RTSTRUCT file as a label map.

    Parameters
    ----------
    path : path-like
        The file.
    referenced_series : path-like or None
        The scan it was made on: a folder or any file of the series. None looks for it in the
        file's folder and the folders around it.

    Returns
    -------
    StoredImage
        Shape (1, Z, Y, X), unsigned integers, on the scan's grid; a SEG whose scan is not there
        comes on its own grid. The scheme holds names, colours and SNOMED-CT codes.

    Raises
    ------
    FormatError
        If the file is damaged, or does not belong to the scan.
    """
    path = Path(path)
    check_readable(path)
    check_installed(path)
    header = read_header(path)
    kind = header.kind if header is not None else ""
    with np.errstate(all="ignore"):
        if kind == SEGMENTATION:
            return _segmentation(path, referenced_series)
        if kind == STRUCTURES:
            return _structure_set(path, referenced_series)
    raise FormatError(
        f"{path} is no segmentation; choose a DICOM SEG or RTSTRUCT file, or open it as an image."
    )


def _segmentation(path: Path, scan: str | PathLike[str] | None) -> StoredImage:
    with parsing(path, "its references cannot be read"):
        uids = series_of(open_header(path)[0])
    labels = read_segments(path)
    series = _series_named(path, scan, uids)
    if series is None:
        return _stored(path, labels, ())
    try:
        grid = grid_of(path, series)
    except FormatError:
        if scan is not None:
            raise
        return _stored(path, labels, ("Its scan is no regular volume: it is on its own grid.",))
    placed, notes = _placed(path, labels, grid)
    return StoredImage(placed, grid, labels.scheme, SEGMENTATION, (*labels.notes, *notes))


def _structure_set(path: Path, scan: str | PathLike[str] | None) -> StoredImage:
    found = read_structures(path)
    if not any(found.series):
        raise FormatError(
            f"{path} does not say on which series it was drawn; export it again with its scan."
        )
    series = _series_named(path, scan, found.series)
    if series is None:
        raise FormatError(
            f"{path} needs the scan that it was drawn on, which is not near it; put the series' "
            "files into the same folder."
        )
    unknown = found.instances - set(series.instances)
    if unknown:
        raise FormatError(
            f"{path} has contours on {len(unknown)} slices that are not in the series; fetch the "
            "whole series that it was drawn on."
        )
    try:
        grid = grid_of(path, series)
    except IrregularGridError as error:
        raise FormatError(
            f"{path} was drawn on a scan whose slices are uneven or tilted, so its outlines cannot "
            "be filled truly; export it as DICOM SEG instead."
        ) from error
    labels = rasterise(path, found, grid)
    return StoredImage(labels.array[None], grid, labels.scheme, STRUCTURES, labels.notes)


def _stored(path: Path, labels: LabelGrid, notes: tuple[str, ...]) -> StoredImage:
    every = (*labels.notes, *notes)
    raw = RawImage(labels.array[None], labels.affine, labels.scheme, SEGMENTATION, every)
    return settle(raw, path)


def _series_named(
    path: Path, scan: str | PathLike[str] | None, uids: tuple[str, ...]
) -> Series | None:
    """Find the scan among the given or nearby files; None if it is not there."""
    if scan is None:
        return _matching(survey_near(path), uids)
    place = Path(scan)
    found = survey(place)
    series = _matching(found, uids)
    if series is None and not any(uids):
        series = choose(place, found)
    if series is None:
        raise FormatError(
            f"{path} was made on another series than the one in {place}; choose the series that "
            "it was made on."
        )
    return series


def _matching(found: Catalogue, uids: tuple[str, ...]) -> Series | None:
    return next((s for s in found.series if s.series_uid in uids), None)


def _placed(
    path: Path, labels: LabelGrid, grid: Geometry
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.unsignedinteger]], tuple[str, ...]]:
    """Put labels onto another grid: voxel for voxel where they fit, else the nearest."""
    to_labels = np.linalg.inv(labels.affine) @ grid.affine
    matrix, offset = to_labels[:3, :3], to_labels[:3, 3]
    steps = np.rint(matrix)
    exact = (
        np.abs(matrix - steps).max() * max(grid.size) < _ON_VOXEL
        and np.abs(offset - np.rint(offset)).max() < _ON_VOXEL
        and np.array_equal(np.abs(steps).sum(axis=0), np.ones(3))
    )
    if exact:
        matrix, offset = steps, np.rint(offset)
    from scipy import ndimage  # slow to import, and opening a panel needs none of it

    placed = ndimage.affine_transform(
        labels.array,
        matrix[::-1, ::-1],
        offset=offset[::-1],
        output_shape=grid.shape,
        order=0,
        cval=0,
    )[None]
    marked = int(np.count_nonzero(labels.array))
    if marked and not placed.any():
        raise FormatError(
            f"{path} lies beside the scan that it names; choose the series that it was made on."
        )
    if not exact:
        return placed, ("It was made on another grid: each voxel took the nearest label.",)
    lost = marked - int(np.count_nonzero(placed))
    return placed, (f"{lost:,} voxels lie beyond the scan: left out.",) if lost else ()
