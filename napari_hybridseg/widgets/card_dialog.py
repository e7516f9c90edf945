"""The model card, in full."""

from __future__ import annotations

from html import escape

from qtpy.QtCore import Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QTextBrowser, QVBoxLayout, QWidget

from napari_hybridseg.widgets.checkpoint_shelf import card_rows
from napari_hybridseg.widgets.state import CheckpointFacts


class CardDialog(QDialog):
    """Shows what a checkpoint says about itself; it stays open beside the work."""

    def __init__(self, facts: CheckpointFacts, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        name = facts.card.name if facts.card else facts.path.name
        self.setWindowTitle(f"Model card: {name}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        text = QTextBrowser()
        text.setHtml(card_html(facts))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.button(QDialogButtonBox.StandardButton.Close).setIcon(QIcon())
        buttons.rejected.connect(self.close)
        layout = QVBoxLayout(self)
        layout.addWidget(text)
        layout.addWidget(buttons)
        em = self.fontMetrics().height()
        self.resize(36 * em, 32 * em)


def card_html(facts: CheckpointFacts) -> str:
    """Lay a card out as a table of titles and texts."""
    rows = "".join(
        f"<tr><td style='padding: 3px 12px 3px 0'><b>{escape(title)}</b></td>"
        f"<td style='padding: 3px 0'>{escape(text).replace(chr(10), '<br>')}</td></tr>"
        for title, text in card_rows(facts)
    )
    return f"<table>{rows}</table>"
