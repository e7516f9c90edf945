from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from helpers import EVERY_ORDER, ORGANS, geometries, grid, stored
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hybridseg.formats import StoredImage, write_image
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.volume import (
    LabelMap,
    Volume,
    VolumeError,
    load_label_map,
    load_volume,
    save_label_map,
)

ENDINGS = (".nii.gz", ".nrrd", ".mha")
OBLIQUE = grid((5, 6, 7), angles=(12, -20, 33))


def label_map_of(volume: Volume, threshold: float = 0) -> LabelMap:
    return LabelMap(
        geometry=volume.geometry,
        source=volume.source,
        array=(volume.array[0] > threshold).astype(np.uint8),
        scheme=LabelScheme.from_names({1: "bright"}),
    )


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(1, *shape)).astype(np.float32)


@pytest.mark.parametrize("base", [grid((5, 6, 7)), OBLIQUE], ids=["straight", "oblique"])
@pytest.mark.parametrize("order", EVERY_ORDER, ids=str)
def test_every_way_to_store_a_volume_loads_alike(base: Geometry, order: object) -> None:
    array = noise(base.shape)
    straight = Volume.from_stored(stored(array, base, EVERY_ORDER[0]))
    volume = Volume.from_stored(stored(array, base, order))  # type: ignore[arg-type]
    np.testing.assert_array_equal(volume.array, straight.array)
    assert volume.geometry.same_grid(straight.geometry, tolerance=1e-9)
    assert volume.geometry.axis_codes == "LPS"
    assert volume.array.flags.c_contiguous


@settings(max_examples=40)
@given(geometry=geometries(), channels=st.integers(1, 3))
def test_to_source_gives_the_stored_array(geometry: Geometry, channels: int) -> None:
    array = np.arange(channels * np.prod(geometry.shape)).reshape(channels, *geometry.shape)
    volume = Volume.from_stored(StoredImage(array, geometry))
    assert volume.source == geometry
    np.testing.assert_array_equal(volume.to_source(volume.array), array)
    np.testing.assert_array_equal(volume.to_source(volume.array[0]), array[0])


def test_an_array_of_another_shape_does_not_lie_on_the_grid() -> None:
    volume = Volume.from_stored(StoredImage(noise((4, 5, 6)), grid((4, 5, 6))))
    with pytest.raises(VolumeError, match="does not lie on a grid"):
        volume.to_source(np.zeros((4, 6, 5)))


@pytest.mark.parametrize("out", ENDINGS)
@pytest.mark.parametrize("into", ENDINGS)
@settings(max_examples=12)
@given(geometry=geometries(), seed=st.integers(0, 99))
def test_a_label_map_leaves_on_the_grid_of_its_file(
    into: str, out: str, geometry: Geometry, seed: int
) -> None:
    array = noise(geometry.shape, seed)
    with tempfile.TemporaryDirectory() as folder:
        image, saved = Path(folder) / f"image{into}", Path(folder) / f"labels{out}"
        write_image(image, array, geometry)
        volume = load_volume(image)
        save_label_map(label_map_of(volume), saved)
        labels = load_label_map(saved)
    source, end = volume.source, labels.source
    assert end.size == source.size == geometry.size
    if out == ".nii.gz" and into != ".nii.gz":  # 32 bits for a grid of 64
        tolerance = 1e-6 * max(np.abs(source.affine).max(), 1)
    else:
        tolerance = 1e-12
    np.testing.assert_allclose(end.affine, source.affine, rtol=0, atol=tolerance)
    np.testing.assert_array_equal(labels.to_source(labels.array), array[0] > 0)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("base", [grid((5, 6, 7)), OBLIQUE], ids=["straight", "oblique"])
@pytest.mark.parametrize("order", EVERY_ORDER[::7], ids=str)
def test_simpleitk_sees_label_map_and_image_on_one_grid(
    tmp_path: Path, ending: str, base: Geometry, order: object
) -> None:
    geometry = base.reoriented(order)  # type: ignore[arg-type]
    array = noise(geometry.shape)[0]
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    sitk.WriteImage(image, str(tmp_path / f"image{ending}"))
    save_label_map(
        label_map_of(load_volume(tmp_path / f"image{ending}")), tmp_path / f"labels{ending}"
    )
    before, after = (sitk.ReadImage(str(tmp_path / f"{n}{ending}")) for n in ("image", "labels"))
    assert after.GetSize() == before.GetSize()
    exact = 1e-6 if ending == ".nii.gz" else 1e-14
    np.testing.assert_allclose(after.GetSpacing(), before.GetSpacing(), rtol=exact)
    np.testing.assert_allclose(after.GetOrigin(), before.GetOrigin(), rtol=exact, atol=exact)
    np.testing.assert_allclose(after.GetDirection(), before.GetDirection(), rtol=0, atol=exact)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(after), array > 0)


def test_left_stays_left(tmp_path: Path) -> None:
    # a RAS file: index x runs to the patient's right; mark the voxels at the patient's left
    geometry = grid((4, 4, 4)).reoriented(grid((4, 4, 4)).to_axis_codes("RAS"))
    assert geometry.axis_codes == "RAS"
    array = np.zeros((1, 4, 4, 4), np.float32)
    array[..., 0] = 1
    assert geometry.world(np.zeros(3))[0] > geometry.world(np.array([0, 0, 3]))[0]
    volume = Volume.from_stored(StoredImage(array, geometry))
    assert volume.array[0, 0, 0].tolist() == [0, 0, 0, 1]
    save_label_map(label_map_of(volume), tmp_path / "l.nrrd")
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "l.nrrd")))[0, 0].tolist() == [
        1,
        0,
        0,
        0,
    ]


def test_an_existing_label_map_is_not_overwritten(tmp_path: Path) -> None:
    volume = Volume.from_stored(StoredImage(noise((3, 3, 3)), grid((3, 3, 3))))
    path = tmp_path / "l.nrrd"
    save_label_map(label_map_of(volume), path)
    before = path.read_bytes()
    with pytest.raises(Exception, match="exists already"):
        save_label_map(label_map_of(volume, 1), path)
    assert path.read_bytes() == before
    save_label_map(label_map_of(volume, 1), path, overwrite=True)
    assert path.read_bytes() != before


def as_labels(values: list, dtype: str) -> LabelMap:
    array = np.array(values, dtype=dtype).reshape(1, 1, 1, -1)
    return LabelMap.from_stored(StoredImage(array, grid(array.shape[1:])), "x")


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([0, 1, 255], "u1", "u1"),
        ([0, 256], "i4", "u2"),
        ([0, 65535], "u8", "u2"),
        ([0, 3], "i8", "u1"),
        ([0.0, 2.0], "f4", "u1"),
        ([0.0, 2.0004], "f8", "u1"),
    ],
)
def test_labels_take_the_smallest_type(values: list, dtype: str, expected: str) -> None:
    labels = as_labels(values, dtype)
    assert labels.array.dtype == np.dtype(expected)
    assert labels.array.ravel().tolist() == [round(v) for v in values]
    assert labels.present == tuple(round(v) for v in values if v)
    assert labels.scheme.ids == labels.present
    assert bool(labels.notes) is (dtype[0] == "f")


@pytest.mark.parametrize(
    ("values", "dtype", "words"),
    [
        ([0, 0.5], "f4", "holds fractions"),
        ([0, np.nan], "f4", "holds fractions"),
        ([0, np.inf], "f4", "holds fractions"),
        ([-1, 2], "i2", "from -1 to 2"),
        ([0, 65536], "i4", "from 0 to 65536"),
        ([0, 1e9], "f8", "from 0 to 1000000000"),
    ],
)
def test_what_is_no_label_map_is_refused(values: list, dtype: str, words: str) -> None:
    with pytest.raises(VolumeError, match=words):
        as_labels(values, dtype)


def test_a_label_map_has_one_channel() -> None:
    with pytest.raises(VolumeError, match="2 channels"):
        LabelMap.from_stored(StoredImage(np.zeros((2, 3, 3, 3), np.uint8), grid((3, 3, 3))))


@pytest.mark.parametrize("name", ["labels.json", "liver.json"])
def test_names_come_from_a_file_beside(tmp_path: Path, name: str) -> None:
    write_image(tmp_path / "liver.nrrd", np.full((3, 3, 3), 300, np.uint16), grid((3, 3, 3)))
    (tmp_path / name).write_text(ORGANS.to_json())
    assert load_label_map(tmp_path / "liver.nrrd").scheme == ORGANS
    given = LabelScheme.from_names({300: "given"})
    assert load_label_map(tmp_path / "liver.nrrd", given).scheme == given


def test_a_foreign_json_beside_does_no_harm(tmp_path: Path) -> None:
    write_image(tmp_path / "liver.nrrd", np.ones((3, 3, 3), np.uint8), grid((3, 3, 3)))
    (tmp_path / "liver.json").write_text(json.dumps({"EchoTime": 0.03}))
    label_map = load_label_map(tmp_path / "liver.nrrd")
    assert label_map.scheme.names == {1: "label 1"}
    assert any("Label names were not read" in note for note in label_map.notes)


def test_volumes_can_be_compared() -> None:
    one, other = (
        Volume.from_stored(StoredImage(noise((3, 3, 3), seed), grid((3, 3, 3)))) for seed in (0, 1)
    )
    assert one == one
    assert one != other
    assert len({one, other}) == 2
