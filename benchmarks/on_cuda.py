"""What a GPU reaches: a whole volume end to end, and single networks at their papers' sizes.

    python benchmarks/on_cuda.py          # prints one line and ends where there is no GPU

End to end is 512x512x300 (Gaussian noise on a 0.8x0.8x1.0 mm grid) from the array in memory to
labels on its grid, with the shipped torso checkpoint, after one run that does not count. Networks
have random weights; milliseconds are medians of CUDA events after a warm-up.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from napari_hybridseg.checkpoint import load_checkpoint
from napari_hybridseg.events import Result
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.inference import SegmentOptions, segment
from napari_hybridseg.inference.backend_choice import NetworkRunner
from napari_hybridseg.inference.backend_store import BackendStore
from napari_hybridseg.inference.backends import Backend
from napari_hybridseg.inference.segmenting import runner_for
from napari_hybridseg.networks import get_architecture
from napari_hybridseg.resources import shipped_checkpoints_folder
from napari_hybridseg.volume import Volume

WARM_UP, ROUNDS = 5, 20


@dataclass(frozen=True)
class Row:
    """One measurement; ``what`` is a name that the claims know.

    Attributes
    ----------
    what, detail : str
        What was run, and how.
    value : float
        Seconds, milliseconds, images per second or a ratio.
    unit : str
        Which of them.
    peak_mb : float
        Most memory on the GPU.
    """

    what: str
    detail: str
    value: float
    unit: str
    peak_mb: float


def run(quick: bool = False) -> Iterator[Row]:
    """Give the rows as they come; none without a GPU."""
    if not torch.cuda.is_available():
        return
    rounds = 3 if quick else ROUNDS
    yield from end_to_end(1 if quick else 3)
    yield cotr(rounds)
    yield transfuse(rounds)
    yield uxnet(rounds)


def end_to_end(rounds: int) -> Iterator[Row]:
    """Segment 512x512x300 with every small torso network that ships."""
    array = np.random.default_rng(0).normal(0, 300, (1, 300, 512, 512)).astype(np.int16)
    grid = Geometry((512, 512, 300), (0.8, 0.8, 1.0), (0, 0, 0), tuple(np.eye(3).ravel()))
    volume = Volume(grid, grid, array, "noise", modality="CT")
    for path in sorted(shipped_checkpoints_folder().glob("torso*.safetensors")):
        checkpoint = load_checkpoint(path)
        network = runner_for(checkpoint, None)
        options = SegmentOptions(device="cuda", live=False)
        seconds = []
        torch.cuda.reset_peak_memory_stats()
        for _ in range(rounds + 1):
            began = time.perf_counter()
            for event in segment(volume, checkpoint, options, network=network):
                if isinstance(event, Result):
                    torch.cuda.synchronize()
            seconds.append(time.perf_counter() - began)
        yield Row("512x512x300", path.stem, statistics.median(seconds[1:]), "s", _peak_mb())


def cotr(rounds: int) -> Row:
    """Time CoTr at its paper's size."""
    network, image = _network("cotr", (48, 192, 192))
    with torch.autocast("cuda", torch.bfloat16):
        return Row("cotr", "48x192x192, bf16", _ms(network, image, rounds), "ms", _peak_mb())


def transfuse(rounds: int) -> Row:
    """Count TransFuse-S's images a second, 16 at a time, as its paper's 98.7 FPS are counted."""
    network, image = _network("transfuse-s", (352, 352), images=16)
    image = image.to(memory_format=torch.channels_last)
    with torch.autocast("cuda", torch.bfloat16):
        ms = _ms(network, image, rounds)
    return Row("transfuse-s", "352x352, bf16, batches of 16", 16e3 / ms, "FPS", _peak_mb())


def uxnet(rounds: int) -> Row:
    """Compare what a long run takes on CUDA with the plain eager network in float32."""
    network, image = _network("uxnet-3d", (96, 96, 96))
    backend = _chosen(network, image)
    plain, ours = [], []
    for _ in range(3):
        plain.append(_ms(network, image, rounds))
        ours.append(_ms(backend, image, rounds))
    ratio = statistics.median(plain) / statistics.median(ours)
    detail = f"96x96x96, bf16 backend, plain {statistics.median(plain):.1f} ms"
    return Row("uxnet", detail, ratio, "x", _peak_mb())


def _chosen(network: nn.Module, image: Tensor) -> Backend:
    """Give what a run of very many windows takes, measured anew."""
    with tempfile.TemporaryDirectory() as folder:
        runner = NetworkRunner(network, "benchmark", BackendStore(Path(folder)))
        steps = runner.backend("auto", torch.device("cuda"), "bfloat16", None, image, 10**6)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                found: Backend = end.value
                return found


def _network(name: str, window: tuple[int, ...], images: int = 1) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    torch.cuda.reset_peak_memory_stats()
    architecture = get_architecture(name)
    channels, classes = architecture.paper_channels
    network = architecture.build(channels, classes, architecture.make_config()).eval().cuda()
    return network, torch.randn(images, channels, *window, device="cuda")


@torch.inference_mode()
def _ms(act: Callable[[Tensor], object], image: Tensor, rounds: int) -> float:
    times = []
    for turn in range(WARM_UP + rounds):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        act(image)
        end.record()
        torch.cuda.synchronize()
        if turn >= WARM_UP:
            times.append(begin.elapsed_time(end))
    return statistics.median(times)


def _peak_mb() -> float:
    return torch.cuda.max_memory_allocated() / 2**20


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("not measured: no GPU here")
        return
    for row in run(options.quick):
        print(asdict(row), flush=True)


if __name__ == "__main__":
    main()
