"""What can be wrong with corrections."""

from __future__ import annotations

from napari_hybridseg.errors import HybridSegError


class CorrectionError(HybridSegError):
    """A correction, or a set of them, that cannot be used or written as it is."""
