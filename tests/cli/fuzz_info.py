"""Describe damaged files through the command line, in a process with little memory.

``python fuzz_info.py COUNT SEED KIND...`` writes what went wrong as a line of JSON for each kind.
A process of its own, because a hang, a crash of a library and a limit on memory would take pytest
with them.
"""

from __future__ import annotations

import faulthandler
import io
import json
import random
import resource
import sys
import tempfile
import time
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "formats"))

from cli_support import Ran, hybridseg
from fuzz_cases import CASES, Case
from mutations import CUTS, DICOM_MUTATIONS, MUTATIONS

from napari_hybridseg.cli.info import info
from napari_hybridseg.formats import StoredImage, read_image

MOST_SECONDS = 10
MOST_BYTES = 2 << 30
_OF_THE_FILE = ("file", "problems")
_NOTE = "  note "


@dataclass(frozen=True)
class Truth:
    """What is said of the whole file, as JSON and as text, and what is in it."""

    entry: dict[str, Any]
    text: list[str]
    image: StoredImage


def main(count: int, seed: int, kinds: list[str]) -> None:
    """Damage one file of each kind ``count`` times; say what happened, a line for each kind."""
    warnings.simplefilter("error")
    for kind in kinds:
        print(json.dumps({"kind": kind} | fuzz(kind, count, seed)), flush=True)  # noqa: T201


def fuzz(kind: str, count: int, seed: int) -> dict[str, Any]:
    """Damage one file ``count`` times and have each described."""
    is_dicom = kind.startswith(("DICOM", "RT"))
    mutations = DICOM_MUTATIONS if is_dicom else MUTATIONS
    rng = random.Random(f"{kind} {seed}")
    wrong: list[str] = []
    opened, slowest = 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        # The scan of a segmentation is looked for in the folders around it.
        place = Path(folder) / "study" / "series"
        place.mkdir(parents=True)
        case = CASES[kind](place)
        truth = _truth(case.described)
        _limit_memory()
        for index in range(count):
            mutation = mutations[index % len(mutations)]
            target, head = rng.choice(case.damaged)
            raw = target.read_bytes()
            mutant = mutation(raw, rng, head)
            target.write_bytes(mutant)
            ran, seconds = _timed(
                case,
                as_text=rng.random() < 0.25,
                resample=rng.random() < 0.25,
                is_whole=index % 50 == 0,
            )
            said = _wrong(ran)
            if not said and ran.code == 0 and (mutation in CUTS or case.is_checked):
                said = _untruth(ran, case.described, truth)
            if said:
                wrong.append(f"{index} {mutation.__name__} {target.name}: {said}")
            opened += ran.code == 0
            slowest = max(slowest, seconds)
            target.write_bytes(raw)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return {"opened": opened, "refused": count - opened, "slowest_s": round(slowest, 2),
            "peak_mb": peak, "wrong": wrong}  # fmt: skip


def _truth(path: Path) -> Truth:
    entry = _entry(hybridseg("info", path, "--json"))
    return Truth(entry, _lines(hybridseg("info", path)), read_image(path))


def _timed(case: Case, *, as_text: bool, resample: bool, is_whole: bool) -> tuple[Ran, float]:
    """Run the command; a hang ends the process, with the place where it hung on stderr.

    The parser of the command line takes ten times as long as the command, so it takes part in one
    run of fifty.
    """
    faulthandler.dump_traceback_later(MOST_SECONDS, exit=True)
    started = time.perf_counter()
    try:
        # What escapes from the command would be a traceback in the console: it ends this process.
        if is_whole:
            options = ["--resample"] * resample + ["--json"] * (not as_text)
            ran = hybridseg("info", case.described, *options)
        else:
            ran = _info(case.described, resample=resample, as_json=not as_text)
    finally:
        faulthandler.cancel_dump_traceback_later()
    return ran, time.perf_counter() - started


def _info(path: Path, *, resample: bool, as_json: bool) -> Ran:
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            info([path], resample=resample, as_json=as_json)
        except typer.Exit as end:
            code = end.exit_code
    return Ran(code, out.getvalue(), err.getvalue())


def _wrong(ran: Ran) -> str:
    """Say what is wrong with an answer; nothing if it is a description or one sentence."""
    if "Traceback" in ran.err + ran.out:
        return ran.err + ran.out
    if ran.code == 0:
        return "" if ran.out.strip() and not ran.err else f"opened and said {ran.err!r}"
    refusal = _refusal(ran)
    if not (refusal.endswith(".") and len(refusal.splitlines()) == 1 and len(refusal) < 2000):
        return f"no sentence: {refusal!r}"
    if ran.code != 1 or "does not fit into this computer's memory" in refusal:
        return f"code {ran.code}: {refusal}"
    return ""


def _untruth(ran: Ran, path: Path, truth: Truth) -> str:
    """Say how a description, or what was read, differs from the whole file's."""
    if ran.out.startswith("{") and _entry(ran) != truth.entry:
        return f"opened, and is not what it was: {_entry(ran)}"
    if not ran.out.startswith("{") and _lines(ran) != truth.text:
        return f"opened, and is not what it was: {_lines(ran)}"
    image = read_image(path)
    if not np.array_equal(image.array, truth.image.array):
        return "opened with other voxels"
    if image.geometry != truth.image.geometry or image.scheme != truth.image.scheme:
        return f"opened with other geometry or labels: {image.geometry} {image.scheme}"
    return ""


def _entry(ran: Ran) -> dict[str, Any]:
    """Give what was said of the image in itself."""
    (entry,) = ran.json["files"]
    return {key: value for key, value in entry.items() if key not in _OF_THE_FILE}


def _lines(ran: Ran) -> list[str]:
    return [line for line in ran.out.splitlines() if not line.startswith(_NOTE)]


def _refusal(ran: Ran) -> str:
    if ran.out.startswith("{"):
        (failure,) = ran.json["failed"]
        return str(failure["error"])
    return ran.err.strip()


def _limit_memory() -> None:
    """Let this process have 2 GB more than it has taken for its libraries."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] or list(CASES))
