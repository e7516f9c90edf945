"""Segment a 3D scan, check it, correct it, and teach the model from the correction."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("napari-hybridseg")
except PackageNotFoundError:  # run from a source tree that was not installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
