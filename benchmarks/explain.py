"""What explanations cost: nothing when nobody looks, and how much memory when somebody does.

    python benchmarks/explain.py                 # all rows; about 10 minutes on two cores
    python benchmarks/explain.py --size 256 150  # a smaller volume for the memory rows

Idle: the same network runs the same window, in turn, as it was built and after it was looked into
and let go; medians of many runs, and their ratio. Memory: how far the process's peak grows from
the first window of a whole-volume view to its result, over what it held before (Linux only): the
prepared volume is not in it, the network's own activations are.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_hybridseg.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from napari_hybridseg.events import Event, Progress, Result
from napari_hybridseg.explain import ExplainOptions, explain
from napari_hybridseg.explain.capture import as_is, captured
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.model_card import ModelCard, WindowDefaults
from napari_hybridseg.networks import create_network
from napari_hybridseg.volume import Volume

ROOT = Path(__file__).resolve().parents[1]
CHECKPOINT = ROOT / "sample_data" / "checkpoints" / "hippocampus-medformer-3d.safetensors"
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
BLOCK = "encoder.1.attention.0.attention.token_to_map"

Row = dict[str, Any]


def idle(repeats: int) -> list[Row]:
    """Compare a network that was never looked into with one that was, and with one that is."""
    checkpoint = load_checkpoint(CHECKPOINT)
    window = torch.randn(1, 1, *checkpoint.card.windows.size)
    fresh = checkpoint.build_network()
    used = copy.deepcopy(fresh)
    with captured(used, {BLOCK: as_is}), torch.inference_mode():
        used(window)
    times: dict[str, list[float]] = {"never": [], "before": [], "now": []}
    for turn in range(repeats + 1):
        for name, network, wishes in (
            ("never", fresh, {}),
            ("before", used, {}),
            ("now", used, {BLOCK: lambda output: output[0].mean(dim=0)}),
        ):
            with captured(network, wishes), torch.inference_mode():
                began = time.process_time()
                network(window)
                if turn:
                    times[name].append(time.process_time() - began)
    base = statistics.median(times["never"])
    return [
        {
            "what": f"one window, looked into: {name}",
            "median_s": round(statistics.median(values), 4),
            "lowest_s": round(min(values), 4),
            "times_never": round(statistics.median(values) / base, 4),
        }
        for name, values in times.items()
    ]


def memory(size: int, slices: int, folder: Path) -> list[Row]:
    """Take whole-volume views of one block of a small network at full resolution."""
    checkpoint = _small_network(folder)
    volume = _volume(size, slices)
    rows = []
    for view, direction in (("token-map", "map-to-token"), ("winning-token", "token-to-map")):
        options = ExplainOptions(
            view=view, place="down2.0", direction=direction, device="cpu", overlap=0.25
        )
        seconds, grown = _grown(explain(volume, checkpoint, options))
        rows.append(
            {
                "what": f"{view} of one block (72 tokens), {size}x{size}x{slices}",
                "seconds": round(seconds, 1),
                "peak_growth_mb": grown,
            }
        )
    return rows


def run(size: int = 512, slices: int = 300, repeats: int = 40) -> list[Row]:
    """Give every row of the table."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return [*idle(repeats), *memory(size, slices, Path(folder))]


def _grown(events: Iterator[Event]) -> tuple[float, float | None]:
    before: int | None = None
    began = time.monotonic()
    for event in events:
        if before is None and isinstance(event, Progress) and event.stage != "Preparing":
            before = _reset_peak()
        if isinstance(event, Result):
            break
    peak = _status("VmHWM")
    seconds = time.monotonic() - began
    return seconds, None if before is None or peak is None else round((peak - before) / 1024)


def _reset_peak() -> int | None:
    if not CLEAR.exists():
        return None
    CLEAR.write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int | None:
    if not STATUS.exists():
        return None
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])


def _small_network(folder: Path) -> Checkpoint:
    config = {
        "base_channels": 4,
        "attention_blocks": (0, 1, 0, 0, 0, 0, 0, 0),
        "conv_blocks": (0, 0, 0, 0, 0, 0, 0, 0),
        "heads": (1, 2, 2, 2, 2, 2, 1, 1),
        "expansion": 1,
        "fusion_dim": 16,
        "fusion_heads": 2,
    }
    from napari_hybridseg.labels import LabelScheme

    card = ModelCard(
        name="small",
        architecture="utnetv2-3d",
        config=config,
        labels=LabelScheme.from_names({1: "organ"}),
        windows=WindowDefaults(size=(32, 128, 128)),
    )
    torch.manual_seed(0)
    network = create_network("utnetv2-3d", 1, 2, **config)
    return save_checkpoint(folder / "small.safetensors", network.state_dict(), card)


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
    arguments = parser.parse_args()
    for row in run(*arguments.size, arguments.repeats):
        print("  ".join(f"{key}: {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
