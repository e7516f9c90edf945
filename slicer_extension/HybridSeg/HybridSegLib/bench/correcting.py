"""Corrections: a segmentation that is painted in, the network's result that is kept behind it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import slicer

from HybridSegLib.bench.frames import frames_of, other_frame, shown_frame
from HybridSegLib.bench.label_maps import SEGMENTATION, label_map_of
from HybridSegLib.bench.segmentations import (
    CHECKPOINT,
    CHECKPOINT_PATH,
    CHECKSUM,
    NETWORK_ROLE,
    VOLUME_ROLE,
    fill_segmentation,
    is_untouched,
)
from HybridSegLib.bench.volumes import volume_of
from napari_hybridseg.corrections.accepting import Correction
from napari_hybridseg.corrections.case import CorrectionCase
from napari_hybridseg.corrections.edits import count_edits, edited_mask
from napari_hybridseg.corrections.manifest import OrganEdits
from napari_hybridseg.counting import counted
from napari_hybridseg.engine.jobs import AcceptJob
from napari_hybridseg.events import Event
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.volume import LabelMap, Volume, VolumeError, smallest_label_type

_CORRECTION = "HybridSeg.Correction"
_FRAME = "HybridSeg.Frame"
_SAME_GRID = 0.01
EDITED_BEFORE = (
    "The label map was edited before; only what is edited from now on is counted as a correction."
)


class CorrectionFacts(NamedTuple):
    """What the panel says about the correction under way."""

    title: str
    edits: tuple[OrganEdits, ...] = ()
    edited_voxels: int = 0
    has_network: bool = False


def begin(scene: Any, volume: Any, label_map: Any, scheme: LabelScheme) -> tuple[Any, str]:
    """Give the segmentation that is painted in, and a note (perhaps empty).

    Parameters
    ----------
    scene : vtkMRMLScene
    volume : vtkMRMLVolumeNode
    label_map : vtkMRMLSegmentationNode or vtkMRMLLabelMapVolumeNode or None
        What the network said: it is hidden, and a copy is painted in. A correction goes on. None
        begins with an empty segmentation.
    scheme : LabelScheme
        The organs of an empty one.

    Raises
    ------
    VolumeError
        If a node cannot be used, or a label map does not lie on the volume's grid.
    """
    if label_map is not None and label_map.GetAttribute(_CORRECTION):
        return label_map, ""
    described = volume_of(volume)
    scene.SaveStateForUndo()
    if label_map is None:
        kind = smallest_label_type(max(scheme.ids, default=1))
        empty = np.zeros(described.geometry.shape, kind)
        labels = LabelMap(described.geometry, described.source, empty, scheme)
        return _new_correction(scene, volume, labels), ""
    labels = _labels_on(label_map, volume, described)
    is_ours = label_map.IsA(SEGMENTATION) and bool(label_map.GetAttribute(CHECKPOINT))
    is_frame = frames_of(label_map) is not None  # its node shows another frame next
    note = EDITED_BEFORE if is_ours and not is_frame and not is_untouched(label_map) else ""
    node = _new_correction(scene, volume, labels)
    stays = is_ours and not is_frame
    network = label_map if stays else _network_of(scene, volume, labels, label_map)
    _hide(network)
    for name in (CHECKPOINT, CHECKPOINT_PATH):
        node.SetAttribute(name, label_map.GetAttribute(name))
    node.SetNodeReferenceID(NETWORK_ROLE, network.GetID())
    return node, note


def is_correction(node: Any) -> bool:
    """Whether a node is a segmentation that is painted in as a correction."""
    return node is not None and bool(node.GetAttribute(_CORRECTION))


def facts_of(node: Any, volume: Any) -> CorrectionFacts:
    """Count what was edited, organ by organ.

    Raises
    ------
    VolumeError
        If a node cannot be read.
    """
    volume_of(volume)  # which says what is wrong with a volume without voxels
    network = node.GetNodeReference(NETWORK_ROLE)
    labels = label_map_of(node, volume)
    said = _network_labels(network, volume, labels)
    before = np.zeros_like(labels.array) if said is None else said.array
    names = labels.scheme if said is None else with_organs_of(labels.scheme, said.scheme)
    return CorrectionFacts(
        title=node.GetName(),
        edits=count_edits(labels.array, before, names),
        edited_voxels=int(edited_mask(labels.array, before).sum()),
        has_network=said is not None,
    )


class AcceptTask:
    """Putting a correction into a set; ``case`` is there in the end."""

    name = "accept"

    def __init__(self, node: Any, volume: Any, folder: Path) -> None:
        self.case: CorrectionCase | None = None
        self.folder = folder
        other = other_frame(volume, node.GetAttribute(_FRAME) or "")
        if other:
            raise VolumeError(
                f"This correction is of {other}; show that frame in the Sequences module, then "
                "accept it."
            )
        labels = label_map_of(node, volume)
        path = node.GetAttribute(CHECKPOINT_PATH)
        said = _network_labels(node.GetNodeReference(NETWORK_ROLE), volume, labels)
        correction = Correction(
            volume=volume_of(volume),
            label=_nameless(labels),
            network_label=_nameless(said) if said is not None else None,
        )
        checkpoint = Path(path) if path else None
        self._jobs = [AcceptJob(folder=folder, correction=correction, checkpoint=checkpoint)]

    def next_job(self) -> AcceptJob | None:
        """Give the one job."""
        return self._jobs.pop() if self._jobs else None

    def hear(self, event: Event) -> Event:
        """Show every event."""
        return event

    def take(self, value: CorrectionCase) -> None:
        """Take the case."""
        self.case = value

    def finish(self) -> str:
        """Say what was accepted."""
        assert self.case is not None
        edited = counted(self.case.manifest.edited_voxels, "edited voxel")
        return f"Accepted as {self.case.name} into {self.folder.name}: {edited}."


def edits_line(edits: Sequence[OrganEdits]) -> str:
    """Say how much was edited, e.g. ``edited: liver 1,204 voxels (+1,200 −4)``."""
    parts = []
    for edit in edits:
        count = edit.added + edit.removed
        unit = "voxel" if count == 1 else "voxels"
        parts.append(f"{edit.name} {count:,} {unit} (+{edit.added:,} −{edit.removed:,})")
    return "edited: " + ", ".join(parts) if parts else "nothing is edited yet"


def with_organs_of(scheme: LabelScheme, other: LabelScheme) -> LabelScheme:
    """Give a scheme with the organs that only another one has; its own names count."""
    missing = tuple(organ for organ in other.organs if organ.id not in scheme.names)
    return scheme.model_copy(update={"organs": scheme.organs + missing})


def _network_labels(network: Any, volume: Any, labels: LabelMap) -> LabelMap | None:
    """Read what the network said; an organ that was renamed since has its new name."""
    if network is None:
        return None
    said = label_map_of(network, volume)
    names = labels.scheme.names
    organs = tuple(
        organ.model_copy(update={"name": names.get(organ.id, organ.name)})
        for organ in said.scheme.organs
    )
    scheme = said.scheme.model_copy(update={"organs": organs})
    return LabelMap(said.geometry, said.source, said.array, scheme, name=said.name)


def _nameless(labels: LabelMap) -> LabelMap:
    """Drop what the node is called: it may be the name of a patient."""
    scheme = labels.scheme.model_copy(update={"name": ""})
    return LabelMap(labels.geometry, labels.source, labels.array, scheme)


def _labels_on(label_map: Any, volume: Any, described: Volume) -> LabelMap:
    labels = label_map_of(label_map, volume)
    if not described.source.same_grid(labels.source, _SAME_GRID):
        raise VolumeError(
            f"{label_map.GetName()} does not lie on the grid of {volume.GetName()} "
            f"({labels.geometry.describe()} against {described.geometry.describe()}, or moved in "
            "the patient); choose another label map, or segment this volume."
        )
    return labels


def _new_correction(scene: Any, volume: Any, labels: LabelMap) -> Any:
    name = scene.GenerateUniqueName(f"{volume.GetName()} · correction")
    node = scene.AddNewNodeByClass(SEGMENTATION, name)
    fill_segmentation(node, labels, volume)
    node.SetAttribute(CHECKSUM, None)
    node.SetAttribute(_CORRECTION, "true")
    node.SetAttribute(_FRAME, shown_frame(volume) or None)
    node.SetNodeReferenceID(VOLUME_ROLE, volume.GetID())
    return node


def _network_of(scene: Any, volume: Any, labels: LabelMap, shown: Any) -> Any:
    """Keep a label map that is not ours as it is now."""
    name = scene.GenerateUniqueName(f"{shown.GetName()} · before correction")
    node = scene.AddNewNodeByClass(SEGMENTATION, name)
    fill_segmentation(node, labels, volume)
    if shown.IsA(SEGMENTATION):
        shown.SetDisplayVisibility(False)
    return node


def _hide(network: Any) -> None:
    network.SetHideFromEditors(True)
    network.SetDisplayVisibility(False)
    network.SetAttribute(CHECKSUM, None)  # so that no later run writes into it
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", network.GetScene()):
        if composite.GetLabelVolumeID() == network.GetID():
            composite.SetLabelVolumeID(None)
