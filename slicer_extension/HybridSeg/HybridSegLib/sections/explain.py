"""What the network saw: which view, where, and what to do with the answer."""

from __future__ import annotations

from typing import Any

from HybridSegLib.controller import Controller
from HybridSegLib.dialogs import Dialogs
from HybridSegLib.sections.options_form import OptionsForm
from HybridSegLib.sections.region_view import RegionView
from HybridSegLib.sections.shown import show_choices, show_line, show_run_button
from HybridSegLib.state import why_not_explain

_SHOWN_ABOVE = (
    *("view", "place", "head", "token", "direction", "point"),
    *("organ", "level", "smooth", "device", "threads"),
)
_DIRECTIONS = (
    ("map-to-token", "what the token gathers (map → token)"),
    ("token-to-map", "which voxels read from it (token → map)"),
)
_AVERAGE = ("", "average of all")
_NOTHING_SHOWN = "Nothing is shown yet."


class ExplainSection:
    """The choices that the view takes, 'click a voxel', the button, regions, and saving."""

    def __init__(self, ui: Any, controller: Controller, dialogs: Dialogs) -> None:
        self._ui = ui
        self._controller = controller
        self._dialogs = dialogs
        self._explain = explain = controller.explaining
        self.form: OptionsForm | None = None
        self.regions = RegionView(ui.regionTable)
        self.regions.clicked.connect(explain.visit_doubt)
        self._rows = {
            "place": (ui.placeLabel, ui.placeBox),
            "head": (ui.headLabel, ui.headBox),
            "token": (ui.tokenLabel, ui.tokenBox),
            "direction": (ui.directionLabel, ui.directionBox),
            "level": (ui.levelLabel, ui.levelBox),
            "organ": (ui.organLabel, ui.organBox),
            "smooth": (ui.smoothLabel, ui.smoothBox),
        }
        self._connect_choices()
        ui.pickButton.connect("clicked(bool)", explain.pick)
        ui.doubtButton.connect("clicked(bool)", lambda *_: explain.show_doubt())
        ui.nextDoubtButton.connect("clicked(bool)", lambda *_: explain.visit_next_doubt())
        ui.figureButton.connect("clicked(bool)", lambda *_: self.save_figure())
        ui.dataButton.connect("clicked(bool)", lambda *_: self.save_data())
        ui.explainButton.connect("clicked(bool)", lambda *_: self.press())

    def refresh(self) -> None:
        """Show what can be chosen, and what is."""
        ui, state = self._ui, self._controller.state
        view, options = state.view, state.explain_options
        show_choices(
            ui.viewBox,
            [(view.name, view.title) for view in state.views],
            options.view if options else "",
        )
        ui.viewBox.enabled = bool(state.views)
        show_line(ui.viewLine, view.description if view else "")
        place = self._controller.bench.explaining.place(view, options) if view else None
        self._show_rows(view, place)
        if options is not None:
            self._show_choices(view, place, options)
        show_line(ui.voxelLine, _voxel_text(options.point) if options else "")
        ui.pickButton.checked = state.is_picking
        reason = why_not_explain(state)
        help_text = "Make this view of the network."
        show_run_button(ui.explainButton, "Show", help_text, "explain", state, reason)
        show_line(ui.explainHint, "" if state.phase.is_busy else reason)
        can_ask = bool(state.views) and state.has_volume and not state.phase.is_busy
        ui.pickButton.enabled = ui.doubtButton.enabled = can_ask
        ui.nextDoubtButton.enabled = bool(state.regions)
        self.regions.show_regions(state.regions)
        for button, purpose in (
            (ui.figureButton, "Save a picture with legend and provenance, as PNG or SVG."),
            (ui.dataButton, "Save maps as NIfTI, tables as CSV and all numbers as .npz."),
        ):
            button.enabled = state.explanation is not None and not state.is_saving
            button.toolTip = purpose if state.explanation is not None else _NOTHING_SHOWN

    def press(self) -> None:
        """Start, or stop what runs."""
        controller = self._controller
        (controller.cancel if controller.state.phase.is_busy else self._explain.show)()

    def save_figure(self) -> None:
        """Write what is shown as a picture."""
        name = f"{self._controller.state.explain_options.view}.png"
        path = self._dialogs.save_file(
            "Save the picture", "figures", name, "PNG (*.png);;SVG (*.svg)"
        )
        if path is not None:
            self._explain.save_figure(path if path.suffix else path.with_suffix(".png"))

    def save_data(self) -> None:
        """Write the numbers of what is shown."""
        folder = self._dialogs.choose_folder("An empty folder for the data", "figures")
        if folder is not None:
            self._explain.save_data(folder)

    def _connect_choices(self) -> None:
        ui, change = self._ui, self._explain.change

        def follow(box: Any, field: str, read: Any) -> None:
            box.connect("activated(int)", lambda index: change(**{field: read(box, index)}))

        ui.viewBox.connect(
            "activated(int)", lambda index: self._explain.choose_view(ui.viewBox.itemData(index))
        )
        follow(ui.placeBox, "place", lambda box, index: box.itemData(index))
        follow(ui.directionBox, "direction", lambda box, index: box.itemData(index))
        follow(ui.levelBox, "level", lambda box, index: int(box.itemData(index)))
        follow(ui.headBox, "head", _number_or_none)
        follow(ui.organBox, "organ", _number_or_none)
        ui.tokenBox.connect("valueChanged(int)", lambda value: change(token=int(value)))
        ui.smoothBox.connect("clicked(bool)", lambda checked: change(smooth=bool(checked)))

    def _show_rows(self, view: Any, place: Any) -> None:
        used = {*view.needs, *view.takes} if view is not None else set()
        counts = {
            "place": len(view.places) if view is not None else 0,
            "head": place.heads if place else 0,
            "token": place.tokens if place else 0,
            "level": place.levels if place else 0,
        }
        for name, parts in self._rows.items():
            for part in parts:
                part.visible = name in used and counts.get(name, 2) > 1

    def _show_choices(self, view: Any, place: Any, options: Any) -> None:
        ui, state = self._ui, self._controller.state
        places = view.places if view is not None else ()
        default = view.default_place if view else ""
        show_choices(ui.placeBox, [(p.name, p.title) for p in places], options.place or default)
        heads = [(str(head), f"head {head}") for head in range(place.heads if place else 0)]
        head = "" if options.head is None else str(options.head)
        show_choices(ui.headBox, [_AVERAGE, *heads], head)
        blocked = ui.tokenBox.blockSignals(True)
        last = max((place.tokens if place else 1) - 1, 0)
        ui.tokenBox.setRange(0, last)
        ui.tokenBox.value = options.token
        ui.tokenBox.suffix = f"  of 0 to {last}"
        ui.tokenBox.blockSignals(blocked)
        show_choices(ui.directionBox, _DIRECTIONS, options.direction)
        levels = range(place.levels if place else 0)
        show_choices(
            ui.levelBox,
            [(str(n), f"level {n}" + (" (finest)" if n == 0 else "")) for n in levels],
            str(options.level),
        )
        card = state.checkpoint.card if state.checkpoint else None
        organs = [(str(organ.id), organ.name) for organ in card.labels.organs] if card else []
        none = [] if view is None or "organ" in view.needs else [("", "what the network says")]
        show_choices(ui.organBox, [*none, *organs], str(options.organ or ""))
        ui.smoothBox.checked = options.smooth
        self._show_form(options)

    def _show_form(self, options: Any) -> None:
        if self.form is None:
            self.form = OptionsForm(self._ui.explainForm, type(options), leave_out=_SHOWN_ABOVE)
            self.form.changed.connect(self._explain.choose_options)
        self.form.show_options(options)


def _number_or_none(box: Any, index: int) -> int | None:
    key = box.itemData(index)
    return int(key) if key else None


def _voxel_text(point: tuple[float, float, float] | None) -> str:
    if point is None:
        return ""
    x, y, z = point
    return (
        f"Voxel at {abs(x):.1f} {'L' if x >= 0 else 'R'}, {abs(y):.1f} "
        f"{'P' if y >= 0 else 'A'}, {abs(z):.1f} {'S' if z >= 0 else 'I'} (mm)"
    )
