"""What the user asks of the Correct section: begin, paint, use tools, accept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_hybridseg.corrections.accepting import accept
from napari_hybridseg.corrections.boxes import Box, Change
from napari_hybridseg.corrections.case import CorrectionCase
from napari_hybridseg.corrections.tools import limit_to_range
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.labels import LabelScheme, Organ, distinct_colour
from napari_hybridseg.widgets.correct_background import Background
from napari_hybridseg.widgets.correct_desk import CorrectionDesk, OpenCorrection
from napari_hybridseg.widgets.correct_layers import accepted, lock, role_of, show_scheme
from napari_hybridseg.widgets.correct_session import Origin, sha256_of_checkpoint
from napari_hybridseg.widgets.correct_start import Start, start_empty, start_from
from napari_hybridseg.widgets.correct_state import (
    CorrectionFacts,
    CorrectState,
    RangeBrush,
    why_not_accept,
    why_not_correct,
    why_not_edit,
)
from napari_hybridseg.widgets.correct_tools import Place, Tool, ToolChoices, tool_of
from napari_hybridseg.widgets.correct_voice import Voice
from napari_hybridseg.widgets.edit_boxes import box_to_layer, displayed_axes
from napari_hybridseg.widgets.layer_book import LayerBook, key_of
from napari_hybridseg.widgets.layer_data import placement_of
from napari_hybridseg.widgets.state import FaceState
from napari_hybridseg.widgets.teach_state import TeachState
from napari_hybridseg.widgets.voxel_picker import VoxelPicker

MEANWHILE = "The correction was painted in meanwhile; please try again."


class CorrectController:
    """Changes the state of the Correct section.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    face : FaceState
    state : CorrectState
    teach : TeachState
        Where the correction set is chosen.
    voice : Voice
    book : LayerBook
    background : Background
    journals : Path
        The folder of the autosave.
    interval_s : callable
        Gives the longest that a stroke stays unsaved.
    choose_set : callable
        Takes a correction set, or looks into it again.
    score : callable
        Scores the label map against its reference.
    """

    def __init__(
        self,
        viewer: Any,
        face: FaceState,
        state: CorrectState,
        teach: TeachState,
        voice: Voice,
        book: LayerBook,
        background: Background,
        journals: Path,
        interval_s: Callable[[], float],
        choose_set: Callable[[Path], None],
        score: Callable[[], None],
    ) -> None:
        self._viewer = viewer
        self._face = face
        self._state = state
        self._teach = teach
        self._voice = voice
        self._book = book
        self._background = background
        self._choose_set = choose_set
        self._score = score
        self._is_applying = False
        self._accepted: dict[str, Origin] = {}
        self._picker = VoxelPicker(viewer, self._on_picked)
        self._on_put_aside: Callable[[], None] = lambda: None
        self.corrections = CorrectionDesk(
            viewer,
            book,
            background,
            journals,
            interval_s,
            on_change=self.show,
            limit=self._limit,
            voice=voice,
            on_put_aside=lambda: self._on_put_aside(),
        )
        for signal in (face.events.label_map, face.events.volume):
            signal.connect(self.show)

    def follow_put_aside(self, on_put_aside: Callable[[], None]) -> None:
        """Have something done when a correction was put aside."""
        self._on_put_aside = on_put_aside

    def close(self) -> None:
        """Save everything and follow the viewer no longer."""
        self._picker.stop()
        self._background.close()
        self.corrections.close()

    @property
    def correction(self) -> OpenCorrection | None:
        """The correction that is shown."""
        return self.corrections.find(self._face.label_map, self._face.volume)

    def show(self, _: object = None) -> None:
        """Say how the shown correction is."""
        now = self.correction
        if now is None:
            self._state.correction = None
            self._state.statements = ()
            return
        session, origin = now.session, now.session.origin
        self._state.organ = int(now.layer.selected_label)
        self._state.statements = now.strokes.statements
        self._state.correction = CorrectionFacts(
            title=origin.title,
            organs=origin.scheme.organs,
            edits=session.edits,
            edited_voxels=session.edited_voxels,
            has_network=origin.network is not None,
            has_checkpoint=origin.checkpoint is not None,
            strokes=now.strokes.count,
            fresh_strokes=now.strokes.fresh_count,
        )

    def begin(self, *, is_empty: bool = False) -> None:
        """Correct the chosen label map, or begin with an empty one."""
        face = self._face
        layer, checkpoint = self._book.find(face.volume), face.checkpoint
        if layer is None or checkpoint is None or checkpoint.card is None:
            return
        if why_not_correct(face, self._state):
            return
        result = None if is_empty else self._book.find(face.label_map)
        try:
            if result is None:
                start = start_empty(self._book, layer, checkpoint.card.labels)
            else:
                said = self._accepted.get(key_of(result))
                start = start_from(self._book, face, layer, result, said)
        except HybridSegError as error:
            self._voice.fail(error)
            return
        self.open(start, layer)
        if result is not None and not role_of(result):
            lock(result)
        title = start.origin.title
        self._voice.say(f"Correcting {title}: paint in the layer '{title} · correction'.")

    def open(
        self, start: Start, volume_layer: Any, on_safe: Callable[[], None] = lambda: None
    ) -> None:
        """Add the working layer of a correction, and look at that one from now on."""
        placement = placement_of(volume_layer)
        opened = self.corrections.begin(start.origin, placement, start.labels, on_safe)
        opened.layer.events.selected_label.connect(self.show)
        self._face.label_map = opened.key
        self._score()

    def choose_organ(self, label: int) -> None:
        """Take another label for painting and for tools."""
        now = self.correction
        if now is not None:
            now.layer.selected_label = label
            self._viewer.layers.selection.active = now.layer

    def add_organ(self, name: str) -> None:
        """Let the label scheme grow by an organ, and paint it."""
        now = self.correction
        name = name.strip()
        if now is None or not name:
            return
        scheme = now.session.origin.scheme
        if name.casefold() in {organ.name.casefold() for organ in scheme.organs}:
            self._voice.say(f"There is an organ {name!r} already.")
            return
        number = max(scheme.ids, default=0) + 1
        if number > np.iinfo(now.layer.data.dtype).max:
            self._voice.say("This label map has no number left for another organ.")
            return
        organ = Organ(id=number, name=name, colour=distinct_colour(number))
        grown = LabelScheme(name=scheme.name, organs=(*scheme.organs, organ))
        now.session.rename_labels(grown)
        now.strokes.take_scheme(grown)
        show_scheme(now.layer, grown)
        self.corrections.save_anew(now)
        self.choose_organ(number)
        self.show()

    def choose_tool(self, choices: ToolChoices) -> None:
        """Take another tool, or other parameters."""
        self._state.choices = choices

    def choose_brush(self, brush: RangeBrush) -> None:
        """Limit strokes to a range of values, or no longer."""
        self._state.brush = brush
        now = self.correction
        if brush.is_on and now is not None:
            self._viewer.layers.selection.active = now.layer
            now.layer.mode = "paint"

    def undo(self) -> None:
        """Take the last step back."""
        now = self.correction
        if now is not None:
            now.layer.undo()
            now.watch.look()

    def redo(self) -> None:
        """Do the last step again that was taken back."""
        now = self.correction
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
        now = self.correction
        if tool.clicks and now is not None:
            now.layer.mode = "pan_zoom"  # so that the click does not paint
            self._picker.start()
            self._voice.say("Click the part that is to be split off.")
        else:
            self._run(tool, None)

    def accept(self) -> None:
        """Put the case into the correction set."""
        now, corrections = self.correction, self._teach.corrections
        if now is None or corrections is None or why_not_accept(self._state, corrections):
            return
        folder, session = corrections.folder, now.session
        now.watch.look()
        serial, correction = session.serial, session.correction()

        def work() -> CorrectionCase:
            sha256 = sha256_of_checkpoint(session.origin)
            case = accept(folder, replace(correction, checkpoint_sha256=sha256))
            session.accepted_serial = serial
            return case

        self._state.working = f"Accepting the case into {folder.name}"
        self._voice.say(f"{self._state.working}…")
        self._background.do(work, lambda case: self._take_accepted(now, folder, case), self._fail)

    def _take_accepted(self, now: OpenCorrection, folder: Path, case: CorrectionCase) -> None:
        self._state.working = ""
        self._choose_set(folder)
        if not now.session.is_accepted or self._book.find(now.key) is None:
            self._voice.say(
                f"Accepted as {case.name}, without what was painted meanwhile; accept it again."
            )
            return
        accepted(now.layer, now.session.origin.title, case.name)
        self._accepted[now.key] = now.session.origin
        self.corrections.end(now)
        self._background.do(
            lambda: self.corrections.let_go(now, is_wanted=False), lambda _: None, self._fail
        )
        edited = now.session.edited_voxels
        self._voice.done(f"Accepted as {case.name} into {folder.name}: {edited:,} edited voxels.")

    def _on_picked(self, world: Any) -> None:
        self._picker.stop()
        now = self.correction
        if now is None or why_not_edit(self._state):
            return
        grid = now.session.origin.grid
        place = np.asarray(now.layer.world_to_data(world))[-3:]
        z, y, x = (int(v) for v in np.rint(grid.points_to_canonical(place)))
        self._run(tool_of(self._state.choices.tool), (z, y, x))

    def _run(self, tool: Tool, at: tuple[int, int, int] | None) -> None:
        now = self.correction
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
        self.show()
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

    def _limit(self, now: OpenCorrection, box: Box) -> None:
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
