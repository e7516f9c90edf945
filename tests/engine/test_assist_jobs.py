"""Repair, teach and rank, as a face runs them: in the real engine process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import ORGANS, random_volume, tiny_checkpoint

from napari_hybridseg.corrections.assist.options import TeachOptions
from napari_hybridseg.corrections.assist.reports import Ranking, TeachReport
from napari_hybridseg.corrections.assist.strokes import Strokes
from napari_hybridseg.corrections.boxes import Change
from napari_hybridseg.engine import EngineClient, JobFailed
from napari_hybridseg.engine.jobs import RankJob, ReadyJob, Region, RepairJob, TeachJob
from napari_hybridseg.events import Event, Progress, Result
from napari_hybridseg.formats import write_image


@pytest.fixture(scope="module")
def client() -> Iterator[EngineClient]:
    with EngineClient() as client:
        yield client


def value(events: Iterator[Event]) -> object:
    *_, last = events
    assert isinstance(last, Result)
    return last.value


def test_repair_teach_and_rank_in_the_worker(client: EngineClient, tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path)
    volume = random_volume((9, 12, 10))
    labels = np.zeros((5, 6, 7), np.uint16)
    voxels = np.array([[3, 4, 4], [3, 4, 5]])
    strokes = Strokes.join([(voxels, 300, False)])
    common = {
        "volume": volume, "start": (1, 2, 3), "labels": labels, "strokes": strokes,
    }  # fmt: skip
    for path in (None, checkpoint.path):
        change = value(client.run(RepairJob(**common, checkpoint=path, scheme=ORGANS)))
        assert isinstance(change, Change)
        whole = np.zeros(volume.geometry.shape, np.uint16)
        change.apply(whole)
        assert (whole[tuple(voxels.T)] == 300).all()
        assert set(np.unique(whole)) <= {0, *ORGANS.ids}
    delta = tmp_path / "taught.safetensors"
    teach = TeachJob(
        **common, checkpoint=checkpoint.path, delta=delta, options=TeachOptions(steps=2)
    )
    report = value(client.run(teach))
    assert isinstance(report, TeachReport)
    assert delta.is_file()
    with pytest.raises(JobFailed, match="exists already"):
        value(client.run(teach))
    folder = tmp_path / "scans"
    folder.mkdir()
    write_image(folder / "a.nrrd", volume.array[0], volume.geometry)
    ranking = value(client.run(RankJob(folder=folder, checkpoint=checkpoint.path)))
    assert isinstance(ranking, Ranking)
    assert [scan.path.name for scan in ranking.scans] == ["a.nrrd"]
    outside = common | {"start": (8, 0, 0)}
    with pytest.raises(JobFailed, match="does not lie in the volume"):
        value(client.run(RepairJob(**outside, scheme=ORGANS)))


def test_once_ready_a_repair_asks_the_network_for_nothing(
    client: EngineClient, tmp_path: Path
) -> None:
    checkpoint = tiny_checkpoint(tmp_path, seed=1)
    volume = random_volume((9, 12, 10))
    volume.array[0, 0, 0, 0] = np.nan  # which does not equal itself
    strokes = Strokes.join([(np.array([[3, 4, 4], [3, 4, 5]]), 300, False)])
    repair = RepairJob(
        volume=volume, checkpoint=checkpoint.path, start=(1, 2, 3), scheme=ORGANS,
        labels=np.zeros((5, 6, 7), np.uint16), strokes=strokes,
    )  # fmt: skip

    def asks(job: ReadyJob | RepairJob) -> bool:
        events = list(client.run(job))
        assert isinstance(events[-1], Result)
        return any(isinstance(e, Progress) and e.stage == "Asking the network" for e in events)

    ready = ReadyJob(volume=volume, checkpoint=checkpoint.path)
    assert not asks(ready)
    region = Region(start=(1, 2, 3), shape=(5, 6, 7))
    assert asks(ready.model_copy(update={"region": region}))
    assert not asks(repair)
    other = random_volume((9, 12, 10), seed=3)
    assert asks(repair.model_copy(update={"volume": other}))
