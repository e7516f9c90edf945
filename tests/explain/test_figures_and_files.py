from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from explain_support import noise, run, voxel_mm

from napari_hybridseg.atomic import WriteError
from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.engine.codec import decode, encode
from napari_hybridseg.explain import ExplainError, Explanation
from napari_hybridseg.explain.export import product_csv, save_explanations, save_npz
from napari_hybridseg.volume import load_label_map, load_volume

OBLIQUE = {"order": 21, "angles": (12, -25, 40), "spacing": (0.8, 1.3, 2.9)}


def test_an_explanation_travels_between_engine_and_face(
    small: Callable[[str], Checkpoint],
) -> None:
    volume = noise((8, 32, 32), **OBLIQUE)
    point = voxel_mm(volume, (3, 9, 9))
    for family, view in (
        ("cotr", "sampling-points"),
        ("medformer", "token-organs"),
        ("medformer", "voxel-tokens"),
        ("unet", "uncertain-regions"),
    ):
        given = run(volume, small(family), view, point=point, threshold=0.05)
        kept: list[np.ndarray] = []

        def put(array: np.ndarray, kept: list[np.ndarray] = kept) -> str:
            kept.append(array)
            return str(len(kept) - 1)

        text = json.dumps(encode(given, put))
        back = decode(json.loads(text), lambda name, kept=kept: kept[int(name)])
        assert isinstance(back, Explanation)
        assert back.view == given.view
        assert back.options == given.options
        assert [type(p) for p in back.products] == [type(p) for p in given.products]
        assert [product_csv(p) for p in back.products] == [product_csv(p) for p in given.products]


def test_maps_are_saved_on_the_files_own_grid_and_points_in_millimetres(
    small: Callable[[str], Checkpoint], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    volume = noise((8, 32, 32), **OBLIQUE)
    point = voxel_mm(volume, (3, 9, 9))
    found = [
        run(volume, small("cotr"), "sampling-points", point=point),
        run(volume, small("cotr"), "uncertain-regions", threshold=0.5),
        run(volume, small("cotr"), "margin"),
        run(volume, small("cotr"), "margin"),
    ]
    index = save_explanations(found, volume, tmp_path / "out", pictures=("png", "svg"))
    assert json.loads((tmp_path / "out" / "index.json").read_text()) == index
    told = [set(one["options"]) - {"view", "device", "threads"} for one in index["explanations"]]
    assert told[0] == {"point", "place", "level"}
    assert told[2] == set(), "the index tells of choices that the view does not take"
    named = [p["file"] for e in index["explanations"] for p in e["products"]]
    named += [f for e in index["explanations"] for p in e["products"] for f in p["pictures"]]
    assert sorted([*named, "index.json"]) == sorted(p.name for p in (tmp_path / "out").iterdir())

    margin = load_volume(tmp_path / "out" / "margin.nii.gz")
    assert margin.source.same_grid(volume.source)
    np.testing.assert_allclose(margin.array[0], found[2].products[0].array, atol=1e-6)
    regions = load_label_map(tmp_path / "out" / "uncertain-regions-labels.nii.gz")
    np.testing.assert_array_equal(regions.array, found[1].products[2].array)

    (points,) = found[0].products
    with (tmp_path / "out" / "sampling-points-layer1.csv").open() as file:
        rows = list(csv.DictReader(file))
    written = np.array([[float(row[f"{axis}_mm"]) for axis in "xyz"] for row in rows])
    np.testing.assert_allclose(written, points.points_mm)
    ras = nibabel.load(tmp_path / "out" / "margin.nii.gz").affine
    at = np.linalg.inv(ras) @ [*(written[0] * (-1, -1, 1)), 1]
    expected = volume.source.index(written[0])[::-1]
    np.testing.assert_allclose(at[:3], expected, atol=1e-3)

    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    with pytest.raises(WriteError, match="not empty; choose another one or allow overwriting"):
        save_explanations(found[:1], volume, tmp_path / "out")
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    save_explanations(found[:1], volume, tmp_path / "out", overwrite=True)


def test_numbers_go_into_one_npz(small: Callable[[str], Checkpoint], tmp_path: Path) -> None:
    volume = noise((8, 16, 16))
    found = run(volume, small("medformer"), "token-organs")
    save_npz(found, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        np.testing.assert_array_equal(file["0/values"], found.products[0].values)
        assert tuple(file["0/columns"]) == found.products[0].columns
        assert json.loads(str(file["meta"]))["view"] == "token-organs"
    with pytest.raises(WriteError, match="exists already"):
        save_npz(found, tmp_path / "a.npz")


def test_letters_and_places_of_the_planes_are_the_patients(
    small: Callable[[str], Checkpoint],
) -> None:
    pytest.importorskip("matplotlib")
    from napari_hybridseg.explain.figures import panel_figure

    volume = noise((8, 10, 12), order=33)
    found = run(volume, small("unet"), "entropy")
    figure = panel_figure(volume, found, focus_mm=voxel_mm(volume, (2, 3, 4)))
    axial, coronal, sagittal = figure.axes[:3]
    assert [axes.get_title().split(",")[0] for axes in (axial, coronal, sagittal)] == [
        "axial",
        "coronal",
        "sagittal",
    ]
    letters = [[text.get_text() for text in axes.texts] for axes in (axial, coronal, sagittal)]
    assert letters == [["R", "L", "A", "P"], ["R", "L", "S", "I"], ["A", "P", "S", "I"]]
    shown = axial.images[1].get_array()
    np.testing.assert_allclose(shown, found.products[0].array[2])
    assert axial.yaxis_inverted()
    assert not coronal.yaxis_inverted(), "the head is up"
    np.testing.assert_allclose(sagittal.images[1].get_array(), found.products[0].array[:, :, 4])
    words = " ".join(text.get_text() for text in figure.texts)
    assert "small-unet" in words
    assert "made-up" in words
    ticks = figure.axes[3].get_yticklabels()
    assert any(tick.get_text() for tick in ticks), "a colour bar has numbers"


@pytest.mark.parametrize(
    ("family", "view"),
    [
        ("medformer", "winning-token"),
        ("medformer", "voxel-tokens"),
        ("medformer", "token-organs"),
        ("medformer", "token-similarity"),
        ("cotr", "sampling-points"),
        ("unet", "uncertain-regions"),
    ],
)
def test_no_text_of_a_picture_is_cut(
    small: Callable[[str], Checkpoint], family: str, view: str
) -> None:
    pytest.importorskip("matplotlib")
    from napari_hybridseg.explain.figures import figure_bytes, panel_figure

    volume = noise((8, 32, 32), spacing=(0.8, 0.9, 2.0))
    found = run(volume, small(family), view, point=voxel_mm(volume, (3, 9, 9)), threshold=0.05)
    for product in found.products:
        figure = panel_figure(volume, found, product)
        assert figure_bytes(figure)[:4] == b"\x89PNG"
        figure.canvas.draw()  # a picture is drawn finer, and labels keep their places of it
        width, height = figure.bbox.size
        for text in figure.texts:
            box = text.get_window_extent()
            assert box.x0 >= 0, text
            assert box.y0 >= 0, text
            assert box.x1 <= width, text
            assert box.y1 <= height, text
        for axes in figure.axes:
            for text in (axes.xaxis.label, axes.yaxis.label, axes.title):
                box = text.get_window_extent()
                if text.get_text():
                    assert box.x0 >= 0, text
                    assert box.y0 >= 0, text
                    assert box.x1 <= width, text
                    assert box.y1 <= height, text


def test_a_missing_matplotlib_is_said_in_a_sentence(
    small: Callable[[str], Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_hybridseg.explain.figures import panel_figure

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    volume = noise((8, 8, 8))
    with pytest.raises(ExplainError, match="Pictures need matplotlib; install it with"):
        panel_figure(volume, run(volume, small("unet"), "margin"))
