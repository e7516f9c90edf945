"""Saves the working correction every few seconds of change, beside the viewer's own thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from napari_hybridseg.corrections.journal import Journal, Labels
from napari_hybridseg.corrections.kept_strokes import KeptStrokes
from napari_hybridseg.errors import HybridSegError

Complaint = Callable[[str], None]


class Autosave:
    """Keeps a journal up to date from a thread of its own.

    The viewer calls `changed` after every stroke, which costs nothing; at most ``interval_s``
    later the slabs that changed are on the disk. A stroke that is painted while a slab is being
    read marks it again, so it is written once more. The strokes that wait for a repair go the same
    way, by `strokes_changed`.

    Parameters
    ----------
    journal : Journal
        Where to; from now on this object alone may save to it.
    read : callable
        Gives the label map as it is now, shape (Z, Y, X); called from the thread, so it must not
        touch the viewer. An array that is painted in place is given as it is.
    read_strokes : callable
        Gives the strokes that wait for a repair, and those that were obeyed; called as ``read``.
    interval_s : float
        The longest that a stroke stays unsaved.
    complain : callable
        Is told, in one sentence and from the thread, when the disk refuses; saving is then tried
        again after the interval.
    """

    def __init__(
        self,
        journal: Journal,
        read: Callable[[], Labels],
        *,
        read_strokes: Callable[[], KeptStrokes] = KeptStrokes.none,
        interval_s: float = 3.0,
        complain: Complaint = lambda sentence: None,
    ) -> None:
        self.journal = journal
        self.last_save_s = 0.0
        self._read = read
        self._read_strokes = read_strokes
        self._interval = interval_s
        self._complain = complain
        self._dirty: set[int] = set()
        self._strokes_are_dirty = False
        self._in_flight = False
        self._guard = threading.Lock()
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="autosave", daemon=True)
        self._thread.start()

    def changed(self, first: int = 0, stop: int | None = None) -> None:
        """Say that planes of the label map changed, from ``first`` up to ``stop``; all by default.

        Returns at once.
        """
        depth = self.journal.head.geometry.shape[0]
        slabs = self.journal.slabs_of(first, depth if stop is None else min(stop, depth))
        with self._guard:
            self._dirty.update(slabs)
        self._wake.set()

    def strokes_changed(self) -> None:
        """Say that the strokes are others now; returns at once."""
        with self._guard:
            self._strokes_are_dirty = True
        self._wake.set()

    @property
    def is_saved(self) -> bool:
        """Whether everything that was said to have changed is on the disk."""
        with self._guard:
            return not self._dirty and not self._strokes_are_dirty and not self._in_flight

    def save_now(self) -> None:
        """Save from the calling thread; returns when it is on the disk.

        Raises
        ------
        WriteError
            If the disk refuses.
        """
        with self._writing:
            with self._guard:
                slabs, self._dirty = self._dirty, set()
                with_strokes, self._strokes_are_dirty = self._strokes_are_dirty, False
                self._in_flight = bool(slabs) or with_strokes
            if not slabs and not with_strokes:
                return
            began = time.perf_counter()
            saved = False
            try:
                strokes = self._read_strokes() if with_strokes else None
                self.journal.save(self._read(), slabs, strokes)
                saved = True
            finally:
                with self._guard:
                    self._in_flight = False
                    self._dirty |= set() if saved else slabs
                    self._strokes_are_dirty |= with_strokes and not saved
            self.last_save_s = time.perf_counter() - began

    def close(self) -> None:
        """Save what is left and let go; the correction is offered back at the next start.

        Raises
        ------
        WriteError
            If the disk refuses.
        """
        self._end_thread()
        try:
            self.save_now()
        finally:
            self.journal.close()

    def discard(self) -> None:
        """Stop and delete the journal: the correction was accepted, or is not wanted."""
        self._end_thread()
        self.journal.discard()

    def _end_thread(self) -> None:
        self._stop.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait()
            self._wake.clear()
            if self._stop.wait(self._interval):
                return
            try:
                self.save_now()
            except HybridSegError as error:
                self._complain(str(error))
                self._wake.set()
