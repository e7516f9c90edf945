"""What is told of a file once, when it is opened."""

from __future__ import annotations

from collections.abc import Sequence

from napari.utils.notifications import show_info


def tell_notes(name: str, notes: Sequence[str]) -> None:
    """Show what was odd about a label map: the panel's line of notes is for volumes."""
    text = " ".join(notes)
    if text:
        show_info(text if name in text else f"{name}: {text}")
