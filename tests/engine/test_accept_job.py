"""Accepting a case through the engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_hybridseg.corrections import CorrectionCase, CorrectionSet
from napari_hybridseg.corrections.accepting import Correction
from napari_hybridseg.engine.codec import decode_fields, encode_fields
from napari_hybridseg.engine.jobs import AcceptJob
from napari_hybridseg.engine.kinds import JOB_KINDS
from napari_hybridseg.engine.warm import Warm
from napari_hybridseg.events import Result
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.resources import shipped_checkpoints_folder
from napari_hybridseg.volume import LabelMap, Volume


def job(folder: Path, checkpoint: Path | None) -> AcceptJob:
    grid = Geometry.from_affine((3, 4, 5), np.eye(4))
    labels = np.ones((3, 4, 5), np.uint8)
    label = LabelMap(grid, grid, labels, LabelScheme.from_names({1: "liver"}))
    image = np.arange(60, dtype=np.int16).reshape(1, 3, 4, 5)
    return AcceptJob(
        folder=folder,
        correction=Correction(Volume(grid, grid, image), label),
        checkpoint=checkpoint,
    )


def done(asked: AcceptJob) -> CorrectionCase:
    """Do a job as it is after its way through the codec."""
    arrays: list[np.ndarray] = []

    def put(array: np.ndarray) -> str:
        arrays.append(array)
        return str(len(arrays) - 1)

    fields = decode_fields(encode_fields(asked, put), lambda name: arrays[int(name)])
    kind = JOB_KINDS[asked.kind]
    *_, last = kind.run(kind.job(**fields), Warm())
    assert isinstance(last, Result)
    return last.value


def test_a_case_is_accepted_with_the_card_of_its_checkpoint(tmp_path: Path) -> None:
    checkpoint = shipped_checkpoints_folder() / "hippocampus-unet.safetensors"
    case = done(job(tmp_path / "set", checkpoint))
    assert CorrectionSet.open(tmp_path / "set").cases == (case,)
    assert case.card is not None
    assert case.card.architecture == "unet"
    assert case.checkpoint_sha256


def test_a_checkpoint_that_is_gone_is_no_reason_to_refuse(tmp_path: Path) -> None:
    case = done(job(tmp_path / "set", tmp_path / "gone.safetensors"))
    assert case.card is None
