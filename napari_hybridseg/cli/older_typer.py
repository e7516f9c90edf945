"""Telling typer on Python 3.9 what the commands' annotations mean.

From Python 3.10 on it finds out by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ForwardRef

import typer


def read_annotations(app: typer.Typer) -> None:
    """Replace the text of all commands' annotations, ``X | None`` too, by what it stands for."""
    for command in app.registered_commands:
        if command.callback is not None:
            _read(command.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            read_annotations(group.typer_instance)


def _read(function: Callable[..., Any]) -> None:
    from eval_type_backport import eval_type_backport

    function.__annotations__ = {
        name: eval_type_backport(ForwardRef(text), function.__globals__, {})
        for name, text in function.__annotations__.items()
    }
