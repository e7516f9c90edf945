"""The DICOM series that a layer came from: chosen when it is opened, found again when saving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtWidgets import QInputDialog

from napari_hybridseg.formats import FormatError
from napari_hybridseg.formats.dicom import Algorithm, SeriesInfo, list_series, write_dicom_seg
from napari_hybridseg.volume import LabelMap
from napari_hybridseg.widgets.questions import window_to_ask_in

SERIES_KEY = "dicom_series"


def series_in(path: Path) -> list[SeriesInfo]:
    """List the series that a path may mean: all in a folder, those of a file; none if it is labels.

    What cannot be listed is left to `read_image`, which says why.
    """
    try:
        found = list_series(path)
    except FormatError:
        return []
    return [series for series in found if path.is_dir() or path in series.files]


def ask_for_series(path: Path, series: Sequence[SeriesInfo]) -> SeriesInfo | None:
    """Let the user choose one; None if the user wants none."""
    lines = [f"{number}. {one.describe(path)}" for number, one in enumerate(series, 1)]
    line, is_chosen = QInputDialog.getItem(
        window_to_ask_in(),
        "Choose a DICOM series",
        f"{path.name} holds {len(series)} series:",
        lines,
        _largest(series),
        False,
    )
    return series[lines.index(line)] if is_chosen else None


def record_of(path: Path, series: SeriesInfo) -> dict[str, str]:
    """Describe in plain JSON types where a series is, for a layer's metadata."""
    return {"path": str(path.absolute()), "uid": series.uid}


def write_segmentation(
    path: Path,
    label_map: LabelMap,
    about: Mapping[str, Any],
    *,
    is_edited: bool,
    overwrite: bool = False,
) -> None:
    """Write a label map as a DICOM SEG of the series that its volume came from.

    Parameters
    ----------
    path : Path
        Where to.
    label_map : LabelMap
        Its ``source`` is the grid of the series.
    about : mapping
        What the layer's metadata tells: the series, and the checkpoint that made it, if any.
    is_edited : bool
        Whether a person changed what the checkpoint made.
    overwrite : bool
        Whether an existing file is replaced.

    Raises
    ------
    FormatError, WriteError
        If there is no such series, the labels do not lie on it, or the disk refuses.
    """
    array = np.ascontiguousarray(label_map.to_source(label_map.array))
    write_dicom_seg(
        path,
        array,
        label_map.source,
        _files_of(path, about.get(SERIES_KEY)),
        label_map.scheme,
        algorithm=_algorithm(about, is_edited),
        overwrite=overwrite,
    )


def _files_of(path: Path, record: Mapping[str, str] | None) -> tuple[Path, ...]:
    if not record:
        raise FormatError(
            f"{path} cannot be written: a DICOM segmentation belongs to the DICOM series that it "
            "was made on, and these labels come from none; save them as .seg.nrrd."
        )
    where = Path(record["path"])
    if where.exists():
        for series in list_series(where):
            if series.uid == record["uid"]:
                return series.files
    raise FormatError(
        f"{path} cannot be written: the DICOM series that these labels were made on is no longer "
        f"at {where}; put it back, or save as .seg.nrrd."
    )


def _algorithm(about: Mapping[str, Any], is_edited: bool) -> Algorithm | None:
    """Say what made the labels; None where a person did."""
    checkpoint = about.get("checkpoint")
    if not checkpoint:
        return None
    return Algorithm(
        name=str(checkpoint),
        version=f"napari-hybridseg {version('napari-hybridseg')}",
        kind="SEMIAUTOMATIC" if is_edited else "AUTOMATIC",
    )


def _largest(series: Sequence[SeriesInfo]) -> int:
    """Give the place of the series with the most voxels: localisers are small."""
    sizes = [one.count * one.size[0] * one.size[1] for one in series]
    return sizes.index(max(sizes))
