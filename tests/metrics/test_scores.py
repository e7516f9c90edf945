"""What a report says: statuses, means, notes, files, refusals."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from metric_cases import balls

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.metrics import ScoreReport, score_arrays

MM = (2.0, 1.0, 1.0)


@pytest.fixture
def four_organs() -> ScoreReport:
    """1 is scored, 2 is missed, 3 is not in the reference, 4 is absent in both."""
    a, b = np.zeros((2, 6, 10, 12), np.uint8)
    a[1:4, 1:5, 1:5], b[1:4, 1:5, 2:6] = 1, 1
    b[4:6, 6:9, 6:9], a[4, 8, 2] = 2, 3
    return score_arrays(a, b, MM, {1: "liver", 2: "spleen", 3: "cyst", 4: "stomach"})


def test_a_scored_organ(four_organs) -> None:
    liver = four_organs.organ(1)
    assert (liver.status, liver.name) == ("scored", "liver")
    assert liver.dice == pytest.approx(0.75)
    assert liver.iou == pytest.approx(0.6)
    assert (liver.hd95_mm, liver.hd100_mm) == (1.0, 1.0)
    assert 0 < liver.assd_mm < 1
    assert liver.nsd == 1.0
    assert liver.volume_ml == pytest.approx(0.096)
    assert liver.volume_difference_percent == pytest.approx(0.0)


def test_organs_that_only_one_map_has_score_zero_without_distances(four_organs) -> None:
    for label, status in ((2, "missed"), (3, "not in reference")):
        organ = four_organs.organ(label)
        assert organ.status == status
        assert (organ.dice, organ.iou, organ.nsd) == (0, 0, 0)
        assert organ.hd95_mm is organ.hd100_mm is organ.assd_mm is None
    assert four_organs.organ(2).volume_difference_percent == -100
    assert four_organs.organ(3).volume_difference_percent is None


def test_an_organ_absent_in_both_is_in_no_mean(four_organs) -> None:
    absent = four_organs.organ(4)
    assert absent.status == "absent in both"
    assert absent.dice is absent.nsd is absent.hd95_mm is None
    assert four_organs.mean_dice == pytest.approx(0.75 / 3)
    assert four_organs.mean_hd95_mm == 1.0


def test_the_notes_name_what_the_means_leave_out(four_organs) -> None:
    assert any("spleen" in n and "left out of mean distances" in n for n in four_organs.notes)
    assert any("cyst" in note for note in four_organs.notes)


def test_labels_that_were_not_asked_for_are_noted() -> None:
    a, b = balls((8, 20, 20), labels=3)
    report = score_arrays(a, b, MM, [2])
    assert [organ.label for organ in report.organs] == [2]
    assert report.notes == ("Labels that occur but were not asked for: 1, 3.",)


def test_two_empty_maps_have_no_organs_and_no_means() -> None:
    empty = np.zeros((3, 4, 5), np.uint8)
    report = score_arrays(empty, empty, MM)
    assert report.organs == ()
    assert report.mean_dice is report.mean_hd95_mm is None


def test_the_same_map_is_perfect_even_at_the_edge() -> None:
    full = np.ones((3, 4, 5), np.uint8)
    (organ,) = score_arrays(full, full, MM, tolerance_mm=0).organs
    assert (organ.dice, organ.hd100_mm, organ.assd_mm, organ.nsd) == (1, 0, 0, 1)


def test_one_slice_is_scored_as_a_picture() -> None:
    a, b = np.zeros((2, 1, 20, 20), np.uint8)
    a[0, 5:15, 5:15], b[0, 4:16, 4:16] = 1, 1
    # If the faces of the slice were border, half of it would be 0 mm away.
    assert score_arrays(a, b, MM).organs[0].assd_mm > 0.9


def test_the_convention_decides_about_islands() -> None:
    a, b = np.zeros((2, 10, 40, 40), np.uint8)
    a[2:6, 2:12, 2:12] = b[2:6, 2:12, 2:12] = 1
    a[8, 30:34, 30:34] = 1
    monai, pooled = (
        score_arrays(a, b, MM, convention=c).organs[0].hd95_mm for c in ("monai", "pooled")
    )
    assert monai > 20 > pooled


def test_a_tolerance_of_three_voxels_holds_three_voxels() -> None:
    a, b = np.zeros((2, 5, 5, 20), np.uint8)
    a[2, 2, 5], b[2, 2, 8] = 1, 1
    assert score_arrays(a, b, (1, 1, 0.1), tolerance_mm=0.3).organs[0].nsd == 1


@pytest.mark.parametrize(
    "convert",
    [
        lambda m: m.astype(np.int16),
        lambda m: m.astype(np.int64),
        lambda m: m.astype(np.float32),
        lambda m: m.astype(">u2"),
        lambda m: np.asfortranarray(m),
        lambda m: m.astype(np.int8),
    ],
)
def test_any_type_of_whole_numbers_gives_the_same_scores(convert) -> None:
    a, b = balls((8, 20, 24))
    before = convert(a)
    kept = before.copy()
    assert score_arrays(before, b, MM) == score_arrays(a, b, MM)
    assert score_arrays(before, convert(b), MM) == score_arrays(a, b, MM)
    np.testing.assert_array_equal(before, kept)
    assert before.flags.writeable


def test_masks_are_label_maps_of_one_label() -> None:
    a, b = balls((8, 20, 24), labels=1)
    assert score_arrays(a > 0, b > 0, MM) == score_arrays(a, b, MM)


GOOD = np.ones((3, 4, 5), np.uint8)


@pytest.mark.parametrize(
    ("prediction", "options", "words"),
    [
        (GOOD * 0.5, {}, "fractions"),
        (GOOD * np.nan, {}, "nan"),
        (GOOD.astype(np.int16) * -1, {}, "-1"),
        (GOOD.astype(np.int32) * 70000, {}, "70000"),
        (GOOD[:2], {}, "same grid"),
        (GOOD[0], {}, "Z, Y, X"),
        (GOOD.astype(complex), {}, "complex"),
        (GOOD, {"spacing": (1, -1, 1)}, "not positive"),
        (GOOD, {"spacing": (1, 1)}, "three numbers"),
        (GOOD, {"spacing": (1, 1, float("nan"))}, "not positive"),
        (GOOD, {"labels": [0, 1]}, "background"),
        (GOOD, {"labels": [1.5]}, "whole numbers"),
        (GOOD, {"tolerance_mm": -1}, "tolerance"),
        (GOOD, {"convention": "best"}, "convention"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_one_sentence(prediction, options, words) -> None:
    arguments = {"spacing": MM, **options}
    with pytest.raises(HybridSegError, match=words) as refusal:
        score_arrays(prediction, GOOD, **arguments)
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).endswith(".")


def test_csv_carries_convention_and_tolerance_and_ends_with_the_mean(four_organs) -> None:
    rows = list(csv.DictReader(io.StringIO(four_organs.to_csv())))
    assert [row["name"] for row in rows] == ["liver", "spleen", "cyst", "stomach", "mean"]
    assert {row["hd95_convention"] for row in rows} == {"monai"}
    assert rows[1]["hd95_mm"] == ""
    assert float(rows[-1]["dice"]) == pytest.approx(0.25)


def test_json_comes_back_as_the_same_report(four_organs) -> None:
    assert ScoreReport.model_validate_json(four_organs.to_json()) == four_organs
    assert json.loads(four_organs.to_json())["mean_hd95_mm"] == 1.0


def test_importing_the_reports_does_not_load_numba() -> None:
    code = "import sys, napari_hybridseg.metrics; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
