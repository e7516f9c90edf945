"""``hybridseg worker``: the engine process that the faces talk to."""

from __future__ import annotations

from typing import Annotated

import typer


def worker(
    threads: Annotated[int, typer.Option(help="CPU threads; 0 decides by itself.", min=0)] = 0,
) -> None:
    """Serve jobs as JSON lines over stdin and stdout, until stdin closes."""
    from napari_hybridseg.engine.worker import serve

    serve(threads)
