from __future__ import annotations

from pathlib import Path

import pytest

from napari_hybridseg.events import Progress
from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.widgets.presets import Quality, quality_of, with_quality
from napari_hybridseg.widgets.state import (
    CheckpointFacts,
    FaceState,
    Phase,
    VolumeFacts,
    fit_warning,
    why_not_score,
    why_not_segment,
)
from napari_hybridseg.widgets.wording import duration, progress_line


@pytest.fixture
def ready(card) -> FaceState:
    return FaceState(
        volume="v",
        volume_facts=VolumeFacts("4×4×4", channels=1, modality="CT"),
        checkpoint=CheckpointFacts(Path("x.safetensors"), card),
        label_map="a",
        reference="b",
    )


def test_a_complete_state_can_run(ready):
    assert why_not_segment(ready) == ""
    assert why_not_score(ready) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"phase": Phase.CANCELLING}, "Another job"),
        ({"volume": ""}, "Open a volume"),
        ({"volume_facts": VolumeFacts("", problem="It is sheared.")}, "sheared"),
        ({"volume_facts": VolumeFacts("", channels=2)}, "needs 1 channel"),
        ({"checkpoint": None}, "Choose a checkpoint"),
        ({"checkpoint": CheckpointFacts(Path("x"), None, problem="It is cut.")}, "cannot be used"),
    ],
)
def test_what_is_missing_for_a_run_is_said(ready, change, words):
    ready.update(change)
    assert words in why_not_segment(ready)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label_map": ""}, "no label map"),
        ({"reference": ""}, "Choose"),
        ({"reference": "a"}, "own"),
    ],
)
def test_what_is_missing_for_a_score_is_said(ready, change, words):
    ready.update(change)
    assert words in why_not_score(ready)


def test_a_checkpoint_for_another_modality_is_warned_about(ready):
    assert fit_warning(ready) == ""
    ready.volume_facts = VolumeFacts("", modality="MR")
    assert fit_warning(ready) == "The checkpoint was made for CT; this volume is MR."


@pytest.mark.parametrize("quality", [Quality.FAST, Quality.STANDARD, Quality.BEST])
def test_presets_are_recognised_and_keep_other_choices(quality):
    options = with_quality(SegmentOptions(device="cpu", threads=3), quality)
    assert quality_of(options) is quality
    assert (options.device, options.threads) == ("cpu", 3)


def test_other_options_are_custom():
    assert quality_of(SegmentOptions(overlap=0.1)) is Quality.CUSTOM


def test_times_and_progress_read_well():
    assert [duration(s) for s in (0.2, 42, 600, 7200)] == ["1 s", "42 s", "10 min", "2.0 h"]
    assert progress_line(Progress("Segmenting", 3, 9, 4.2)) == (
        "Segmenting · 33 % · about 4 s left"
    )
    assert progress_line(Progress("Loading", 0, 1)) == "Loading"
