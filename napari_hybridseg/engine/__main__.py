"""``python -m napari_hybridseg.engine``: be the engine process."""

from __future__ import annotations

import argparse

from napari_hybridseg.before_torch import ask_for_large_pages
from napari_hybridseg.engine.worker import serve


def main() -> None:
    """Read the command line and serve."""
    ask_for_large_pages()
    parser = argparse.ArgumentParser(prog="napari_hybridseg.engine", description=__doc__)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 decides by itself")
    serve(parser.parse_args().threads)


if __name__ == "__main__":
    main()
