"""The command line: everything that a face does, headless."""

from napari_hybridseg.cli.app import main

__all__ = ["main"]
