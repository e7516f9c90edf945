"""What the user asks of the Explain section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_hybridseg.engine.jobs import ExplainJob
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.explain import (
    ExplainOptions,
    Explanation,
    RegionTable,
    UncertainRegion,
    find_place,
    views_of,
)
from napari_hybridseg.volume import Volume
from napari_hybridseg.widgets.desk import JobDesk, Order
from napari_hybridseg.widgets.explain_layers import ExplainLayers
from napari_hybridseg.widgets.explain_state import ExplainState, why_not_explain
from napari_hybridseg.widgets.layer_book import LayerBook, key_of
from napari_hybridseg.widgets.layer_data import volume_of_layer
from napari_hybridseg.widgets.layer_geometry import (
    grid_of_layer,
    place_under,
    placement_of,
    voxels_of,
    world_at,
)
from napari_hybridseg.widgets.organ_tour import go_to
from napari_hybridseg.widgets.state import FaceState, Phase, Task
from napari_hybridseg.widgets.voxel_picker import VoxelPicker

DOUBT = "uncertain-regions"


class ExplainController:
    """Changes the state of the Explain section.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    face : FaceState
        Where volume and checkpoint are chosen.
    state : ExplainState
    desk : JobDesk
    book : LayerBook
    """

    def __init__(
        self, viewer: Any, face: FaceState, state: ExplainState, desk: JobDesk, book: LayerBook
    ) -> None:
        self._viewer = viewer
        self._face = face
        self._state = state
        self._desk = desk
        self._book = book
        self._layers = ExplainLayers(viewer, book)
        self._picker = VoxelPicker(viewer, self._pick)
        self._explained: Volume | None = None
        self._explained_key = ""
        face.events.checkpoint.connect(self._list_views)
        face.events.volume.connect(self._forget_point)
        self._list_views()

    @property
    def volume(self) -> Volume | None:
        """What the shown explanation is of."""
        return self._explained

    def close(self) -> None:
        """Follow the viewer no longer."""
        self._picker.stop()
        self._layers.close()

    def choose_options(self, options: ExplainOptions) -> None:
        """Take other options; what another view or place does not know goes back to its default."""
        self._state.options = self._settled(options)

    def choose_view(self, name: str) -> None:
        """Take another view, at its own place."""
        self.choose_options(
            self._state.options.model_copy(update={"view": name, "place": None, "head": None})
        )

    def pick(self, is_wanted: bool) -> None:
        """Let the next click into the canvas choose the voxel, or no longer."""
        self._state.is_picking = is_wanted
        if is_wanted:
            self._picker.start()
            self._desk.say("Click the voxel that is to be explained.")
        else:
            self._picker.stop()

    def show(self) -> None:
        """Have the view made."""
        self._explain(self._state.options)

    def show_token(self, token: int, shown: Explanation) -> None:
        """Show a semantic token of an explanation as a heat map."""
        view = next((view for view in self._state.views if view.name == "token-map"), None)
        options = shown.options
        if view is None or self._face.phase.is_busy:
            return
        if options.place not in {place.name for place in view.places}:
            self._desk.say("These tokens are mixed from several maps and have no heat map.")
            return
        direction = "token-to-map" if options.view == "voxel-tokens" else options.direction
        chosen = {"place": options.place, "head": options.head, "direction": direction}
        changed = {"view": view.name, "token": token} | chosen
        self.choose_options(self._state.options.model_copy(update=changed))
        self.show()

    def colour_points(self, by: str) -> None:
        """Let the colour of sampling points tell the head, or the level."""
        self._state.colour_by = by
        self._layers.colour_points(by)

    def show_doubt(self) -> None:
        """Show where the network is unsure, and go to the worst place."""
        self.choose_view(DOUBT)
        self.show()

    def visit_next_doubt(self) -> None:
        """Go to the next most uncertain region."""
        regions = self._regions()
        if not regions:
            self.show_doubt()
            return
        self.visit_doubt((self._state.region + 1) % len(regions))

    def visit_doubt(self, number: int) -> None:
        """Go to an uncertain region, counted from 0 in their order."""
        regions = self._regions()
        if not 0 <= number < len(regions):
            return
        self._state.region = number
        region = regions[number]
        self._visit(region.peak_mm)
        self._desk.say(
            f"Uncertain region {region.number} of {len(regions)}: {region.size_ml:.2f} mL, "
            f"mean entropy {region.mean_entropy:.2f} nats."
        )

    def save_figure(self, path: Path) -> None:
        """Write the shown explanation as a picture."""
        from napari_hybridseg.explain.figures import panel_figure, save_figure

        shown, volume = self._state.explanation, self._explained
        if shown is None or volume is None:
            return
        try:
            figure = panel_figure(volume, shown, focus_mm=self._focus())
            save_figure(figure, path, overwrite=True)  # the dialog asked already
        except HybridSegError as error:
            self._desk.say(str(error))
        else:
            self._desk.say(f"The picture is in {path}.")

    def save_data(self, folder: Path) -> None:
        """Write the numbers of the shown explanation, and an index, into a folder."""
        from napari_hybridseg.explain.export import save_explanations, save_npz

        shown, volume = self._state.explanation, self._explained
        if shown is None or volume is None:
            return
        try:
            save_explanations([shown], volume, folder, pictures=())
            save_npz(shown, folder / f"{shown.view.name}.npz")
        except HybridSegError as error:
            self._desk.say(str(error))
        else:
            self._desk.say(f"The data are in {folder}.")

    def _explain(self, options: ExplainOptions) -> None:
        face, checkpoint = self._face, self._face.checkpoint
        layer = self._book.find(face.volume)
        if why_not_explain(face, self._state) or layer is None or checkpoint is None:
            return
        try:
            volume = volume_of_layer(layer, self._book.layers)
            grid = grid_of_layer(layer, self._book.layers)
        except HybridSegError as error:
            self._desk.fail(error)
            return
        device = {"device": face.options.device, "threads": face.options.threads}
        job = ExplainJob(
            volume=volume,
            checkpoint=checkpoint.path,
            options=options.model_copy(update=device),
        )
        placement, name = placement_of(layer), layer.name

        def on_done(explanation: Explanation) -> None:
            self._explained, self._explained_key = volume, key_of(layer)
            self._state.region = -1
            self._layers.show(explanation, grid, placement, name, self._state.colour_by)
            self._state.explanation = explanation
            for note in explanation.notes:
                self._desk.log.add(note)
            said = [f"{fact}: {value:.3g}" for fact, value in explanation.facts.items()]
            if explanation.view.gives == "points":
                said.append("in 3D all points are seen")
            self._desk.say(" · ".join([f"Shown: {explanation.view.title}", *said]), Phase.DONE)
            if explanation.view.name == DOUBT:
                self.visit_next_doubt()

        self._desk.begin(Order(Task.EXPLAIN, job, "Looking into the network", on_done=on_done))

    def _regions(self) -> tuple[UncertainRegion, ...]:
        shown = self._state.explanation
        tables = shown.of_kind(RegionTable) if shown is not None else ()
        return tables[0].regions if tables else ()

    def _visit(self, point_mm: tuple[float, float, float]) -> None:
        layer = self._book.find(self._explained_key)
        if layer is None:
            return
        grid = grid_of_layer(layer, self._book.layers)
        place = grid.shown.index(np.asarray(point_mm))
        go_to(self._viewer, world_at(layer, place))

    def _focus(self) -> tuple[float, float, float] | None:
        """Give the point (LPS millimetres) that the viewer's slices go through."""
        layer = self._book.find(self._explained_key)
        if layer is None:
            return None
        grid = grid_of_layer(layer, self._book.layers)
        place = place_under(layer, self._viewer.dims.point)
        x, y, z = (float(value) for value in grid.shown.world(place))
        return x, y, z

    def _pick(self, world: Any) -> None:
        """Take the voxel under a click, and show the view of it."""
        layer = self._book.find(self._face.volume)
        if layer is None:
            return
        grid = grid_of_layer(layer, self._book.layers)
        place = place_under(layer, world)
        if np.any(place < -0.5) or np.any(place > np.asarray(voxels_of(layer)[-3:]) - 0.5):
            self._desk.say("That is beside the volume; click into it.")
            return
        x, y, z = (round(float(value), 3) for value in grid.shown.world(np.rint(place)))
        self._state.is_picking = False
        self._picker.stop()
        self._state.options = self._state.options.model_copy(update={"point": (x, y, z)})
        self._layers.mark(np.rint(place), placement_of(layer))
        if not why_not_explain(self._face, self._state):
            self.show()

    def _list_views(self, _: Any = None) -> None:
        card = self._face.checkpoint.card if self._face.checkpoint else None
        try:
            self._state.views = views_of(card) if card is not None else ()
        except HybridSegError as error:
            self._desk.log.add(str(error))
            self._state.views = ()
        known = [view.name for view in self._state.views]
        if known and self._state.options.view not in known:
            self.choose_view(known[0])
        else:
            self.choose_options(self._state.options)

    def _forget_point(self, _: Any = None) -> None:
        self._layers.unmark()
        self._state.options = self._state.options.model_copy(update={"point": None})

    def _settled(self, options: ExplainOptions) -> ExplainOptions:
        view = next((v for v in self._state.views if v.name == options.view), None)
        if view is None:
            return options
        names = {place.name for place in view.places}
        changed: dict[str, Any] = {}
        if options.place not in names:
            changed["place"] = view.default_place or None
        place = find_place(view, changed.get("place", options.place))
        if place is not None:
            if options.head is not None and options.head >= place.heads:
                changed["head"] = None
            changed["token"] = min(options.token, max(place.tokens - 1, 0))
            changed["level"] = min(options.level, max(place.levels - 1, 0))
        card = self._face.checkpoint.card if self._face.checkpoint else None
        if card is not None and options.organ not in (None, *card.labels.ids):
            changed["organ"] = None
        if card is not None and "organ" in view.needs and not changed.get("organ", options.organ):
            changed["organ"] = next(iter(card.labels.ids), None)
        return options.model_copy(update=changed)
