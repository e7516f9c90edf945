"""What the panel asks of the engine to explain, and what becomes of the answer."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from HybridSegLib.bench.explain_nodes import ExplainNodes
from HybridSegLib.bench.frames import other_frame, shown_frame
from HybridSegLib.bench.points import world_of_point
from HybridSegLib.bench.volumes import volume_of
from napari_hybridseg.engine.jobs import ExplainJob
from napari_hybridseg.events import Event
from napari_hybridseg.explain import (
    ExplainOptions,
    Explanation,
    RegionTable,
    UncertainRegion,
    View,
    find_place,
)
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.volume import VolumeError
from napari_hybridseg.widgets.facts import CheckpointFacts

DOUBT = "uncertain-regions"


class ExplainTask:
    """One view of a network on a volume; ``explanation`` is there in the end."""

    name = "explain"

    def __init__(
        self, scene: Any, volume: Any, checkpoint: CheckpointFacts, options: ExplainOptions
    ) -> None:
        self.volume = volume
        self.explained = volume_of(volume)
        self.explanation: Explanation | None = None
        self._scene = scene
        self._frame = shown_frame(volume)
        self._jobs = [
            ExplainJob(volume=self.explained, checkpoint=checkpoint.path, options=options)
        ]

    def next_job(self) -> ExplainJob | None:
        """Give the one job."""
        return self._jobs.pop() if self._jobs else None

    def hear(self, event: Event) -> Event:
        """Show every event."""
        return event

    def take(self, value: Explanation) -> None:
        """Take the explanation."""
        self.explanation = value

    def finish(self) -> str:
        """Put the explanation into the scene.

        Raises
        ------
        VolumeError
            If the volume is gone, or got another grid meanwhile.
        """
        assert self.explanation is not None
        source = self.explained.source
        if self.volume.GetScene() is None or volume_of(self.volume).source.shape != source.shape:
            raise VolumeError(
                f"The volume '{self.volume.GetName()}' was changed while it was explained, so the "
                "result does not fit any more; show it again."
            )
        self._scene.SaveStateForUndo()
        ExplainNodes(self._scene, self.volume).show(self.explanation, source)
        said = [f"{fact}: {value:.3g}" for fact, value in self.explanation.facts.items()]
        other = other_frame(self.volume, self._frame)
        if other:
            said.append(f"of {other}, which is not the one that is shown now")
        return " · ".join([f"Shown: {self.explanation.view.title}", *said])

    def places(self) -> tuple[tuple[UncertainRegion, tuple[float, float, float]], ...]:
        """Give the uncertain regions with the world places (RAS) of their peaks."""
        tables = self.explanation.of_kind(RegionTable) if self.explanation is not None else ()
        source = self.explained.source
        return tuple(
            (region, world_of_point(self.volume, source, region.peak_mm))
            for table in tables[:1]
            for region in table.regions
        )


def options_of(text: str) -> ExplainOptions:
    """Read options as they are kept; the defaults if they make no sense (any more)."""
    try:
        return ExplainOptions.model_validate_json(text) if text else ExplainOptions()
    except ValidationError:
        return ExplainOptions()


def settled(
    options: ExplainOptions, views: tuple[View, ...], card: ModelCard | None
) -> ExplainOptions:
    """Give options that a checkpoint can show: what it does not know goes to its default."""
    view = next((view for view in views if view.name == options.view), None)
    if view is None:
        if not views:
            return options
        first = options.model_copy(update={"view": views[0].name, "place": None, "head": None})
        return settled(first, views, card)
    changed: dict[str, Any] = {}
    if options.place not in {place.name for place in view.places}:
        changed["place"] = view.default_place or None
    place = find_place(view, changed.get("place", options.place))
    if place is not None:
        if options.head is not None and options.head >= place.heads:
            changed["head"] = None
        changed["token"] = min(options.token, max(place.tokens - 1, 0))
        changed["level"] = min(options.level, max(place.levels - 1, 0))
    ids = card.labels.ids if card is not None else ()
    organ = options.organ if options.organ in ids else None
    if organ is None and "organ" in view.needs and ids:
        organ = ids[0]
    return options.model_copy(update={**changed, "organ": organ})
