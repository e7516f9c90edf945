"""Whether a writer may replace a file that is there already.

napari calls a writer alike from its Save dialog, which has asked the user, and from a script, which
has not. What tells them apart is who called: the dialog's own frame, with the very name that it
asked about.
"""

from __future__ import annotations

import inspect
from pathlib import Path

from napari_hybridseg.atomic import WriteError
from napari_hybridseg.widgets.preferences import Preferences

_DIALOG = "_save_layers_dialog"
_DIALOG_MODULE = "napari._qt.qt_viewer"


def may_replace(path: str) -> bool:
    """Say whether a file may be replaced.

    Returns
    -------
    bool
        True if the user confirmed this name in napari's Save dialog or allowed it for scripts in
        the Preferences.

    Raises
    ------
    WriteError
        If the file is there and nobody allowed it.
    """
    is_allowed = _was_confirmed(path) or Preferences().replaces_files
    if not is_allowed and Path(path).exists():
        raise WriteError(
            f"{path} exists already; choose another name, or allow scripts to replace files in "
            "Preferences > HybridSeg > Files."
        )
    return is_allowed


def _was_confirmed(path: str) -> bool:
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == _DIALOG and frame.f_globals.get("__name__") == _DIALOG_MODULE:
            # Where napari has added an ending, the user was asked about another file.
            return frame.f_locals.get("filename") == path
        frame = frame.f_back
    return False
