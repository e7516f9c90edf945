"""The depthwise 7x7x7 convolution of 3D UX-Net: channels last beside channels first, on a CPU.

    python benchmarks/depthwise.py

The sizes are the network's own at a window of 96x96x96, as its stem leaves them. One thread; both
run in turn in one process; milliseconds are medians of CPU time. What a whole network keeps of it
is in the rows of ``backends``.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

SIZES = ((48, 48), (96, 24), (192, 12), (384, 6))
ROUNDS = 9
LAST = torch.channels_last_3d


@dataclass(frozen=True)
class Row:
    """One size.

    Attributes
    ----------
    channels, voxels : int
        Of the map, and along each of its axes.
    ours_ms, peer_ms : float
        With channels last and first.
    ratio : float
        Of the second to the first.
    difference : float
        The largest of any value, over the largest value.
    """

    channels: int
    voxels: int
    ours_ms: float
    peer_ms: float
    ratio: float
    difference: float


def run(rounds: int = ROUNDS) -> Iterator[Row]:
    """Compare both at every size."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for channels, voxels in SIZES:
            yield compare(channels, voxels, rounds)
    finally:
        torch.set_num_threads(before)


@torch.inference_mode()
def compare(channels: int, voxels: int, rounds: int) -> Row:
    """Run both layouts in turn."""
    torch.manual_seed(0)
    first = nn.Conv3d(channels, channels, 7, padding=3, groups=channels)
    image = torch.randn(1, channels, voxels, voxels, voxels)
    last = copy.deepcopy(first).to(memory_format=LAST)  # type: ignore[call-overload]
    contenders = ((last, image.contiguous(memory_format=LAST)), (first, image))
    answers: list[Tensor] = [network(given) for network, given in contenders]
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for (network, given), spent in zip(contenders, times, strict=True):
            began = time.process_time()
            network(given)
            spent.append((time.process_time() - began) * 1e3)
    ours, peer = map(statistics.median, times)
    away = float((answers[0] - answers[1]).abs().max() / answers[1].abs().max())
    return Row(channels, voxels, ours, peer, peer / ours, away)


def main() -> None:
    """Print the rows as they come."""
    for row in run():
        print(asdict(row), flush=True)


if __name__ == "__main__":
    main()
