"""Everything that the panel asks of the engine's package, behind one door."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import slicer
from pydantic import ValidationError

from HybridSegLib.bench.correct_bench import CorrectBench
from HybridSegLib.bench.engine_client import EngineClient
from HybridSegLib.bench.errors import OrganTour, errors_job
from HybridSegLib.bench.explain_bench import ExplainBench
from HybridSegLib.bench.frames import frames_of
from HybridSegLib.bench.score_task import ScoreTask
from HybridSegLib.bench.scores import Score, as_text, read_scores, write_scores
from HybridSegLib.bench.tables import show_table
from HybridSegLib.bench.tasks import CompareTask, FramesTask, SegmentTask
from HybridSegLib.bench.teach_bench import TeachBench
from HybridSegLib.bench.volumes import facts_of, volume_of
from HybridSegLib.seams import Engine
from napari_hybridseg import events
from napari_hybridseg.atomic import write_text
from napari_hybridseg.engine.failures import details_for, sentence_for
from napari_hybridseg.engine.jobs import DeviceReport, DevicesJob, ErrorsJob, EstimateJob
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.inference.estimate import Estimate, estimate
from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.inference.run_plan import looks_for_body
from napari_hybridseg.matching import Traits, best_fitting
from napari_hybridseg.metrics.error_places import Errors
from napari_hybridseg.resources import find_checkpoints
from napari_hybridseg.volume import OnGrid
from napari_hybridseg.widgets.checkpoint_shelf import (
    card_line,
    card_rows,
    checkpoint_choices,
    read_facts,
)
from napari_hybridseg.widgets.facts import CheckpointFacts, Choice, VolumeFacts
from napari_hybridseg.widgets.presets import QUALITY_HELP, Quality, quality_of, with_quality
from napari_hybridseg.widgets.wording import cost_line, progress_line


class Bench:
    """The engine and what is known about its checkpoints, options and results.

    Parameters
    ----------
    engine : Engine or None
        None is an engine process in Slicer's own Python.
    """

    Error = HybridSegError
    Progress = events.Progress
    Note = events.Note
    DeviceReport = DeviceReport

    def __init__(self, engine: Engine | None = None) -> None:
        self.engine: Engine = engine or EngineClient(engine_command())
        self.explaining = ExplainBench()
        self.correcting = CorrectBench()
        self.teaching = TeachBench()

    @property
    def qualities(self) -> dict[str, str]:
        """The names of the presets, and what they mean."""
        return {quality.value: QUALITY_HELP[quality] for quality in Quality}

    def checkpoints(self, opened: Iterable[Path]) -> tuple[Choice, ...]:
        """List the checkpoints of this installation, the user's, and those opened before."""
        return checkpoint_choices([*find_checkpoints(), *opened])

    def fitting_checkpoints(self, node: Any, keys: Sequence[str]) -> tuple[str, ...]:
        """Give those of some checkpoints that fit a volume node best; none where all do alike."""
        facts = {key: read_facts(Path(key)) for key in keys}
        cards = {key: its.card for key, its in facts.items() if its.card is not None}
        try:
            best = best_fitting(Traits.of(volume_of(node)), cards)
        except HybridSegError:  # the panel says what is wrong with the volume
            return ()
        return best if len(best) < len(cards) else ()

    def checkpoint(self, path: Path) -> CheckpointFacts:
        """Read a checkpoint's card."""
        return read_facts(path)

    def card_line(self, facts: CheckpointFacts) -> str:
        """Say the most important things about a checkpoint in one line."""
        return card_line(facts)

    def card_html(self, facts: CheckpointFacts) -> str:
        """Lay a card out as a table of titles and texts."""
        rows = "".join(
            f"<tr><td><b>{escape(title)}</b>&nbsp;</td>"
            f"<td>{escape(text).replace(chr(10), '<br>')}</td></tr>"
            for title, text in card_rows(facts)
        )
        return f"<table>{rows}</table>"

    def options(self, text: str) -> SegmentOptions:
        """Read options as they are kept; the defaults if they make no sense (any more)."""
        try:
            return SegmentOptions.model_validate_json(text) if text else SegmentOptions()
        except ValidationError:
            return SegmentOptions()

    def with_quality(self, options: SegmentOptions, quality: str) -> SegmentOptions:
        """Give the options with a preset's choices."""
        return with_quality(options, Quality(quality))

    def quality_of(self, options: SegmentOptions) -> str:
        """Name the preset that the options are."""
        return quality_of(options).value

    def progress_line(self, progress: events.Progress) -> str:
        """Say how far a job is, and how long it will still take where that is known."""
        return progress_line(progress)

    def volume_facts(self, node: Any) -> VolumeFacts:
        """Say what the panel tells about a volume node."""
        return facts_of(node)

    def has_frames(self, node: Any) -> bool:
        """Whether a volume is one frame of a sequence."""
        return node is not None and frames_of(node) is not None

    def segment_task(
        self, volume: Any, checkpoint: CheckpointFacts, options: SegmentOptions, all_frames: bool
    ) -> SegmentTask | FramesTask:
        """Prepare a run on a volume, or on all frames of its sequence."""
        frames = frames_of(volume) if all_frames else None
        if frames is not None:
            return FramesTask(slicer.mrmlScene, volume, frames, checkpoint, options)
        return SegmentTask(slicer.mrmlScene, volume, checkpoint, options)

    def estimate(
        self, volume: Any, checkpoint: CheckpointFacts, options: SegmentOptions, probe: Any
    ) -> Estimate:
        """Say what a run costs; how long it takes only with a probe. Raises VolumeError."""
        assert checkpoint.card is not None
        described = volume_of(volume)
        place = OnGrid(described.geometry, described.source)
        return estimate(place, checkpoint.card, options, probe)

    def estimate_job(
        self, volume: Any, checkpoint: CheckpointFacts, options: SegmentOptions, probe: Any
    ) -> EstimateJob:
        """Ask what a run costs; raises VolumeError."""
        return EstimateJob(
            volume=volume_of(volume), checkpoint=checkpoint.path, options=options, probe=probe
        )

    def looks_for_body(self, checkpoint: CheckpointFacts, options: SegmentOptions) -> bool:
        """Whether a run is only where the body is, which the engine finds."""
        return checkpoint.card is not None and looks_for_body(options, checkpoint.card, "")

    def cost_line(self, cost: Estimate) -> str:
        """Say what a run costs: windows, time where it is known, memory."""
        return cost_line(cost)

    def score_task(self, label_map: Any, reference: Any, rival: Any = None) -> ScoreTask:
        """Prepare a comparison, perhaps with a second label map against the same reference."""
        return ScoreTask(label_map, reference, rival)

    def compare_task(
        self, volume: Any, paths: Sequence[Path], options: SegmentOptions
    ) -> CompareTask:
        """Prepare runs of several checkpoints on a volume."""
        facts = [read_facts(path) for path in paths]
        return CompareTask(slicer.mrmlScene, volume, facts, options)

    def devices_job(self) -> DevicesJob:
        """Ask what networks can run on."""
        return DevicesJob()

    def write_scores(self, node: Any, score: Score) -> None:
        """Write a comparison into a table node."""
        write_scores(node, score)

    def read_scores(self, node: Any) -> Score | None:
        """Give the comparison of a table node."""
        return read_scores(node)

    def show_table(self, node: Any) -> None:
        """Show a table node in Slicer's table view."""
        show_table(node)

    def save_scores(self, score: Score, path: Path) -> None:
        """Write every number to a file; the dialog has asked whether it may be replaced."""
        write_text(path, as_text(score, is_json=path.suffix.lower() == ".json"), overwrite=True)

    def errors_job(self, task: ScoreTask) -> ErrorsJob | None:
        """Ask where what was compared is wrong; None before there is a score."""
        return None if task.score is None else errors_job(task.job, task.score.report)

    def organ_tour(self, task: ScoreTask, errors: Errors) -> OrganTour:
        """Find the organs and their worst errors in the scene."""
        return OrganTour(task.compared[1], task.job, errors)

    def sentence_for(self, error: BaseException) -> str:
        """Say what went wrong in one sentence."""
        return sentence_for(error)

    def details_for(self, error: BaseException) -> str:
        """Give what the log should have about it."""
        return "" if isinstance(error, HybridSegError) else details_for(error)


def engine_command() -> tuple[str, ...]:
    """Give what starts the engine in Slicer's own Python."""
    found = shutil.which("PythonSlicer") or str(Path(slicer.app.slicerHome, "bin", "PythonSlicer"))
    return found, "-m", "napari_hybridseg", "worker"
