"""Teaching a checkpoint from corrected cases; importing this loads no torch."""

from napari_hybridseg.finetune.errors import FineTuneError
from napari_hybridseg.finetune.options import FineTuneOptions, ScannerAugmentation
from napari_hybridseg.finetune.report import (
    CaseChange,
    FineTuneReport,
    OrganChange,
    ScoreTable,
)

__all__ = [
    "CaseChange",
    "FineTuneError",
    "FineTuneOptions",
    "FineTuneReport",
    "OrganChange",
    "ScannerAugmentation",
    "ScoreTable",
]
