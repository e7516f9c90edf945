"""What the Correct section says, also while the status line belongs to a job."""

from __future__ import annotations

from napari.utils.notifications import show_warning

from napari_hybridseg.engine.failures import details_for, sentence_for
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.widgets.desk import JobDesk
from napari_hybridseg.widgets.state import FaceState, Phase


class Voice:
    """Says how work beside the engine went; a job that is under way keeps its phase.

    Parameters
    ----------
    face : FaceState
    desk : JobDesk
    """

    def __init__(self, face: FaceState, desk: JobDesk) -> None:
        self._face = face
        self._desk = desk

    def say(self, message: str) -> None:
        """Say something in passing."""
        self._desk.say(message)

    def done(self, message: str) -> None:
        """Say that something was done."""
        self._desk.say(message, None if self._face.phase.is_busy else Phase.DONE)

    def fail(self, error: BaseException) -> None:
        """Say what went wrong."""
        if not self._face.phase.is_busy:
            self._desk.fail(error)
            return
        sentence = sentence_for(error)
        self._desk.log.add(sentence)
        if not isinstance(error, HybridSegError):
            self._desk.log.add(details_for(error))
        show_warning(sentence)
