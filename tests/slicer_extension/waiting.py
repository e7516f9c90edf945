"""Letting the event loop turn until something has happened."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import slicer

FAKE = Path(__file__).with_name("fake_worker.py")


def wait_until(happened: Callable[[], bool], seconds: float = 90.0) -> float:
    """Turn the event loop until something has happened, and give the longest turn in seconds."""
    deadline = time.monotonic() + seconds
    longest = 0.0
    while not happened():
        if time.monotonic() > deadline:
            raise AssertionError(f"it did not happen within {seconds} s")
        began = time.monotonic()
        slicer.app.processEvents()
        longest = max(longest, time.monotonic() - began)
        time.sleep(0.002)
    return longest


def fake_engine(mood: str) -> tuple[str, ...]:
    """Give the command of an engine that behaves so."""
    return sys.executable, str(FAKE), mood
