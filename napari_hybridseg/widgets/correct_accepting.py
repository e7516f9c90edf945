"""Putting a correction into the set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from napari_hybridseg.corrections.accepting import accept
from napari_hybridseg.corrections.case import CorrectionCase
from napari_hybridseg.counting import counted
from napari_hybridseg.widgets.correct_background import Background
from napari_hybridseg.widgets.correct_desk import CorrectionDesk, OpenCorrection
from napari_hybridseg.widgets.correct_layers import accepted
from napari_hybridseg.widgets.correct_session import Origin, sha256_of_checkpoint
from napari_hybridseg.widgets.correct_state import CorrectState, why_not_accept
from napari_hybridseg.widgets.correct_voice import Voice
from napari_hybridseg.widgets.layer_book import LayerBook
from napari_hybridseg.widgets.teach_state import TeachState


class CorrectAccepting:
    """Accepts the correction that is shown, and remembers what the accepted layers are.

    Parameters
    ----------
    state : CorrectState
    teach : TeachState
        Where the correction set is chosen.
    voice : Voice
    book : LayerBook
    background : Background
    corrections : CorrectionDesk
    choose_set : callable
        Takes a correction set, or looks into it again.
    """

    def __init__(
        self,
        state: CorrectState,
        teach: TeachState,
        voice: Voice,
        book: LayerBook,
        background: Background,
        corrections: CorrectionDesk,
        choose_set: Callable[[Path], None],
    ) -> None:
        self._state = state
        self._teach = teach
        self._voice = voice
        self._book = book
        self._background = background
        self._corrections = corrections
        self._choose_set = choose_set
        self._accepted: dict[str, Origin] = {}

    def origin_of(self, key: str) -> Origin | None:
        """Say where an accepted layer came from; None for other layers."""
        return self._accepted.get(key)

    def accept(self, now: OpenCorrection | None) -> None:
        """Put a correction into the set."""
        corrections = self._teach.corrections
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
        self._corrections.end(now)
        self._background.do(
            lambda: self._corrections.let_go(now, is_wanted=False), lambda _: None, self._fail
        )
        edited = now.session.edited_voxels
        voxels = counted(edited, "edited voxel")
        self._voice.done(f"Accepted as {case.name} into {folder.name}: {voxels}.")

    def _fail(self, error: BaseException) -> None:
        self._state.working = ""
        self._voice.fail(error)
