"""Explanations as files: maps on the volume's exact grid, tables, pictures, and an index."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_hybridseg.atomic import WriteError, atomic_path, write_text
from napari_hybridseg.explain.figures import can_draw, panel_figure, save_figure
from napari_hybridseg.explain.products import (
    Bars,
    Explanation,
    HeatMap,
    Matrix,
    Product,
    RegionTable,
    SamplingPoints,
)
from napari_hybridseg.formats import write_image
from napari_hybridseg.older_python import zip
from napari_hybridseg.volume import LabelMap, Volume, save_label_map

INDEX = "index.json"
_FOR_EVERY_VIEW = ("view", "device", "overlap", "importance", "threads")


def save_explanations(
    explanations: Sequence[Explanation],
    volume: Volume,
    folder: str | Path,
    *,
    pictures: Sequence[str] = ("png",),
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write explanations of one volume into a folder.

    Maps become NIfTI files on the exact grid of the volume's file, matrices, bars, sampling
    points and regions CSV files (points in LPS millimetres), every product a picture where
    matplotlib is installed, and ``index.json`` says what is what.

    Parameters
    ----------
    explanations : sequence of Explanation
        Of ``volume``.
    volume : Volume
        Is shown behind the maps.
    folder : path
        Is made where it is missing.
    pictures : sequence of str
        Of ``"png"`` and ``"svg"``; none for no pictures.
    overwrite : bool
        Whether files in the folder may be replaced.

    Returns
    -------
    dict
        The content of the index.

    Raises
    ------
    WriteError
        If the folder holds something and ``overwrite`` is not given, or cannot be written.
    """
    folder = Path(folder)
    refuse_filled(folder, overwrite)
    entries = []
    taken: set[str] = set()
    for explanation in explanations:
        stem = _free_name(explanation, taken)
        entries.append(_save_one(explanation, volume, folder, stem, pictures, overwrite))
    index = {"volume": volume.name, "world": "LPS, millimetres", "explanations": entries}
    write_text(folder / INDEX, json.dumps(index, indent=1, ensure_ascii=False), overwrite=overwrite)
    return index


def refuse_filled(folder: str | Path, overwrite: bool) -> None:
    """Make a folder; raise if it holds something that may not be replaced.

    Raises
    ------
    WriteError
        If so, or if it cannot be made.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        filled = any(folder.iterdir())
    except OSError as error:
        raise WriteError(f"The folder {folder} cannot be made: {error.strerror}.") from error
    if filled and not overwrite:
        raise WriteError(
            f"The folder {folder} is not empty; choose another one or allow overwriting."
        )


def save_npz(explanation: Explanation, path: str | Path, *, overwrite: bool = False) -> None:
    """Write the numbers of an explanation into one ``.npz`` file, with what they are.

    Maps are in canonical orientation, (Z, Y, X), with ``affine`` from their (x, y, z) index to
    LPS millimetres; ``meta`` is a JSON text. Points are LPS millimetres.

    Raises
    ------
    WriteError
        If it cannot be written, or exists and ``overwrite`` is not given.
    """
    arrays: dict[str, np.ndarray] = {}
    for number, product in enumerate(explanation.products):
        arrays |= {f"{number}/{name}": value for name, value in _arrays(product).items()}
    meta = _described(explanation) | {
        "products": [type(product).__name__ for product in explanation.products]
    }
    arrays["meta"] = np.array(json.dumps(meta, ensure_ascii=False))
    with atomic_path(Path(path), overwrite=overwrite) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def product_csv(product: Product) -> str:
    """Give a matrix, bars, sampling points or regions as CSV text; a map has none."""
    if isinstance(product, Matrix):
        rows = zip(product.rows, product.values.tolist(), strict=True)
        return _csv((product.row_title, *product.columns), ((name, *row) for name, row in rows))
    if isinstance(product, Bars):
        pairs = zip(product.names, product.values.tolist(), strict=True)
        return _csv((product.name_title or "name", product.unit or "value"), pairs)
    if isinstance(product, SamplingPoints):
        return _csv(_POINT_COLUMNS, _point_rows(product))
    if isinstance(product, RegionTable):
        return _csv(
            (
                "number",
                "x_mm",
                "y_mm",
                "z_mm",
                "peak_x_mm",
                "peak_y_mm",
                "peak_z_mm",
                "size_ml",
                "mean_entropy_nat",
            ),
            (
                (r.number, *r.centroid_mm, *r.peak_mm, r.size_ml, r.mean_entropy)
                for r in product.regions
            ),
        )
    return ""


_POINT_COLUMNS = (
    "head",
    "level",
    "point",
    "weight",
    "x_mm",
    "y_mm",
    "z_mm",
    "inside",
    "query_x_mm",
    "query_y_mm",
    "query_z_mm",
)


def _point_rows(points: SamplingPoints) -> Iterable[tuple[Any, ...]]:
    columns = (points.head, points.level, points.point, points.weights, *points.points_mm.T)
    for *values, inside in zip(*(c.tolist() for c in columns), points.inside, strict=True):
        yield (*values, int(inside), *points.query_mm.tolist())


def _save_one(
    explanation: Explanation,
    volume: Volume,
    folder: Path,
    stem: str,
    pictures: Sequence[str],
    overwrite: bool,
) -> dict[str, Any]:
    files: list[dict[str, Any]] = []
    for number, product in enumerate(explanation.products):
        name = stem if number == 0 else f"{stem}-{_kind(product)}"
        if any(entry["name"] == name for entry in files):
            name = f"{name}-{number}"
        files.append(_save_product(explanation, product, volume, folder, name, pictures, overwrite))
    return _described(explanation) | {"products": files}


def _save_product(
    explanation: Explanation,
    product: Product,
    volume: Volume,
    folder: Path,
    name: str,
    pictures: Sequence[str],
    overwrite: bool,
) -> dict[str, Any]:
    title = product.name if isinstance(product, LabelMap) else product.title
    entry: dict[str, Any] = {"name": name, "kind": _kind(product), "title": title}
    unit = getattr(product, "unit", "")
    if unit:
        entry["unit"] = unit
    if isinstance(product, HeatMap):
        entry["file"] = f"{name}.nii.gz"
        array = np.ascontiguousarray(product.to_source(product.array))
        write_image(folder / entry["file"], array, product.source, overwrite=overwrite)
        entry["lowest"], entry["highest"] = float(product.array.min()), float(product.array.max())
    elif isinstance(product, LabelMap):
        entry["file"] = f"{name}.nii.gz"
        save_label_map(product, folder / entry["file"], overwrite=overwrite)
    else:
        entry["file"] = f"{name}.csv"
        write_text(folder / entry["file"], product_csv(product), overwrite=overwrite)
    if can_draw():
        entry["pictures"] = [f"{name}.{kind}" for kind in pictures]
        for picture in entry["pictures"]:
            figure = panel_figure(volume, explanation, product)
            save_figure(figure, folder / picture, overwrite=overwrite)
    return entry


def _described(explanation: Explanation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "view": explanation.view.name,
        "title": explanation.view.title,
        "provenance": explanation.provenance,
        "options": explanation.options.model_dump(
            mode="json", exclude_none=True, include={*explanation.view.choices, *_FOR_EVERY_VIEW}
        ),
        "facts": dict(explanation.facts),
        "notes": list(explanation.notes),
    }
    if explanation.window is not None:
        described["window_corners_mm"] = explanation.window.corners_mm.tolist()
    return described


def _arrays(product: Product) -> dict[str, np.ndarray]:
    if isinstance(product, (HeatMap, LabelMap)):
        return {"array": product.array, "affine": product.geometry.affine}
    if isinstance(product, Matrix):
        names = {"rows": np.array(product.rows), "columns": np.array(product.columns)}
        return {"values": product.values, **names}
    if isinstance(product, Bars):
        return {"values": product.values, "names": np.array(product.names)}
    if isinstance(product, SamplingPoints):
        fields = ("query_mm", "points_mm", "points_voxel", "weights", "head", "level", "point")
        return {name: getattr(product, name) for name in (*fields, "inside")}
    columns = ("number", "centroid_mm", "peak_mm", "size_ml", "mean_entropy")
    return {name: np.array([getattr(r, name) for r in product.regions]) for name in columns}


def _kind(product: Product) -> str:
    kinds = {
        HeatMap: "map",
        LabelMap: "labels",
        Matrix: "matrix",
        Bars: "bars",
        SamplingPoints: "points",
        RegionTable: "regions",
    }
    return kinds[type(product)]


def _free_name(explanation: Explanation, taken: set[str]) -> str:
    options = explanation.options
    parts = [explanation.view.name, options.place]
    if "head" in explanation.view.takes and options.head is not None:
        parts.append(f"head{options.head}")
    if "token" in explanation.view.takes:
        parts.append(f"token{options.token}")
    if options.organ is not None and "organ" in explanation.view.choices:
        parts.append(f"organ{options.organ}")
    name = base = "-".join(part for part in parts if part)
    number = 2
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    taken.add(name)
    return name


def _csv(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
