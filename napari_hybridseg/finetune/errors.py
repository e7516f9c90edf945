"""What can be wrong with a fine-tune."""

from __future__ import annotations

from napari_hybridseg.errors import HybridSegError


class FineTuneError(HybridSegError):
    """A fine-tune that cannot be done as it was asked for."""
