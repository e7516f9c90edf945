"""Run in a process of its own: forks children that accept or autosave, and kills them anywhere.

    python killed.py accept|autosave|both FOLDER TIMES SEED

Prints one JSON line for each kill: what the child had been told was done, and what is there.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from correction_support import SCHEME, correction, verified
from helpers import grid
from numpy.typing import NDArray

from napari_hybridseg.corrections import CorrectionSet
from napari_hybridseg.corrections.accepting import accept
from napari_hybridseg.corrections.identity import volume_sha256
from napari_hybridseg.corrections.journal import Journal, JournalHead
from napari_hybridseg.corrections.recovery import list_recoverable

SHAPE = (40, 24, 24)
BITS = 16


def accept_forever(folder: Path, told: int) -> None:
    """Accept case after case; tell each once it is in."""
    number = 0
    while True:
        given = correction(number % 3)
        given.label.array[0, 0, 0] = number % 2
        case = accept(folder, given)
        os.write(told, f"{case.name} {case.sha256}\n".encode())
        number += 1


def save_forever(folder: Path, told: int) -> None:
    """Paint strokes that say their own number; tell each once it is saved."""
    geometry = grid(SHAPE)
    head = JournalHead(volume_sha256="0" * 64, geometry=geometry, source=geometry, scheme=SCHEME)
    working = np.zeros(SHAPE, np.uint16)
    journal = Journal(folder, head, working)
    stroke = 0
    while True:
        stroke += 1
        working[:] = stroke
        journal.save(working)
        os.write(told, f"{stroke}\n".encode())


def work_forever(folder: Path, told: int) -> None:
    """Paint and save stroke after stroke, accept after every third and begin anew, as a user does.

    The label map holds the number of the stroke, in binary.
    """
    stroke, given = 0, correction(0)
    head = JournalHead(
        volume_sha256=volume_sha256(given.volume),
        geometry=given.volume.geometry,
        source=given.volume.source,
        scheme=SCHEME,
    )
    while True:
        working = np.zeros_like(given.label.array)
        journal = Journal(folder / "journals", head, working)
        for _ in range(3):
            stroke += 1
            write_number(working, stroke)
            journal.save(working)
            os.write(told, f"saved {stroke}\n".encode())
        label = replace(given.label, array=working)
        accept(folder / "set", replace(given, label=label))
        os.write(told, f"accepted {stroke}\n".encode())
        journal.discard()


def write_number(labels: NDArray[np.unsignedinteger], number: int) -> None:
    labels.reshape(-1)[:BITS] = [3 if number >> bit & 1 else 1 for bit in range(BITS)]


def read_number(labels: NDArray[np.unsignedinteger]) -> int:
    return sum(1 << bit for bit, label in enumerate(labels.reshape(-1)[:BITS]) if label == 3)


def kill_one(
    work: Callable[[Path, int], None], folder: Path, told_lines: int, then_s: float
) -> list[str]:
    """Fork, wait for so many lines and so long, kill -9; give the lines that the child told.

    Lines are waited for, not only time, because a machine under load may need any time for one.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        try:
            work(folder, write)
        finally:
            os._exit(3)
    os.close(write)
    with os.fdopen(read) as lines:
        told = [lines.readline() for _ in range(told_lines)]
        time.sleep(then_s)
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status), "the child ended by itself"
        told.extend(lines)
    return [line.rstrip("\n") for line in told if line.endswith("\n")]


def after_accept(folder: Path, told: list[str]) -> dict[str, Any]:
    """Say what is in the set."""
    if not (folder / "corrections.json").exists():
        return {"ok": not told, "lost": [], "problems": []}
    report = verified(folder)
    there = {f"{case.name} {case.sha256}" for case in CorrectionSet.open(folder).cases}
    newest = {line.split()[0]: line for line in told}
    # the last one told may have been accepted once more before the kill, untold
    names = {line.split()[0] for line in there}
    lost = [name for name in newest if name not in names]
    exact = sum(line in there for line in newest.values())
    return {
        "ok": report.ok and not lost and exact >= len(newest) - 1,
        "lost": lost,
        "problems": report.problems,
    }


def after_autosave(folder: Path, told: list[str]) -> dict[str, Any]:
    """Say what can be offered back."""
    entries = list_recoverable(folder)
    last = int(told[-1]) if told else 0
    if not entries:
        return {"ok": last == 0, "last": last, "found": None}
    (entry,) = entries
    array = entry.load().label.array
    values = np.unique(array).tolist()
    entry.discard()
    return {"ok": len(values) == 1 and last <= values[0] <= last + 1, "last": last, "found": values}


def after_both(folder: Path, told: list[str]) -> dict[str, Any]:
    """Say whether the last stroke is in the set or can be offered back."""
    last = {"saved": 0, "accepted": 0}
    for line in told:
        what, number = line.split()
        last[what] = int(number)
    kept, there, problems = 0, 0, ()
    if (folder / "set" / "corrections.json").exists():
        problems = verified(folder / "set").problems
        for case in CorrectionSet.open(folder / "set").cases:
            there = read_number(case.load_label().array)
    for entry in list_recoverable(folder / "journals"):
        kept = max(kept, read_number(entry.load().label.array))
        entry.discard()
    shutil.rmtree(folder / "set", ignore_errors=True)
    ok = not problems and max(kept, there) >= last["saved"] and there >= last["accepted"]
    return {"ok": ok, "last": last, "kept": kept, "in the set": there, "problems": problems}


def seconds_of_an_accept(folder: Path) -> float:
    """Measure one on this disk, once everything is imported."""
    aside = folder.with_name("aside")
    accept(aside, correction(0))
    began = time.monotonic()
    accept(aside, correction(1))
    return time.monotonic() - began


def main() -> None:
    """Kill as often as asked."""
    what, folder, times, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    # what to do, what to look at, and after how many lines at most it is killed
    work, look, most_lines = {
        "accept": (accept_forever, after_accept, 2),
        "autosave": (save_forever, after_autosave, 20),
        "both": (work_forever, after_both, 6),
    }[what]
    folder.mkdir(parents=True, exist_ok=True)
    longest = 0.01 if what == "autosave" else seconds_of_an_accept(folder)
    moments = random.Random(seed)
    for kill in range(times):
        lines = kill % (most_lines + 1)
        told = kill_one(work, folder, lines, moments.uniform(0.0, longest))
        sys.stdout.write(json.dumps(look(folder, told) | {"told": len(told)}) + "\n")
        if what == "autosave":
            for leftover in folder.iterdir():
                for path in leftover.iterdir():
                    path.unlink()
                leftover.rmdir()


if __name__ == "__main__":
    main()
