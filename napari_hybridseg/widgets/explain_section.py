"""What the network saw: which view, where, and what to do with the answer."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_hybridseg.explain import ExplainOptions, Place, View, find_place
from napari_hybridseg.widgets.card_values import card_values
from napari_hybridseg.widgets.explain_state import ExplainState, why_not_explain
from napari_hybridseg.widgets.inputs import ChoiceBox, Fold, Line, WholeNumberBox
from napari_hybridseg.widgets.options_form import OptionsForm
from napari_hybridseg.widgets.run_button import RunButton
from napari_hybridseg.widgets.settings import Settings
from napari_hybridseg.widgets.state import Choice, FaceState, Task

_SHOWN_ABOVE = (
    *("view", "place", "head", "token", "direction", "point"),
    *("organ", "level", "smooth", "device", "threads"),
)
_FOR_ALL = frozenset({"overlap", "importance"})
_DIRECTIONS = (
    Choice("map-to-token", "what the token gathers (map → token)"),
    Choice("token-to-map", "which voxels read from it (token → map)"),
)
_COLOURS = (Choice("head", "a colour for each head"), Choice("level", "a colour for each level"))
_AVERAGE = Choice("", "average of all")
_NOTHING_SHOWN = "Nothing is shown yet."


class ExplainSection(QWidget):
    """The choices that the view takes, 'click a voxel', the button, and saving."""

    view_chosen = Signal(str)
    options_chosen = Signal(object)
    colour_chosen = Signal(str)
    picking_wanted = Signal(bool)
    doubt_wanted = Signal()
    next_doubt_wanted = Signal()
    figure_wanted = Signal(object)
    data_wanted = Signal(object)

    def __init__(
        self,
        face: FaceState,
        state: ExplainState,
        settings: Settings,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._face = face
        self._state = state
        self._settings = settings
        self.view = ChoiceBox()
        self.about = Line("quiet")
        self.place, self.head, self.organ = ChoiceBox(), ChoiceBox(), ChoiceBox()
        self.direction, self.level, self.colour = ChoiceBox(), ChoiceBox(), ChoiceBox()
        self.token = WholeNumberBox()
        self.smooth = QCheckBox("interpolate between coarse cells")
        self.more = Fold("More options")
        self.form = OptionsForm(state.options, leave_out=_SHOWN_ABOVE)
        self.more.body.addWidget(self.form)
        self.point = Line("plain")
        self.pick_button = QPushButton("Click a voxel")
        self.pick_button.setCheckable(True)
        self.pick_button.setToolTip("Then click into the picture; the view of that voxel follows.")
        self.doubt_button = QPushButton("Where is it unsure?")
        self.doubt_button.setToolTip("Find the regions of high entropy and go to the first.")
        self.next_button = QPushButton("Next uncertain")
        self.next_button.setToolTip("Go to the next most uncertain region.")
        self.figure_button, self.data_button = (
            QPushButton("Save figure…"),
            QPushButton("Save data…"),
        )
        self.hint = Line()
        self.button = RunButton("Show", "Make this view of the network.", Task.EXPLAIN)
        self._lay_out()
        self._connect()
        self.refresh()

    def refresh(self, _: object = None) -> None:
        """Show what can be chosen, and what is."""
        state, options, view = self._state, self._state.options, self._state.view
        self.view.show_choices([Choice(v.name, v.title) for v in state.views], options.view)
        self.view.setEnabled(bool(state.views))
        self.about.show_text(view.description if view else "")
        place = find_place(view, options.place) if view is not None else None
        self._show_rows(view, place)
        self._show_choices(view, place)
        self.form.show_options(options)
        checkpoint = self._face.checkpoint
        self.form.show_meanings(card_values(checkpoint.card if checkpoint is not None else None))
        x, y, z = options.point or (0.0, 0.0, 0.0)
        self.point.show_text(
            f"Voxel at {abs(x):.1f} {'L' if x >= 0 else 'R'}, {abs(y):.1f} "
            f"{'P' if y >= 0 else 'A'}, {abs(z):.1f} {'S' if z >= 0 else 'I'} (mm)"
            if options.point is not None
            else ""
        )
        self.pick_button.setChecked(state.is_picking)
        reason = why_not_explain(self._face, state)
        self.button.show_state(self._face, reason)
        is_busy = self._face.phase.is_busy
        self.hint.show_text("" if is_busy else reason)
        for button in (self.doubt_button, self.pick_button):
            button.setEnabled(bool(state.views) and bool(self._face.volume) and not is_busy)
        shown = state.explanation
        self.next_button.setEnabled(shown is not None and shown.view.name == "uncertain-regions")
        for button, purpose in (
            (self.figure_button, "Save a picture with legend and provenance, as PNG or SVG."),
            (self.data_button, "Save maps as NIfTI, tables as CSV and all numbers as .npz."),
        ):
            button.setEnabled(shown is not None)
            button.setToolTip(purpose if shown is not None else _NOTHING_SHOWN)

    def _show_rows(self, view: View | None, place: Place | None) -> None:
        used = {*view.needs, *view.takes} if view is not None else set()
        counts = {
            "place": len(view.places) if view is not None else 0,
            "head": place.heads if place else 0,
            "token": place.tokens if place else 0,
            "level": place.levels if place else 0,
        }
        for name, field in self._rows.items():
            is_shown = name in used and counts.get(name, 2) > 1
            for part in (field, self._choices.labelForField(field)):
                part.setVisible(is_shown)
        gives_points = view is not None and view.gives == "points"
        for part in (self.colour, self._choices.labelForField(self.colour)):
            part.setVisible(gives_points)
        self.form.show_only(used | _FOR_ALL)
        self.form.setVisible(bool(view))

    def _show_choices(self, view: View | None, place: Place | None) -> None:
        options = self._state.options
        places = view.places if view is not None else ()
        self.place.show_choices(
            [Choice(p.name, p.title) for p in places],
            options.place or (view.default_place if view else ""),
        )
        heads = range(place.heads if place else 0)
        self.head.show_choices(
            [_AVERAGE, *(Choice(str(h), f"head {h}") for h in heads)],
            "" if options.head is None else str(options.head),
        )
        self.token.blockSignals(True)
        self.token.setRange(0, max((place.tokens if place else 1) - 1, 0))
        self.token.setValue(options.token)
        self.token.setSuffix(f"  of 0 to {self.token.maximum()}")
        self.token.blockSignals(False)
        self.direction.show_choices(_DIRECTIONS, options.direction)
        levels = range(place.levels if place else 0)
        self.level.show_choices(
            [Choice(str(n), f"level {n}" + (" (finest)" if n == 0 else "")) for n in levels],
            str(options.level),
        )
        card = self._face.checkpoint.card if self._face.checkpoint else None
        organs = [Choice(str(o.id), o.name) for o in card.labels.organs] if card else []
        may_be_none = view is not None and "organ" not in view.needs
        none = [Choice("", "what the network says")] if may_be_none else []
        self.organ.show_choices([*none, *organs], str(options.organ or ""))
        self.smooth.setChecked(options.smooth)
        self.colour.show_choices(_COLOURS, self._state.colour_by)

    def _change(self, **fields: object) -> None:
        self.options_chosen.emit(self._state.options.model_copy(update=fields))

    def _connect(self) -> None:
        self.view.chosen.connect(self.view_chosen)
        self.place.chosen.connect(lambda key: self._change(place=key))
        self.head.chosen.connect(lambda key: self._change(head=int(key) if key else None))
        self.organ.chosen.connect(lambda key: self._change(organ=int(key) if key else None))
        self.direction.chosen.connect(lambda key: self._change(direction=key))
        self.colour.chosen.connect(self.colour_chosen)
        self.level.chosen.connect(lambda key: self._change(level=int(key)))
        self.token.valueChanged.connect(lambda value: self._change(token=value))
        self.smooth.clicked.connect(lambda checked: self._change(smooth=checked))
        self.form.changed.connect(self._take_form)
        self.pick_button.clicked.connect(self.picking_wanted)
        self.doubt_button.clicked.connect(self.doubt_wanted)
        self.next_button.clicked.connect(self.next_doubt_wanted)
        self.figure_button.clicked.connect(self._ask_for_picture)
        self.data_button.clicked.connect(self._ask_for_folder)
        mine, face = self._state.events, self._face.events
        for signal in (mine.views, mine.options, mine.is_picking, mine.explanation):
            signal.connect(self.refresh)
        for signal in (face.phase, face.volume, face.volume_facts, face.checkpoint):
            signal.connect(self.refresh)

    def _take_form(self, options: ExplainOptions) -> None:
        self._change(**{name: getattr(options, name) for name in self.form.fields})

    def _ask_for_picture(self) -> None:
        folder = Path(self._settings.folder("figures"))
        name = f"{self._state.options.view}.png"
        chosen, kind = QFileDialog.getSaveFileName(
            self, "Save the picture", str(folder / name), "PNG (*.png);;SVG (*.svg)"
        )
        if chosen:
            suffix = ".svg" if "svg" in kind else ".png"
            path = Path(chosen) if Path(chosen).suffix else Path(chosen).with_suffix(suffix)
            self._settings.set_folder("figures", path.parent)
            self.figure_wanted.emit(path)

    def _ask_for_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(
            self, "An empty folder for the data", self._settings.folder("figures")
        )
        if chosen:
            self._settings.set_folder("figures", Path(chosen).parent)
            self.data_wanted.emit(Path(chosen))

    def _lay_out(self) -> None:
        choices = self._choices = QFormLayout()
        choices.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        choices.addRow("View", self.view)
        choices.addRow(self.about)
        self._rows: dict[str, QWidget] = {}
        for name, title, widget in (
            ("place", "Block", self.place),
            ("head", "Head", self.head),
            ("token", "Token", self.token),
            ("direction", "Direction", self.direction),
            ("level", "Level", self.level),
            ("organ", "Organ", self.organ),
            ("smooth", "Smooth", self.smooth),
        ):
            self._rows[name] = widget
            widget.setToolTip(ExplainOptions.model_fields[name].description or "")
            choices.addRow(title, widget)
        self.colour.setToolTip("What the colour of a point tells; its size tells the weight.")
        choices.addRow("Points", self.colour)
        first, second, last = QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        first.addWidget(self.pick_button)
        first.addWidget(self.point, 1)
        first.addStretch(0)
        for button in (self.doubt_button, self.next_button):
            second.addWidget(button)
        second.addStretch(1)
        for button in (self.figure_button, self.data_button):
            last.addWidget(button)
        last.addStretch(1)
        last.addWidget(self.button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(choices)
        layout.addWidget(self.more)
        layout.addLayout(first)
        layout.addLayout(second)
        layout.addWidget(self.hint)
        layout.addLayout(last)
