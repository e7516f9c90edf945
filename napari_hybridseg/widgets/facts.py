"""What is said about volumes and checkpoints: plain values that both faces show.

This needs no window library, so that 3D Slicer's face can use it too.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from napari_hybridseg.model_card import ModelCard


class Choice(NamedTuple):
    """An entry of a list: what it is to the program, and what a person reads."""

    key: str
    text: str


class VolumeFacts(NamedTuple):
    """What the face says about the chosen volume; ``problem`` says why it cannot be used."""

    line: str
    channels: int = 1
    modality: str = ""
    notes: tuple[str, ...] = ()
    problem: str = ""


class CheckpointFacts(NamedTuple):
    """What the face says about the chosen checkpoint; ``problem`` says why it cannot be used."""

    path: Path
    card: ModelCard | None
    megabytes: float = 0.0
    problem: str = ""
