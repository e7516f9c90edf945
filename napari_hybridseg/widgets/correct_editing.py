"""Changing a correction: tools, the limited brush, undo and redo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from napari_hybridseg.corrections.boxes import Box, Change
from napari_hybridseg.corrections.tools import limit_to_range
from napari_hybridseg.older_python import zip
from napari_hybridseg.widgets.correct_background import Background
from napari_hybridseg.widgets.correct_desk import OpenCorrection
from napari_hybridseg.widgets.correct_state import CorrectState, RangeBrush, why_not_edit
from napari_hybridseg.widgets.correct_tools import Place, Tool, ToolChoices, tool_of
from napari_hybridseg.widgets.correct_voice import Voice
from napari_hybridseg.widgets.edit_boxes import box_to_layer, displayed_axes
from napari_hybridseg.widgets.layer_book import LayerBook
from napari_hybridseg.widgets.voxel_picker import VoxelPicker

MEANWHILE = "The correction was painted in meanwhile; please try again."


class CorrectEditing:
    """Writes what tools and the engine give into the correction that is shown.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    state : CorrectState
    voice : Voice
    book : LayerBook
    background : Background
    shown : callable
        Gives the correction that is shown.
    on_change : callable
        Says how it is now.
    """

    def __init__(
        self,
        viewer: Any,
        state: CorrectState,
        voice: Voice,
        book: LayerBook,
        background: Background,
        shown: Callable[[], OpenCorrection | None],
        on_change: Callable[[], None],
    ) -> None:
        self._viewer = viewer
        self._state = state
        self._voice = voice
        self._book = book
        self._background = background
        self._shown = shown
        self._on_change = on_change
        self._is_applying = False
        self._picker = VoxelPicker(viewer, self._on_picked)

    def close(self) -> None:
        """Wait for no click any longer."""
        self._picker.stop()

    def choose_tool(self, choices: ToolChoices) -> None:
        """Take another tool, or other parameters."""
        self._state.choices = choices

    def choose_brush(self, brush: RangeBrush) -> None:
        """Limit strokes to a range of values, or no longer."""
        self._state.brush = brush
        now = self._shown()
        if brush.is_on and now is not None:
            self._viewer.layers.selection.active = now.layer
            now.layer.mode = "paint"

    def undo(self) -> None:
        """Take the last step back."""
        now = self._shown()
        if now is not None:
            now.layer.undo()
            now.watch.look()

    def redo(self) -> None:
        """Do the last step again that was taken back."""
        now = self._shown()
        if now is not None:
            now.layer.redo()
            now.watch.look()

    def use_tool(self, key: str = "") -> None:
        """Use the chosen tool, or another one; one that needs a voxel waits for a click."""
        if why_not_edit(self._state):
            return
        choices = self._state.choices
        if key:
            self._state.choices = choices = choices.model_copy(update={"tool": key})
        tool = tool_of(choices.tool)
        now = self._shown()
        if tool.clicks and now is not None:
            now.layer.mode = "pan_zoom"  # so that the click does not paint
            self._picker.start()
            self._voice.say("Click the part that is to be split off.")
        else:
            self._run(tool, None)

    def _on_picked(self, world: Any) -> None:
        self._picker.stop()
        now = self._shown()
        if now is None or why_not_edit(self._state):
            return
        grid = now.session.origin.grid
        place = np.asarray(now.layer.world_to_data(world))[-3:]
        z, y, x = (int(v) for v in np.rint(grid.points_to_canonical(place)))
        self._run(tool_of(self._state.choices.tool), (z, y, x))

    def _run(self, tool: Tool, at: tuple[int, int, int] | None) -> None:
        now = self._shown()
        if now is None:
            return
        now.watch.look()
        axis, index = self.shown_slice(now)
        place = Place(
            labels=now.session.working,
            organ=int(now.layer.selected_label),
            spacing=now.session.origin.volume.geometry.spacing_zyx,
            axis=axis,
            index=index,
            at=at,
        )
        choices, serial = self._state.choices, now.session.serial
        self._state.working = tool.title
        self._background.do(
            lambda: tool.run(place, choices),
            lambda change: self._take_change(now, change, serial, tool.title),
            self._fail,
        )

    def _take_change(self, now: OpenCorrection, change: Change, serial: int, did: str) -> None:
        self.apply(now, change, serial, did)

    def apply(self, now: OpenCorrection, change: Change, serial: int, did: str) -> bool:
        """Write what a tool gives as one undo step, unless somebody painted meanwhile."""
        self._state.working = ""
        now.watch.look()
        if self._book.find(now.key) is None:
            return False
        if now.session.serial != serial:
            self._voice.say(MEANWHILE)
            return False
        self._is_applying = True
        try:
            voxels = now.apply(change) if change.voxels else 0
        finally:
            self._is_applying = False
        unit = "voxel" if voxels == 1 else "voxels"
        self._voice.say(
            f"{did}: {voxels:,} {unit} changed." if voxels else f"{did}: nothing to do."
        )
        self._on_change()
        return True

    def shown_slice(self, now: OpenCorrection) -> tuple[int, int]:
        """Give across which canonical axis the viewer shows slices, and which one it shows."""
        grid, shape = now.session.origin.grid, now.layer.data.shape
        displayed = displayed_axes(self._viewer)
        hidden = [axis for axis in range(3) if axis not in displayed[-2:]]
        across = np.zeros((2, 3))
        across[1, hidden[0]] = 1
        there = grid.points_to_canonical(across)
        axis = int(np.abs(there[1] - there[0]).argmax())
        place = np.asarray(now.layer.world_to_data(self._viewer.dims.point))[-3:]
        place = np.clip(np.rint(place), 0, np.array(shape) - 1)
        return axis, int(np.rint(grid.points_to_canonical(place)[axis]))

    def limit(self, now: OpenCorrection, box: Box) -> None:
        """Take a stroke back where the image does not lie in the range, in the same undo step."""
        brush = self._state.brush
        if not brush.is_on or self._is_applying or now.layer.mode == "pan_zoom":
            return
        session, grid = now.session, now.session.origin.grid
        after, image = session.working[box], session.origin.volume.array[0][box]
        kept = limit_to_range(session.before(box), after, image, brush.low, brush.high)
        wrong = np.nonzero(grid.to_layer(kept != after))
        place = box_to_layer(grid, box)
        indices = tuple(axis + part.start for axis, part in zip(wrong, place, strict=True))
        now.layer.data_setitem(indices, grid.to_layer(kept)[wrong])

    def _fail(self, error: BaseException) -> None:
        self._state.working = ""
        self._voice.fail(error)
