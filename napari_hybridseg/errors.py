"""The one kind of failure that is meant for the user's eyes."""

from __future__ import annotations


class HybridSegError(Exception):
    """A failure whose message is one clear sentence: what is wrong, with what, what to do."""
