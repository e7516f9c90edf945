"""What the user chooses before a run: volume, frames, checkpoint, device and options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt

from HybridSegLib.parameters import VOLUME
from HybridSegLib.quiet import QuietListener
from HybridSegLib.watch import Watch, changes_of

if TYPE_CHECKING:
    from HybridSegLib.controller import Controller

_OPENED = "HybridSeg/openedCheckpoints"
_LAST = "HybridSeg/checkpoint"


class Choosing:
    """Changes what a run is made with.

    Parameters
    ----------
    controller : Controller
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._state = controller.state
        self._watch = Watch(controller.look)
        self._watched: Any = None
        self._fitted: Any = None

    def facts(self) -> dict[str, Any]:
        """Give what the state is to know of the choices."""
        controller = self._controller
        parameters, bench = controller.parameters, controller.bench
        volume = parameters.reference(VOLUME)
        self._follow(volume)
        facts: dict[str, Any] = {"has_volume": volume is not None}
        if bench is not None:
            options = bench.options(parameters.options)
            known = bench.volume_facts(volume) if volume else None
            if volume is not None:
                self._fit(volume, known)
            facts |= {
                "volume_facts": known,
                "has_frames": bench.has_frames(volume),
                "options": options,
                "quality": bench.quality_of(options),
                "checkpoint": self._checkpoint_facts(parameters.checkpoint),
            }
        return facts

    def close(self) -> None:
        """Follow the scene no longer."""
        self._follow(None)

    def volume(self, node: Any) -> None:
        """Take another volume."""
        controller = self._controller
        if controller.is_closed:  # its widgets may outlive the panel
            return
        is_new = node is not controller.parameters.reference(VOLUME)
        controller.parameters.set_reference(VOLUME, node)
        controller.look()
        if is_new and controller.bench is not None:
            controller.explaining.forget_point()
            controller.correcting.count()

    def all_frames(self, wanted: bool) -> None:
        """Take every frame of a sequence, or only the one that is shown."""
        self._controller.parameters.all_frames = wanted
        self._controller.look()

    def checkpoint(self, path: Path) -> None:
        """Take another checkpoint; one from elsewhere is listed from now on."""
        self._controller.parameters.checkpoint_stays = True
        self.remember(path)
        qt.QSettings().setValue(_LAST, str(path.resolve()))
        self._controller.parameters.checkpoint = str(path.resolve())
        self._controller.look()

    def remember(self, path: Path) -> None:
        """List a checkpoint from now on, wherever it is."""
        known = {key for key, _ in self._state.checkpoints}
        if str(path.resolve()) not in known:
            opened = [*_opened_checkpoints(), str(path.resolve())]
            qt.QSettings().setValue(_OPENED, json.dumps(opened))
            self.list_checkpoints()

    def first_checkpoint(self) -> None:
        """Begin a new scene with the checkpoint that was used last, or the first that there is."""
        known = [key for key, _ in self._state.checkpoints]
        if known and not self._controller.parameters.checkpoint:
            last = str(qt.QSettings().value(_LAST, "") or "")
            self._controller.parameters.checkpoint = last if last in known else known[0]
            self._controller.parameters.checkpoint_stays = False

    def list_checkpoints(self) -> None:
        """See which checkpoints there are."""
        opened = [Path(path) for path in _opened_checkpoints()]
        self._state.update(checkpoints=self._controller.bench.checkpoints(opened))

    def options(self, options: Any) -> None:
        """Take other options."""
        parameters = self._controller.parameters
        parameters.options = options.model_dump_json(exclude_defaults=True)
        self._controller.look()

    def device(self, name: str) -> None:
        """Take another device."""
        self.options(self._state.options.model_copy(update={"device": name}))

    def quality(self, name: str) -> None:
        """Take a preset."""
        self.options(self._controller.bench.with_quality(self._state.options, name))

    def list_devices(self, report: Any) -> None:
        """List what networks can run on."""
        named = list(report.devices.items())
        first = f"automatic ({named[0][1]})" if named else "automatic"
        self._state.update(devices=(("auto", first), *named))

    def ask_for_devices(self) -> None:
        """Let the engine say what networks can run on; the answer is listed when it comes."""
        bench = self._controller.bench
        listener = QuietListener(self.list_devices, self.no_devices)
        bench.engine.aside(bench.devices_job(), listener, may_wait=True)

    def no_devices(self, error: Exception) -> None:
        """Say in the log why there is no list."""
        sentence = self._controller.bench.sentence_for(error)
        self._controller.log.add(f"The engine did not tell its devices: {sentence}")

    def _fit(self, volume: Any, known: Any) -> None:
        """Take the checkpoint that fits the volume, unless somebody chose one.

        Of several that fit alike, the present one, or the one that was used last, or the first.
        """
        parameters, bench = self._controller.parameters, self._controller.bench
        # a node may be in the scene before its name and its voxels are
        keys = [key for key, _ in self._state.checkpoints]
        seen = (volume.GetID(), volume.GetName(), known, keys)
        if seen == self._fitted or parameters.checkpoint_stays:
            return
        self._fitted = seen
        best = bench.fitting_checkpoints(volume, keys)
        last = str(qt.QSettings().value(_LAST, "") or "")
        taken = next((key for key in (parameters.checkpoint, last, *best) if key in best), "")
        if taken and taken != parameters.checkpoint:
            parameters.checkpoint = taken
            parameters.checkpoint_stays = False
            name = dict(self._state.checkpoints)[taken]
            # without the volume's name: it may be a patient's, and reports hold the log
            self._controller.log.add(f"{name} was taken, for it fits the volume best.")

    def _checkpoint_facts(self, path: str) -> Any:
        known = self._state.checkpoint
        if not path:
            return None
        if known and str(known.path) == path:
            return known
        return self._controller.bench.checkpoint(Path(path))

    def _follow(self, volume: Any) -> None:
        if volume is not self._watched:
            self._watched = volume
            self._watch.follow(*([changes_of(volume)] if volume is not None else []))


def _opened_checkpoints() -> list[str]:
    paths = json.loads(str(qt.QSettings().value(_OPENED, "[]") or "[]"))
    return [path for path in paths if Path(path).is_file()]
