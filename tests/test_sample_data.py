"""The sample volumes keep their promises, and their recipe is what made them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

SAMPLE_DATA = Path(__file__).resolve().parents[1] / "sample_data"
VOLUMES = SAMPLE_DATA / "volumes"
FILES = {
    "A": ("torso_a.nii.gz", "torso_a_reference.nii.gz"),
    "B": ("torso_b.nrrd", "torso_b_reference.nrrd"),
}
PLAUSIBLE_ML = {
    "liver": (900, 2000),
    "spleen": (90, 350),
    "right kidney": (90, 230),
    "left kidney": (90, 230),
    "stomach": (200, 700),
    "aorta": (40, 150),
    "right lung": (500, 2500),
    "left lung": (500, 2500),
    "spine": (200, 500),
}
MEAN_HU = {
    "liver": (50, 130),
    "spleen": (85, 150),
    "right kidney": (110, 210),
    "left kidney": (110, 210),
    "right lung": (-900, -650),
    "left lung": (-900, -650),
    "spine": (200, 500),
}


class Sample:
    """One committed acquisition, read as a stranger would read it."""

    def __init__(self, scanner: str) -> None:
        image, reference = (sitk.ReadImage(str(VOLUMES / name)) for name in FILES[scanner])
        self.image, self.reference = image, reference
        self.hu = sitk.GetArrayFromImage(image)
        self.labels = sitk.GetArrayFromImage(reference)
        scheme = json.loads((VOLUMES / "labels.json").read_text(encoding="utf-8"))
        self.ids = {entry["name"]: entry["id"] for entry in scheme["labels"]}

    def organ(self, name: str) -> np.ndarray:
        return self.labels == self.ids[name]

    def centre(self, name: str) -> np.ndarray:
        """The organ's centroid in world LPS mm."""
        index = np.argwhere(self.organ(name)).mean(axis=0)[::-1]
        return np.array(self.reference.TransformContinuousIndexToPhysicalPoint(index.tolist()))


@pytest.fixture(scope="module", params=["A", "B"])
def sample(request: pytest.FixtureRequest) -> Sample:
    return Sample(request.param)


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import a script's module the way running the script does."""
    monkeypatch.syspath_prepend(str(SAMPLE_DATA))
    return lambda name: __import__(name)


@pytest.fixture
def recipe(load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """make_phantom, painting and scanning coarsely so that a patient takes a moment."""
    script, phantom = load("make_phantom"), load("torso_phantom")
    grid = replace(phantom.PAINT_GRID, shape=(47, 40, 48), spacing=7.0)
    coarse = {
        name: replace(
            scanner,
            size=tuple(n // 4 for n in scanner.size),
            spacing=tuple(4 * s for s in scanner.spacing),
        )
        for name, scanner in phantom.SCANNERS.items()
    }
    monkeypatch.setattr(script, "make_anatomy", partial(phantom.make_anatomy, grid=grid))
    monkeypatch.setattr(script, "SCANNERS", coarse)
    return script


def test_committed_files_are_small():
    assert sum(file.stat().st_size for file in VOLUMES.iterdir()) < 3 * 2**20


def test_files_hold_what_their_names_say(sample: Sample):
    assert sample.image.GetPixelID() == sitk.sitkInt16
    assert sample.reference.GetPixelID() == sitk.sitkUInt8
    assert set(np.unique(sample.labels)) == {0, *sample.ids.values()}


def test_reference_lies_on_the_image_grid(sample: Sample):
    assert sample.reference.GetSize() == sample.image.GetSize()
    for get in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(
            getattr(sample.reference, get)(), getattr(sample.image, get)(), atol=1e-6
        )


def test_grid_is_oblique_anisotropic_and_never_mirrored(sample: Sample):
    direction = np.array(sample.image.GetDirection()).reshape(3, 3)
    np.testing.assert_allclose(direction.T @ direction, np.eye(3), atol=1e-5)
    assert np.linalg.det(direction) == pytest.approx(1.0, abs=1e-5)
    tilt = np.degrees(np.arccos(np.abs(direction).max(axis=0)))
    assert (tilt > 2).sum() >= 2
    assert tilt.max() < 15
    assert max(sample.image.GetSpacing()) > 1.2 * min(sample.image.GetSpacing())


def test_scanners_store_their_axes_in_different_order():
    main_axes = [
        np.abs(np.reshape(Sample(name).image.GetDirection(), (3, 3))).argmax(axis=0).tolist()
        for name in "AB"
    ]
    assert main_axes == [[0, 1, 2], [0, 2, 1]]


def test_left_is_left_and_up_is_up(sample: Sample):
    middle = sample.centre("spine")
    for name in ("liver", "right kidney", "right lung"):
        assert sample.centre(name)[0] < middle[0] - 20, f"{name} belongs on the right, LPS -x"
    for name in ("spleen", "left kidney", "left lung", "stomach"):
        assert sample.centre(name)[0] > middle[0] + 20, f"{name} belongs on the left, LPS +x"
    assert sample.centre("aorta")[0] > middle[0]
    assert sample.centre("aorta")[1] < middle[1], "the aorta belongs in front of the spine"
    assert sample.centre("liver")[2] > sample.centre("right kidney")[2]
    assert sample.centre("right lung")[2] > sample.centre("liver")[2]


def test_organs_have_plausible_volumes(sample: Sample):
    voxel_ml = float(np.prod(sample.image.GetSpacing())) / 1000
    for name, (least, most) in PLAUSIBLE_ML.items():
        assert least < sample.organ(name).sum() * voxel_ml < most, name


def test_organs_are_in_one_piece(sample: Sample):
    for name in PLAUSIBLE_ML:
        pieces, _ = ndimage.label(sample.organ(name))
        largest = np.bincount(pieces.ravel())[1:].max()
        assert largest > 0.97 * sample.organ(name).sum(), name


def test_intensities_are_hounsfield_units(sample: Sample):
    assert sample.hu.min() >= -1024
    assert 500 < sample.hu.max() < 1500
    assert sample.hu[0, :, 0].mean() == pytest.approx(-1000, abs=15)
    for name, (least, most) in MEAN_HU.items():
        assert least < sample.hu[sample.organ(name)].mean() < most, name


def test_contrast_phases_differ():
    aorta_a, aorta_b = (s.hu[s.organ("aorta")].mean() for s in map(Sample, "AB"))
    assert aorta_a > 200
    assert aorta_b < aorta_a - 60


def test_both_scanners_saw_the_same_patient():
    a, b = Sample("A"), Sample("B")
    for name in ("liver", "spleen", "right kidney", "left kidney", "stomach"):
        np.testing.assert_allclose(a.centre(name), b.centre(name), atol=3.0)


def test_a_threshold_does_not_find_the_liver(sample: Sample):
    liver = sample.organ("liver")
    low, high = np.percentile(sample.hu[liver], (5, 95))
    found = (sample.hu >= low) & (sample.hu <= high)
    dice = 2 * (found & liver).sum() / (found.sum() + liver.sum())
    assert dice < 0.75


def test_organs_touch(sample: Sample):
    for name, neighbour in (("liver", "right kidney"), ("spleen", "stomach")):
        rim = ndimage.binary_dilation(sample.organ(name)) & sample.organ(neighbour)
        assert rim.sum() > 20, f"{name} and {neighbour}"


def test_label_scheme_is_complete_and_distinct():
    scheme = json.loads((VOLUMES / "labels.json").read_text(encoding="utf-8"))
    labels = scheme["labels"]
    assert scheme["name"]
    assert [entry["id"] for entry in labels] == list(range(1, 10))
    for key in ("name", "colour", "snomed"):
        assert len({entry[key] for entry in labels}) == len(labels), key


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(
    recipe: ModuleType, tmp_path: Path
):
    for folder, seed in (("once", 3), ("again", 3), ("other", 4)):
        list(recipe.make_sample(seed, tmp_path / folder, "AB", "torso"))
    for name in (*FILES["A"], *FILES["B"]):
        once, again, other = (
            (tmp_path / folder / name).read_bytes() for folder in ("once", "again", "other")
        )
        assert once == again
        assert once != other
    assert not list(tmp_path.rglob(".partial*"))


def test_data_set_mixes_scanners_and_holds_some_patients_out(recipe: ModuleType, tmp_path: Path):
    card = json.loads(recipe.make_dataset(tmp_path, range(1, 9)).read_text(encoding="utf-8"))
    assert card["labels"]["background"] == 0
    assert card["modality"] == {"0": "CT"}
    assert (len(card["train"]), len(card["heldout"])) == (6, 2)
    for part in ("train", "heldout"):
        endings = {Path(case["image"]).suffix for case in card[part]}
        assert endings == {".gz", ".nrrd"}, part
    for case in card["train"] + card["heldout"]:
        image, label = (sitk.ReadImage(str(tmp_path / case[key])) for key in ("image", "label"))
        assert image.GetSize() == label.GetSize()


def test_data_set_never_holds_the_committed_patient(recipe: ModuleType, tmp_path: Path):
    with pytest.raises(ValueError, match="committed sample"):
        recipe.make_dataset(tmp_path, [1, recipe.COMMITTED_SEED])
    assert not list(tmp_path.iterdir())


def test_command_line_refuses_a_negative_seed(
    recipe: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as stop:
        recipe.main(["--seed", "-1", "--out", str(tmp_path)])
    assert stop.value.code == 2
    assert "must not be negative" in capsys.readouterr().err


def test_command_line_writes_one_scanner(recipe: ModuleType, tmp_path: Path):
    assert recipe.main(["--seed", "5", "--out", str(tmp_path), "--scanner", "B"]) == 0
    written = {file.name for file in tmp_path.iterdir()}
    assert written == {"torso_b.nrrd", "torso_b_reference.nrrd", "labels.json"}


@pytest.mark.slow
def test_committed_volumes_are_what_the_recipe_makes(load: Callable[[str], ModuleType]):
    script, phantom = load("make_phantom"), load("torso_phantom")
    anatomy = phantom.make_anatomy(script.COMMITTED_SEED)
    for name in "AB":
        made = phantom.acquire(anatomy, phantom.SCANNERS[name])
        kept = Sample(name)
        off = np.abs(made.image.astype(int) - kept.hu)
        assert (off > 1).mean() < 1e-3
        assert (made.reference != kept.labels).mean() < 1e-4


def test_engine_does_not_depend_on_the_phantom():
    package = SAMPLE_DATA.parent / "napari_hybridseg"
    words = ("torso_phantom", "make_phantom")
    users = [f for f in package.rglob("*.py") if any(w in f.read_text("utf-8") for w in words)]
    assert users == []
