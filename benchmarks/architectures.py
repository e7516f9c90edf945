"""The architectures side by side: size, arithmetic, and what the shipped checkpoints reach.

    python benchmarks/architectures.py                     # both tables
    python benchmarks/architectures.py --json              # the same rows as JSON
    python benchmarks/architectures.py --checkpoints runs  # checkpoints of another folder
    python benchmarks/architectures.py --repeats 0         # without timing the networks

The first table builds every network at its paper's size without memory (torch's meta device) and
counts multiply-accumulates of convolutions and matrix products (GMAC, half of torch's FLOPs) for
one window of the paper's size. The second reads each checkpoint's card: what it scored on cases
that training never saw, and how long it was trained. It takes the CPU time of one window on one
thread, which other work on the machine changes little.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from napari_hybridseg.checkpoint import Checkpoint, load_checkpoint
from napari_hybridseg.inference.devices import cpu_threads
from napari_hybridseg.model_card import Evaluation
from napari_hybridseg.networks import (
    Architecture,
    ArchitectureError,
    architecture_names,
    get_architecture,
)
from napari_hybridseg.resources import checkpoints_in, shipped_checkpoints_folder

Window = tuple[int, ...]

ACDC, ACDC_3D, UXNET = (256, 256), (16, 192, 192), (96, 96, 96)
# the window that a paper counts with; networks of comparison tables have the table's
WINDOWS: Mapping[str, Window] = {
    "utnetv2-2d": ACDC,
    "utnetv2-3d": ACDC_3D,
    "medformer-2d": ACDC,
    "medformer-3d": ACDC_3D,
    "cotr": (48, 192, 192),
    "cotr-dagger": (48, 192, 192),
    "cotr-star": (48, 192, 192),
    "transfuse-s": (192, 256),
    "transfuse-l": (192, 256),
    "transfuse-l384": (384, 512),
    "transfuse-lstar": (192, 256),
}
# billions of multiply-accumulates that the papers state
PAPER_GMAC: Mapping[str, float] = {
    "utnetv2-2d": 15.5,
    "utnetv2-3d": 196.1,
    "uxnet-3d": 639.4,
}


@dataclass(frozen=True)
class NetworkRow:
    """One architecture at its paper's size; a number that cannot be had here is None."""

    name: str
    parameters_m: float | None
    paper_parameters_m: float | None
    window: Window | None
    gmac: float | None
    paper_gmac: float | None
    note: str


@dataclass(frozen=True)
class CheckpointRow:
    """One trained checkpoint, as its card tells, and the CPU time of one window.

    ``organs`` holds each organ's name, Dice and HD95 in millimetres.
    """

    name: str
    architecture: str
    data: str
    cases: int
    parameters_m: float
    window: Window
    gmac: float
    mean_dice: float | None
    mean_hd95_mm: float | None
    organs: tuple[tuple[str, float | None, float | None], ...]
    minutes: float | None
    seconds_per_window: float | None


def run(
    checkpoints: Path | None = None, repeats: int = 5
) -> tuple[list[NetworkRow], list[CheckpointRow]]:
    """Give all rows of both tables.

    Parameters
    ----------
    checkpoints : Path, optional
        A folder of checkpoints; without it those that are shipped.
    repeats : int
        How often a window is timed; 0 leaves the time out.
    """
    files = checkpoints_in(checkpoints or shipped_checkpoints_folder())
    return list(network_rows()), list(checkpoint_rows(files, repeats))


def network_rows() -> Iterator[NetworkRow]:
    """Give one row for every architecture that has a paper's size."""
    for name in architecture_names():
        if name != "ensemble":  # it is as large as its members
            yield network_row(name)


def network_row(name: str) -> NetworkRow:
    """Count one architecture at its paper's size."""
    try:
        architecture = get_architecture(name)
        network = _weightless(architecture)
    except ArchitectureError as error:
        return NetworkRow(name, None, None, None, None, None, str(error))
    window = WINDOWS.get(name, ACDC if architecture.spatial_dims == 2 else UXNET)
    return NetworkRow(
        name=name,
        parameters_m=_millions(network),
        paper_parameters_m=architecture.paper_parameters,
        window=window,
        gmac=gmac(network, architecture.paper_channels[0], window),
        paper_gmac=PAPER_GMAC.get(name),
        note=architecture.note,
    )


def gmac(network: nn.Module, in_channels: int, window: Window) -> float:
    """Count the multiply-accumulates of one window, in billions."""
    device = next(network.parameters()).device
    image = torch.empty(1, in_channels, *window, device=device)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network.eval()(image)
    return counter.get_total_flops() / 2e9


def _weightless(architecture: Architecture) -> nn.Module:
    """Build at the paper's size, without memory for the weights."""
    arguments = (*architecture.paper_channels, architecture.make_config())
    try:
        with torch.device("meta"):
            return architecture.build(*arguments)
    except RuntimeError:  # MONAI's SwinUNETR reads numbers while it is built
        return architecture.build(*arguments).to("meta")


def _millions(network: nn.Module) -> float:
    return sum(p.numel() for p in network.parameters()) / 1e6


def checkpoint_rows(files: Iterable[Path], repeats: int) -> Iterator[CheckpointRow]:
    """Give one row for each checkpoint, by data set and then the best first."""
    opened = [load_checkpoint(path) for path in files]
    for checkpoint in sorted(opened, key=_data_then_dice):
        yield _checkpoint_row(checkpoint, repeats)


def _data_then_dice(checkpoint: Checkpoint) -> tuple[str, float]:
    measured = _measured(checkpoint)
    return (measured.data, -measured.mean_dice) if measured else ("", 0.0)


def _measured(checkpoint: Checkpoint) -> Evaluation | None:
    return next(iter(checkpoint.card.evaluation), None)


def _checkpoint_row(checkpoint: Checkpoint, repeats: int) -> CheckpointRow:
    card, measured = checkpoint.card, _measured(checkpoint)
    network = checkpoint.build_network().eval()
    axis = card.windows.slice_axis
    window = tuple(n for i, n in enumerate(card.windows.size) if i != axis)
    return CheckpointRow(
        name=card.name,
        architecture=card.architecture,
        data=measured.data if measured else "",
        cases=measured.cases if measured else 0,
        parameters_m=_millions(network),
        window=window,
        gmac=gmac(network, card.in_channels, window),
        mean_dice=measured.mean_dice if measured else None,
        mean_hd95_mm=measured.mean_hd95_mm if measured else None,
        organs=tuple((o.name, o.dice, o.hd95_mm) for o in measured.organs) if measured else (),
        minutes=card.provenance.minutes,
        seconds_per_window=_seconds(network, card.in_channels, window, repeats),
    )


def _seconds(network: nn.Module, in_channels: int, window: Window, repeats: int) -> float | None:
    """Give the median CPU time of one window on one thread, after one that does not count."""
    if not repeats:
        return None
    image = torch.randn(1, in_channels, *window)
    times = []
    with torch.inference_mode(), cpu_threads(1):
        for _ in range(repeats + 1):
            begin = time.process_time()
            network(image)
            times.append(time.process_time() - begin)
    return statistics.median(times[1:])


def lines(networks: Iterable[NetworkRow], checkpoints: Iterable[CheckpointRow]) -> Iterator[str]:
    """Give both tables line by line."""
    yield "| architecture | M parameters | paper | window | GMAC | paper | note |"
    yield "|---|---|---|---|---|---|---|"
    for row in networks:
        yield _line(
            row.name,
            _text(row.parameters_m, 2),
            _text(row.paper_parameters_m, 2),
            _size(row.window),
            _text(row.gmac, 2),
            _text(row.paper_gmac, 1),
            row.note,
        )
    yield ""
    yield (
        "| checkpoint | architecture | held-out cases | M parameters | window | GMAC | Dice "
        "| HD95 mm | organs: Dice (HD95 mm) | training min | CPU ms a window |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for trained in checkpoints:
        seconds = trained.seconds_per_window
        yield _line(
            trained.name,
            trained.architecture,
            f"{trained.cases} of {trained.data}" if trained.cases else "-",
            _text(trained.parameters_m, 2),
            _size(trained.window),
            _text(trained.gmac, 2),
            _text(trained.mean_dice, 3),
            _text(trained.mean_hd95_mm, 2),
            ", ".join(f"{n} {_text(d, 3)} ({_text(h, 2)})" for n, d, h in trained.organs),
            _text(trained.minutes, 1),
            _text(seconds and seconds * 1000, 0),
        )


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _text(number: float | None, digits: int) -> str:
    return "-" if number is None else f"{number:.{digits}f}"


def _size(window: Window | None) -> str:
    return "x".join(map(str, window)) if window else "-"


def main() -> None:
    """Read the options and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoints", type=Path, help="a folder; the shipped ones otherwise")
    parser.add_argument("--repeats", type=int, default=5, help="timings of a window; 0 for none")
    parser.add_argument("--json", action="store_true", help="rows as JSON instead of tables")
    options = parser.parse_args()
    networks, checkpoints = run(options.checkpoints, options.repeats)
    if options.json:
        rows = {"networks": networks, "checkpoints": checkpoints}
        print(json.dumps({kind: [asdict(row) for row in found] for kind, found in rows.items()}))
        return
    for line in lines(networks, checkpoints):
        print(line)


if __name__ == "__main__":
    main()
