"""From what a correction starts: a volume's layer, and a label map or what a journal kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from napari_hybridseg.corrections import CorrectionError
from napari_hybridseg.corrections.kept_strokes import KeptStrokes
from napari_hybridseg.corrections.recovery import Restored
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.volume import LabelMap, smallest_label_type
from napari_hybridseg.widgets.checkpoint_shelf import read_facts
from napari_hybridseg.widgets.correct_session import Origin
from napari_hybridseg.widgets.layer_book import LayerBook, key_of
from napari_hybridseg.widgets.layer_data import label_map_of_layer, scheme_of, volume_of_layer
from napari_hybridseg.widgets.layer_geometry import grid_of_layer, plain_metadata
from napari_hybridseg.widgets.state import CheckpointFacts, FaceState

_SAME_GRID = 0.01


class Start(NamedTuple):
    """What a correction starts from, the label map that is painted in, and strokes on it."""

    origin: Origin
    labels: LabelMap
    strokes: KeptStrokes | None = None


def start_empty(book: LayerBook, volume_layer: Any, scheme: LabelScheme) -> Start:
    """Begin without a network's word; raises as `volume_of_layer`."""
    origin = origin_of(book, volume_layer, scheme)
    kind = smallest_label_type(max(scheme.ids, default=1))
    return Start(origin, _labels(origin, np.zeros(origin.volume.geometry.shape, kind)))


def start_from(
    book: LayerBook, face: FaceState, volume_layer: Any, result: Any, said: Origin | None = None
) -> Start:
    """Begin with what a network said.

    Parameters
    ----------
    book : LayerBook
    face : FaceState
    volume_layer : napari.layers.Image
    result : napari.layers.Labels
    said : Origin or None
        Where ``result`` is a correction that was accepted: what that one started from.

    Raises
    ------
    LayerError
        If a layer cannot be used.
    CorrectionError
        If the label map does not lie on the volume's grid.
    """
    labels = label_map_of_layer(result, book.layers)
    about = {"metadata": result.metadata}
    facts = checkpoint_named(face, plain_metadata(about).get("checkpoint", ""))
    card = facts.card if facts is not None else None
    scheme = scheme_of(about) or (card.labels if card is not None else labels.scheme)
    origin = origin_of(book, volume_layer, scheme)
    geometry = origin.volume.geometry
    if not geometry.same_grid(labels.geometry, _SAME_GRID):
        raise CorrectionError(
            f"{result.name} does not lie on the grid of {volume_layer.name} "
            f"({labels.geometry.describe()} against {geometry.describe()}, or moved in the "
            "patient); choose another label map, or segment this volume."
        )
    if said is not None:
        origin = replace(said, volume=origin.volume, grid=origin.grid, volume_key=origin.volume_key)
        return Start(origin, _labels(origin, labels.array))
    path = facts.path if facts is not None else None
    origin = replace(origin, network=labels.array, checkpoint=path, card=card)
    return Start(origin, _labels(origin, labels.array))


def start_restored(book: LayerBook, volume_layer: Any, restored: Restored) -> Start:
    """Begin where a journal ends; raises as `volume_of_layer`."""
    head = restored.head
    origin = origin_of(book, volume_layer, head.scheme)
    path = Path(head.checkpoint_path) if head.checkpoint_path else None
    facts = read_facts(path) if path is not None and path.is_file() else None
    is_known = facts is not None and facts.card is not None
    origin = replace(
        origin,
        network=None if restored.network_label is None else restored.network_label.array,
        checkpoint=path if is_known else None,
        checkpoint_sha256=head.checkpoint_sha256,
        card=facts.card if facts is not None else None,
    )
    return Start(origin, _labels(origin, restored.label.array), restored.strokes)


def origin_of(book: LayerBook, volume_layer: Any, scheme: LabelScheme) -> Origin:
    """Say where a correction without a network lies."""
    return Origin(
        volume=volume_of_layer(volume_layer, book.layers),
        volume_key=key_of(volume_layer),
        title=volume_layer.name,
        grid=grid_of_layer(volume_layer, book.layers),
        scheme=scheme,
        image_path=_path_of(volume_layer),
    )


def checkpoint_named(face: FaceState, name: str) -> CheckpointFacts | None:
    """Find the checkpoint whose card has a name, the chosen one first."""
    chosen = face.checkpoint
    if not name:
        return None
    if chosen is not None and chosen.card is not None and chosen.card.name == name:
        return chosen
    for choice in face.checkpoints:
        if choice.text == name or Path(choice.key).stem == name:
            facts = read_facts(Path(choice.key))
            if facts.card is not None:
                return facts
    return None


def _labels(origin: Origin, array: Any) -> LabelMap:
    volume = origin.volume
    return LabelMap(
        geometry=volume.geometry,
        source=volume.source,
        array=array,
        scheme=origin.scheme,
        name=f"{origin.title} · correction",
    )


def _path_of(layer: Any) -> str:
    path = layer.source.path
    return "" if path is None else str(Path(path).absolute())
