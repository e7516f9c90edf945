"""``hybridseg bench``: what is claimed, measured on the machine at hand."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from napari_hybridseg.cli.console import JsonOption
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.resources import benchmarks_folder


class BenchError(HybridSegError):
    """Benchmarks that cannot be run."""


def bench(
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help="One benchmark; may be given several times."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small sizes and few rounds: minutes, for a look.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="The page to write; benchmarks/RESULTS.md otherwise."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the benchmarks beside their peers and write benchmarks/RESULTS.md."""
    folder = benchmarks_folder()
    if folder is None:
        raise BenchError(
            "The benchmarks come with the source checkout, in its folder benchmarks, and not with "
            "the installed package: install the checkout with pip install -e '.[bench]'."
        )
    command = [sys.executable, str(folder / "run_all.py")]
    for name in only or ():
        command += ["--only", name]
    if out is not None:
        command += ["--out", str(out)]
    command += ["--quick"] * quick + ["--json"] * as_json
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    # ended from outside, it takes the benchmarks along
    before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        printed, _ = process.communicate()
    finally:
        signal.signal(signal.SIGTERM, before)
    typer.echo(printed, nl=False)
    raise typer.Exit(process.returncode)
