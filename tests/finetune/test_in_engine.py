from __future__ import annotations

from pathlib import Path

from finetune_support import SHORT, boxes, notes_of, parent_of_boxes, report_of

from napari_hybridseg.checkpoint import load_checkpoint
from napari_hybridseg.engine import EngineClient
from napari_hybridseg.engine.jobs import FineTuneJob
from napari_hybridseg.engine.kinds import run_fine_tune
from napari_hybridseg.engine.warm import Warm
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


def test_another_fine_tune_is_not_held_up_by_one_that_was_interrupted(tmp_path: Path) -> None:
    source = boxes(tmp_path / "boxes", cases=1)
    parent = parent_of_boxes(tmp_path / "parent").path
    out = tmp_path / "tiny-tuned-20260101.safetensors"

    def job(seed: int) -> FineTuneJob:
        options = FineTuneOptions(**(SHORT | {"seed": seed}))
        return FineTuneJob(source=source, checkpoint=parent, out=out, options=options)

    def interrupted(seed: int) -> None:
        events = run_fine_tune(job(seed), Warm(1))
        next(event for event in events if isinstance(event, Metric))
        events.close()  # type: ignore[attr-defined]

    interrupted(1)
    interrupted(2)
    second, third = (out.with_stem(f"{out.stem}-{number}") for number in (2, 3))
    assert out.with_suffix(".state").is_file()
    assert second.with_suffix(".state").is_file()
    events = list(run_fine_tune(job(3), Warm(1)))
    assert report_of(events).path == third
    assert not any("Going on" in note for note in notes_of(events))
    for seed, path in ((2, second), (1, out)):
        events = list(run_fine_tune(job(seed), Warm(1)))
        assert report_of(events).path == path
        assert "Going on with an interrupted fine-tune." in notes_of(events)
    assert sorted(tmp_path.glob("*.state")) == []
    assert len(list(tmp_path.glob("tiny-tuned-*"))) == 3
