"""A run's state on disk, so that it can go on after it was stopped or killed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from napari_hybridseg.atomic import atomic_path
from napari_hybridseg.errors import UNREADABLE_PICKLE, HybridSegError


class StateError(HybridSegError):
    """A saved state that does not belong to the run."""


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a run's state, replacing the last one.

    Raises
    ------
    WriteError
        If the disk refuses.
    """
    # not straight into the file: torch reports a full disk as an error of its own
    content = io.BytesIO()
    torch.save(state, content)
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_state(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """Read the state of the run with this fingerprint; None if there is no such file.

    Raises
    ------
    StateError
        If the file is damaged, or of a run with other options or data.
    """
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        saved = state["fingerprint"]
    except UNREADABLE_PICKLE as error:
        raise StateError(f"{path} is damaged; delete it to start over.") from error
    if saved != fingerprint:
        raise StateError(
            f"{path} is of a run with other options or data; delete it or choose another output."
        )
    return state
