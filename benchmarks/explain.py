"""What explanations cost: nothing when nobody looks, and how much memory when somebody does.

    python benchmarks/explain.py                 # all rows; about half an hour on one core
    python benchmarks/explain.py --size 256 150  # a smaller volume for the memory rows
    python benchmarks/explain.py --views entropy # one memory row alone

Idle: the same network runs the same window, in turn, as it was built and after it was looked into
and let go, in CPU time; medians of many turns, and of the ratio in each turn. Memory: the process's
peak from the first window of a whole-volume view to its result, less what it held before the view
began and less the prepared volume (float32), and whether that is within 1 GB (Linux only). The
result, what windows are added up in and the network's own activations are in it. The networks tell
14 classes apart.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_hybridseg.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from napari_hybridseg.events import Event, Progress, Result
from napari_hybridseg.explain import ExplainOptions, explain
from napari_hybridseg.explain.capture import as_is, captured
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import ModelCard, WindowDefaults
from napari_hybridseg.networks import create_network
from napari_hybridseg.volume import Volume

ROOT = Path(__file__).resolve().parents[1]
CHECKPOINT = ROOT / "sample_data" / "checkpoints" / "hippocampus-medformer-3d.safetensors"
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
BLOCK = "encoder.1.attention.0.attention.token_to_map"
OF_A_BLOCK = ("token-map", "winning-token", "token-organs")
CLASSES, LIMIT_MB = 14, 1000
SMALL: dict[str, dict[str, Any]] = {
    "utnetv2-3d": {
        "base_channels": 4,
        "attention_blocks": (0, 1, 0, 0, 0, 0, 0, 0),
        "conv_blocks": (0, 0, 0, 0, 0, 0, 0, 0),
        "heads": (1, 2, 2, 2, 2, 2, 1, 1),
        "expansion": 1,
        "fusion_dim": 16,
        "fusion_heads": 2,
    },
    "cotr-star": {
        "blocks": (1, 1, 1),
        "widths": (4, 6, 12),
        "heads": 2,
        "layers": 2,
        "points": 4,
        "ffn": 12,
    },
    "transfuse-s": {
        "cnn_layers": (1, 1, 1),
        "cnn_widths": (4, 8, 8),
        "embed_dim": 8,
        "depth": 2,
        "num_heads": 2,
        "grid": (16, 16),
    },
}
WINDOWS = {"transfuse-s": WindowDefaults(size=(1, 256, 256), slice_axis=0)}
NETWORK_OF = dict.fromkeys((*OF_A_BLOCK, "entropy", "margin"), "utnetv2-3d") | {
    "influence": "cotr-star",
    "spatial-attention": "transfuse-s",
    "attention-gate": "transfuse-s",
    "attention-rollout": "transfuse-s",
}
VIEWS = tuple(NETWORK_OF)

Row = dict[str, Any]


def idle(repeats: int) -> list[Row]:
    """Compare a network that was never looked into with one that was, and with one that is."""
    checkpoint = load_checkpoint(CHECKPOINT)
    window = torch.randn(1, 1, *checkpoint.card.windows.size)
    fresh = checkpoint.build_network()
    used = copy.deepcopy(fresh)
    with captured(used, {BLOCK: as_is}), torch.inference_mode():
        used(window)
    looks: list[tuple[str, torch.nn.Module, dict[str, Any]]] = [
        ("never", fresh, {}),
        ("before", used, {}),
        ("now", used, {BLOCK: lambda output: output[0].mean(dim=0)}),
    ]
    times: dict[str, list[float]] = {name: [] for name, _, _ in looks}
    for turn in range(repeats + 1):
        # each goes first in its turn: what a shared machine does to one it does to all
        first = turn % len(looks)
        for name, network, wishes in (*looks[first:], *looks[:first]):
            with captured(network, wishes), torch.inference_mode():
                began = time.process_time()
                network(window)
                if turn:
                    times[name].append(time.process_time() - began)
    return [
        {
            "what": f"one window, looked into: {name}",
            "median_s": round(statistics.median(values), 4),
            "lowest_s": round(min(values), 4),
            "times_never": round(
                statistics.median(
                    ours / base for ours, base in zip(values, times["never"], strict=True)
                ),
                4,
            ),
        }
        for name, values in times.items()
    ]


def memory(
    size: int, slices: int, folder: Path, views: Sequence[str] = VIEWS, overlap: float = 0.25
) -> Iterator[Row]:
    """Take whole-volume views of small networks at full resolution."""
    volume = _volume(size, slices)
    prepared_mb = volume.array.size * np.dtype(np.float32).itemsize / 1e6
    for view in views:
        checkpoint = _small_network(folder, NETWORK_OF[view])
        options = ExplainOptions(
            view=view,
            organ=1 if view == "influence" else None,
            place="down2.0" if view in OF_A_BLOCK else None,
            direction="token-to-map" if view == "winning-token" else "map-to-token",
            device="cpu",
            overlap=overlap,
        )
        seconds, grown = _grown(explain(volume, checkpoint, options), prepared_mb)
        what = " of one block (72 tokens)" if view in OF_A_BLOCK else ""
        yield {
            "what": f"{view}{what}, {size}x{size}x{slices}, {CLASSES} classes",
            "seconds": round(seconds, 1),
            "peak_growth_mb": grown,
            "within_1_gb": None if grown is None else grown <= LIMIT_MB,
        }


def run(size: int = 512, slices: int = 300, repeats: int = 40) -> list[Row]:
    """Give every row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        return [*idle(repeats), *memory(size, slices, Path(folder))]


def _grown(events: Iterator[Event], prepared_mb: float) -> tuple[float, float | None]:
    began = time.monotonic()
    before: float | None = None
    is_prepared = False
    for event in events:
        if isinstance(event, Progress) and event.stage == "Preparing":
            before = _status("VmRSS")
        elif isinstance(event, Progress) and not is_prepared:
            is_prepared = True
            _reset_peak()
        if isinstance(event, Result):
            break
    peak = _status("VmHWM")
    seconds = time.monotonic() - began
    is_known = before is not None and peak is not None and CLEAR.exists()
    return seconds, round(peak - before - prepared_mb) if is_known else None


def _reset_peak() -> None:
    if CLEAR.exists():
        CLEAR.write_text("5")


def _status(name: str) -> float | None:
    """Give one of the process's sizes, in MB."""
    if not STATUS.exists():
        return None
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024 / 1e6


def _small_network(folder: Path, architecture: str) -> Checkpoint:
    config = SMALL[architecture]
    card = ModelCard(
        name="small",
        architecture=architecture,
        config=config,
        labels=LabelScheme.from_names({n: f"organ {n}" for n in range(1, CLASSES)}),
        windows=WINDOWS.get(architecture, WindowDefaults(size=(32, 128, 128))),
    )
    torch.manual_seed(0)
    network = create_network(architecture, 1, CLASSES, **config)
    path = folder / f"small-{architecture}.safetensors"
    return save_checkpoint(path, network.state_dict(), card)


def _volume(size: int, slices: int) -> Volume:
    random = np.random.default_rng(0)
    array = random.integers(-1000, 1000, (1, slices, size, size), dtype=np.int16)
    grid = Geometry((size, size, slices), (0.8, 0.8, 1.0), (0, 0, 0), tuple(np.eye(3).ravel()))
    return Volume(grid, grid, array, "noise")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, nargs=2, default=(512, 300))
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--views", nargs="+", choices=VIEWS, help="these memory rows alone")
    parser.add_argument("--overlap", type=float, default=0.25, help="0 takes a third of the time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        views = arguments.views or VIEWS
        rows = memory(*arguments.size, Path(folder), views, arguments.overlap)
        for row in rows if arguments.views else chain(idle(arguments.repeats), rows):
            print("  ".join(f"{key}: {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
