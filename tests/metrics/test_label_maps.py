"""Label maps are scored where they lie in the patient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from metric_cases import balls

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.metrics import Scored, score, score_arrays, surface
from napari_hybridseg.metrics.error_places import find_errors
from napari_hybridseg.volume import LabelMap

LPS = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def label_map(array, spacing=(0.8, 0.8, 2.0), origin=(0.0, 0.0, 0.0), names=None, turn=LPS):
    geometry = Geometry(array.shape[::-1], spacing, origin, turn)
    scheme = LabelScheme.from_names(names or {})
    return LabelMap(geometry=geometry, source=geometry, array=array, scheme=scheme)


def test_the_spacing_is_taken_in_array_order() -> None:
    a, b = balls((10, 30, 30))
    report = score(label_map(a), label_map(b))
    assert report.organs == score_arrays(a, b, (2.0, 0.8, 0.8)).organs
    assert report.notes == ()


def test_names_come_from_the_reference_then_the_prediction() -> None:
    a, b = balls((10, 30, 30))
    prediction = label_map(a, names={1: "Liver", 2: "spleen", 3: "cyst"})
    reference = label_map(b, names={1: "liver", 2: "left kidney", 9: "aorta"})
    report = score(prediction, reference)
    assert [organ.name for organ in report.organs] == ["liver", "left kidney", "cyst", "aorta"]
    assert report.organ(9).status == "absent in both"
    (note,) = report.notes
    assert "'spleen'" in note
    assert "'left kidney'" in note


def test_labels_can_be_chosen_and_named() -> None:
    a, b = balls((10, 30, 30))
    reference = label_map(b, names={2: "spleen"})
    assert [o.name for o in score(label_map(a), reference, [2]).organs] == ["spleen"]
    assert [o.name for o in score(label_map(a), reference, {2: "Milz"}).organs] == ["Milz"]


def test_a_prediction_on_a_part_of_the_grid_is_put_back() -> None:
    a, b = balls((12, 30, 30))
    part = label_map(a[2:, 3:, 4:].copy(), origin=(4 * 0.8, 3 * 0.8, 2 * 2.0))
    whole = np.zeros_like(a)
    whole[2:, 3:, 4:] = a[2:, 3:, 4:]
    report = score(part, label_map(b))
    assert report.organs == score(label_map(whole), label_map(b)).organs
    assert "nearest neighbour" in report.notes[0]


def test_finer_and_coarser_maps_lose_nothing_at_the_faces() -> None:
    _, b = balls((8, 20, 20))
    b[0], b[:, :, -1] = 1, 2
    fine = b.repeat(3, 0).repeat(3, 1).repeat(3, 2)
    origin = (-0.8 / 3, -0.8 / 3, -2.0 / 3)
    prediction = label_map(fine, spacing=(0.8 / 3, 0.8 / 3, 2.0 / 3), origin=origin)
    assert score(prediction, label_map(b)).mean_dice == 1
    assert score(label_map(b), prediction).mean_dice == 1


def test_a_flipped_prediction_is_scored_by_its_place_not_by_its_array() -> None:
    _, b = balls((8, 20, 24))
    flipped = label_map(b[:, :, ::-1].copy(), origin=(23 * 0.8, 0, 0), turn=(-1.0, *LPS[1:]))
    assert score(flipped, label_map(b)).mean_dice == 1


def test_maps_of_different_places_are_refused() -> None:
    a, b = balls((8, 20, 20))
    with pytest.raises(HybridSegError, match="share no space"):
        score(label_map(a, origin=(500.0, 0.0, 0.0)), label_map(b))


def test_what_was_noticed_when_reading_is_said_with_the_scores() -> None:
    a, b = balls((10, 30, 30))
    prediction = replace(label_map(a), name="drawn", notes=("left could be right",))
    report = score(prediction, label_map(b))
    assert "drawn: left could be right" in report.notes


def test_what_did_not_change_is_not_scored_again(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = balls((12, 40, 40))
    before, reference = label_map(a, names={1: "liver"}), label_map(b, names={1: "liver"})
    scored = Scored(before, reference, score(before, reference))
    painted = a.copy()
    painted[a == 2] = 0
    painted[:2, :2, :2] = 7
    now = label_map(painted, names={1: "liver"})
    expected = score(now, reference)
    searched = []
    real = surface.directed_distances
    monkeypatch.setattr(
        surface, "directed_distances", lambda *given: searched.append(1) or real(*given)
    )
    assert score(now, reference, since=scored) == expected
    again = len(searched)
    assert score(now, reference) == expected
    assert again == 0, "2 is gone and 7 is new: nothing is left to measure"
    assert len(searched) > again


@pytest.mark.parametrize("what", ["tolerance", "convention", "reference", "spacing"])
def test_by_other_rules_everything_is_scored_anew(what: str) -> None:
    a, b = balls((12, 40, 40))
    scored = Scored(label_map(a), label_map(b), score(label_map(a), label_map(b)))
    prediction, reference, rules = label_map(a), label_map(b), {}
    if what == "tolerance":
        rules = {"tolerance_mm": 3.0}
    elif what == "convention":
        rules = {"convention": "pooled"}
    elif what == "reference":
        reference = label_map(np.roll(b, 2, axis=2))
    else:
        prediction, reference = (label_map(m, spacing=(1.5, 1.5, 4.0)) for m in (a, b))
    expected = score(prediction, reference, **rules)
    assert expected != scored.report
    assert score(prediction, reference, since=scored, **rules) == expected


@settings(max_examples=50, deadline=None)
@given(
    maps=arrays(np.uint8, (2, 3, 4, 5), elements=st.integers(0, 3)),
    strokes=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 4), st.integers(0, 4)),
        max_size=6,
    ),
)
def test_painting_never_leaves_an_old_score(maps, strokes) -> None:
    before, reference = label_map(maps[0].copy()), label_map(maps[1].copy())
    scored = Scored(before, reference, score(before, reference))
    painted = maps[0].copy()
    for z, y, x, label in strokes:
        painted[z, y, x] = label
    now = label_map(painted)
    assert score(now, reference, since=scored) == score(now, reference)


def test_nothing_at_all_is_said() -> None:
    empty = label_map(np.zeros((4, 5, 6), np.uint8))
    report = score(empty, empty)
    assert report.organs == ()
    assert "nothing to score" in report.notes[0]
    assert score(empty, label_map(empty.array, names={1: "liver"})).notes == ()


def test_what_the_predictions_grid_does_not_reach_is_missed_and_the_note_says_so() -> None:
    a = np.zeros((8, 8, 8), np.uint8)
    a[2:6, 2:6, 2:6] = 1
    report = score(label_map(a[:4].copy()), label_map(a))
    assert report.organ(1).volume_ml == pytest.approx(report.organ(1).reference_volume_ml / 2)
    (note,) = report.notes
    assert "counts as missed" in note


def test_a_grid_of_the_same_size_in_another_place_is_told_apart() -> None:
    a, b = balls((10, 30, 30))
    shifted = score(label_map(a, origin=(1.6, 0.0, 0.0)), label_map(b)).notes[0]
    assert "another place" in shifted
    turned = score(label_map(a, turn=(0.8, 0.6, 0, -0.6, 0.8, 0, 0, 0, 1.0)), label_map(b)).notes[0]
    assert "another place" in turned
    assert "another place" not in score(label_map(a[1:].copy()), label_map(b)).notes[0]


def test_white_is_the_other_maps_only_organ() -> None:
    a, b = (ball == 1 for ball in balls((10, 30, 30)))
    ours, theirs = a.astype(np.uint8), b * np.uint8(255)
    expected = score(label_map(ours), label_map(b.astype(np.uint8))).organs[0]
    for names in ({}, {255: "Polyp"}):
        report = score(label_map(ours, names={1: "polyp"}), label_map(theirs, names=names))
        (organ,) = report.organs
        assert (organ.label, organ.name, organ.dice) == (1, "polyp", expected.dice)
        assert "255, white, which is taken for label 1, polyp" in report.notes[0]
    turned = score(label_map(theirs), label_map(ours, names={1: "polyp"})).organs
    assert [organ.label for organ in turned] == [1]
    compared = label_map(ours, names={1: "polyp"}), label_map(theirs)
    known = Scored(*compared, score(*compared))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(surface, "directed_distances", None)  # nothing is measured again
        assert score(*compared, since=known) == known.report
    both = score(label_map(a * np.uint8(255)), label_map(theirs)).organs
    assert [(organ.label, organ.dice) for organ in both] == [(255, expected.dice)]
    errors = find_errors(label_map(ours, names={1: "polyp"}), label_map(theirs), (1,))
    assert np.array_equal(errors.overlay.array != 0, a != b)


def test_white_that_has_a_meaning_of_its_own_stays() -> None:
    white = np.zeros((4, 5, 6), dtype=np.uint8)
    white[1] = 255
    polyp = label_map(white // 255, names={1: "polyp"})
    assert len(score(polyp, label_map(white, names={255: "stone"})).organs) == 2
    two = label_map(white // 255, names={1: "polyp", 2: "stone"})
    assert {organ.label for organ in score(label_map(white), two).organs} == {1, 2, 255}
    white[2] = 1
    assert {organ.label for organ in score(polyp, label_map(white)).organs} == {1, 255}
