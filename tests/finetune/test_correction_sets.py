from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from finetune_support import BOXES, notes_of, parent_of_boxes, report_of, run
from helpers import random_volume

from napari_hybridseg.corrections import CorrectionSet
from napari_hybridseg.corrections.accepting import Correction, accept
from napari_hybridseg.finetune.sources import open_source
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
