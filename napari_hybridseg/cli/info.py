"""``hybridseg info``: what is in a file, and what is odd about it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from napari_hybridseg.cli.console import JsonOption, ResampleOption, remark, write_json
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.formats import image_name, read_image
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.volume import Volume

_MOST_LABELS = 64


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
            described.append(describe(path, volume, stored.scheme))
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
        "spacing_mm": list(grid.spacing),
        "origin_mm_lps": list(grid.origin),
        "direction": list(grid.direction),
        "orientation": grid.axis_codes,
        "oblique": grid.is_oblique,
        "type": str(volume.array.dtype),
        "modality": volume.modality,
        "lowest": float(values.min()) if values.size else None,
        "highest": float(values.max()) if values.size else None,
        "labels_ml": _label_volumes(volume),
        "label_names": {str(k): name for k, name in (scheme.names if scheme else {}).items()},
        "problems": list(volume.notes),
    }


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
    size = " × ".join(map(str, entry["size"]))
    spacing = " × ".join(f"{s:.4g}" for s in entry["spacing_mm"])
    extent = " × ".join(
        f"{n * s:.0f}" for n, s in zip(entry["size"], entry["spacing_mm"], strict=True)
    )
    oblique = ", oblique" if entry["oblique"] else ""
    lines = [
        entry["file"],
        f"  size         {size} voxels"
        + (f", {entry['channels']} channels" if entry["channels"] > 1 else ""),
        f"  spacing      {spacing} mm (in all {extent} mm)",
        f"  orientation  {entry['orientation']}{oblique} (where each axis runs to)",
        f"  values       {entry['lowest']:g} to {entry['highest']:g}, {entry['type']}"
        if entry["lowest"] is not None
        else f"  values       none is a number, {entry['type']}",
    ]
    if entry["modality"]:
        lines.append(f"  modality     {entry['modality']}")
    if entry["labels_ml"]:
        names = entry["label_names"]
        labels = ", ".join(f"{names.get(k, k)}: {v:g} mL" for k, v in entry["labels_ml"].items())
        lines.append(f"  as labels    {labels}")
    lines.extend(f"  note         {problem}" for problem in entry["problems"])
    return "\n".join(lines)
