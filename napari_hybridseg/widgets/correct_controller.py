"""What the user asks of the Correct section: begin, name organs, accept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.labels import LabelScheme, Organ, distinct_colour
from napari_hybridseg.widgets.correct_accepting import CorrectAccepting
from napari_hybridseg.widgets.correct_background import Background
from napari_hybridseg.widgets.correct_desk import CorrectionDesk, OpenCorrection
from napari_hybridseg.widgets.correct_editing import CorrectEditing
from napari_hybridseg.widgets.correct_layers import lock, role_of, show_scheme
from napari_hybridseg.widgets.correct_start import Start, start_empty, start_from
from napari_hybridseg.widgets.correct_state import CorrectionFacts, CorrectState, why_not_correct
from napari_hybridseg.widgets.correct_voice import Voice
from napari_hybridseg.widgets.layer_book import LayerBook, key_of
from napari_hybridseg.widgets.layer_geometry import placement_of
from napari_hybridseg.widgets.state import FaceState
from napari_hybridseg.widgets.teach_state import TeachState


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
        self._voice = voice
        self._book = book
        self._background = background
        self._score = score
        self.editing = CorrectEditing(
            viewer, state, voice, book, background, lambda: self.correction, self.show
        )
        self._on_put_aside: Callable[[], None] = lambda: None
        self.corrections = CorrectionDesk(
            viewer,
            book,
            background,
            journals,
            interval_s,
            on_change=self.show,
            limit=self.editing.limit,
            voice=voice,
            on_put_aside=lambda: self._on_put_aside(),
        )
        self._accepting = CorrectAccepting(
            state, teach, voice, book, background, self.corrections, choose_set
        )
        for signal in (face.events.label_map, face.events.volume):
            signal.connect(self.show)

    def follow_put_aside(self, on_put_aside: Callable[[], None]) -> None:
        """Have something done when a correction was put aside."""
        self._on_put_aside = on_put_aside

    def close(self) -> None:
        """Save everything and follow the viewer no longer."""
        self.editing.close()
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
                said = self._accepting.origin_of(key_of(result))
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
        opened = self.corrections.begin(start, placement, on_safe)
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

    def accept(self) -> None:
        """Put the case into the correction set."""
        self._accepting.accept(self.correction)
