"""The ways to run a network on a CPU, beside plain PyTorch, for every 3D family that ships.

    python benchmarks/backends.py                    # one thread; real weights, a real volume
    python benchmarks/backends.py --threads 2 --families cotr
    python benchmarks/backends.py --json

Plain is the network as it is built, channels first, float32, under ``inference_mode`` and with
the same number of threads; it is run with channels last as well. Everything that is compared runs
in turn in one process on the windows of one volume; milliseconds are medians of CPU time over all
threads per window, divided by the number of threads, because another job on the machine changes
that little (wall milliseconds follow). GFLOP/s counts convolutions and matrix products, those that
Winograd's convolutions save too; the ceiling is what a 1024x1024 matrix product reaches on one
thread in the same process. Probabilities and labels are compared voxel by voxel in all windows that
are run. MB is how far the process's peak memory grows while the engine is made from the network and
first run, with nothing in its cache.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from napari_hybridseg.checkpoint import load_checkpoint
from napari_hybridseg.inference.backend_store import BackendStore
from napari_hybridseg.inference.backend_timing import softmax_difference
from napari_hybridseg.inference.engines import ENGINES, EngineError, Recipe
from napari_hybridseg.inference.gpu_choice import ChannelsLast
from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.inference.preprocess import prepare
from napari_hybridseg.inference.run_plan import plan_run
from napari_hybridseg.inference.running import padded
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.networks import get_architecture
from napari_hybridseg.resources import sample_volumes_folder, shipped_checkpoints_folder
from napari_hybridseg.volume import load_volume

STATUS = Path("/proc/self/status")
DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "hippocampus_msd04"
PLAIN, LAST = "plain", "plain, channels last"
WINDOWS = 4
ROUNDS = 3
# stand in, with random weights, for a family of which no checkpoint is here
SMALL: dict[str, tuple[dict[str, Any], tuple[int, int, int]]] = {
    "cotr": (
        {
            "blocks": (1, 1, 1),
            "widths": (16, 48, 96),
            "heads": 6,
            "layers": 3,
            "points": 4,
            "ffn": 192,
        },
        (40, 64, 48),
    ),
    "uxnet-3d": (
        {"depths": (1, 1, 1, 1), "feature_sizes": (16, 32, 64, 96), "hidden_size": 128},
        (32, 48, 32),
    ),
}


@dataclass(frozen=True)
class Family:
    """A network and real windows for it, each (1, C, Z, Y, X)."""

    name: str
    network: nn.Module
    windows: list[Tensor]


@dataclass(frozen=True)
class Row:
    """One engine on one network; ``failure`` says why it has no numbers.

    Attributes
    ----------
    family, engine : str
        What was run, and by what.
    window : tuple of int
        (Z, Y, X).
    threads : int
        CPU threads of each.
    ms, wall_ms, plain_ms : float
        Per window, medians.
    ratio : float
        Of the plain network's CPU time to the engine's.
    gflops : float
        Per second and thread.
    ceiling_gflops : float
        What a matrix product reaches on one thread.
    probability_difference, label_agreement : float
        Against the plain network, the worst voxel and the share of voxels.
    extra_mb : float or None
        Growth of the peak memory while it was made and first run.
    """

    family: str
    engine: str
    window: tuple[int, ...]
    threads: int
    ms: float = 0.0
    wall_ms: float = 0.0
    plain_ms: float = 0.0
    ratio: float = 0.0
    gflops: float = 0.0
    ceiling_gflops: float = 0.0
    probability_difference: float = 0.0
    label_agreement: float = 1.0
    extra_mb: float | None = None
    failure: str = ""


def families(only: list[str] | None = None) -> Iterator[Family]:
    """Give every shipped 3D network, then stand-ins for the families that do not ship."""
    shipped, card = set(), None
    for path in sorted(shipped_checkpoints_folder().glob("*.safetensors")):
        checkpoint = load_checkpoint(path)
        card = checkpoint.card
        if card.windows.slice_axis is not None:
            continue
        shipped.add(card.architecture)
        if _wanted(path.stem, only):
            yield Family(path.stem, checkpoint.build_network(), real_windows(path.stem, card))
    for name, (config, size) in SMALL.items():
        if name in shipped or not _wanted(name, only):
            continue
        torch.manual_seed(0)
        architecture = get_architecture(name)
        network = architecture.build(1, 3, architecture.make_config(config)).eval()
        windows = [torch.randn(1, 1, *size) for _ in range(WINDOWS)]
        yield Family(f"{name}, random weights", network, windows)


def _wanted(name: str, only: list[str] | None) -> bool:
    return not only or any(part in name for part in only)


def real_windows(name: str, card: ModelCard) -> list[Tensor]:
    """Cut windows out of a volume of the kind that the checkpoint was trained on."""
    images = sorted((DATA / "images").glob("*.nii.gz"))
    use_own = name.startswith("hippocampus") and images
    path = images[-1] if use_own else sample_volumes_folder() / "torso_a.nii.gz"
    prepared = prepare(load_volume(path), card.preprocessing)
    plan = plan_run(prepared.working.shape, card, SegmentOptions(), None)
    image = torch.from_numpy(padded(prepared.array, plan))
    grid = plan.wall.grid
    step = max(len(grid.indices) // WINDOWS, 1)
    found = []
    for index in grid.indices[step // 2 :: step][:WINDOWS]:
        begin = [along[i] for along, i in zip(grid.along, index, strict=True)]
        z, y, x = (slice(b, b + n) for b, n in zip(begin, grid.window, strict=True))
        found.append(image[None, :, z, y, x].contiguous())
    return found


def run(
    threads: int = 1, only: list[str] | None = None, engines: tuple[str, ...] = tuple(ENGINES)
) -> Iterator[Row]:
    """Compare every engine with the plain network, family by family."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for family in families(only):
            yield from compare(family, threads, engines)
    finally:
        torch.set_num_threads(before)


@torch.inference_mode()
def compare(family: Family, threads: int, engines: tuple[str, ...]) -> Iterator[Row]:
    """Run everything on the same windows, in turn."""
    size = tuple(family.windows[0].shape[2:])
    expected = [family.network(window) for window in family.windows]
    with FlopCounterMode(display=False) as counter:
        family.network(family.windows[0])
    contenders: dict[str, Callable[[Tensor], Tensor]] = {
        PLAIN: family.network,
        LAST: ChannelsLast(copy.deepcopy(family.network)),
    }
    memory: dict[str, float | None] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in engines:
            key = {"benchmark": family.name}
            recipe = Recipe(
                family.network, family.windows[0], key, BackendStore(Path(folder)), threads
            )
            try:
                contenders[name], memory[name] = _made(name, recipe)
            except EngineError as error:
                yield Row(family.name, name, size, threads, failure=str(error))
    times = _times(contenders, family.windows)
    ceiling = _ceiling()
    plain_ms = times[PLAIN][0] / threads
    for name, compute in contenders.items():
        found = [compute(window) for window in family.windows]
        ms = times[name][0] / threads
        yield Row(
            family=family.name,
            engine=name,
            window=size,
            threads=threads,
            ms=ms,
            wall_ms=times[name][1],
            plain_ms=plain_ms,
            ratio=plain_ms / ms,
            gflops=counter.get_total_flops() / ms / 1e6 / threads,
            ceiling_gflops=ceiling,
            probability_difference=max(map(softmax_difference, found, expected)),
            label_agreement=statistics.mean(map(_agreement, found, expected)),
            extra_mb=memory.get(name),
        )


def _made(name: str, recipe: Recipe) -> tuple[Callable[[Tensor], Tensor], float | None]:
    def make() -> Callable[[Tensor], Tensor]:
        compute = ENGINES[name](recipe).compute
        compute(recipe.example)
        return compute

    if not STATUS.exists():
        return make(), None
    Path("/proc/self/clear_refs").write_text("5")
    before = _status_kb("VmRSS")
    compute = make()
    return compute, (_status_kb("VmHWM") - before) / 1024


def _status_kb(name: str) -> int:
    (line,) = (text for text in STATUS.read_text().splitlines() if text.startswith(name))
    return int(line.split()[1])


def _times(
    contenders: dict[str, Callable[[Tensor], Tensor]], windows: list[Tensor]
) -> dict[str, tuple[float, float]]:
    """Give the medians of CPU and wall milliseconds."""
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for window in windows:
            for name, compute in contenders.items():
                began = time.process_time(), time.perf_counter()
                compute(window)
                cpu[name].append((time.process_time() - began[0]) * 1e3)
                wall[name].append((time.perf_counter() - began[1]) * 1e3)
    return {name: (statistics.median(cpu[name]), statistics.median(wall[name])) for name in cpu}


def _ceiling() -> float:
    left, right = torch.randn(2, 1024, 1024)
    seconds = []
    for _ in range(5):
        began = time.process_time()
        left @ right
        seconds.append(time.process_time() - began)
    return float(2 * 1024**3 / min(seconds) / 1e9)


def _agreement(logits: Tensor, expected: Tensor) -> float:
    return float((logits.argmax(1) == expected.argmax(1)).float().mean())


def line(row: Row) -> str:
    """Give one line of the table."""
    head = f"| {row.family} | {'x'.join(map(str, row.window))} | {row.threads} | {row.engine} |"
    if row.failure:
        return f"{head} {row.failure} |"
    memory = "-" if row.extra_mb is None else f"{row.extra_mb:.0f}"
    return (
        f"{head} {row.ms:.1f} ({row.wall_ms:.1f}) | {row.ratio:.2f}x | {row.gflops:.0f} of "
        f"{row.ceiling_gflops:.0f} | {row.probability_difference:.1e} | "
        f"{row.label_agreement:.6f} | {memory} |"
    )


def main() -> None:
    """Read the options and print the table as it comes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--families", nargs="*", help="parts of their names")
    parser.add_argument("--engines", nargs="*", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = run(options.threads, options.families, tuple(options.engines))
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}")
    print("| family | window | threads | engine | ms (wall) | ratio | GFLOP/s | p | labels | MB |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(line(row), flush=True)


if __name__ == "__main__":
    main()
