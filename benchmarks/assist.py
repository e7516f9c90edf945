"""How many strokes a correction takes: repair and teach against plain painting.

    python benchmarks/assist.py                      # 5 held-out cases
    python benchmarks/assist.py --cases 10 --ways paint repair --limit 80

A simulated user corrects what a network makes of scans from a scanner that it was not trained for
(gamma, bias field, blur, noise). It always looks for the error that is largest in any slice of any
view, and draws one stroke. *paint* fills that error in that slice to the voxel, as no hand could;
*thin* paints the error's middle line and no more; *repair* draws the same line, says which organ it
is or is not, and the region is solved anew; *teach* does as repair and takes gradient steps on all
strokes so far after every eighth. The reference lies in ../shared/data/hippocampus_msd04.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import skeletonize

from napari_hybridseg.checkpoint import Checkpoint, load_checkpoint
from napari_hybridseg.corrections.assist.options import RepairOptions
from napari_hybridseg.corrections.assist.region import RegionPredictor, last_of
from napari_hybridseg.corrections.assist.repair import repair
from napari_hybridseg.corrections.assist.strokes import Strokes
from napari_hybridseg.corrections.boxes import start_of
from napari_hybridseg.inference import SegmentOptions
from napari_hybridseg.volume import Volume, load_label_map, load_volume

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "hippocampus_msd04"
CHECKPOINT = ROOT / "sample_data" / "checkpoints" / "hippocampus-utnetv2-3d.safetensors"
GOALS = (0.90, 0.95)
TEACH_EVERY = 8

Labels = NDArray[np.uint8]

_CROSS = ndimage.generate_binary_structure(2, 1)
_IN_PLANE = [
    np.moveaxis(np.insert(np.zeros((2, 3, 3), bool), 1, _CROSS, axis=0), 0, axis)
    for axis in range(3)
]


@dataclass
class Session:
    """One scan that is being corrected.

    ``probabilities`` covers the whole volume, which is small here.
    """

    volume: Volume
    reference: Labels
    labels: Labels
    predictor: RegionPredictor
    probabilities: NDArray[np.float32]
    said: list[tuple[NDArray[np.int64], int, bool]] = field(default_factory=list)

    @property
    def dice(self) -> float:
        """Mean over the organs."""
        return mean_dice(self.labels, self.reference)


@dataclass(frozen=True)
class Stroke:
    """Where the user draws: voxels of one slice, the whole error there, and the truth."""

    voxels: NDArray[np.int64]
    error: NDArray[np.bool_]
    truth: int
    shown: int


@dataclass(frozen=True)
class Row:
    """What one way took on one case; None where the limit came first."""

    case: str
    way: str
    start_dice: float
    strokes: dict[float, int | None]
    end_dice: float
    seconds_a_stroke: float


def shifted(volume: Volume, seed: int) -> Volume:
    """Give a scan as a poorer scanner would have taken it."""
    random = np.random.default_rng(seed)
    image = volume.array[0].astype(np.float32)
    low, high = np.percentile(image, [1, 99])
    unit = np.clip((image - low) / (high - low), 0, 1) ** 1.6
    ramps = [np.linspace(-1, 1, n, dtype=np.float32) for n in image.shape]
    z, y, x = np.meshgrid(*ramps, indexing="ij")
    bias = 1 + 0.35 * (0.6 * z - 0.8 * y + 0.5 * x * y)
    blurred = ndimage.gaussian_filter(unit * bias, (1.0, 1.0, 0.7))
    return replace(volume, array=(blurred + random.normal(0, 0.04, image.shape))[None])


def mean_dice(labels: Labels, reference: Labels) -> float:
    """Give the mean Dice of the reference's organs."""
    scores = []
    for organ in np.unique(reference[reference > 0]):
        ours, theirs = labels == organ, reference == organ
        scores.append(2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()))
    return float(np.mean(scores))


def next_stroke(labels: Labels, reference: Labels) -> Stroke:
    """Draw along the middle of the error that is largest in any slice of any view."""
    best: tuple[int, int, NDArray[np.bool_]] | None = None
    pairs = {(int(t), int(s)) for t, s in zip(reference.ravel(), labels.ravel(), strict=True)}
    for truth, shown in sorted(pairs):
        error = (reference == truth) & (labels == shown)
        for axis in range(3) if truth != shown else ():
            parts, _ = ndimage.label(error, structure=_IN_PLANE[axis])
            sizes = np.bincount(parts.ravel())
            sizes[0] = 0
            if best is None or sizes.max() > best[0]:
                best = int(sizes.max()), axis, parts == sizes.argmax()
    assert best is not None
    _, axis, error = best
    number = int(np.flatnonzero(error.any(axis=tuple(a for a in range(3) if a != axis)))[0])
    plane = skeletonize(error.take(number, axis))
    voxels = np.insert(np.argwhere(plane), axis, number, axis=1)
    at = tuple(voxels[0])
    return Stroke(voxels, error, int(reference[at]), int(labels[at]))


def paint(session: Session, stroke: Stroke) -> None:
    """Paint the error in its slice, exactly."""
    session.labels[stroke.error] = stroke.truth


def trace(session: Session, stroke: Stroke) -> None:
    """Paint the middle line of the error and no more."""
    session.labels[tuple(stroke.voxels.T)] = stroke.truth


def repair_with(session: Session, stroke: Stroke) -> None:
    """Say what it is, or what it is not, and solve the region anew."""
    scheme = session.predictor.card.labels
    spacing = session.volume.geometry.spacing_zyx
    is_not = stroke.truth == 0
    session.said.append((stroke.voxels, stroke.shown if is_not else stroke.truth, is_not))
    latest = Strokes.join(session.said[-1:])
    options = RepairOptions()
    box = options.region(latest, session.labels.shape, spacing)
    change = repair(
        session.labels[box],
        session.volume.array[0][box],
        Strokes.join(session.said),
        spacing,
        scheme,
        start=start_of(box),
        fresh=latest,
        probabilities=session.probabilities[(slice(None), *box)],
        organs=scheme.ids,
        options=options,
    )
    change.apply(session.labels)


def teach_with(session: Session, stroke: Stroke) -> None:
    """Repair, and after every few strokes teach the network and look again."""
    from napari_hybridseg.corrections.assist.options import TeachOptions
    from napari_hybridseg.corrections.assist.teaching import teach

    repair_with(session, stroke)
    if len(session.said) % TEACH_EVERY:
        return
    z, y, x = (slice(0, n) for n in session.labels.shape)
    whole = (z, y, x)
    told = Strokes.join(session.said)
    taught = last_of(teach(session.predictor, session.labels, told, whole, TeachOptions()))
    session.probabilities = taught.probabilities
    taught.change.apply(session.labels)


WAYS: dict[str, Callable[[Session, Stroke], None]] = {
    "paint": paint,
    "thin": trace,
    "repair": repair_with,
    "teach": teach_with,
}


def begin(image: Path, label: Path, checkpoint: Checkpoint, shift: bool) -> Session:
    """Segment a scan."""
    volume = load_volume(image)
    volume = shifted(volume, 0) if shift else volume
    reference = load_label_map(label).array.astype(np.uint8)
    predictor = RegionPredictor(volume, checkpoint, options=SegmentOptions(device="cpu"))
    z, y, x = (slice(0, n) for n in reference.shape)
    found = last_of(predictor.probabilities((z, y, x)))
    ids = np.array([0, *checkpoint.card.labels.ids], np.uint8)
    return Session(volume, reference, ids[found.argmax(axis=0)], predictor, found)


def correct(session: Session, case: str, way: str, limit: int) -> Row:
    """Correct a scan until the highest goal or the limit of strokes."""
    reached: dict[float, int | None] = {g: 0 if session.dice >= g else None for g in GOALS}
    start, spent, drawn = session.dice, 0.0, 0
    while drawn < limit and any(strokes is None for strokes in reached.values()):
        stroke = next_stroke(session.labels, session.reference)
        began = time.perf_counter()
        WAYS[way](session, stroke)
        spent += time.perf_counter() - began
        drawn += 1
        for goal in GOALS:
            if reached[goal] is None and session.dice >= goal:
                reached[goal] = drawn
    return Row(case, way, start, reached, session.dice, spent / max(drawn, 1))


def run(
    cases: int = 5, ways: tuple[str, ...] = tuple(WAYS), limit: int = 60, shift: bool = True
) -> list[Row]:
    """Correct held-out cases in every way."""
    content = json.loads((DATA / "dataset.json").read_text())
    checkpoint = load_checkpoint(CHECKPOINT)
    return list(_rows(content["heldout"][:cases], ways, limit, shift, checkpoint))


def _rows(
    cases: list[dict[str, str]],
    ways: tuple[str, ...],
    limit: int,
    shift: bool,
    checkpoint: Checkpoint,
) -> Iterator[Row]:
    for entry in cases:
        for way in ways:
            session = begin(DATA / entry["image"], DATA / entry["label"], checkpoint, shift)
            yield correct(session, Path(entry["image"]).name.partition(".")[0], way, limit)


def print_table(rows: list[Row], limit: int) -> None:
    """Print one line a case and way, and medians."""
    goals = "".join(f"{f'to {goal:.2f}':>9}" for goal in GOALS)
    print(f"{'case':18}{'way':8}{'start':>7}{goals}{'end':>7}{'s/stroke':>10}")
    for row in rows:
        counts = "".join(f"{_count(row.strokes[goal], limit):>9}" for goal in GOALS)
        numbers = f"{row.end_dice:7.3f}{row.seconds_a_stroke:10.3f}"
        print(f"{row.case:18}{row.way:8}{row.start_dice:7.3f}{counts}{numbers}")
    for way in dict.fromkeys(row.way for row in rows):
        ours = [row for row in rows if row.way == way]
        middle = {
            goal: statistics.median(
                limit + 1 if row.strokes[goal] is None else row.strokes[goal] or 0 for row in ours
            )
            for goal in GOALS
        }
        told = ", ".join(
            f"{'>' if n > limit else ''}{min(n, limit):g} strokes to {goal:.2f}"
            for goal, n in middle.items()
        )
        print(f"median of {way}: {told}")


def _count(strokes: int | None, limit: int) -> str:
    return f">{limit}" if strokes is None else str(strokes)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=5)
    parser.add_argument("--ways", nargs="+", choices=[*WAYS], default=[*WAYS])
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--unshifted", action="store_true", help="take the scans as they are")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows = run(asked.cases, tuple(asked.ways), asked.limit, not asked.unshifted)
    print_table(rows, asked.limit)


if __name__ == "__main__":
    main()
