"""The sample that a newcomer opens is segmented well by the checkpoint that comes with it."""

from __future__ import annotations

import pytest

from napari_hybridseg.checkpoint import load_checkpoint
from napari_hybridseg.events import Result
from napari_hybridseg.inference import SegmentOptions, segment
from napari_hybridseg.metrics import score
from napari_hybridseg.resources import sample_volumes_folder, shipped_checkpoints_folder
from napari_hybridseg.volume import load_label_map, load_volume


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ("torso_a.nii.gz", "torso_a_reference.nii.gz"),
        ("torso_b.nrrd", "torso_b_reference.nrrd"),
    ],
)
def test_both_scanners_reach_the_claimed_dice(image: str, reference: str) -> None:
    folder = sample_volumes_folder()
    checkpoint = load_checkpoint(shipped_checkpoints_folder() / "torso-utnetv2-3d.safetensors")
    volume = load_volume(folder / image)
    *_, last = segment(volume, checkpoint, SegmentOptions(overlap=0.25))
    assert isinstance(last, Result)
    report = score(last.value, load_label_map(folder / reference))
    assert report.mean_dice is not None
    assert report.mean_dice >= 0.9
    assert {organ.status for organ in report.organs} == {"scored"}
