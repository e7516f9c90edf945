"""Time and memory of scoring 13 organs, against MONAI, DeepMind's surface-distance and medpy.

    python benchmarks/metrics.py                  # 512x512x200, all peers that are installed
    python benchmarks/metrics.py --one-core       # everything pinned to one core
    python benchmarks/metrics.py --size small --islands --peers monai medpy

One process runs ours and a peer in turn, so that both meet the same load; the table gives
medians and minima. MB is how far the process's peak memory grows during the first call at this
size (Linux only); the label maps themselves are not in it. The differences are the largest over all
organs. DeepMind's HD95 is another quantity (weighted by surface area) and is not compared.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.metrics import score_arrays

SIZES = {
    "small": ((160, 256, 256), (2.0, 1.5, 1.5)),
    "large": ((200, 512, 512), (1.5, 0.75, 0.75)),
}
ORGANS = 13
FOREGROUND = 0.05
STATUS = Path("/proc/self/status")

Labels = NDArray[np.uint8]
Spacing = tuple[float, float, float]
Case = tuple[Labels, Labels, Spacing]
Scores = dict[int, tuple[float, float]]

LAYERS = np.arange(ORGANS + 1, dtype=np.uint8).repeat(16).reshape(-1, 4, 4)
WARM_UP: Case = LAYERS, LAYERS, (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Peer:
    """A way to get (Dice, HD95) per organ, and our convention that it shares, if any."""

    name: str
    run: Callable[[Labels, Labels, Spacing], Scores]
    convention: str | None
    repeats: int


def phantom(shape: tuple[int, int, int], islands: bool) -> tuple[Labels, Labels]:
    """Make 13 ellipsoids and a prediction of them: shifted, scaled, with a wavy surface."""
    rng = np.random.default_rng(0)
    prediction, reference = np.zeros((2, *shape), np.uint8)
    radius = (np.prod(shape) * FOREGROUND / ORGANS / (4 / 3 * np.pi)) ** (1 / 3)
    for label in range(1, ORGANS + 1):
        aspect = np.exp(rng.normal(0, 0.25, 3))
        radii = radius * aspect / np.prod(aspect) ** (1 / 3) * np.array([0.7, 1.2, 1.2])
        centre = rng.uniform(radii * 1.1, shape - radii * 1.1)
        shift, scale = rng.normal(0, 1.5, 3), rng.normal(1, 0.03, 3)
        _draw(reference, label, centre, radii, 0.0)
        _draw(prediction, label, centre + shift, radii * scale, 0.06)
        if islands:
            z, y, x = (rng.integers(10, n - 10) for n in shape)
            prediction[z - 6 : z + 6, y - 9 : y + 9, x - 9 : x + 9] = label
    return prediction, reference


def _draw(label_map: Labels, label: int, centre: NDArray, radii: NDArray, waves: float) -> None:
    low = np.maximum(centre - radii - 6, 0).astype(int)
    high = np.minimum(centre + radii + 7, label_map.shape).astype(int)
    z, y, x = np.ogrid[tuple(slice(*ends) for ends in zip(low, high, strict=True))]
    away = sum(((axis - c) / r) ** 2 for axis, c, r in zip((z, y, x), centre, radii, strict=True))
    wave = waves * np.sin(0.35 * z + label) * np.sin(0.3 * y + label) * np.sin(0.25 * x)
    box = label_map[tuple(slice(*ends) for ends in zip(low, high, strict=True))]
    box[away + wave < 1] = label


def run_ours(convention: str, threads: int | None) -> Callable[[Labels, Labels, Spacing], Scores]:
    """Give a function that scores with this package."""

    def run(prediction: Labels, reference: Labels, spacing: Spacing) -> Scores:
        labels = range(1, ORGANS + 1)
        report = score_arrays(
            prediction, reference, spacing, labels, convention=convention, threads=threads
        )
        return {organ.label: (organ.dice, organ.hd95_mm) for organ in report.organs}

    return run


def run_monai(prediction: Labels, reference: Labels, spacing: Spacing) -> Scores:
    """Score with MONAI's two public functions; they need one-hot masks."""
    import torch
    from monai.metrics import compute_dice, compute_hausdorff_distance

    labels = torch.arange(1, ORGANS + 1).view(-1, 1, 1, 1)
    pair = [(torch.from_numpy(m)[None] == labels)[None] for m in (prediction, reference)]
    dice = compute_dice(*pair, include_background=True)[0]
    hd95 = compute_hausdorff_distance(
        *pair, include_background=True, percentile=95, spacing=spacing
    )[0]
    return {k + 1: (float(dice[k]), float(hd95[k])) for k in range(ORGANS)}


def run_deepmind(prediction: Labels, reference: Labels, spacing: Spacing) -> Scores:
    """Score with DeepMind's surface-distance; its HD95 weights by surface area."""
    import surface_distance as peer

    scores: Scores = {}
    for label in range(1, ORGANS + 1):
        masks = reference == label, prediction == label
        found = peer.compute_surface_distances(*masks, spacing)
        hd95 = float(peer.compute_robust_hausdorff(found, 95))
        scores[label] = float(peer.compute_dice_coefficient(*masks)), hd95
    return scores


def run_medpy(prediction: Labels, reference: Labels, spacing: Spacing) -> Scores:
    """Score with medpy, each organ cropped to its box first (medpy itself does not)."""
    from medpy.metric import binary
    from scipy.ndimage import find_objects

    boxes = find_objects(np.maximum(prediction, reference))
    both = [find_objects(m, max_label=ORGANS) for m in (prediction, reference)]
    scores: Scores = {}
    for label in range(1, len(boxes) + 1):
        box = tuple(
            slice(max(min(p.start, r.start) - 1, 0), max(p.stop, r.stop) + 1)
            for p, r in zip(both[0][label - 1], both[1][label - 1], strict=True)
        )
        masks = prediction[box] == label, reference[box] == label
        hd95 = float(binary.hd95(*masks, voxelspacing=spacing))
        scores[label] = float(binary.dc(*masks)), hd95
    return scores


PEERS = {
    "medpy": Peer("medpy, cropped for it", run_medpy, "pooled", 3),
    "deepmind": Peer("DeepMind surface-distance", run_deepmind, None, 3),
    "monai": Peer("MONAI", run_monai, "monai", 1),
}


def peak_growth_mb(action: Callable[[], object]) -> float | None:
    """Run something; give how far the process's peak memory grew over what it held before."""
    reset = Path("/proc/self/clear_refs")
    if not reset.exists():
        action()
        return None
    reset.write_text("5")
    before = _status_kb("VmRSS")
    action()
    return (_status_kb("VmHWM") - before) / 1024


def _status_kb(field: str) -> int:
    (line,) = (text for text in STATUS.read_text().splitlines() if text.startswith(field))
    return int(line.split()[1])


def largest_difference(ours: Scores, theirs: Scores, which: int) -> float:
    """Give the largest difference over all organs in Dice (0) or HD95 (1)."""
    return max(abs(ours[label][which] - theirs[label][which]) for label in theirs)


@dataclass
class Runs:
    """What was measured of one scorer."""

    score: Callable[[], Scores]
    scores: Scores = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    extra_mb: float | None = None

    def once(self) -> None:
        """Score and note the time; the first time the memory, too."""
        if not self.seconds:
            self.extra_mb = peak_growth_mb(self._timed)
        else:
            self._timed()

    def _timed(self) -> None:
        begin = time.perf_counter()
        self.scores = self.score()
        self.seconds.append(time.perf_counter() - begin)

    @property
    def summary(self) -> str:
        """Median, least and number of times, and the memory."""
        middle, least = statistics.median(self.seconds), min(self.seconds)
        memory = "?" if self.extra_mb is None else f"{self.extra_mb:.0f}"
        return f"{middle:.3f} (min {least:.3f}, n={len(self.seconds)}) | {memory}"


@dataclass(frozen=True)
class Row:
    """Ours beside one peer; ``hd95_mm`` is None where theirs is another quantity."""

    peer: str
    peer_s: float
    peer_mb: float | None
    ours_s: float
    ours_mb: float | None
    ratio: float
    dice_difference: float
    hd95_mm: float | None


def compare(peer: Peer, case: Case, threads: int | None, rounds: int) -> tuple[Row, str]:
    """Run ours and a peer in turn; give the numbers, and one line of the table."""
    scorer = run_ours(peer.convention or "monai", threads)
    ours = Runs(lambda: scorer(*case))
    theirs = Runs(lambda: peer.run(*case))
    peer.run(*WARM_UP)
    for _ in range(peer.repeats):
        for _ in range(rounds):
            ours.once()
        theirs.once()
        for _ in range(rounds):
            ours.once()
    hd95, named = None, "another quantity"
    if peer.convention:
        hd95 = largest_difference(ours.scores, theirs.scores, 1)
        named = f"{hd95:.1e} mm"
    dice = largest_difference(ours.scores, theirs.scores, 0)
    middles = [statistics.median(runs.seconds) for runs in (theirs, ours)]
    ratio = middles[0] / middles[1]
    minima = min(theirs.seconds) / min(ours.seconds)
    row = Row(peer.name, middles[0], theirs.extra_mb, middles[1], ours.extra_mb, ratio, dice, hd95)
    return row, (
        f"| {peer.name} | {theirs.summary} | {ours.summary} | {ratio:.0f}x ({minima:.0f}x) "
        f"| {dice:.1e} | {named} |"
    )


def lines(options: argparse.Namespace) -> Iterator[str]:
    """Give the table line by line, as it comes."""
    shape, spacing = SIZES[options.size]
    prediction, reference = phantom(shape, options.islands)
    threads = 1 if options.one_core else None
    begin = time.perf_counter()
    run_ours("monai", threads)(*WARM_UP)
    first = time.perf_counter() - begin
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield (
        f"{ORGANS} organs, {'x'.join(map(str, shape[::-1]))}, {FOREGROUND:.0%} foreground"
        f"{', far islands' if options.islands else ''}; {cores} core(s), load "
        f"{os.getloadavg()[0]:.1f}; our first call {first:.2f} s (loads numba; compiles when the "
        "cache is empty)"
    )
    yield "| peer | peer s | peer MB | ours s | ours MB | ratio of medians (minima) | Dice | HD95 |"
    yield "|---|---|---|---|---|---|---|---|"
    for name in options.peers:
        try:
            case = prediction, reference, spacing
            yield compare(PEERS[name], case, threads, options.rounds)[1]
        except ImportError as error:
            yield f"| {PEERS[name].name} | not installed: {error} |"


def main() -> None:
    """Read the options and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="large")
    parser.add_argument("--islands", action="store_true", help="add far false positives")
    parser.add_argument("--one-core", action="store_true", help="pin everything to one core")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=5, help="our runs before and after a peer's")
    options = parser.parse_args()
    if options.one_core:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for line in lines(options):
        print(line, flush=True)


if __name__ == "__main__":
    main()
