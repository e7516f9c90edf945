"""One correction under way: its arrays, what was edited, and its autosave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_hybridseg.checkpoint import load_checkpoint
from napari_hybridseg.corrections.accepting import Correction
from napari_hybridseg.corrections.autosave import Autosave
from napari_hybridseg.corrections.boxes import Box, Labels, change_between, start_of
from napari_hybridseg.corrections.edits import EditCounter
from napari_hybridseg.corrections.identity import volume_sha256
from napari_hybridseg.corrections.journal import Journal, JournalHead
from napari_hybridseg.corrections.kept_strokes import KeptStrokes
from napari_hybridseg.corrections.manifest import OrganEdits
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.older_python import zip
from napari_hybridseg.volume import LabelMap, Volume
from napari_hybridseg.widgets.layer_geometry import LayerGrid

WHOLE: Box = (slice(None), slice(None), slice(None))


@dataclass(frozen=True)
class Origin:
    """What a correction starts from.

    Attributes
    ----------
    volume : Volume
        The image.
    volume_key, title : str
        Its layer, and what that is called.
    grid : LayerGrid
        How the layers of this volume lie.
    scheme : LabelScheme
        The organs.
    network : ndarray or None
        What the network said, canonical (Z, Y, X).
    checkpoint : Path or None
        Where the network that said it is.
    checkpoint_sha256 : str
        Its file's hash.
    card : ModelCard or None
        Its card.
    image_path : str
        Where the scan was opened from.
    """

    volume: Volume
    volume_key: str
    title: str
    grid: LayerGrid
    scheme: LabelScheme
    network: Labels | None = None
    checkpoint: Path | None = None
    checkpoint_sha256: str = ""
    card: ModelCard | None = None
    image_path: str = ""


class CorrectionSession:
    """Follows the array of a working layer; knows nothing of the viewer.

    Parameters
    ----------
    origin : Origin
    array : ndarray
        The working layer's own array, in the layer's order; it is read, never written.
    """

    def __init__(self, origin: Origin, array: Labels) -> None:
        self.origin = origin
        self.serial = 0  # grows with every change
        self.autosave: Autosave | None = None
        self.read_strokes: Callable[[], KeptStrokes] = KeptStrokes.none
        self.accepted_serial = -1  # as which it is in a set
        self.working: Labels = origin.grid.to_canonical(array)
        self._shadow = self.working.copy()
        network = np.zeros_like(self._shadow) if origin.network is None else origin.network
        self._network = network
        self._counter = EditCounter(self._shadow, network, origin.scheme)

    @property
    def is_accepted(self) -> bool:
        """Whether a set holds the correction as it is now."""
        return self.accepted_serial == self.serial

    @property
    def edits(self) -> tuple[OrganEdits, ...]:
        """What was added to and removed from every organ."""
        return self._counter.organs

    @property
    def edited_voxels(self) -> int:
        """How many voxels differ from what the network said."""
        return self._counter.edited_voxels

    def before(self, box: Box) -> Labels:
        """Give the labels of a canonical box as they were when it was last looked at."""
        return self._shadow[box]

    def edited(self, box: Box = WHOLE) -> Any:
        """Say which voxels of a canonical box differ from what the network said."""
        return self.working[box] != self._network[box]

    def look(self, box: Box = WHOLE) -> Box | None:
        """Take note of what changed in a canonical box; give where, or None if nothing did."""
        part = tuple(slice(*p.indices(n)) for p, n in zip(box, self.working.shape, strict=True))
        start = start_of((part[0], part[1], part[2]))
        change = change_between(self._shadow[box], self.working[box], start)
        if not change.voxels:
            return None
        where = change.box
        self._counter.changed(where, self._shadow[where], change.labels)
        self._shadow[where] = change.labels
        self.serial += 1
        if self.autosave is not None:
            self.autosave.changed(where[0].start, where[0].stop)
        return where

    def strokes_changed(self) -> None:
        """Take note that strokes were drawn, taken back or obeyed."""
        if self.autosave is not None:
            self.autosave.strokes_changed()

    def rename_labels(self, scheme: LabelScheme) -> None:
        """Take another scheme, e.g. with a new organ."""
        self.origin = replace(self.origin, scheme=scheme)
        self._counter = EditCounter(self._shadow, self._network, scheme)

    def correction(self) -> Correction:
        """Give what would be accepted now; its arrays are copies."""
        origin = self.origin
        network = None if origin.network is None else self._label_map(origin.network)
        return Correction(
            volume=origin.volume,
            label=self._label_map(np.array(self.working, order="C")),
            network_label=network,
            card=origin.card,
            checkpoint_sha256=origin.checkpoint_sha256,
        )

    def _label_map(self, array: Labels) -> LabelMap:
        volume = self.origin.volume
        return LabelMap(volume.geometry, volume.source, array, self.origin.scheme)

    def begin_autosave(
        self, root: Path, interval_s: float, complain: Callable[[str], None]
    ) -> Autosave:
        """Make the journal, which takes a moment; for a thread."""
        origin = self.origin
        head = JournalHead(
            volume_sha256=volume_sha256(origin.volume),
            title=origin.title,
            image_path=origin.image_path,
            geometry=origin.volume.geometry,
            source=origin.volume.source,
            scheme=origin.scheme,
            checkpoint_path=str(origin.checkpoint or ""),
            checkpoint_sha256=sha256_of_checkpoint(origin),
        )
        journal = Journal(root, head, self.working, origin.network, self.read_strokes())
        self.autosave = Autosave(
            journal,
            lambda: self.working,
            read_strokes=self.read_strokes,
            interval_s=interval_s,
            complain=complain,
        )
        self.autosave.changed()  # what was painted while the journal was made
        self.autosave.strokes_changed()
        return self.autosave


def sha256_of_checkpoint(origin: Origin) -> str:
    """Give the file hash of the checkpoint behind a correction; empty where it is gone."""
    if origin.checkpoint_sha256 or origin.checkpoint is None:
        return origin.checkpoint_sha256
    try:
        return load_checkpoint(origin.checkpoint).sha256
    except HybridSegError:
        return ""
