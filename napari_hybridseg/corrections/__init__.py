"""What users correct: the working correction, the accepted cases, and the tools between them.

Everything that is imported here is light: torch, SciPy and scikit-image are loaded by the
functions that need them.
"""

from __future__ import annotations

from napari_hybridseg.corrections.case import CorrectionCase
from napari_hybridseg.corrections.correction_set import CorrectionSet
from napari_hybridseg.corrections.errors import CorrectionError
from napari_hybridseg.corrections.manifest import CaseManifest, FileRecord, SetManifest
from napari_hybridseg.corrections.schemes import MergedScheme, merge_schemes

__all__ = [
    "CaseManifest",
    "CorrectionCase",
    "CorrectionError",
    "CorrectionSet",
    "FileRecord",
    "MergedScheme",
    "SetManifest",
    "merge_schemes",
]
