"""The corrections that are open in a viewer: begun, followed, put aside, accepted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qtpy.QtCore import QTimer

from napari_hybridseg.corrections.autosave import Autosave
from napari_hybridseg.corrections.boxes import Box, Change
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.widgets.correct_background import Background
from napari_hybridseg.widgets.correct_layers import EditedOutline, add_working
from napari_hybridseg.widgets.correct_session import CorrectionSession
from napari_hybridseg.widgets.correct_start import Start
from napari_hybridseg.widgets.correct_voice import Voice
from napari_hybridseg.widgets.edit_boxes import apply_change
from napari_hybridseg.widgets.edit_strokes import StrokeLayer
from napari_hybridseg.widgets.edit_watch import EditWatch
from napari_hybridseg.widgets.layer_book import LayerBook, key_of

_RETRY_MS = 10_000  # until the disk may have room again


@dataclass(eq=False)
class OpenCorrection:
    """A working layer with all that belongs to it."""

    key: str
    layer: Any
    session: CorrectionSession
    placement: Mapping[str, Any]
    outline: EditedOutline
    strokes: StrokeLayer
    watch: EditWatch

    @property
    def is_worth_keeping(self) -> bool:
        """Whether somebody's work is in it: an edit, or a stroke that waits for a repair."""
        return bool(self.session.edited_voxels or self.strokes.kept().waiting)

    def apply(self, change: Change) -> int:
        """Write a change as one undo step; give the number of voxels."""
        voxels = apply_change(self.layer, self.session.origin.grid, change)
        self.watch.look(change.box)
        return voxels


class CorrectionDesk:
    """Keeps the open corrections, one for each working layer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    book : LayerBook
    background : Background
    journals : Path
        The folder of the autosave.
    interval_s : callable
        Gives the longest that a stroke stays unsaved.
    on_change : callable
        Called when something was edited, opened or put aside.
    limit : callable
        Gets an open correction and the canonical box of a stroke, and may take parts of it back.
    voice : Voice
    on_put_aside : callable
        Called when the journal of a correction whose layer was removed is closed.
    """

    def __init__(
        self,
        viewer: Any,
        book: LayerBook,
        background: Background,
        journals: Path,
        interval_s: Callable[[], float],
        on_change: Callable[[], None],
        limit: Callable[[OpenCorrection, Box], None],
        voice: Voice,
        on_put_aside: Callable[[], None],
    ) -> None:
        self._viewer = viewer
        self._book = book
        self._background = background
        self._journals = journals
        self._interval_s = interval_s
        self._on_change = on_change
        self._limit = limit
        self._voice = voice
        self._on_put_aside = on_put_aside
        self._open: dict[str, OpenCorrection] = {}
        viewer.layers.events.removed.connect(self._on_removed)

    def find(self, label_map: str, volume: str) -> OpenCorrection | None:
        """Give the correction of a working layer, or the newest one of a volume."""
        if label_map in self._open:
            return self._open[label_map]
        mine = [o for o in self._open.values() if o.session.origin.volume_key == volume]
        return mine[-1] if mine else None

    def begin(
        self,
        start: Start,
        placement: Mapping[str, Any],
        on_safe: Callable[[], None] = lambda: None,
    ) -> OpenCorrection:
        """Add a working layer and follow it; ``on_safe`` is called once it has a journal."""
        origin = start.origin
        layer = add_working(self._viewer, origin, placement, start.labels)
        session = CorrectionSession(origin, layer.data)
        outline = EditedOutline(self._viewer, self._book, session, placement)
        strokes = StrokeLayer(
            self._viewer, self._book, origin, placement, self._on_change, session.strokes_changed
        )
        session.read_strokes = strokes.kept
        if start.strokes is not None:
            strokes.take(start.strokes)

        def changed(box: Box) -> None:
            outline.follow(box)
            self._on_change()

        def limit(box: Box) -> None:
            self._limit(correction, box)

        watch = EditWatch(self._viewer, layer, session, changed, limit)
        correction = OpenCorrection(
            key_of(layer), layer, session, placement, outline, strokes, watch
        )
        self._open[correction.key] = correction
        self.save_anew(correction, on_safe)
        self._on_change()
        return correction

    def save_anew(
        self, correction: OpenCorrection, on_safe: Callable[[], None] = lambda: None
    ) -> None:
        """Begin a journal; an earlier one of the correction goes once there is the new one."""
        session = correction.session

        def work() -> tuple[Autosave | None, Autosave]:
            old = session.autosave
            new = session.begin_autosave(
                self._journals, self._interval_s(), self._background.complained.emit
            )
            if old is not None:
                old.discard()
            return old, new

        def then(_: object) -> None:
            if session.autosave is not None:  # else it was let go meanwhile
                known = session.autosave.journal.head.checkpoint_sha256
                session.origin = replace(session.origin, checkpoint_sha256=known)
            on_safe()

        def otherwise(error: BaseException) -> None:
            self._voice.fail(error)
            if correction.key in self._open:
                QTimer.singleShot(_RETRY_MS, lambda: self._try_again(correction, on_safe))

        self._background.do(work, then, otherwise)

    def _try_again(self, correction: OpenCorrection, on_safe: Callable[[], None]) -> None:
        if correction.key in self._open:
            self.save_anew(correction, on_safe)

    def end(self, correction: OpenCorrection) -> None:
        """Follow a correction no longer, and remove the layers that helped."""
        self._open.pop(correction.key, None)
        correction.watch.close()
        correction.outline.close()
        correction.strokes.close()
        self._on_change()

    def let_go(self, correction: OpenCorrection, *, is_wanted: bool) -> None:
        """Close a journal; it is offered again where it is wanted and holds somebody's work."""
        autosave = correction.session.autosave
        correction.session.autosave = None
        if autosave is None:
            return
        if is_wanted and correction.is_worth_keeping:
            autosave.close()
        else:
            autosave.discard()

    def close(self) -> None:
        """Save everything and follow nothing; after the background has been closed."""
        with suppress(ValueError, RuntimeError):
            self._viewer.layers.events.removed.disconnect(self._on_removed)
        for correction in list(self._open.values()):
            correction.watch.close()
            correction.strokes.stop()
            correction.session.look()
            with suppress(HybridSegError):  # the disk refused before, and that was said
                self.let_go(correction, is_wanted=not correction.session.is_accepted)
        self._open.clear()

    def _on_removed(self, event: Any = None) -> None:
        for correction in list(self._open.values()):
            if self._book.find(correction.key) is None:
                correction.session.look()
                self.end(correction)
                title = correction.session.origin.title
                is_kept = correction.is_worth_keeping
                self._background.do(
                    lambda gone=correction: self.let_go(gone, is_wanted=True),  # type: ignore[misc]
                    lambda _, t=title, kept=is_kept: self._put_aside(t, kept),  # type: ignore[misc]
                    self._voice.fail,
                )

    def _put_aside(self, title: str, is_kept: bool) -> None:
        if is_kept:
            self._voice.say(f"The correction of {title} was put aside; 'Restore' brings it back.")
        self._on_put_aside()
