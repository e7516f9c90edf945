"""The Correct section with what moves it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from napari_hybridseg.corrections.recovery import autosave_folder
from napari_hybridseg.widgets.correct_ahead import LookAhead
from napari_hybridseg.widgets.correct_assist import CorrectAssist
from napari_hybridseg.widgets.correct_background import Background
from napari_hybridseg.widgets.correct_controller import CorrectController
from napari_hybridseg.widgets.correct_keys import CorrectKeys
from napari_hybridseg.widgets.correct_recovery import CorrectRecovery
from napari_hybridseg.widgets.correct_section import CorrectSection
from napari_hybridseg.widgets.correct_state import CorrectState
from napari_hybridseg.widgets.correct_stroke_box import REPAIR_LETTER, TEACH_LETTER
from napari_hybridseg.widgets.correct_tool_box import RANGE_LETTER
from napari_hybridseg.widgets.correct_tools import TOOLS
from napari_hybridseg.widgets.correct_voice import Voice
from napari_hybridseg.widgets.desk import JobDesk
from napari_hybridseg.widgets.layer_book import LayerBook
from napari_hybridseg.widgets.settings import Settings
from napari_hybridseg.widgets.state import FaceState
from napari_hybridseg.widgets.teach_state import TeachState


class CorrectPart:
    """Puts together the state, the section, the keys and the controllers.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    face : FaceState
    teach : TeachState
        Where the correction set is chosen, once for both sections.
    desk : JobDesk
    book : LayerBook
    settings : Settings
    choose_set : callable
        Takes a correction set, or looks into it again.
    choose_start : callable
        Takes what 'teach here' learnt as the start of the next fine-tune.
    score : callable
        Scores the label map against its reference.
    """

    def __init__(
        self,
        viewer: Any,
        face: FaceState,
        teach: TeachState,
        desk: JobDesk,
        book: LayerBook,
        settings: Settings,
        choose_set: Callable[[Path], None],
        choose_start: Callable[[Path], None],
        score: Callable[[], None],
    ) -> None:
        journals = autosave_folder()
        self.state = CorrectState()
        self._background = Background()
        voice = Voice(face, desk)
        self._background.complained.connect(desk.say)
        self.controller = CorrectController(
            viewer,
            face,
            self.state,
            teach,
            voice,
            book,
            self._background,
            journals,
            lambda: settings.preferences.autosave_seconds,
            choose_set,
            score,
        )
        self.assist = CorrectAssist(
            viewer,
            face,
            self.state,
            self.controller,
            desk,
            settings,
            journals.parent / "taught",
            choose_start,
        )
        self._ahead = LookAhead(self.state, self.controller, desk)
        self.recovery = CorrectRecovery(
            viewer, self.state, self.controller, voice, book, self._background, journals
        )
        self.section = CorrectSection(face, self.state, teach, settings)
        letters: dict[str, Callable[[], None]] = {
            tool.letter: partial(self.controller.editing.use_tool, tool.key) for tool in TOOLS
        }
        letters[RANGE_LETTER] = self.section.tools.range_box.click
        letters |= {REPAIR_LETTER: self.assist.repair, TEACH_LETTER: self.assist.teach_here}
        self._keys = CorrectKeys(viewer, letters)
        self.section.set_chosen.connect(choose_set)
        self.section.cancel_wanted.connect(desk.cancel)
        self._connect()

    def close(self) -> None:
        """Save what is painted and follow the viewer no longer."""
        self._keys.close()
        self._ahead.close()
        self.controller.close()

    def _connect(self) -> None:
        section, controller, assist = self.section, self.controller, self.assist
        editing = controller.editing
        section.begin_wanted.connect(controller.begin)
        section.empty_wanted.connect(partial(controller.begin, is_empty=True))
        section.accept_wanted.connect(controller.accept)
        section.organ_chosen.connect(controller.choose_organ)
        section.organ_added.connect(controller.add_organ)
        section.undo_wanted.connect(editing.undo)
        section.redo_wanted.connect(editing.redo)
        section.left.restore_wanted.connect(self.recovery.restore)
        section.left.discard_wanted.connect(self.recovery.discard)
        section.tools.wanted.connect(editing.use_tool)
        section.tools.choices_chosen.connect(editing.choose_tool)
        section.tools.brush_chosen.connect(editing.choose_brush)
        strokes = section.strokes
        strokes.statement_chosen.connect(assist.say)
        strokes.repair_wanted.connect(assist.repair)
        strokes.teach_wanted.connect(assist.teach_here)
        strokes.choices_chosen.connect(editing.choose_tool)
        strokes.clear_wanted.connect(assist.clear)
        strokes.keep_wanted.connect(assist.keep_taught)
        strokes.drop_wanted.connect(assist.drop_taught)
        section.next.folder_chosen.connect(assist.rank)
        section.next.scan_chosen.connect(assist.visit)
        self.state.events.correction.connect(self._bind_keys)

    def _bind_keys(self, correction: object) -> None:
        if correction is None:
            self._keys.close()
        else:
            self._keys.bind()
