from __future__ import annotations

from pathlib import Path

from finetune_support import SHORT, boxes, notes_of, parent_of_boxes, report_of

from napari_hybridseg.checkpoint import load_checkpoint
from napari_hybridseg.engine import EngineClient
from napari_hybridseg.engine.jobs import FineTuneJob
from napari_hybridseg.events import Metric
from napari_hybridseg.finetune import FineTuneOptions


def test_the_engine_teaches_until_it_is_asked_to_finish(tmp_path: Path) -> None:
    source = boxes(tmp_path / "boxes", cases=1)
    parent = parent_of_boxes(tmp_path / "parent").path
    job = FineTuneJob(
        source=source,
        checkpoint=parent,
        out=tmp_path / "child.safetensors",
        options=FineTuneOptions(**(SHORT | {"steps": 100_000, "strategy": "auto"})),
    )
    events = []
    with EngineClient(grace_s=30) as client:
        for event in client.run(job):
            events.append(event)
            if isinstance(event, Metric) and event.name == "loss":
                client.finish()
    report = report_of(events)
    assert report.ending == "stopped"
    assert report.steps < 10_000
    assert any("All weights are taught" in note for note in notes_of(events))
    assert load_checkpoint(report.path).sha256 == report.sha256
