"""Scores per organ, in millimetres: Dice, HD95, NSD, ASSD and volumes."""

from __future__ import annotations

from napari_hybridseg.metrics.distances import CONVENTIONS, Convention
from napari_hybridseg.metrics.inputs import ScoreError
from napari_hybridseg.metrics.label_maps import Scored, score
from napari_hybridseg.metrics.scores import OrganScore, ScoreReport, Status
from napari_hybridseg.metrics.scoring import score_arrays

__all__ = [
    "CONVENTIONS",
    "Convention",
    "OrganScore",
    "ScoreError",
    "ScoreReport",
    "Scored",
    "Status",
    "score",
    "score_arrays",
]
