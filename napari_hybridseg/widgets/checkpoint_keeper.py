"""Which checkpoint the panel takes: the user's, else the one that fits, else the last or first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari.utils.notifications import show_warning

from napari_hybridseg.matching import Traits, best_fitting, why_it_fits
from napari_hybridseg.resources import checkpoints_in, find_checkpoints
from napari_hybridseg.widgets.checkpoint_shelf import checkpoint_choices, read_facts
from napari_hybridseg.widgets.desk import JobDesk
from napari_hybridseg.widgets.facts import CheckpointFacts
from napari_hybridseg.widgets.layer_book import LayerBook
from napari_hybridseg.widgets.layer_data import GOES_WITH, scheme_of, volume_of_layer
from napari_hybridseg.widgets.layer_geometry import LayerError, plain_metadata
from napari_hybridseg.widgets.settings import Settings
from napari_hybridseg.widgets.state import FaceState, Phase, Task


class CheckpointKeeper:
    """Changes the list of checkpoints and which one is taken.

    What the user chose stays, whatever is opened then. Until he does, a volume gets the
    checkpoint that fits it; and once something was run on a volume, that one stays for it.

    Parameters
    ----------
    state : FaceState
    desk : JobDesk
    settings : Settings
    book : LayerBook
    """

    def __init__(
        self, state: FaceState, desk: JobDesk, settings: Settings, book: LayerBook
    ) -> None:
        self._state = state
        self._desk = desk
        self._settings = settings
        self._book = book
        self._obeys = False
        self._is_users = False
        self._looked_at = ("", "")
        self._settled = ""
        state.events.phase.connect(self._on_phase)

    def restore(self, *, obeys_preferences: bool = False) -> None:
        """List what there is and take what fits, or was used last, or comes first."""
        self._obeys = self._obeys or obeys_preferences
        known, last = self._list(), self._settings.checkpoint
        taken = self._state.checkpoint
        self._looked_at = ("", "")
        if self._is_users or self.fit():
            return
        if last not in known:
            last = known[0] if known and taken is None else ""
        if last and (taken is None or taken.path != Path(last)):
            self._state.checkpoint = read_facts(Path(last))

    def choose(self, path: Path) -> None:
        """Take the user's checkpoint, known already or not; a bad one leaves the present one."""
        facts = read_facts(path)
        if facts.card is None:
            if self._state.phase.is_busy:  # the status line belongs to the job
                self._desk.log.add(facts.problem)
                show_warning(facts.problem)
            else:
                self._desk.say(facts.problem, Phase.FAILED)
            self._state.events.checkpoint.emit(self._state.checkpoint)  # views go back to it
            return
        self._is_users = True
        self._state.checkpoint = facts
        if str(path.resolve()) not in {choice.key for choice in self._state.checkpoints}:
            self._settings.add_opened_checkpoint(path.resolve())
            self._list()
        self._settings.checkpoint = path.resolve()

    def fit(self) -> bool:
        """Take what fits the chosen volume; give whether anything tells checkpoints apart."""
        state = self._state
        now = (state.volume, state.reference)
        is_known = now == self._looked_at or (now[0] == self._looked_at[0] and not now[1])
        layer = self._book.find(state.volume)
        if self._is_users or is_known or layer is None or state.volume == self._settled:
            return False
        self._looked_at = now
        traits = self._traits_of(layer)
        facts = {choice.key: read_facts(Path(choice.key)) for choice in state.checkpoints}
        cards = {key: its.card for key, its in facts.items() if its.card is not None}
        best = best_fitting(traits, cards) if traits is not None else ()
        if traits is None or len(best) == len(cards):
            return False
        self._take(facts[self._preferred(best)], traits)
        return True

    def _preferred(self, best: tuple[str, ...]) -> str:
        """Of several that fit alike, give the one that was used last, or is taken, or first."""
        taken = self._state.checkpoint
        present = str(taken.path.resolve()) if taken is not None else ""
        return next((key for key in (self._settings.checkpoint, present) if key in best), best[0])

    def _take(self, facts: CheckpointFacts, traits: Traits) -> None:
        taken = self._state.checkpoint
        if facts.card is None or (taken is not None and taken.path.resolve() == facts.path):
            return
        self._state.checkpoint = facts
        reason = why_it_fits(traits, facts.card)
        self._desk.log.add(f"{facts.card.name} was taken for {traits.name}: {reason}.")

    def _traits_of(self, layer: Any) -> Traits | None:
        try:
            volume = volume_of_layer(layer, self._book.layers)
        except LayerError:
            return None
        reference = self._book.find(self._state.reference)
        scheme = scheme_of({"metadata": reference.metadata}) if reference is not None else None
        about = plain_metadata({"metadata": layer.metadata})
        return Traits.of(
            volume,
            organs=() if scheme is None else scheme.names.values(),
            goes_with=str(about.get(GOES_WITH, "")),
        )

    def _list(self) -> list[str]:
        folder = self._settings.preferences.checkpoints_folder if self._obeys else None
        own = checkpoints_in(folder) if folder else []
        paths = [*find_checkpoints(), *own, *self._settings.opened_checkpoints]
        self._state.checkpoints = checkpoint_choices(paths)
        return [choice.key for choice in self._state.checkpoints]

    def _on_phase(self, phase: Phase) -> None:
        """Leave the volume that something is run on its checkpoint, and remember that one."""
        taken = self._state.checkpoint
        if phase is not Phase.RUNNING:
            return
        self._settled = self._state.volume
        if self._state.task is Task.SEGMENT and taken is not None:
            self._settings.checkpoint = taken.path.resolve()
