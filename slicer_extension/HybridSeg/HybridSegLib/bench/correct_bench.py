"""What the panel asks of the engine's package about corrections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

from HybridSegLib.bench.correcting import (
    AcceptTask,
    CorrectionFacts,
    begin,
    edits_line,
    facts_of,
    is_correction,
)
from HybridSegLib.bench.teaching import SetFacts, read_set
from napari_hybridseg.labels import LabelScheme


class CorrectBench:
    """Beginning, counting and accepting corrections."""

    def begin(self, volume: Any, label_map: Any, scheme: LabelScheme) -> tuple[Any, str]:
        """Give the segmentation that is painted in, and a note; raises VolumeError."""
        return begin(slicer.mrmlScene, volume, label_map, scheme)

    def facts(self, node: Any, volume: Any) -> CorrectionFacts:
        """Count what was edited; raises VolumeError."""
        return facts_of(node, volume)

    def is_correction(self, node: Any) -> bool:
        """Whether a node is painted in as a correction."""
        return is_correction(node)

    def line(self, facts: CorrectionFacts) -> str:
        """Say how much was edited, organ by organ."""
        return f"{facts.title} · {edits_line(facts.edits)}"

    def read_set(self, folder: Path) -> SetFacts:
        """Look into a correction set."""
        return read_set(folder)

    def accept_task(self, node: Any, volume: Any, folder: Path) -> AcceptTask:
        """Prepare accepting a case; raises VolumeError."""
        return AcceptTask(node, volume, folder)
