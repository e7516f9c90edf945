"""What the panel asks of the engine's package about explanations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import slicer

from HybridSegLib.bench.explaining import DOUBT, ExplainTask, options_of, settled
from HybridSegLib.bench.points import engine_point, voxel_at
from HybridSegLib.slices import world_of_voxel
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.explain import ExplainOptions, Explanation, Place, View, find_place, views_of
from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.volume import Volume
from napari_hybridseg.widgets.facts import CheckpointFacts


class ExplainBench:
    """Views, options, voxels, tasks and files of explanations."""

    doubt = DOUBT

    def views(self, card: ModelCard | None) -> tuple[View, ...]:
        """Give what can be shown of a checkpoint; raises what ``views_of`` raises."""
        return views_of(card) if card is not None else ()

    def options(self, text: str, views: tuple[View, ...], card: ModelCard | None) -> ExplainOptions:
        """Read options as they are kept, as far as this checkpoint knows them."""
        return settled(options_of(text), views, card)

    def place(self, view: View | None, options: ExplainOptions) -> Place | None:
        """Give the place that is looked at; None where there is none."""
        return find_place(view, options.place) if view is not None else None

    def voxel_at(self, volume: Any, world: Sequence[float]) -> tuple[int, int, int] | None:
        """Give the voxel (K, J, I) at a world place (RAS); None beside the volume."""
        return voxel_at(volume, world)

    def point_of(self, volume: Any, voxel: tuple[int, int, int]) -> tuple[float, float, float]:
        """Give a voxel's centre as options take it; raises VolumeError."""
        return engine_point(volume, voxel)

    def middle_of(self, volume: Any, voxel: tuple[int, int, int]) -> tuple[float, float, float]:
        """Give a voxel's centre in the world (RAS)."""
        return world_of_voxel(volume, voxel)

    def task(
        self,
        volume: Any,
        checkpoint: CheckpointFacts,
        options: ExplainOptions,
        run: SegmentOptions,
    ) -> ExplainTask:
        """Prepare a view, on the device that runs take."""
        device = {"device": run.device, "threads": run.threads}
        wanted = options.model_copy(update=device)
        return ExplainTask(slicer.mrmlScene, volume, checkpoint, wanted)

    def save_figure(self, volume: Volume, explanation: Explanation, path: Path) -> None:
        """Write a picture; raises HybridSegError."""
        from napari_hybridseg.explain.figures import can_draw, panel_figure, save_figure

        if not can_draw():
            raise HybridSegError(
                "Pictures need matplotlib, which this Slicer's Python does not have; install it "
                "there, or take the data along instead."
            )
        save_figure(panel_figure(volume, explanation), path, overwrite=True)  # the dialog asked

    def save_data(self, volume: Volume, explanation: Explanation, folder: Path) -> None:
        """Write the numbers and an index into an empty folder; raises HybridSegError."""
        from napari_hybridseg.explain.export import save_explanations, save_npz

        save_explanations([explanation], volume, folder, pictures=())
        save_npz(explanation, folder / f"{explanation.view.name}.npz")
