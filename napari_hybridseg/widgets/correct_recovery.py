"""Corrections that were left behind: offered, brought back, thrown away."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from napari_hybridseg.corrections.identity import volume_sha256
from napari_hybridseg.corrections.recovery import Recoverable, Restored, list_recoverable
from napari_hybridseg.counting import counted
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.volume import LabelMap, Volume
from napari_hybridseg.widgets.correct_background import Background
from napari_hybridseg.widgets.correct_controller import CorrectController
from napari_hybridseg.widgets.correct_layers import lock
from napari_hybridseg.widgets.correct_session import Origin
from napari_hybridseg.widgets.correct_start import start_restored
from napari_hybridseg.widgets.correct_state import CorrectState
from napari_hybridseg.widgets.correct_voice import Voice
from napari_hybridseg.widgets.layer_book import LayerBook
from napari_hybridseg.widgets.layer_data import result_layer, volume_of_layer
from napari_hybridseg.widgets.layer_geometry import LayerError, placement_of

READER = "napari-hybridseg"


class _Found(NamedTuple):
    """The open volume that a correction belongs to, and the correction."""

    key: str
    restored: Restored | None


class CorrectRecovery:
    """Changes what the Correct section offers to restore.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    state : CorrectState
    controller : CorrectController
    voice : Voice
    book : LayerBook
    background : Background
    journals : Path
        The folder of the autosave.
    """

    def __init__(
        self,
        viewer: Any,
        state: CorrectState,
        controller: CorrectController,
        voice: Voice,
        book: LayerBook,
        background: Background,
        journals: Path,
    ) -> None:
        self._viewer = viewer
        self._state = state
        self._controller = controller
        self._voice = voice
        self._book = book
        self._background = background
        self._journals = journals
        controller.follow_put_aside(self.look)
        self.look()

    def look(self) -> None:
        """List what can be brought back."""

        def take(found: tuple[Recoverable, ...]) -> None:
            self._state.recoverable = found

        self._background.do(lambda: list_recoverable(self._journals), take, self._fail)

    def restore(self, left: Recoverable) -> None:
        """Bring a correction back, onto its volume, which is opened where it is not."""
        self._state.working = "Restoring"
        self._search(left, may_open=True)

    def discard(self, left: Recoverable) -> None:
        """Throw a correction away."""
        self._forget(left)
        self._background.do(left.discard, lambda _: self.look(), self._fail)

    def _search(self, left: Recoverable, *, may_open: bool) -> None:
        volumes = self._open_volumes()
        wanted = left.head.volume_sha256

        def work() -> _Found:
            for key, volume in volumes:
                has_its_size = volume.geometry.shape == left.head.geometry.shape
                if has_its_size and volume_sha256(volume) == wanted:
                    return _Found(key, left.load())
            return _Found("", None)

        self._background.do(
            work, lambda found: self._take(left, found, may_open=may_open), self._fail
        )

    def _take(self, left: Recoverable, found: _Found, *, may_open: bool) -> None:
        layer = self._book.find(found.key) if found.key else None
        if layer is not None and found.restored is not None:
            self._state.working = ""
            self._show(left, layer, found.restored)
            return
        path, title = left.head.image_path, left.head.title
        if may_open and path and Path(path).exists():
            try:
                self._viewer.open(path, plugin=READER)
            except (HybridSegError, OSError) as error:
                self._fail(error)
            else:
                self._search(left, may_open=False)
            return
        self._state.working = ""
        self._voice.say(
            f"{path} is not the scan that was corrected; open the right one, then press 'Restore'."
            if path and Path(path).exists()
            else f"Open the scan {title!r} that was corrected, then press 'Restore'."
        )

    def _show(self, left: Recoverable, layer: Any, restored: Restored) -> None:
        try:
            start = start_restored(self._book, layer, restored)
        except HybridSegError as error:
            self._fail(error)
            return
        self._forget(left)  # it is offered again if the new journal cannot be made
        if restored.network_label is not None:
            self._add_network(start.origin, layer, restored.network_label)
        self._controller.open(start, layer, on_safe=lambda: self.discard(left))
        said = f"The correction of {left.head.title} is back as it was last saved"
        waiting = restored.strokes.waiting
        strokes = f", with strokes of {counted(waiting, 'voxel')} that wait for 'Repair'"
        self._voice.say(f"{said}{strokes if waiting else ''}.")

    def _add_network(self, origin: Origin, layer: Any, said: LabelMap) -> None:
        about = {"volume": origin.volume_key}
        if origin.card is not None:
            about["checkpoint"] = origin.card.name
        data, attributes, _ = result_layer(
            said, origin.grid, placement_of(layer), f"{origin.title} · network", about
        )
        lock(self._viewer.add_labels(np.array(data), **attributes))

    def _open_volumes(self) -> list[tuple[str, Volume]]:
        found = []
        for choice in self._book.volumes():
            try:
                layer = self._book.find(choice.key)
                found.append((choice.key, volume_of_layer(layer, self._book.layers)))
            except LayerError:
                continue
        return found

    def _forget(self, left: Recoverable) -> None:
        self._state.recoverable = tuple(
            other for other in self._state.recoverable if other.folder != left.folder
        )

    def _fail(self, error: BaseException) -> None:
        self._state.working = ""
        self._voice.fail(error)
