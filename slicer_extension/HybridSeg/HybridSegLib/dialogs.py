"""The few dialogs that the panel opens, in one place."""

from __future__ import annotations

from pathlib import Path

import qt
import slicer


class Dialogs:
    """Asks for files and shows a text; each remembers its folder among the user's settings."""

    def open_file(self, title: str, kind: str, pattern: str) -> Path | None:
        """Ask for a file that is there; None if the user wants none."""
        name = qt.QFileDialog.getOpenFileName(
            slicer.util.mainWindow(), title, self._folder(kind), pattern
        )
        return self._remember(kind, name)

    def save_file(self, title: str, kind: str, name: str, pattern: str) -> Path | None:
        """Ask for a file to write; None if the user wants none."""
        start = str(Path(self._folder(kind)) / name)
        chosen = qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), title, start, pattern)
        return self._remember(kind, chosen)

    def choose_folder(self, title: str, kind: str) -> Path | None:
        """Ask for a folder; None if the user wants none."""
        name = qt.QFileDialog.getExistingDirectory(
            slicer.util.mainWindow(), title, self._folder(kind)
        )
        if not name:
            return None
        qt.QSettings().setValue(f"HybridSeg/{kind}Folder", str(name))
        return Path(name)

    def show_text(self, title: str, html: str) -> None:
        """Show a long text; it stays open beside the work."""
        dialog = qt.QDialog(slicer.util.mainWindow())
        dialog.setWindowTitle(title)
        dialog.setAttribute(qt.Qt.WA_DeleteOnClose)
        text = qt.QTextBrowser()
        text.setHtml(html)
        layout = qt.QVBoxLayout(dialog)
        layout.addWidget(text)
        dialog.resize(560, 500)
        dialog.show()

    def copy(self, text: str) -> None:
        """Put a text onto the clipboard."""
        qt.QApplication.clipboard().setText(text)

    @staticmethod
    def _folder(kind: str) -> str:
        return str(qt.QSettings().value(f"HybridSeg/{kind}Folder", "") or "")

    @staticmethod
    def _remember(kind: str, name: str) -> Path | None:
        if not name:
            return None
        qt.QSettings().setValue(f"HybridSeg/{kind}Folder", str(Path(name).parent))
        return Path(name)
