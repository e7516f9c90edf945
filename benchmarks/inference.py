"""Sliding windows and the way back to the scan's grid, ours beside MONAI's and nnU-Net's.

    python benchmarks/inference.py              # 256x256x192, and 14x96x160x160 -> 192x256x256
    python benchmarks/inference.py --full       # 512x512x300 as well: minutes, and 6 GB for MONAI
    python benchmarks/inference.py --json

Windows of 96x96x96 overlap by half and are weighed by a Gaussian; the network is one 1x1x1
convolution to 14 classes, so that what is left of a run's time is the overhead. Overhead is what a
run spent outside the network, less what bare forward passes spend there: the freeing of their
answers. Ours and the peer run in turn in one process; seconds are CPU seconds of all threads,
because another job on the machine changes those little (wall seconds follow). Threads of torch
that wait for work sleep (OMP_WAIT_POLICY), or their waiting would be counted as work. Memory is how
far the peak of a process of its own grew above what it held before, input and network, in MiB; its
result included.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from napari_hybridseg.inference.arithmetic import HostArithmetic
from napari_hybridseg.inference.axis_tables import axis_table
from napari_hybridseg.inference.backends import TorchBackend
from napari_hybridseg.inference.brick_sums import BrickAccumulator
from napari_hybridseg.inference.bricks import BrickWall, lightest_order
from napari_hybridseg.inference.finish import LabelBox, LabelFinisher
from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.inference.pages import own_pages
from napari_hybridseg.inference.run_plan import plan_run
from napari_hybridseg.inference.running import WindowRun
from napari_hybridseg.inference.windows import importance_map, window_grid
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import ModelCard, WindowDefaults

Shape = tuple[int, int, int]
Labels = NDArray[np.integer[Any]]

CLASSES = 14
WINDOW: Shape = (96, 96, 96)
SIZES: Mapping[str, Shape] = {"small": (192, 256, 256), "full": (300, 512, 512)}
BACK: tuple[Shape, Shape] = ((96, 160, 160), (192, 256, 256))
CPU = torch.device("cpu")
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes
    ----------
    what, peer : str
        What was done, and by whom besides us.
    ours_s, peer_s : float
        CPU seconds, medians.
    ours_wall_s, peer_wall_s : float
        Wall seconds, medians.
    ours_mb, peer_mb : float or None
        Growth of the peak memory.
    labels : str
        How far the two label maps agree.
    runs : int
        Runs behind a median.
    """

    what: str
    peer: str
    ours_s: float
    peer_s: float
    ours_wall_s: float
    peer_wall_s: float
    ours_mb: float | None
    peer_mb: float | None
    labels: str
    runs: int

    @property
    def line(self) -> str:
        """The row of a Markdown table."""
        memory = [f"{mb:.0f}" if mb is not None else "?" for mb in (self.ours_mb, self.peer_mb)]
        less = f"{self.peer_mb / self.ours_mb:.1f}x" if self.ours_mb and self.peer_mb else "?"
        return (
            f"| {self.what} | {self.peer} | {self.ours_s:.2f} ({self.ours_wall_s:.2f}) "
            f"| {self.peer_s:.2f} ({self.peer_wall_s:.2f}) | {self.peer_s / self.ours_s:.1f}x "
            f"| {memory[0]} | {memory[1]} | {less} | {self.labels} | {self.runs} |"
        )


HEADER = (
    "| what | peer | ours s CPU (wall) | peer s CPU (wall) | time | ours MB | peer MB | memory "
    "| labels | runs |\n|---|---|---|---|---|---|---|---|---|---|"
)


class Clock:
    """Adds up CPU and wall seconds of what is done under it."""

    def __init__(self) -> None:
        self.cpu = self.wall = 0.0

    def __enter__(self) -> Clock:
        self._began = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *problem: object) -> None:
        self.cpu += time.process_time() - self._began[0]
        self.wall += time.perf_counter() - self._began[1]


@dataclass
class Runs:
    """One contestant's times, with and without the network, and its last answer."""

    act: Callable[[], Any]
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    cpu_above: list[float] = field(default_factory=list)
    wall_above: list[float] = field(default_factory=list)
    answer: Any = None

    def once(self) -> None:
        """Run it and note the times."""
        self.answer = None
        Cheap.inside = Clock()
        with Clock() as whole:
            self.answer = self.act()
        self.cpu.append(whole.cpu)
        self.wall.append(whole.wall)
        self.cpu_above.append(whole.cpu - Cheap.inside.cpu)
        self.wall_above.append(whole.wall - Cheap.inside.wall)


class Cheap(nn.Module):
    """A network that costs next to nothing, and knows how much."""

    inside = Clock()

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv3d(1, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Give logits, (N, K, Z, Y, X)."""
        with Cheap.inside:
            logits: Tensor = self.layer(x)
        return logits


def network() -> nn.Module:
    """Make a network."""
    return Cheap().eval()


def scan(shape: Shape) -> NDArray[np.float32]:
    """Make something smooth with noise, (1, Z, Y, X)."""
    random = np.random.default_rng(0)
    return random.standard_normal((1, *shape), dtype=np.float32)


def card() -> ModelCard:
    """Describe the network as a checkpoint would."""
    return ModelCard(
        name="conv",
        architecture="unet",
        labels=LabelScheme.from_names({n: f"organ {n}" for n in range(1, CLASSES)}, "bench"),
        windows=WindowDefaults(size=WINDOW),
    )


def bare_forwards(image: NDArray[np.float32]) -> None:
    """Run the network on every window and keep nothing."""
    grid, net = window_grid(image.shape[1:], WINDOW, 0.5), network()
    whole = torch.from_numpy(image)
    with torch.inference_mode():
        for z, y, x in grid.starts:
            net(whole[None, :, z : z + WINDOW[0], y : y + WINDOW[1], x : x + WINDOW[2]])


def ours(image: NDArray[np.float32]) -> Labels:
    """Segment with this package's loop."""
    plan = plan_run(image.shape[1:], card(), SegmentOptions(), None)
    labels = own_pages(image.shape[1:], np.uint8)
    tables = tuple(axis_table(n, n) for n in labels.shape)
    backend = TorchBackend(network(), CPU, "float32", None)
    run = WindowRun(plan, tables, np.arange(CLASSES, dtype=np.uint8), backend, card(), 1)
    for event in run.run(image):
        if isinstance(event, LabelBox):
            place = zip(event.start, event.labels.shape, strict=True)
            labels[tuple(slice(s, s + n) for s, n in place)] = event.labels
    run.close()
    return labels


def monais(image: NDArray[np.float32]) -> Labels:
    """Segment with MONAI, given our importance map so that the last bits are the same."""
    from monai.inferers import sliding_window_inference

    importance = torch.from_numpy(importance_map(WINDOW, "gaussian"))
    with torch.inference_mode():
        logits = sliding_window_inference(
            torch.from_numpy(image)[None], WINDOW, 1, network(), 0.5, roi_weight_map=importance
        )
        return logits[0].argmax(dim=0).numpy()


def smooth_logits() -> NDArray[np.float32]:
    """Make logits on the network's grid as organs would: smooth fields, (K, Z, Y, X)."""
    coarse = np.random.default_rng(1).standard_normal((CLASSES, 12, 20, 20), dtype=np.float32)
    return functional.interpolate(torch.from_numpy(coarse)[None], BACK[0], mode="trilinear")[
        0
    ].numpy()


def back_wall() -> BrickWall:
    """Give the bricks of the way back, each a window: no smaller than an overlap of half leaves."""
    return BrickWall(lightest_order(window_grid(BACK[0], (48, 40, 80), 0.0), CLASSES))


def as_windows(logits: NDArray[np.float32]) -> list[Tensor]:
    """Cut logits (K, Z, Y, X) into what the network gives one after another."""
    grid, whole = back_wall().grid, torch.from_numpy(logits)
    d, h, w = grid.window
    return [whole[:, z : z + d, y : y + h, x : x + w].contiguous() for z, y, x in grid.starts]


def our_way_back(windows: list[Tensor]) -> Labels:
    """Bring logits to the scan's grid brick by brick, as they come from the windows."""
    working, output = BACK
    labels = own_pages(output, np.uint8)
    arithmetic = HostArithmetic(torch.get_num_threads())
    wall = back_wall()
    ones = np.ones(wall.grid.window, dtype=np.float32)
    sums = BrickAccumulator(wall, ones, CLASSES, arithmetic)
    tables = tuple(axis_table(n, m) for n, m in zip(working, output, strict=True))
    values = np.arange(CLASSES, dtype=np.uint8)
    finisher = LabelFinisher(wall.grid.before, working, tables, values, arithmetic)
    for index, window in zip(wall.grid.indices, windows, strict=True):
        for row in sums.rows(index):
            for brick in sums.add(index, row, sums.taken(window)):
                box = finisher.take(brick)
                sums.release(brick)
                place = zip(box.start, box.labels.shape, strict=True)
                labels[tuple(slice(s, s + n) for s, n in place)] = box.labels
    arithmetic.close()
    return labels


def nnunets_way_back(logits: NDArray[np.float32]) -> Labels:
    """Bring logits to the scan's grid with nnU-Net's default resampling, then take the largest."""
    from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape

    large = resample_data_or_seg_to_shape(
        logits, BACK[1], (2.0, 1.6, 1.6), (1.0, 1.0, 1.0), is_seg=False, order=1, order_z=0
    )
    return np.asarray(large).argmax(axis=0)


ACTS: Mapping[str, Callable[[Any], Any]] = {
    "forward": bare_forwards,
    "ours": ours,
    "monai": monais,
    "our-back": our_way_back,
    "nnunet-back": nnunets_way_back,
}


def peak_mb(act: str, size: str) -> float | None:
    """Run something in a process of its own and give how far its peak memory grew."""
    command = [sys.executable, __file__, "--measure", act, "--size", size]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(done.stdout.split()[-1]) if done.returncode == 0 and done.stdout.strip() else None


def measure(act: str, size: str) -> float:
    """Give the growth of this process's peak memory, in MB."""
    if act.endswith("back"):
        torch.set_num_threads(1)  # as its time is measured
    given: Any = smooth_logits() if act.endswith("back") else scan(SIZES[size])
    if act == "our-back":
        given = as_windows(given)
    # what is loaded and compiled once is no cost of a volume
    ACTS[act](given if act.endswith("back") else given[:, :100, :100, :100])
    if act.endswith("back"):
        trim_heap()
    Path("/proc/self/clear_refs").write_text("5")
    before = _status_kb("VmRSS")
    ACTS[act](given)
    return (_status_kb("VmHWM") - before) / 1024


def trim_heap() -> None:
    """Give what is freed back to the system, or what a run takes of it is not seen to grow."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _status_kb(name: str) -> int:
    (line,) = (text for text in STATUS.read_text().splitlines() if text.startswith(name))
    return int(line.split()[1])


def agreement(one: Labels, other: Labels) -> str:
    """Say in how many voxels two label maps differ."""
    different = int((one != other).sum())
    return "identical" if different == 0 else f"{different} of {one.size} differ"


def compare_windows(size: str, rounds: int) -> Iterator[Row]:
    """Compare whole runs, and their overhead above the bare forward passes."""
    image = scan(SIZES[size])
    bare, mine, theirs = (
        Runs(lambda a=act: ACTS[a](image)) for act in ("forward", "ours", "monai")
    )
    ours(image[:, :100, :100, :100])
    for _ in range(rounds):
        for runs in (bare, mine, theirs):
            runs.once()
    same = agreement(mine.answer, theirs.answer)
    mine.answer = theirs.answer = None
    shape = "x".join(map(str, SIZES[size][::-1]))
    memory = peak_mb("ours", size), peak_mb("monai", size)
    middle = statistics.median
    yield Row(
        f"{shape}, {CLASSES} classes, in all", "MONAI", middle(mine.cpu), middle(theirs.cpu),
        middle(mine.wall), middle(theirs.wall), *memory, same, rounds,
    )  # fmt: skip
    above = [
        middle(getattr(runs, kind)) - middle(getattr(bare, kind))
        for kind in ("cpu_above", "wall_above")
        for runs in (mine, theirs)
    ]
    yield Row(f"{shape}, overhead above forward", "MONAI", *above, None, None, "", rounds)


def compare_way_back(rounds: int) -> Iterator[Row]:
    """Compare the way back to the scan's grid, in one thread: nnU-Net's has no more."""
    torch.set_num_threads(1)
    logits = smooth_logits()
    windows = as_windows(logits)
    mine, theirs = Runs(lambda: our_way_back(windows)), Runs(lambda: nnunets_way_back(logits))
    our_way_back(windows)
    for turn in range(rounds):
        mine.once()
        if turn < max(rounds // 3, 1):
            theirs.once()
    what = f"{CLASSES}x{'x'.join(map(str, BACK[0]))} back to {'x'.join(map(str, BACK[1]))}"
    same = agreement(mine.answer, theirs.answer)
    middle = statistics.median
    yield Row(
        what, "nnU-Net default", middle(mine.cpu), middle(theirs.cpu), middle(mine.wall),
        middle(theirs.wall), peak_mb("our-back", "small"), peak_mb("nnunet-back", "small"), same,
        rounds,
    )  # fmt: skip


def run(options: argparse.Namespace) -> Iterator[Row]:
    """Give the rows as they come; ``options`` has ``full`` and ``rounds``."""
    yield from compare_windows("small", options.rounds)
    if options.full:
        yield from compare_windows("full", 1)
    try:
        yield from compare_way_back(options.rounds)
    except ImportError as error:
        print(f"nnU-Net is not installed ({error}); its row is left out.", file=sys.stderr)


def let_waiting_threads_sleep() -> None:
    """Begin again with what OpenMP reads once, when torch is loaded."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.execv(sys.executable, [sys.executable, *sys.argv])


def main() -> None:
    """Read the options and print the table."""
    let_waiting_threads_sleep()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="also 512x512x300, once")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", choices=ACTS, help=argparse.SUPPRESS)
    parser.add_argument("--size", choices=SIZES, default="small", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(measure(options.measure, options.size))
        return
    if options.json:
        print(json.dumps([asdict(row) for row in run(options)]))
        return
    print(f"load {os.getloadavg()[0]:.1f}, {torch.get_num_threads()} thread(s)")
    print(HEADER)
    for row in run(options):
        print(row.line, flush=True)


if __name__ == "__main__":
    main()
