"""Cases that show a scan which is learnt from: they prove nothing, and must not be old cases."""

from __future__ import annotations

from collections.abc import Sequence

from napari_hybridseg.corrections.identity import volume_sha256
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.finetune.sources import TrainingCase, evenly
from napari_hybridseg.volume import load_volume


class Learnt:
    """The scans that are learnt from, recognised by their voxels and not by their files' names.

    A case of a correction set says which scan it is; of files only as many are read as must be.

    Parameters
    ----------
    cases : sequence of TrainingCase
    """

    def __init__(self, cases: Sequence[TrainingCase]) -> None:
        self._cases = cases
        self._files = {case.image_sha256 for case in cases} - {""}
        self._scans = {case.scan_sha256 for case in cases} - {""}
        self._has_read = all(case.scan_sha256 for case in cases)

    def others(self, pool: Sequence[TrainingCase], count: int) -> tuple[TrainingCase, ...]:
        """Choose cases that show other scans, evenly spread over a list."""
        left = list(pool)
        while True:
            chosen = evenly(left, count)
            same = {id(case) for case in chosen if self._holds(case)}
            if not same:
                return chosen
            left = [case for case in left if id(case) not in same]

    def _holds(self, case: TrainingCase) -> bool:
        if any(case.sha256 == known.sha256 for known in self._cases):
            return True
        if case.image_sha256 and case.image_sha256 in self._files:
            return True
        if not case.scan_sha256:  # files against files were compared; corrections are left
            return bool(self._scans) and _scan_of(case) in self._scans
        if not self._has_read:
            self._scans |= {_scan_of(known) for known in self._cases} - {""}
            self._has_read = True
        return case.scan_sha256 in self._scans


def _scan_of(case: TrainingCase) -> str:
    """Name a case's scan; what cannot be read is told of where it is learnt or scored."""
    if case.scan_sha256:
        return case.scan_sha256
    try:
        return volume_sha256(load_volume(case.image))
    except (HybridSegError, OSError):
        return ""
