"""What the panel asks of the engine's package about fine-tunes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer

from HybridSegLib.bench.live_plot import Curves
from HybridSegLib.bench.teaching import (
    STRATEGIES,
    ChangeRow,
    FineTuneTask,
    change_rows,
    options_of,
    write_changes,
)
from napari_hybridseg.finetune import FineTuneOptions, FineTuneReport
from napari_hybridseg.widgets.facts import CheckpointFacts


class TeachBench:
    """Options, tasks and reports of fine-tunes."""

    strategies = STRATEGIES

    def options(self, text: str) -> FineTuneOptions:
        """Read options as they are kept."""
        return options_of(text)

    def changed(self, options: FineTuneOptions, **fields: Any) -> FineTuneOptions:
        """Give options with other values."""
        return FineTuneOptions.model_validate({**options.model_dump(), **fields})

    def task(
        self,
        corrections: Path,
        checkpoint: CheckpointFacts,
        options: FineTuneOptions,
        threads: int,
        on_curves: Callable[[Curves], None],
    ) -> FineTuneTask:
        """Prepare a fine-tune."""
        wanted = options.model_copy(update={"threads": threads})
        return FineTuneTask(slicer.mrmlScene, corrections, checkpoint, wanted, on_curves)

    def rows(self, report: FineTuneReport) -> list[ChangeRow]:
        """Lay before and after out as rows."""
        return change_rows(report)

    def write_changes(self, node: Any, report: FineTuneReport) -> None:
        """Write before and after into a table node."""
        write_changes(node, report)
