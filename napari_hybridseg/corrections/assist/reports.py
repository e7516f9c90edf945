"""What assisting gives back; the viewer reads these, so nothing here loads torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_hybridseg.corrections.boxes import Change


@dataclass(frozen=True)
class TeachReport:
    """What teaching gave.

    Attributes
    ----------
    change : Change
        New labels for the region: one undo step.
    delta : Path or None
        The file with the taught change, where it was kept.
    loss : tuple of float
        Of the first and of the last step.
    """

    change: Change
    delta: Path | None
    loss: tuple[float, float]


@dataclass(frozen=True)
class Ranked:
    """A scan in the order in which to correct them.

    Attributes
    ----------
    path : Path
        The file.
    benefit : float
        Entropy and disagreement; larger is more to learn.
    entropy : float
        Nats, summed over the voxels and divided by the organs' expected voxels.
    disagreement : float
        Of mirrored copies, likewise; 0 where none was asked.
    novelty : float
        From 0, a copy of a scan before, to 1: unlike all of them.
    """

    path: Path
    benefit: float
    entropy: float
    disagreement: float
    novelty: float


@dataclass(frozen=True)
class Ranking:
    """Scans, the one to correct first in front, and a sentence for each that could not be read."""

    scans: tuple[Ranked, ...]
    failed: tuple[str, ...]
