"""A form made from the engine's option set: one definition drives form, file and call.

Understood are yes or no, whole and decimal numbers with limits, fixed choices, and each of them
with None for 'from the card'. A number's lowest value reads as its field's ``minimum_reads``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import qt

from HybridSegLib.sections.shown import show_choices
from HybridSegLib.signal import Signal

FROM_CARD = "from the card"


class OptionsForm:
    """Shows an option set; ``changed`` gives the whole new set when a person changed a field.

    Parameters
    ----------
    parent : QWidget
        Gets the form as its layout.
    model : type
        A pydantic model.
    leave_out : collection of str
        Fields that are shown elsewhere.
    """

    def __init__(self, parent: Any, model: Any, leave_out: Collection[str] = ()) -> None:
        self.changed = Signal()
        self.fields: dict[str, Any] = {}
        self._options: Any = model()
        layout = qt.QFormLayout(parent)
        for name, about in model.model_json_schema()["properties"].items():
            if name in leave_out:
                continue
            field = _field_for(about, self._on_changed)
            field.widget.objectName = f"{name}Option"
            field.widget.toolTip = about.get("description", "")
            label = qt.QLabel(about["title"])
            label.toolTip = about.get("description", "")
            layout.addRow(label, field.widget)
            self.fields[name] = field

    def show_options(self, options: Any) -> None:
        """Show an option set."""
        self._options = options
        for name, field in self.fields.items():
            blocked = field.widget.blockSignals(True)
            field.show_value(getattr(options, name))
            field.widget.blockSignals(blocked)

    def _on_changed(self) -> None:
        chosen = {name: field.value() for name, field in self.fields.items()}
        fields = {**self._options.model_dump(), **chosen}
        self._options = self._options.model_validate(fields)
        self.changed.emit(self._options)


class _YesNo:
    def __init__(self, on_changed: Callable[[], None]) -> None:
        self.widget = qt.QCheckBox()
        self.widget.connect("clicked(bool)", lambda *_: on_changed())

    def show_value(self, value: Any) -> None:
        self.widget.checked = bool(value)

    def value(self) -> bool:
        return bool(self.widget.checked)


class _OneOf:
    def __init__(
        self, choices: list[str], may_be_none: bool, on_changed: Callable[[], None]
    ) -> None:
        self.widget = qt.QComboBox()
        none = [("", FROM_CARD)] if may_be_none else []
        show_choices(self.widget, [*none, *((text, text) for text in choices)], "")
        self.widget.connect("activated(int)", lambda *_: on_changed())

    def show_value(self, value: Any) -> None:
        self.widget.setCurrentIndex(self.widget.findData(value or ""))

    def value(self) -> str | None:
        return self.widget.itemData(self.widget.currentIndex) or None


class _Number:
    def __init__(
        self, about: dict[str, Any], may_be_none: bool, on_changed: Callable[[], None]
    ) -> None:
        self._may_be_none = may_be_none
        self._is_whole = about["type"] == "integer"
        self.widget = qt.QSpinBox() if self._is_whole else qt.QDoubleSpinBox()
        step = 1 if self._is_whole else 0.05
        low = about.get("minimum", about.get("exclusiveMinimum", 0))
        if "exclusiveMinimum" in about:
            low += step
        high = about.get("maximum", about.get("exclusiveMaximum", low + 1024))
        if "exclusiveMaximum" in about:
            high -= step
        self.widget.singleStep = step
        # a step below the lowest value stands for None
        self.widget.setRange(low - step if may_be_none else low, high)
        reads = FROM_CARD if may_be_none else about.get("minimum_reads", "")
        self.widget.specialValueText = reads
        signal = "valueChanged(int)" if self._is_whole else "valueChanged(double)"
        self.widget.connect(signal, lambda *_: on_changed())

    def show_value(self, value: Any) -> None:
        self.widget.value = self.widget.minimum if value is None else value

    def value(self) -> float | None:
        shown = self.widget.value
        if self._may_be_none and shown == self.widget.minimum:
            return None
        return int(shown) if self._is_whole else round(float(shown), 2)


def _field_for(about: dict[str, Any], on_changed: Callable[[], None]) -> Any:
    alternatives = about.get("anyOf", [about])
    kinds = [kind for kind in alternatives if kind.get("type") != "null"]
    may_be_none = len(kinds) < len(alternatives)
    kind = {**about, **kinds[0]}
    if "enum" in kind:
        return _OneOf([str(text) for text in kind["enum"]], may_be_none, on_changed)
    if kind["type"] == "boolean":
        return _YesNo(on_changed)
    if kind["type"] in ("integer", "number"):
        return _Number(kind, may_be_none, on_changed)
    raise TypeError(f"a form cannot show a field of type {kind['type']!r}")
