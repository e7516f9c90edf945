"""The ``hybridseg`` command and its subcommands."""

from __future__ import annotations

import sys

import typer

from napari_hybridseg import __version__
from napari_hybridseg.before_torch import ask_for_large_pages
from napari_hybridseg.cli.architectures import architectures
from napari_hybridseg.cli.bench import bench
from napari_hybridseg.cli.checkpoints import checkpoints_app
from napari_hybridseg.cli.checkpoints_import import import_file
from napari_hybridseg.cli.corrections import corrections_app
from napari_hybridseg.cli.explain import explain
from napari_hybridseg.cli.finetune import finetune
from napari_hybridseg.cli.info import info
from napari_hybridseg.cli.older_typer import read_annotations
from napari_hybridseg.cli.score import score
from napari_hybridseg.cli.segment import segment
from napari_hybridseg.cli.train import train
from napari_hybridseg.cli.worker import worker
from napari_hybridseg.engine.failures import sentence_for
from napari_hybridseg.errors import HybridSegError

app = typer.Typer(
    name="hybridseg",
    help="Segment 3D scans, score them, and train the networks that do it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(info)
app.command()(architectures)
checkpoints_app.command("import")(import_file)
app.add_typer(checkpoints_app, name="checkpoints")
app.add_typer(corrections_app, name="corrections")
app.command()(segment)
app.command()(explain)
app.command()(score)
app.command()(train)
app.command()(finetune)
app.command()(bench)
app.command(hidden=True)(worker)
if sys.version_info < (3, 10):
    read_annotations(app)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _top(
    version: bool = typer.Option(
        False, "--version", callback=_say_version, is_eager=True, help="Say the version."
    ),
) -> None:
    pass


def main() -> None:
    """Run the command line; a failure is one sentence on stderr and exit code 1."""
    ask_for_large_pages()
    try:
        app()
    except (HybridSegError, MemoryError, RuntimeError) as error:
        typer.echo(sentence_for(error), err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("Stopped.", err=True)
        sys.exit(130)
