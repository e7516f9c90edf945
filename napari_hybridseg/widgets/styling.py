"""The panel's few own looks, in the colours of napari's theme."""

from __future__ import annotations

from napari.utils.theme import get_theme

from napari_hybridseg.older_python import zip

_SHEET = """
QLabel[hybridseg="title"] {{ font-weight: bold; }}
QLabel[hybridseg="quiet"] {{ color: {quiet}; }}
QLabel[hybridseg="warning"] {{ color: {warning}; }}
QLabel[hybridseg="error"] {{ color: {error}; font-weight: bold; }}
QToolButton[hybridseg="fold"], QToolButton[hybridseg="section"] {{
    background: transparent; border: none; text-align: left; padding: 0.2em 0;
}}
QToolButton[hybridseg="section"] {{ font-weight: bold; border-bottom: 1px solid {line}; }}
QToolButton[hybridseg="fold"]:hover, QToolButton[hybridseg="section"]:hover {{ color: {accent}; }}
QPushButton[hybridseg="primary"] {{
    background: {button}; color: {on_button}; font-weight: bold; padding: 0.45em 1.2em;
    border-radius: 4px;
}}
QPushButton[hybridseg="primary"]:hover {{ background: {accent}; }}
QPushButton[hybridseg="primary"]:disabled {{ background: {disabled}; color: {quiet}; }}
QPushButton[hybridseg="stop"] {{
    background: {stop}; color: white; font-weight: bold; padding: 0.45em 1.2em;
    border-radius: 4px;
}}
QPushButton[hybridseg="stop"]:disabled {{ background: {disabled}; color: {quiet}; }}
QHeaderView::section {{ padding: 2px; border: none; background: {line}; }}
QTableView {{ gridline-color: {line}; background: {table}; alternate-background-color: {line}; }}
"""


def style_sheet(theme_name: str) -> str:
    """Give the panel's style sheet for a theme of napari."""
    theme = get_theme(theme_name)
    is_dark = sum(_rgb(theme.background)) < 3 * 128
    return _SHEET.format(
        quiet=_blend(theme.text, theme.background, 0.7),
        warning=theme.warning.as_hex(format="long") if is_dark else "#8a6d00",
        error="#ff7b72" if is_dark else "#b3121f",
        stop=theme.error.as_hex(format="long"),
        button=theme.current.as_hex(format="long"),
        on_button="#ffffff",
        accent=_blend(theme.current, theme.text, 0.75),
        disabled=theme.foreground.as_hex(format="long"),
        line=theme.foreground.as_hex(format="long"),
        table=theme.background.as_hex(format="long"),
    )


def _rgb(colour: object) -> tuple[int, int, int]:
    text = colour.as_hex(format="long")  # type: ignore[attr-defined]
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def _blend(first: object, second: object, part: float) -> str:
    mixed = (
        round(a * part + b * (1 - part)) for a, b in zip(_rgb(first), _rgb(second), strict=True)
    )
    return "#" + "".join(f"{value:02x}" for value in mixed)
