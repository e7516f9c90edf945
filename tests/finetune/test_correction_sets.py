from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from finetune_support import BOXES, notes_of, parent_of_boxes, report_of, run
from helpers import random_volume

from napari_hybridseg.corrections import CorrectionSet
from napari_hybridseg.corrections.accepting import Correction, accept
from napari_hybridseg.corrections.exporting import export_nnunet
from napari_hybridseg.finetune import FineTuneError
from napari_hybridseg.finetune.same_scan import Learnt
from napari_hybridseg.finetune.sources import TrainingCase, open_source
from napari_hybridseg.formats import write_image
from napari_hybridseg.volume import LabelMap


def accept_case(folder: Path, seed: int) -> None:
    volume = random_volume((10, 12, 12), seed=seed)
    said = np.zeros((10, 12, 12), np.uint8)
    said[2:8, 3:9, 3:9] = 2
    right = said.copy()
    right[4:6, 4:6, 4:6] = 5
    network = LabelMap(geometry=volume.geometry, source=volume.source, array=said, scheme=BOXES)
    accept(folder, Correction(volume, replace(network, array=right), network))


def test_corrections_are_learnt_and_one_that_vanished_is_told_of(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for seed in range(3):
        accept_case(folder, seed)
    source = open_source(folder)
    assert [case.name for case in source.cases] == ["case-0001", "case-0002", "case-0003"]
    assert all(case.edited is not None for case in source.cases)

    shutil.rmtree(CorrectionSet.open(folder).cases[1].folder)
    parent = parent_of_boxes(tmp_path / "parent").path
    events = run(folder, parent, tmp_path / "child.safetensors")
    report = report_of(events)
    (sentence,) = report.left_out
    assert sentence.startswith("case-0002 is left out:")
    assert sentence in notes_of(events)
    assert report.cases is not None
    assert [case.name for case in report.cases.cases] == ["case-0001", "case-0003"]


def test_an_nnunet_folder_is_a_source(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for seed in range(2):
        accept_case(folder, seed)
    out = tmp_path / "Dataset101_Boxes"
    list(export_nnunet(folder, out))
    source = open_source(out)
    assert [case.name for case in source.cases] == ["case-0001_0000", "case-0002_0000"]
    volume, labels = source.cases[0].read()
    assert volume.geometry.shape == (10, 12, 12)
    assert set(np.unique(labels.array)) == {0, 1, 2}
    first = out / "imagesTr" / "case-0001_0000.nii.gz"
    shutil.copy(first, out / "imagesTr" / "case-0001_0001.nii.gz")
    shutil.copy(first, out / "imagesTr" / "case-0002_0001.nii.gz")
    content = json.loads((out / "dataset.json").read_text())
    content["channel_names"]["1"] = "again"
    (out / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(FineTuneError, match="a file for each channel"):
        open_source(out)


def test_a_scan_that_is_learnt_is_neither_guard_nor_old_case(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    accept_case(folder, 0)
    files = tmp_path / "files"
    files.mkdir()
    for seed in (0, 1, 2):  # the first is the very scan, in another file and with other labels
        volume = random_volume((10, 12, 12), seed=seed)
        write_image(files / f"s{seed}.nrrd", volume.array[0], volume.geometry)
        label = np.full((10, 12, 12), 2, np.uint8)
        write_image(files / f"s{seed}_reference.nrrd", label, volume.geometry)
    (files / "labels.json").write_text(BOXES.to_json())
    corrections, others = open_source(folder).cases, open_source(files).cases

    def names(learnt: Sequence[TrainingCase], pool: Sequence[TrainingCase], n: int) -> list[str]:
        return [case.name for case in Learnt(learnt).others(pool, n)]

    assert names(corrections, others, 8) == ["s1", "s2"]
    assert names(corrections, others, 2) == ["s1", "s2"]
    assert names(others[1:], corrections, 8) == ["case-0001"]
    assert names(others, corrections, 8) == []
    assert names(corrections, corrections, 8) == []
    shutil.copy(files / "s1.nrrd", files / "again.nrrd")
    shutil.copy(files / "s2_reference.nrrd", files / "again_reference.nrrd")
    assert names(others[1:2], open_source(files).cases, 8) == ["s0", "s2"]
    parent = parent_of_boxes(tmp_path / "parent").path
    report = report_of(run(folder, parent, tmp_path / "child.safetensors", guard=files))
    assert report.guard is not None
    assert [case.name for case in report.guard.cases] == ["again", "s1", "s2"]
