"""A form made from a pydantic model: one definition drives form, file, command line and call.

Understood are the kinds of field that option sets here have: yes or no, whole and decimal
numbers with limits, fixed choices, and each of them with None for 'from the card'. A number's
lowest value reads as what its field declares as ``minimum_reads``. What is left open, to the card
or to 'auto', can say what it comes to.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from pydantic import BaseModel
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QFormLayout, QWidget

from napari_hybridseg.widgets.inputs import ChoiceBox, NumberBox, WholeNumberBox
from napari_hybridseg.widgets.state import Choice

FROM_CARD = "from the card"
_AUTO = "auto"


class _Field(Protocol):
    """One input of the form."""

    widget: QWidget
    changed: Any

    def show_value(self, value: Any) -> None:
        """Show a value without telling of a change."""
        ...

    def value(self) -> Any:
        """Give the value that is shown."""
        ...

    def show_meaning(self, meaning: str) -> None:
        """Say what the choice comes to that leaves it open."""
        ...


class OptionsForm(QWidget):
    """Shows an option set; ``changed`` gives the whole new set when a person changed a field."""

    changed = Signal(object)

    def __init__(
        self, options: BaseModel, leave_out: Collection[str] = (), parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._options = options
        self.fields: dict[str, _Field] = {}
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for name, about in type(options).model_json_schema()["properties"].items():
            if name not in leave_out:
                field = _field_for(about)
                field.widget.setToolTip(about.get("description", ""))
                field.widget.setAccessibleName(about["title"])
                field.changed.connect(self._on_changed)
                layout.addRow(about["title"], field.widget)
                layout.labelForField(field.widget).setToolTip(about.get("description", ""))
                self.fields[name] = field
        self.show_options(options)

    def show_options(self, options: BaseModel) -> None:
        """Show an option set."""
        self._options = options
        for name, field in self.fields.items():
            field.show_value(getattr(options, name))

    def show_meanings(self, meanings: Mapping[str, str]) -> None:
        """Say what open choices come to, by the names of their fields."""
        for name, field in self.fields.items():
            field.show_meaning(meanings.get(name, ""))

    def show_only(self, names: Collection[str]) -> None:
        """Show the fields of these names, and hide the others."""
        layout = self.layout()
        assert isinstance(layout, QFormLayout)
        for name, field in self.fields.items():
            for part in (field.widget, layout.labelForField(field.widget)):
                part.setVisible(name in names)

    def _on_changed(self) -> None:
        chosen = {name: field.value() for name, field in self.fields.items()}
        self._options = self._options.model_validate({**self._options.model_dump(), **chosen})
        self.changed.emit(self._options)


class _YesNo:
    def __init__(self) -> None:
        self.widget = QCheckBox()
        self.changed = self.widget.clicked

    def show_value(self, value: Any) -> None:
        self.widget.setChecked(bool(value))

    def value(self) -> bool:
        return bool(self.widget.isChecked())

    def show_meaning(self, meaning: str) -> None:
        self.widget.setText(meaning)


class _OneOf:
    def __init__(self, choices: list[str], may_be_none: bool) -> None:
        self.widget = ChoiceBox()
        self.changed = self.widget.chosen
        none = [Choice("", FROM_CARD)] if may_be_none else []
        self.widget.show_choices([*none, *(Choice(text, text) for text in choices)], "")

    def show_value(self, value: Any) -> None:
        tooltip = self.widget.toolTip()
        self.widget.show_key(value or "")
        self.widget.setToolTip(tooltip)

    def value(self) -> str | None:
        return self.widget.key or None

    def show_meaning(self, meaning: str) -> None:
        for key, text in (("", FROM_CARD), (_AUTO, _AUTO)):
            row = self.widget.findData(key)
            if row >= 0:
                self.widget.setItemText(row, _with(text, meaning))


class _Number:
    def __init__(self, about: dict[str, Any], may_be_none: bool) -> None:
        self._may_be_none = may_be_none
        is_whole = about["type"] == "integer"
        self.widget = WholeNumberBox() if is_whole else NumberBox()
        self.changed = self.widget.valueChanged
        step = 1 if is_whole else 0.05
        low = about.get("minimum", 0)
        high = about.get("maximum", about.get("exclusiveMaximum", low + 1024))
        if not is_whole:
            self.widget.setDecimals(2)
        if "exclusiveMaximum" in about:
            high -= step
        self.widget.setSpecialValueText(
            FROM_CARD if may_be_none else about.get("minimum_reads", "")
        )
        self.widget.setSingleStep(step)
        # a step below the lowest value stands for None
        self.widget.setRange(low - step if may_be_none else low, high)

    def show_value(self, value: Any) -> None:
        self.widget.blockSignals(True)
        self.widget.setValue(self.widget.minimum() if value is None else value)
        self.widget.blockSignals(False)

    def value(self) -> float | None:
        if self._may_be_none and self.widget.value() == self.widget.minimum():
            return None
        shown: float = self.widget.value()
        return shown if isinstance(shown, int) else round(shown, 2)

    def show_meaning(self, meaning: str) -> None:
        if self._may_be_none:
            self.widget.setSpecialValueText(_with(FROM_CARD, meaning))


def _with(text: str, meaning: str) -> str:
    return f"{text} ({meaning})" if meaning else text


def _field_for(about: dict[str, Any]) -> _Field:
    kinds = [kind for kind in about.get("anyOf", [about]) if kind.get("type") != "null"]
    may_be_none = len(kinds) < len(about.get("anyOf", [about]))
    kind = kinds[0]
    if "enum" in kind:
        return _OneOf([str(text) for text in kind["enum"]], may_be_none)
    if kind["type"] == "boolean":
        return _YesNo()
    if kind["type"] in ("integer", "number"):
        return _Number(kind, may_be_none)
    raise TypeError(f"a form cannot show a field of type {kind['type']!r}")
