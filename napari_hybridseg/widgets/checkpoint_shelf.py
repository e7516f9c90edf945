"""Checkpoints as the face lists and describes them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from napari_hybridseg.checkpoint import load_checkpoint
from napari_hybridseg.counting import counted
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.model_card import DataSource, Evaluation, ModelCard
from napari_hybridseg.older_python import zip
from napari_hybridseg.widgets.facts import CheckpointFacts, Choice


def checkpoint_choices(paths: Iterable[Path]) -> tuple[Choice, ...]:
    """Name checkpoint files; two of the same name are told apart by their folders."""
    unique = list(dict.fromkeys(path.resolve() for path in paths))
    stems = [path.stem for path in unique]
    return tuple(
        Choice(str(path), stem if stems.count(stem) == 1 else f"{stem} ({path.parent.name})")
        for path, stem in zip(unique, stems, strict=True)
    )


def read_facts(path: Path) -> CheckpointFacts:
    """Read what a checkpoint says about itself; a bad file gives its problem instead."""
    try:
        card = load_checkpoint(path).card
    except HybridSegError as error:
        return CheckpointFacts(path, None, problem=str(error))
    return CheckpointFacts(path, card, path.stat().st_size / 1e6)


def card_line(facts: CheckpointFacts) -> str:
    """Say the most important things about a checkpoint in one line."""
    if facts.card is None:
        return facts.problem
    card = facts.card
    count = len(card.labels.organs)
    parts = [f"{count} organ{'s' if count != 1 else ''}", card.modality, card.architecture]
    parts += [_dice(evaluation) for evaluation in card.evaluation[:1]]
    parts += [_size(facts)]
    return " · ".join(part for part in parts if part)


def card_rows(facts: CheckpointFacts) -> list[tuple[str, str]]:
    """Say everything about a checkpoint that a user should know, as titles and texts."""
    card = facts.card
    if card is None:
        return [("Problem", facts.problem)]
    rows = [
        ("Description", card.description),
        ("Organs", ", ".join(organ.name for organ in card.labels.organs)),
        ("Modality", card.modality),
        ("Voxel spacing", _spacing(card)),
        ("Architecture", card.architecture),
        ("Window", "×".join(str(n) for n in reversed(card.windows.size)) + " voxels (x, y, z)"),
        *[("Measured on", _measured(evaluation)) for evaluation in card.evaluation],
        ("Intended use", card.intended_use),
        ("Limitations", card.limitations),
        ("Taught from", "; ".join(map(_source, card.provenance.data))),
        ("Started from", "; ".join(map(_source, card.provenance.backbones))),
        ("Made", " · ".join(filter(None, (card.provenance.created, card.provenance.software)))),
        ("Licence", card.licence),
        ("Attribution", card.attribution),
        ("File", f"{facts.path} ({_size(facts)})"),
    ]
    return [(title, text) for title, text in rows if text]


def _size(facts: CheckpointFacts) -> str:
    if facts.megabytes < 1:
        return f"{facts.megabytes * 1000:.0f} kB"
    return f"{facts.megabytes:.1f} MB"


def _dice(evaluation: Evaluation) -> str:
    return f"Dice {evaluation.mean_dice:.3f} on {evaluation.cases} held-out cases"


def _measured(evaluation: Evaluation) -> str:
    lines = [f"{evaluation.data}: mean {_dice(evaluation)}"]
    if evaluation.mean_hd95_mm is not None:
        convention = evaluation.hd95_convention
        lines[0] += f", HD95 {evaluation.mean_hd95_mm:.2f} mm (convention: {convention})"
    for organ in evaluation.organs:
        dice = "-" if organ.dice is None else f"{organ.dice:.3f}"
        hd95 = "-" if organ.hd95_mm is None else f"{organ.hd95_mm:.2f} mm"
        lines.append(f"{organ.name}: Dice {dice}, HD95 {hd95}")
    return "\n".join(lines)


def _spacing(card: ModelCard) -> str:
    spacing = card.preprocessing.spacing
    if spacing is None:
        return "the volume's own"
    return "×".join("own" if value is None else f"{value:g}" for value in spacing) + " mm"


def _source(data: DataSource) -> str:
    cases = f", {counted(data.cases, 'case')}" if data.cases else ""
    licence = f" ({data.licence})" if data.licence else ""
    return f"{data.name}{cases}{licence}"
