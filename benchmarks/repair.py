"""How long a repair takes by the clock, as the viewer has it done: from the strokes to new labels.

    python benchmarks/repair.py                       # 512x512x300
    python benchmarks/repair.py --size 512 512 512
    python benchmarks/repair.py --rounds 9 --json

The engine's own process segments the torso sample, made finer, with the shipped checkpoint. Then
comes what the Correct section asks for: to get ready when the correction is opened, to get ready
for the region once strokes were drawn, and the repair of a region of 128x128x128 voxels. Everything
between the question and the answer counts: handing the volume over, the process, the solver, the
way back. The first repair is the one that a user waits for first; later ones have other strokes and
a region a little farther on, for which the engine gets ready again, as it does in the viewer. The
last row is a repair by a new engine that had no time at all to get ready: it starts, loads the
network and asks it, as nobody sees it who draws for some seconds.

Wall time is that of the question; CPU time is that of the engine and of this process together.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from machine import load
from numpy.typing import NDArray
from scipy import ndimage

from napari_hybridseg.corrections.assist.options import RepairOptions
from napari_hybridseg.corrections.assist.strokes import Strokes
from napari_hybridseg.corrections.boxes import Box, Change, start_of
from napari_hybridseg.engine import EngineClient
from napari_hybridseg.engine.jobs import Job, ReadyJob, Region, RepairJob, SegmentJob
from napari_hybridseg.events import Result
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.inference import SegmentOptions
from napari_hybridseg.volume import LabelMap, Volume, load_volume

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "sample_data" / "volumes" / "torso_b.nrrd"
CHECKPOINT = ROOT / "sample_data" / "checkpoints" / "torso-utnetv2-3d.safetensors"
SIDE, SIZE, ROUNDS = 128, (512, 512, 300), 5
HAND_S = 1.0  # between two questions, in which the engine tidies up
_LONG, _WIDE = 24, 2  # a stroke, in voxels


@dataclass(frozen=True)
class Row:
    """One question to the engine.

    Attributes
    ----------
    what : str
        Which one.
    volume, region : str
        Voxels.
    wall_s, cpu_s : float or None
        By the clock, and what the processes computed (Linux).
    changed : int
        Voxels that the repair changed.
    load : float or None
        Processes that wanted a core, over the last minute.
    """

    what: str
    volume: str
    region: str
    wall_s: float
    cpu_s: float | None
    changed: int
    load: float | None


def finer(volume: Volume, size: tuple[int, int, int]) -> Volume:
    """Give the same scan with more voxels, size (x, y, z)."""
    grid = volume.geometry
    zoom = [new / old for new, old in zip(size[::-1], grid.shape, strict=True)]
    array = ndimage.zoom(volume.array[0], zoom, order=1)[None]
    spacing = tuple(s * n / m for s, n, m in zip(grid.spacing, grid.size, size, strict=True))
    there = Geometry(size, spacing, grid.origin, grid.direction)  # type: ignore[arg-type]
    return dataclasses.replace(volume, array=array, geometry=there, source=there)


class Bench:
    """One engine, one volume and what the network said of it.

    Parameters
    ----------
    client : EngineClient
    volume : Volume
    """

    def __init__(self, client: EngineClient, volume: Volume) -> None:
        self.client = client
        self.volume = volume
        self.row = Row("", _by(volume.geometry.size), "-", 0.0, None, 0, None)

    def ask(self, what: str, job: Job, region: Box | None = None) -> tuple[Row, Any]:
        """Ask the engine, and take the time."""
        time.sleep(HAND_S)
        used, began = self._cpu_s(), time.perf_counter()
        *_, last = self.client.run(job)
        wall = time.perf_counter() - began
        now = self._cpu_s()
        assert isinstance(last, Result)
        changed = last.value.voxels if isinstance(last.value, Change) else 0
        row = dataclasses.replace(
            self.row,
            what=what,
            region="-" if region is None else _by([p.stop - p.start for p in region][::-1]),
            wall_s=wall,
            cpu_s=None if now is None or used is None else now - used,
            changed=changed,
            load=load(),
        )
        return row, last.value

    def _cpu_s(self) -> float | None:
        """Give the CPU time so far of the engine's process and this one."""
        status = Path(f"/proc/{self.client.pid}/stat")
        own = sum(os.times()[:2])
        if self.client.pid is None:
            return own
        if not status.is_file():
            return None
        fields = status.read_text().rpartition(")")[2].split()
        return own + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def strokes_at(
    labels: NDArray[Any], spacing: tuple[float, float, float], shift: int
) -> tuple[Strokes, Box]:
    """Draw two strokes in opposite corners, so that the region around them has 128 voxels a side.

    One says that what the network took for the commonest organ is none, the other that what it took
    for something else is that organ.
    """
    options = RepairOptions()
    organ = int(np.bincount(labels.ravel())[1:].argmax()) + 1
    margin = [int(np.ceil(options.margin_mm / edge)) for edge in spacing]
    middle = np.argwhere(labels[::4, ::4, ::4] == organ).mean(axis=0) * 4
    start = np.clip(middle - SIDE // 2, 0, np.array(labels.shape) - SIDE - 20).astype(int) + shift
    low, high = start + margin, start + SIDE - np.array(margin)
    drawn = np.zeros(labels.shape, bool)
    drawn[low[0], low[1] : low[1] + _WIDE, low[2] : low[2] + _LONG] = True
    drawn[high[0] - 1, high[1] - _WIDE : high[1], high[2] - _LONG : high[2]] = True
    voxels = np.argwhere(drawn)
    is_organ = labels[tuple(voxels.T)] == organ
    strokes = Strokes.join([(voxels[is_organ], organ, True), (voxels[~is_organ], organ, False)])
    return strokes, options.region(strokes, labels.shape, spacing)


def repair_of(found: LabelMap, volume: Volume, said: Strokes, fresh: Strokes, box: Box) -> Job:
    """Give the job that the viewer makes of strokes."""
    return RepairJob(
        volume=volume,
        checkpoint=CHECKPOINT,
        start=start_of(box),
        labels=np.ascontiguousarray(found.array[box]),
        strokes=said,
        fresh=fresh,
        scheme=found.scheme,
    )


def run(size: tuple[int, int, int] = SIZE, rounds: int = ROUNDS) -> Iterator[Row]:
    """Measure; see the module."""
    volume = finer(load_volume(SAMPLE), size)
    with EngineClient() as client:
        bench = Bench(client, volume)
        segment = SegmentJob(
            volume=volume, checkpoint=CHECKPOINT, options=SegmentOptions(device="cpu")
        )
        row, found = bench.ask("segment", segment)
        yield row
        yield bench.ask("get ready: opened", ReadyJob(volume=volume, checkpoint=CHECKPOINT))[0]
        drawn: list[Strokes] = []
        for number in range(rounds):
            strokes, box = strokes_at(found.array, volume.geometry.spacing_zyx, 3 * number)
            drawn.append(strokes)
            which = "first" if number == 0 else "later"
            z, y, x = (part.stop - part.start for part in box)
            region = Region(start=start_of(box), shape=(z, y, x))
            ready = ReadyJob(volume=volume, checkpoint=CHECKPOINT, region=region)
            yield bench.ask(f"get ready: {which} strokes", ready, box)[0]
            repair = repair_of(found, volume, joined(drawn), strokes, box)
            row, change = bench.ask(f"{which} repair", repair, box)
            yield row
            change.apply(found.array)
    with EngineClient() as client:
        repair = repair_of(found, volume, strokes, strokes, box)
        yield Bench(client, volume).ask("repair in a new engine, not ready", repair, box)[0]


def joined(drawn: list[Strokes]) -> Strokes:
    """Put strokes together in the order of drawing."""
    names = (field.name for field in dataclasses.fields(Strokes))
    return Strokes(**{name: np.concatenate([getattr(s, name) for s in drawn]) for name in names})


def _by(lengths: Any) -> str:
    return "x".join(map(str, lengths))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=3, default=SIZE, metavar=("X", "Y", "Z"))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true", help="print one JSON line a question")
    asked = parser.parse_args()
    for row in run(tuple(asked.size), asked.rounds):
        if asked.json:
            print(json.dumps(dataclasses.asdict(row)), flush=True)
            continue
        cpu = "     -" if row.cpu_s is None else f"{row.cpu_s:6.2f}"
        about = f"{row.volume:>12} {row.region:>12} {row.changed:>8} voxels  load {row.load}"
        print(f"{row.what:36}{row.wall_s:7.2f} s  CPU {cpu} s {about}", flush=True)


if __name__ == "__main__":
    main()
