"""Deformable attention's sampling: one weighted look-up beside one ``grid_sample`` per level.

    python benchmarks/deformable.py

The shapes are those of CoTr's paper size, 48x192x192 (two levels), and of three levels. CPU
milliseconds, medians of runs in turn on one thread; MB is the growth of the process's peak
memory in one call; differences are the largest over the output and over all gradients, each
relative to its largest entry.
"""

from __future__ import annotations

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from napari_hybridseg.networks.deformable import (
    MapShapes,
    sample_by_gather,
    sample_by_level,
    sampling_grid,
)

SIZES: tuple[MapShapes, ...] = (
    ((12, 24, 24), (6, 12, 12)),
    ((24, 48, 48), (12, 24, 24), (6, 12, 12)),
)
HEADS, CHANNELS, POINTS, ROUNDS = 6, 64, 4, 3
Sample = Callable[[Tensor, MapShapes, Tensor, Tensor], Tensor]
Inputs = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Row:
    """One size, forward only or with the gradients."""

    tokens: int
    backward: bool
    ours_ms: float
    peer_ms: float
    ours_mb: float
    peer_mb: float
    difference: float


def case(shapes: MapShapes) -> Inputs:
    """Make values, locations up to a few voxels from their token, and weights that sum to 1."""
    torch.manual_seed(0)
    grid = sampling_grid(shapes, "corrected", torch.device("cpu"), torch.float32)
    tokens, levels = len(grid.reference), len(shapes)
    offsets = torch.randn(1, tokens, HEADS, levels, POINTS, 3) * 3
    locations = grid.reference[:, None, None, None] + offsets * grid.unit[:, None]
    weights = torch.rand(1, tokens, HEADS, levels * POINTS).softmax(-1)
    value = torch.randn(1, tokens, HEADS, CHANNELS)
    return value, locations, weights.unflatten(-1, (levels, POINTS))


def once(sample: Sample, shapes: MapShapes, inputs: Inputs, backward: bool) -> list[Tensor]:
    """Sample; give the output and the gradients."""
    value, locations, weights = (one.detach().requires_grad_(backward) for one in inputs)
    output = sample(value, shapes, locations, weights)
    if not backward:
        return [output]
    output.square().sum().backward()
    return [
        output.detach(),
        *(one.grad for one in (value, locations, weights) if one.grad is not None),
    ]


def run() -> Iterator[Row]:
    """Compare both at every size."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    for shapes in SIZES:
        inputs = case(shapes)
        for backward in (False, True):
            yield _row(shapes, inputs, backward)
    torch.set_num_threads(before)


def _row(shapes: MapShapes, inputs: Inputs, backward: bool) -> Row:
    samples: tuple[Sample, ...] = (sample_by_gather, sample_by_level)
    memory, times, results = [], [[], []], []  # type: ignore[var-annotated]
    for sample in samples:
        memory.append(_growth_mb(lambda s=sample: once(s, shapes, inputs, backward)))  # type: ignore[misc]
    for _ in range(ROUNDS):
        results = []
        for sample, spent in zip(samples, times, strict=True):
            began = time.process_time()
            results.append(once(sample, shapes, inputs, backward))
            spent.append((time.process_time() - began) * 1e3)
    away = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(*results, strict=True))
    ours, peer = (statistics.median(spent) for spent in times)
    return Row(inputs[0].shape[1], backward, ours, peer, memory[0], memory[1], away)


def _growth_mb(act: Callable[[], object]) -> float:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status_kb("VmRSS")
    act()
    return (_status_kb("VmHWM") - before) / 1024


def _status_kb(name: str) -> int:
    text = Path("/proc/self/status").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith(name))
    return int(line.split()[1])


def main() -> None:
    """Print the table as it comes."""
    print(
        "| tokens | what | ours ms | per level ms | ratio | ours MB | per level MB | difference |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for row in run():
        what = "forward and backward" if row.backward else "forward"
        print(
            f"| {row.tokens} | {what} | {row.ours_ms:.0f} | {row.peer_ms:.0f} | "
            f"{row.peer_ms / row.ours_ms:.1f}x | {row.ours_mb:.0f} | {row.peer_mb:.0f} | "
            f"{row.difference:.1e} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
