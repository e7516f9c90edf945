"""What the face asks of the engine, and what becomes of the answer.

A task is prepared from layers in the GUI thread and holds plain arrays and options from then on.
Its result goes to what it was started on, whatever is chosen, moved or removed meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.metrics.scores import ScoreReport
from napari_hybridseg.volume import LabelMap
from napari_hybridseg.widgets.layer_book import LayerBook, key_of
from napari_hybridseg.widgets.layer_data import (
    is_untouched,
    label_map_of_layer,
    result_layer,
    scheme_of,
    volume_of_layer,
    voxels_crc32,
)
from napari_hybridseg.widgets.layer_geometry import (
    LayerGrid,
    grid_of_layer,
    placement_of,
    plain_metadata,
)
from napari_hybridseg.widgets.preferences import ScoreRules
from napari_hybridseg.widgets.state import CheckpointFacts, Score

if TYPE_CHECKING:
    from napari_hybridseg.engine.jobs import ScoreJob, SegmentJob


@dataclass(frozen=True)
class SegmentTask:
    """One run of a checkpoint on a volume."""

    job: SegmentJob
    volume_key: str
    volume_name: str
    checkpoint: str
    grid: LayerGrid
    placement: dict[str, Any]
    origin: dict[str, Any]

    @classmethod
    def prepare(
        cls, layer: Any, book: LayerBook, checkpoint: CheckpointFacts, options: SegmentOptions
    ) -> SegmentTask:
        """Take from a layer what a run needs.

        Raises
        ------
        LayerError
            If the layer is no volume.
        """
        from napari_hybridseg.engine.jobs import SegmentJob
        from napari_hybridseg.widgets.dicom_series import SERIES_KEY

        volume = volume_of_layer(layer, book.layers)
        about = plain_metadata({"metadata": layer.metadata})
        return cls(
            job=SegmentJob(volume=volume, checkpoint=checkpoint.path, options=options),
            volume_key=key_of(layer),
            volume_name=layer.name,
            checkpoint=checkpoint.card.name if checkpoint.card else checkpoint.path.stem,
            grid=grid_of_layer(layer, book.layers),
            placement=placement_of(layer),
            origin={key: about[key] for key in (SERIES_KEY,) if key in about},
        )

    def show(
        self,
        viewer: Any,
        book: LayerBook,
        label_map: LabelMap,
        *,
        is_whole: bool = True,
        into: Any = None,
    ) -> Any:
        """Add the result above its volume and give its layer; its name says if it is unfinished.

        An earlier result of the same volume and checkpoint makes room, unless someone painted
        in it. ``into`` is a layer that may become the result's: that is quicker than a new one.
        """
        from napari_hybridseg.widgets.correct_layers import role_of

        for layer in results_of(book, self.volume_key):
            made_with = plain_metadata({"metadata": layer.metadata}).get("checkpoint")
            if made_with == self.checkpoint and is_untouched(layer) and not role_of(layer):
                viewer.layers.remove(layer.name)
        data, attributes, _ = result_layer(
            label_map,
            self.grid,
            self.placement,
            name=f"{self.volume_name} · {self.checkpoint}" + ("" if is_whole else " (unfinished)"),
            made_from=self.origin | {"volume": self.volume_key, "checkpoint": self.checkpoint},
        )
        if into is None or into.data.shape != data.shape or into.data.dtype != data.dtype:
            return viewer.add_labels(data, **attributes)
        _become(into, data, attributes)
        viewer.layers.selection.active = into
        return into


@dataclass(frozen=True)
class ScoreTask:
    """One comparison of a label map with a reference, and checksums of what is compared."""

    job: ScoreJob
    checksums: dict[str, int]
    label_map_name: str
    reference_name: str

    @classmethod
    def prepare(
        cls, label_map: Any, reference: Any, book: LayerBook, rules: ScoreRules
    ) -> ScoreTask:
        """Take snapshots of two Labels layers; one without names gets the other's.

        Raises
        ------
        LayerError
            If a layer is no label map.
        """
        from napari_hybridseg.engine.jobs import ScoreJob

        compared = label_map_of_layer(label_map, book.layers)
        truth = label_map_of_layer(reference, book.layers)
        if scheme_of({"metadata": label_map.metadata}) is None:
            compared = replace(compared, scheme=truth.scheme)
        elif scheme_of({"metadata": reference.metadata}) is None:
            truth = replace(truth, scheme=compared.scheme)
        return cls(
            job=ScoreJob(prediction=compared, reference=truth, **rules._asdict()),
            checksums={
                key_of(layer): voxels_crc32(np.asarray(layer.data))
                for layer in (label_map, reference)
            },
            label_map_name=label_map.name,
            reference_name=reference.name,
        )

    def finish(self, report: ScoreReport, first: ScoreReport | None = None) -> Score:
        """Say what was compared with what; ``first`` is the report before it was edited."""
        scheme = self.job.prediction.scheme
        return Score(report, self.label_map_name, self.reference_name, scheme, first)


def _become(layer: Any, data: NDArray[np.generic], attributes: Mapping[str, Any]) -> None:
    """Put a result into a layer that nobody painted in."""
    np.copyto(layer.data, data)
    layer.metadata = attributes["metadata"]
    layer.editable = True
    layer.refresh(extent=False)
    layer.name = attributes["name"]  # last: who follows the layers looks at it now


def results_of(book: LayerBook, volume_key: str) -> list[Any]:
    """Give the result layers of a volume, the newest last."""
    return [
        layer
        for layer in book.layers
        if plain_metadata({"metadata": layer.metadata}).get("volume") == volume_key
    ]
