"""Everything that is settled before a fine-tune measures or learns anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from napari_hybridseg.atomic import refuse_unwritable
from napari_hybridseg.checkpoint import Checkpoint, load_checkpoint, refuse_other_name
from napari_hybridseg.corrections.assist.delta import with_delta
from napari_hybridseg.corrections.manifest import sha256_of_file
from napari_hybridseg.events import Event, Note
from napari_hybridseg.finetune.card import child_card
from napari_hybridseg.finetune.errors import FineTuneError
from napari_hybridseg.finetune.guard import guard_cases
from napari_hybridseg.finetune.ledger import fingerprint
from napari_hybridseg.finetune.loading import LearnCase, load_all
from napari_hybridseg.finetune.numbering import Numbering
from napari_hybridseg.finetune.options import FineTuneOptions
from napari_hybridseg.finetune.same_scan import Learnt
from napari_hybridseg.finetune.sampler import Shape
from napari_hybridseg.finetune.scoring import ToScore
from napari_hybridseg.finetune.sources import Source, open_source
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.networks import get_architecture
from napari_hybridseg.networks.registry import Constraints


@dataclass(frozen=True)
class Prepared:
    """What a job works on.

    ``cases`` and ``rehearsed`` are loaded; ``to_score`` and ``guard`` are read again when they
    are scored. ``left_out`` tells of the cases that cannot be used. ``start`` are the weights that
    the training on all cases begins with, ``start_sha256`` the hash of the taught change in them,
    or empty.
    """

    parent: Checkpoint
    start: Mapping[str, Tensor]
    start_sha256: str
    card: ModelCard
    numbering: Numbering
    source: Source
    cases: tuple[LearnCase, ...]
    rehearsal: Source | None
    rehearsed: tuple[LearnCase, ...]
    to_score: tuple[ToScore, ...]
    guard: tuple[ToScore, ...]
    guard_name: str
    left_out: tuple[str, ...]
    window: Shape
    constraints: Constraints
    channels_last: bool
    fingerprint: str


def prepare_job(
    source_path: Path,
    checkpoint: Path,
    out: Path,
    options: FineTuneOptions,
    overwrite: bool,
) -> Iterator[Event | Prepared]:
    """Read everything, and refuse what cannot work; the last that is given is `Prepared`.

    Raises
    ------
    HybridSegError
        If the parent, the cases or the place to write to cannot be used.
    """
    refuse_other_name(out)
    if out.exists() and checkpoint.exists() and out.samefile(checkpoint):
        raise FineTuneError(
            f"{out} is the checkpoint that the fine-tune begins from, which is never replaced; "
            "choose another name."
        )
    refuse_unwritable(out, overwrite)
    parent = load_checkpoint(checkpoint)
    start, start_sha256 = _start(parent, options)
    source = open_source(source_path)
    rehearsal = open_source(options.rehearse) if options.rehearse is not None else None
    pool = rehearsal.cases if rehearsal else ()
    shown = Learnt(source.cases).others(pool, options.rehearsal_cases)
    guard_name, watched = guard_cases(options, parent.card, shown, rehearsal, source.cases)
    numbering = Numbering.of(parent.card.labels, source.cases, (*shown, *watched))
    card = child_card(parent.card, numbering.merged.scheme, options.name)
    for sentence in source.lost:
        yield Note(sentence)
    if numbering.merged.added:
        names = ", ".join(organ.name for organ in numbering.merged.added)
        yield Note(f"New to {parent.card.name}: {names}.")
    left_out = list(source.lost)
    cases: list[LearnCase] = []
    rehearsed: list[LearnCase] = []
    merged = numbering.merged
    tables = numbering.tables
    yield from load_all(source.cases, merged, tables(source.cases), card, cases, left_out)
    yield from load_all(shown, merged, tables(shown), card, rehearsed, left_out)
    if not cases:
        first = left_out[0] if left_out else "it is empty."
        raise FineTuneError(f"{source_path} has no case to learn from: {first}")
    architecture = get_architecture(card.architecture)
    config = architecture.make_config(card.config)
    constraints = architecture.constraints(config)
    hashes = [case.case.sha256 for case in (*cases, *rehearsed)]
    hashes += ["", *(case.sha256 for case in watched)]
    hashes += [start_sha256] if start_sha256 else []
    yield Prepared(
        parent=parent,
        start=start,
        start_sha256=start_sha256,
        card=card,
        numbering=numbering,
        source=source,
        cases=tuple(cases),
        rehearsal=rehearsal,
        rehearsed=tuple(rehearsed),
        to_score=tuple(numbering.to_score([case.case for case in cases])),
        guard=tuple(numbering.to_score(watched)),
        guard_name=guard_name,
        left_out=tuple(left_out),
        window=_window(options, card, constraints),
        constraints=constraints,
        channels_last=architecture.dims_of(config) == 3,
        fingerprint=fingerprint(options, parent.sha256, hashes),
    )


def _start(parent: Checkpoint, options: FineTuneOptions) -> tuple[Mapping[str, Tensor], str]:
    """Give the weights to begin with, and the hash of what was taught to them before."""
    if options.start_from is None:
        return parent.weights(), ""
    start = with_delta(parent.weights(), options.start_from, parent.sha256)
    return start, sha256_of_file(options.start_from).sha256


def _window(options: FineTuneOptions, card: ModelCard, constraints: Constraints) -> Shape:
    """Give the window of the options, as the network can take it, or the card's."""
    axis = card.windows.slice_axis
    wish = options.patch_size or card.windows.size
    seen = tuple(n for i, n in enumerate(wish) if i != axis)
    fitted = iter(constraints.fit(seen))
    z, y, x = (1 if i == axis else next(fitted) for i in range(3))
    return z, y, x
