"""``hybridseg info``: what is in a file, and what is odd about it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from napari_hybridseg.cli.console import JsonOption, ResampleOption, remark, write_json
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.formats import ChannelAxis, image_name, read_image
from napari_hybridseg.formats.stored import volumes_note
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.older_python import zip
from napari_hybridseg.volume import Volume, scheme_beside

_MOST_LABELS = 64
_SIDES = {"R": "right", "L": "left", "A": "front", "P": "back", "S": "head", "I": "feet"}
_OPPOSITE = {"right": "left", "left": "right", "front": "back", "back": "front", "head": "feet",
             "feet": "head"}  # fmt: skip
_MEANINGS = {
    "PT": "PET",
    "SEG": "a segmentation: its values are labels",
    "RTSTRUCT": "outlines of organs: its values are labels",
}
_PLANES = {
    "right": "sagittal",
    "left": "sagittal",
    "front": "coronal",
    "back": "coronal",
    "head": "axial",
    "feet": "axial",
}
_VOLUMES = {
    "unstated": "volumes (channels or time points: the file does not say)",
    "channels": "channels",
    "time": "time points",
    "colours": "colours",
}


def info(
    files: Annotated[list[Path], typer.Argument(help="Image or label map files, DICOM folders.")],
    resample: ResampleOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say what is in image files: grid, values, labels, and problems found."""
    described, failed = [], []
    for path in files:
        try:
            stored = read_image(path, sheared="resample-nearest" if resample else "refuse")
            volume = Volume.from_stored(stored, image_name(path))
            scheme = stored.scheme or scheme_beside(path)[0]
            described.append(describe(path, volume, scheme))
        except HybridSegError as error:
            failed.append({"file": str(path), "error": str(error)})
    if as_json:
        write_json({"files": described, "failed": failed})
    else:
        for entry in described:
            typer.echo(_text(entry))
        for failure in failed:
            remark(failure["error"])
    raise typer.Exit(1 if failed else 0)


def describe(path: Path, volume: Volume, scheme: LabelScheme | None = None) -> dict[str, Any]:
    """Put a volume, and the organs that its file names, into plain words and numbers."""
    grid = volume.source
    finite = volume.array[np.isfinite(volume.array)] if volume.array.dtype.kind == "f" else None
    values = volume.array if finite is None else finite
    return {
        "file": str(path),
        "size": list(grid.size),
        "channels": volume.array.shape[0],
        "channel_kind": volume.channel_axis.kind,
        "seconds_apart": volume.channel_axis.step_s,
        "spacing_mm": list(grid.spacing),
        "origin_mm_lps": list(grid.origin),
        "direction": list(grid.direction),
        "orientation": grid.axis_codes,
        "oblique": grid.is_oblique,
        "tilt_degrees": _tilt(grid),
        "type": str(volume.array.dtype),
        "modality": volume.modality,
        "lowest": float(values.min()) if values.size else None,
        "highest": float(values.max()) if values.size else None,
        "labels_ml": _label_volumes(volume),
        "label_names": {str(k): name for k, name in (scheme.names if scheme else {}).items()},
        "problems": list(volume.notes),
    }


def _tilt(grid: Geometry) -> float:
    """Give the largest angle between an axis of a grid and the patient's nearest, in degrees."""
    nearest = float(np.abs(grid.direction_matrix).max(axis=0).min())
    return float(np.degrees(np.arccos(min(1.0, nearest))))


def _label_volumes(volume: Volume) -> dict[str, float] | None:
    """Give millilitres by label where the values look like labels."""
    array = volume.array
    if array.shape[0] != 1 or array.dtype.kind not in "ui" or array.min(initial=0) < 0:
        return None
    if array.max(initial=0) > 65535:
        return None
    counts = np.bincount(array.astype(np.uint16, copy=False).ravel())
    present = np.flatnonzero(counts)
    if len(present) > _MOST_LABELS:
        return None
    ml = volume.geometry.voxel_volume_ml
    return {str(label): round(float(counts[label] * ml), 3) for label in present if label}


def _text(entry: dict[str, Any]) -> str:
    lines = [
        entry["file"],
        f"  size         {_sizes(entry)}",
        f"  slices       {_slices(entry)}",
        f"  sides        {_sides(entry)}",
        f"  values       {_values(entry)}",
    ]
    if entry["channels"] > 1:
        lines.insert(2, f"  volumes      {_volumes(entry)}")
    if entry["modality"]:
        lines.append(f"  modality     {_modality(entry)}")
    if entry["labels_ml"]:
        names = entry["label_names"]
        labels = ", ".join(
            f"{names.get(k, f'label {k}')}: {v:g} mL" for k, v in entry["labels_ml"].items()
        )
        lines.append(f"  labels       {labels}")
    lines.extend(f"  note         {problem}" for problem in _notes(entry))
    return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines)


def _sizes(entry: dict[str, Any]) -> str:
    size = " × ".join(map(str, entry["size"]))
    spacing = " × ".join(f"{s:.4g}" for s in entry["spacing_mm"])
    extent = " × ".join(
        f"{n * s:.0f}" for n, s in zip(entry["size"], entry["spacing_mm"], strict=True)
    )
    return f"{size} voxels of {spacing} mm, {extent} mm in all"


def _volumes(entry: dict[str, Any]) -> str:
    step = f", {entry['seconds_apart']:g} s apart" if entry["seconds_apart"] else ""
    return f"{entry['channels']} {_VOLUMES[entry['channel_kind']]}{step}"


def _slices(entry: dict[str, Any]) -> str:
    end = _SIDES[entry["orientation"][2]]
    count = entry["size"][2]
    tilt = f", tilted by {entry['tilt_degrees']:.0f}° against the body" if entry["oblique"] else ""
    slices = f"{count} {_PLANES[end]} slice{'s' if count > 1 else ''}"
    return f"{slices} from {_OPPOSITE[end]} to {end}{tilt}"


def _sides(entry: dict[str, Any]) -> str:
    row, column = (_SIDES[letter] for letter in entry["orientation"][:2])
    return (
        f"a row runs from the patient's {_OPPOSITE[row]} to {row}, a column from "
        f"{_OPPOSITE[column]} to {column} ({entry['orientation']})"
    )


def _modality(entry: dict[str, Any]) -> str:
    meaning = _MEANINGS.get(entry["modality"])
    return f"{entry['modality']} ({meaning})" if meaning else str(entry["modality"])


def _notes(entry: dict[str, Any]) -> list[str]:
    """Give the notes but for what the line of volumes says."""
    axis = ChannelAxis(entry["channel_kind"], entry["seconds_apart"])
    said = volumes_note(entry["channels"], axis)
    return [problem for problem in entry["problems"] if problem != said]


def _values(entry: dict[str, Any]) -> str:
    kind = "decimal" if "float" in entry["type"] else "whole"
    if entry["lowest"] is None:
        return f"none is a number ({entry['type']})"
    unit = " HU" if entry["modality"] == "CT" else ""
    return f"{entry['lowest']:g} to {entry['highest']:g}{unit}, {kind} numbers ({entry['type']})"
