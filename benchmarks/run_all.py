"""Run the benchmarks one after another, each in its own process, and write RESULTS.md.

    python benchmarks/run_all.py --quick
    python benchmarks/run_all.py --only metrics --only smoothness
    hybridseg bench                             # the same

RESULTS.md is written after every benchmark, so that a run that is stopped leaves what it has.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from entries import ENTRIES
from machine import describe, load, usable_cores, warning_of
from results import Outcome, Report

from napari_hybridseg.atomic import write_text

FOLDER = Path(__file__).resolve().parent
QUICK_MINUTES, FULL_MINUTES = 10.0, 90.0


def run_one(name: str, about: str, command: Sequence[str], limit_s: float) -> Outcome:
    """Run one benchmark in a process of its own and take its rows, whatever becomes of it."""
    began = time.monotonic()
    rows, odd = [], []
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=said, text=True, start_new_session=True
        )
        late = threading.Timer(limit_s, end, (process,))
        late.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                try:
                    rows.append(json.loads(line))
                except json.JSONDecodeError:
                    odd.append(line)
            code = process.wait()
        except BaseException:
            end(process)
            raise
        finally:
            is_late = not late.is_alive()
            late.cancel()
        said.seek(0)
        last = next((line for line in reversed(said.read().splitlines()) if line.strip()), "")
    failure = ""
    if is_late:
        failure = f"it took longer than {limit_s / 60:.0f} minutes and was ended"
    elif code != 0:
        failure = last.strip() or f"it ended with code {code}"
    elif odd:
        failure = f"it printed what is no row: {odd[0].strip()}"
    return Outcome(name, about, rows, time.monotonic() - began, failure)


def end(process: subprocess.Popen[str]) -> None:
    """End a benchmark and what it started."""
    if process.poll() is not None:
        return
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def run_all(names: Sequence[str], *, quick: bool, out: Path) -> Report:
    """Run these benchmarks and write the page after each."""
    warning = warning_of(load(), usable_cores())
    machine = describe()
    has_gpu = machine["GPU"] != "none"
    minutes = QUICK_MINUTES if quick else FULL_MINUTES
    outcomes: list[Outcome] = []
    for name in names:
        print(f"{ENTRIES[name].about} ({name}) ...", file=sys.stderr, flush=True)
        command = [sys.executable, str(FOLDER / "entries.py"), name, *(["--quick"] * quick)]
        outcome = run_one(name, ENTRIES[name].about, command, minutes * 60)
        outcomes.append(outcome)
        told = f"failed: {outcome.failure}" if outcome.failure else f"{len(outcome.rows)} rows"
        print(f"    {told}, {outcome.seconds:.0f} s", file=sys.stderr, flush=True)
        report = Report(machine, warning, has_gpu, quick, tuple(outcomes))
        write_text(out, report.markdown(), overwrite=True)
    return report


def main() -> None:
    """Read the options, run, and print the claims or everything as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=ENTRIES, metavar="NAME", default=[])
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, default=FOLDER / "RESULTS.md")
    options = parser.parse_args()
    always = [name for name, entry in ENTRIES.items() if not entry.only_named]
    names = [name for name in ENTRIES if name in (options.only or always)]
    # what is running is ended with this process; see ``run_one``
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    report = run_all(names, quick=options.quick, out=options.out)
    if options.json:
        print(json.dumps(report.as_json()))
        return
    asked = [verdict for verdict in report.verdicts if verdict.claim.benchmark in names]
    for verdict in asked:
        number, target = verdict.number, verdict.claim.target
        measured = "" if number is None else f": {target.worded(number)}"
        word, _, why = verdict.told.replace("*", "").partition(": ")
        told = f"{verdict.claim.title}{measured} ({target})"
        print(f"{word:>12}  {told}{': ' + why if why else ''}")
    print(f"\n{options.out}")


if __name__ == "__main__":
    main()
