"""Every benchmark behind one door: rows of plain numbers, one JSON line each, as they come.

    python benchmarks/entries.py metrics --quick

``hybridseg bench`` starts one such process per benchmark, so that one that fails, or whose peer
is not installed, loses nothing but its own rows. Imports are inside: a benchmark's own.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One benchmark.

    Attributes
    ----------
    about : str
        What it compares, for a heading.
    rows : callable
        Gets whether it is to be quick (small sizes, few rounds) and gives the rows.
    only_named : bool
        Whether it takes so long that it runs only when it is asked for by name.
    """

    about: str
    rows: Callable[[bool], Iterator[Row]]
    only_named: bool = False


def inference(quick: bool) -> Iterator[Row]:
    """Streamed windows beside MONAI's, the way back beside nnU-Net's."""
    import inference as benchmark

    benchmark.let_waiting_threads_sleep()
    options = argparse.Namespace(full=not quick, rounds=1 if quick else 3)
    yield from map(asdict, benchmark.run(options))


def metrics(quick: bool, one_core: bool = False) -> Iterator[Row]:
    """Scores beside each peer that is installed."""
    import metrics as benchmark

    if one_core:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    size = "small" if quick else "large"
    shape, spacing = benchmark.SIZES[size]
    case = (*benchmark.phantom(shape, islands=False), spacing)
    threads = 1 if one_core else None
    benchmark.run_ours("monai", threads)(*benchmark.WARM_UP)
    for name in ("deepmind",) if one_core else benchmark.PEERS:
        about = {"size": size, "cores": len(os.sched_getaffinity(0))}
        try:
            row, _ = benchmark.compare(benchmark.PEERS[name], case, threads, 2 if quick else 5)
        except ImportError as error:
            yield about | {"peer": name, "failure": f"not installed: {error}"}
        else:
            yield about | asdict(row)


def backends(quick: bool) -> Iterator[Row]:
    """Ways to run a network on a CPU beside the plain one."""
    import backends as benchmark

    if quick:
        benchmark.ROUNDS = 1
    yield from map(asdict, benchmark.run(only=["cotr"] if quick else None))


def deformable(quick: bool) -> Iterator[Row]:
    """Deformable attention's sampling in one look-up beside one per level."""
    import deformable as benchmark

    if quick:
        benchmark.SIZES = benchmark.SIZES[:1]
    yield from map(asdict, benchmark.run())


def depthwise(quick: bool) -> Iterator[Row]:
    """Channels last beside channels first."""
    import depthwise as benchmark

    yield from map(asdict, benchmark.run(3 if quick else benchmark.ROUNDS))


def smoothness(quick: bool) -> Iterator[Row]:
    """Feel the viewer's heartbeat while jobs run."""
    import smoothness as benchmark

    events, seconds = (300, 2.0) if quick else (benchmark.EVENTS, benchmark.SECONDS)
    yield from map(asdict, benchmark.rows(events, seconds))


def cuda(quick: bool) -> Iterator[Row]:
    """Measure what a GPU reaches."""
    import on_cuda as benchmark  # "cuda" is NVIDIA's own package

    yield from map(asdict, benchmark.run(quick))


def architectures(quick: bool) -> Iterator[Row]:
    """Size, arithmetic and scores of every network."""
    import architectures as benchmark

    networks, checkpoints = benchmark.run(repeats=1 if quick else 5)
    for kind, rows in (("paper size", networks), ("checkpoint", checkpoints)):
        for row in rows:
            yield {"kind": kind} | asdict(row)


def explain(quick: bool) -> Iterator[Row]:
    """Measure what an explanation costs."""
    import explain as benchmark

    yield from benchmark.run(*((96, 40, 3) if quick else (512, 300, 40)))


def assist(quick: bool) -> Iterator[Row]:
    """Strokes that a correction takes."""
    import assist as benchmark
    import torch

    torch.set_num_threads(1)
    ways = ("paint", "repair") if quick else tuple(benchmark.WAYS)
    for name, material in benchmark.MATERIALS.items():
        if name == "hippocampus" or not quick:
            cases = 1 if quick else benchmark.CASES[name]
            for row in benchmark.run(material, cases, ways, 8 if quick else 100):
                yield {"data": name} | asdict(row)


def repair(quick: bool) -> Iterator[Row]:
    """Wait for repairs as a user does."""
    import repair as benchmark

    size, rounds = ((192, 192, 160), 2) if quick else (benchmark.SIZE, benchmark.ROUNDS)
    yield from map(asdict, benchmark.run(size, rounds))


def finetune(quick: bool) -> Iterator[Row]:
    """Measure what three corrected cases teach; the parent must have been trained."""
    import finetune as benchmark
    import torch

    torch.set_num_threads(1)
    parent = benchmark.ROOT / "runs/finetune/parent.safetensors"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) if quick else parent.parent / "bench"
        bench = benchmark.Bench(parent, work, "heldout")
        for shift in ("mild",) if quick else ("strong", "mild"):
            yield {"shift": shift, "way": "before"} | bench.before(shift)
            for way in () if quick else benchmark.CLAIMED:
                for seed in benchmark.SEEDS.get((shift, way), (0,)):
                    about = {"shift": shift, "way": way, "seed": seed}
                    yield about | bench.line(shift, way, seed)


ENTRIES: Mapping[str, Entry] = {
    "inference": Entry("Sliding windows and the way back to the scan's grid", inference),
    "backends": Entry("Ways to run a network on a CPU", backends),
    "deformable": Entry("Deformable attention's sampling", deformable),
    "depthwise": Entry("Depthwise 7x7x7, channels last beside channels first", depthwise),
    "metrics": Entry("Scoring 13 organs", metrics),
    "metrics-one-core": Entry(
        "Scoring 13 organs on one core", lambda quick: metrics(quick, one_core=True)
    ),
    "smoothness": Entry("The viewer while jobs run", smoothness),
    "cuda": Entry("On a GPU", cuda),
    "architectures": Entry("The architectures side by side", architectures),
    "explain": Entry("What explanations cost", explain),
    "repair": Entry("What a repair of 128x128x128 voxels takes by the clock", repair),
    "assist": Entry("Strokes that a correction takes", assist, only_named=True),
    "finetune": Entry("What three corrected cases teach", finetune, only_named=True),
}


def main() -> None:
    """Give one benchmark's rows on stdout; what else is printed goes to stderr."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=ENTRIES)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    lines, sys.stdout = sys.stdout, sys.stderr
    for row in ENTRIES[options.name].rows(options.quick):
        print(json.dumps(row), file=lines, flush=True)


if __name__ == "__main__":
    main()
