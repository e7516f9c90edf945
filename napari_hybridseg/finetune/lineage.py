"""Which checkpoints a checkpoint descends from; this module imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_hybridseg.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from napari_hybridseg.model_card import ModelCard


@dataclass(frozen=True)
class Ancestor:
    """One generation.

    Attributes
    ----------
    name, sha256, created : str
        The checkpoint; ``created`` is empty where only a descendant's card names it.
    file : Path or None
        Where it is; None if it is not among the files that were searched.
    cases : int or None
        How many cases it was fine-tuned on; None for one that was trained from scratch.
    dice_before, dice_after : float or None
        What its fine-tune measured on them.
    """

    name: str
    sha256: str
    created: str = ""
    file: Path | None = None
    cases: int | None = None
    dice_before: float | None = None
    dice_after: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Give it as plain values."""
        return asdict(self) | {"file": None if self.file is None else str(self.file)}


def lineage_of(checkpoint: Checkpoint, files: Iterable[Path] = ()) -> list[Ancestor]:
    """List a checkpoint and those that it descends from, youngest first.

    Parameters
    ----------
    checkpoint : Checkpoint
        The youngest.
    files : iterable of Path
        Where ancestors are looked for by their hash; one that is not there is still named, as
        every card names all of its ancestors.
    """
    named = checkpoint.card.provenance.protocol.get("ancestors", ())
    wanted = {entry["sha256"]: str(entry["name"]) for entry in reversed(named)}
    parent = checkpoint.card.provenance.parent_sha256
    if parent and parent not in wanted:
        wanted = {parent: "unknown", **wanted}
    found = _by_hash(files, set(wanted))
    line = [_ancestor(checkpoint)]
    for sha256, name in wanted.items():
        held = found.get(sha256)
        line.append(_ancestor(held) if held is not None else Ancestor(name, sha256))
    return line


def _ancestor(checkpoint: Checkpoint) -> Ancestor:
    card: ModelCard = checkpoint.card
    protocol = card.provenance.protocol
    measured = protocol.get("scores", {})
    scores = measured.get("cross-validated") or measured.get("training cases") or {}
    cases = protocol.get("case_sha256")
    return Ancestor(
        name=card.name,
        sha256=checkpoint.sha256,
        created=card.provenance.created,
        file=checkpoint.path,
        cases=None if cases is None else len(cases),
        dice_before=_rounded(scores.get("dice_before")),
        dice_after=_rounded(scores.get("dice_after")),
    )


def _by_hash(files: Iterable[Path], wanted: set[str]) -> dict[str, Checkpoint]:
    found: dict[str, Checkpoint] = {}
    for path in files:
        if len(found) == len(wanted):
            break
        try:
            checkpoint = load_checkpoint(path)
            if checkpoint.sha256 in wanted:
                found.setdefault(checkpoint.sha256, checkpoint)
        except CheckpointError:  # a damaged neighbour is no ancestor
            continue
    return found


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
