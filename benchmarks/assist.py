"""How many strokes a correction takes: repair and teach against plain painting.

    python benchmarks/assist.py                      # 5 held-out hippocampus cases
    python benchmarks/assist.py --cases 10 --ways paint repair --limit 80
    python benchmarks/assist.py --data headneck --cases 2   # one organ that needs work, in CT

A simulated user (`assist_user.py`) corrects what a network makes of scans: with the hippocampus, of
scans from a scanner that it was not trained for (gamma, bias field, blur, noise). Every way gets
the same strokes by the same rule, and ends where the reference is met or at the limit:

* *paint*: what is under the brush becomes what it should be, and no more;
* *repair*: the same voxels are a stroke, and the region around them is solved anew;
* *scribble*: as repair, with the middle line of the stroke alone;
* *teach*: as repair, and after every eighth stroke the network is taught on all strokes so far;
* *exact*: the whole error of the slice is filled to the voxel, as no hand could: a bound.

The reference labels lie in ../shared/data.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from assist_user import Stroke, next_stroke
from numpy.typing import NDArray
from scipy import ndimage

from napari_hybridseg.checkpoint import Checkpoint, load_checkpoint
from napari_hybridseg.corrections.assist.options import RepairOptions
from napari_hybridseg.corrections.assist.region import RegionPredictor, last_of
from napari_hybridseg.corrections.assist.repair import repair
from napari_hybridseg.corrections.assist.strokes import Strokes
from napari_hybridseg.corrections.boxes import start_of
from napari_hybridseg.inference import SegmentOptions
from napari_hybridseg.volume import Volume, load_label_map, load_volume

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
CHECKPOINTS = ROOT / "sample_data" / "checkpoints"
GOALS = (0.90, 0.95)
TEACH_EVERY = 8
CASES = {"hippocampus": 5, "headneck": 2}

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Material:
    """What is corrected: cases of a data set as a checkpoint segments them.

    ``shift`` makes the scans poorer; with ``organ`` only that one is corrected and scored.
    """

    folder: str
    checkpoint: str
    shift: bool = False
    organ: int | None = None


MATERIALS = {
    "hippocampus": Material("hippocampus_msd04", "hippocampus-utnetv2-3d", shift=True),
    "headneck": Material("openkbp_headneck", "headneck-utnetv2-3d", organ=3),
}


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
    organ: int | None = None
    said: list[tuple[NDArray[np.int64], int, bool]] = field(default_factory=list)

    @property
    def dice(self) -> float:
        """Mean over the organs that are corrected."""
        organs = [self.organ] if self.organ else np.unique(self.reference[self.reference > 0])
        return mean_dice(self.labels, self.reference, organs)

    @property
    def wish(self) -> Labels:
        """What the user wants: the reference, or as it is where no corrected organ is concerned."""
        if self.organ is None:
            return self.reference
        concerned = (self.reference == self.organ) | (self.labels == self.organ)
        return np.where(concerned, self.reference, self.labels)


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


def mean_dice(labels: Labels, reference: Labels, organs: Iterable[int]) -> float:
    """Give the mean Dice of organs."""
    scores = []
    for organ in organs:
        ours, theirs = labels == organ, reference == organ
        scores.append(2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()))
    return float(np.mean(scores))


def paint(session: Session, stroke: Stroke) -> None:
    """Paint what is under the brush."""
    session.labels[tuple(stroke.voxels.T)] = stroke.truth


def fill(session: Session, stroke: Stroke) -> None:
    """Fill the error in its slice, exactly."""
    session.labels[tuple(stroke.error.T)] = stroke.truth


def repair_with(session: Session, stroke: Stroke) -> None:
    """Say what is under the brush, and solve the region anew."""
    _repair(session, stroke.voxels, stroke.truth)


def scribble(session: Session, stroke: Stroke) -> None:
    """Say what is along the brush's way alone, and solve the region anew."""
    _repair(session, stroke.line, stroke.truth)


def _repair(session: Session, voxels: NDArray[np.int64], truth: int) -> None:
    scheme = session.predictor.card.labels
    spacing = session.volume.geometry.spacing_zyx
    session.said.append((voxels, truth, False))
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
    "repair": repair_with,
    "scribble": scribble,
    "teach": teach_with,
    "exact": fill,
}


def begin(image: Path, label: Path, checkpoint: Checkpoint, material: Material) -> Session:
    """Segment a scan."""
    volume = load_volume(image)
    volume = shifted(volume, 0) if material.shift else volume
    reference = load_label_map(label).array.astype(np.uint8)
    predictor = RegionPredictor(volume, checkpoint, options=SegmentOptions(device="cpu"))
    z, y, x = (slice(0, n) for n in reference.shape)
    found = last_of(predictor.probabilities((z, y, x)))
    ids = np.array([0, *checkpoint.card.labels.ids], np.uint8)
    return Session(volume, reference, ids[found.argmax(axis=0)], predictor, found, material.organ)


def correct(session: Session, case: str, way: str, limit: int) -> Row:
    """Correct a scan until the highest goal or the limit of strokes."""
    reached: dict[float, int | None] = {g: 0 if session.dice >= g else None for g in GOALS}
    start, spent, drawn = session.dice, 0.0, 0
    while drawn < limit and any(strokes is None for strokes in reached.values()):
        spacing = session.volume.geometry.spacing_zyx
        stroke = next_stroke(session.labels, session.wish, spacing)
        began = time.perf_counter()
        WAYS[way](session, stroke)
        spent += time.perf_counter() - began
        drawn += 1
        for goal in GOALS:
            if reached[goal] is None and session.dice >= goal:
                reached[goal] = drawn
    return Row(case, way, start, reached, session.dice, spent / max(drawn, 1))


def run(
    material: Material, cases: int = 5, ways: tuple[str, ...] = tuple(WAYS), limit: int = 100
) -> Iterator[Row]:
    """Correct held-out cases in every way."""
    folder = DATA / material.folder
    checkpoint = load_checkpoint(CHECKPOINTS / f"{material.checkpoint}.safetensors")
    for entry in json.loads((folder / "dataset.json").read_text())["heldout"][:cases]:
        begun = begin(folder / entry["image"], folder / entry["label"], checkpoint, material)
        for way in ways:
            session = replace(begun, labels=begun.labels.copy(), said=[])
            yield correct(session, Path(entry["image"]).name.partition(".")[0], way, limit)


def print_head() -> None:
    """Print the names of the columns."""
    goals = "".join(f"{f'to {goal:.2f}':>9}" for goal in GOALS)
    print(f"{'case':18}{'way':10}{'start':>7}{goals}{'end':>7}{'s/stroke':>10}")


def print_row(row: Row, limit: int) -> None:
    """Print a line."""
    counts = "".join(f"{_count(row.strokes[goal], limit):>9}" for goal in GOALS)
    numbers = f"{row.end_dice:7.3f}{row.seconds_a_stroke:10.3f}"
    print(f"{row.case:18}{row.way:10}{row.start_dice:7.3f}{counts}{numbers}", flush=True)


def print_medians(rows: list[Row], limit: int) -> None:
    """Print a line a way."""
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
    parser.add_argument("--data", choices=[*MATERIALS], default="hippocampus")
    parser.add_argument("--cases", type=int, default=5)
    parser.add_argument("--ways", nargs="+", choices=[*WAYS], default=[*WAYS])
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--unshifted", action="store_true", help="take the scans as they are")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    material = MATERIALS[asked.data]
    if asked.unshifted:
        material = replace(material, shift=False)
    rows = []
    print_head()
    for row in run(material, asked.cases, tuple(asked.ways), asked.limit):
        print_row(row, asked.limit)
        rows.append(row)
    print_medians(rows, asked.limit)


if __name__ == "__main__":
    main()
