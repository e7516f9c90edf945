"""From a volume and a checkpoint to a label map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_hybridseg.inference.options import SegmentOptions

if TYPE_CHECKING:
    from napari_hybridseg.inference.segmenting import segment

__all__ = ["SegmentOptions", "segment"]


def __getattr__(name: str) -> Any:
    """Import ``segment``, and torch with it, only when it is asked for."""
    if name == "segment":
        from napari_hybridseg.inference.segmenting import segment

        return segment
    raise AttributeError(name)
