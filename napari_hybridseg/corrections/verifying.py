"""Is a correction set whole? Says what is wrong with which file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_hybridseg.corrections.case import CorrectionCase
from napari_hybridseg.corrections.case_files import poison_notes
from napari_hybridseg.corrections.correction_set import CorrectionSet
from napari_hybridseg.corrections.edits import edited_mask
from napari_hybridseg.corrections.errors import CorrectionError
from napari_hybridseg.corrections.manifest import CASE_MANIFEST, sha256_of_file
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.events import Event, Progress, Result
from napari_hybridseg.volume import LabelMap

_SAME_GRID = 0.01


@dataclass(frozen=True)
class VerifyReport:
    """What was found.

    Attributes
    ----------
    cases : int
        Cases that the set lists.
    problems : tuple of str
        A sentence for everything that must be put right; the set is whole without one.
    notes : tuple of str
        A sentence for what is worth knowing, e.g. a case that fine-tuning will leave out.
    """

    cases: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the set is whole."""
        return not self.problems


def verify_set(folder: str | Path) -> Iterator[Event]:
    """Check every file of a set against its hash, and what the files say against each other.

    Yields
    ------
    Event
        ``Progress`` for every case, and last ``Result`` with a :class:`VerifyReport`.

    Raises
    ------
    CorrectionError
        If the folder is no correction set, or its list of cases is damaged.
    """
    opened = CorrectionSet.open(folder)
    listed = opened.manifest.cases
    problems: list[str] = []
    notes = list(_unlisted(opened))
    for done, line in enumerate(listed):
        yield Progress("Verifying", done, len(listed))
        try:
            case = opened.case(line.name)
        except CorrectionError as error:
            problems.append(str(error))
            continue
        wrong = list(_damaged_files(case))
        problems += wrong
        notes += [f"{case.name}: {note}" for note in case.manifest.notes]
        if not wrong:
            problems += _disagreements(case)
    yield Progress("Verifying", len(listed), len(listed))
    yield Result(VerifyReport(len(listed), tuple(problems), tuple(notes)))


def is_poisoned(case: CorrectionCase) -> bool:
    """Say whether an image holds voxels that are no numbers, so that nobody may learn from it."""
    return bool(poison_notes(case.load_image()))


def _unlisted(opened: CorrectionSet) -> Iterator[str]:
    listed = {line.folder for line in opened.manifest.cases}
    for path in sorted(opened.folder.glob(f"*case-*/{CASE_MANIFEST}")):
        if path.parent.name not in listed and not path.parent.name.startswith(".draft-"):
            yield f"{path.parent} was never accepted into this set, so it is not used."


def _damaged_files(case: CorrectionCase) -> Iterator[str]:
    for name, record in case.manifest.files.items():
        path = case.folder / name
        try:
            found = sha256_of_file(path)
        except OSError as error:
            yield f"{path} cannot be read: {error.strerror}; restore it from a copy of the set."
            continue
        if found.bytes != record.bytes:
            yield (
                f"{path} has {found.bytes} bytes where {record.bytes} were written; restore it "
                "from a copy of the set."
            )
        elif found.sha256 != record.sha256:
            yield f"{path} was changed after it was accepted; restore it from a copy of the set."
    for path in sorted(case.folder.iterdir()):
        if path.name not in (CASE_MANIFEST, *case.manifest.files):
            yield f"{path} does not belong to the case; move it elsewhere."


def _disagreements(case: CorrectionCase) -> Iterator[str]:
    try:
        image = case.load_image()
        maps = [(case.label, case.load_label()), (case.network_label, case.load_network_label())]
        edited = case.load_edited()
        _ = case.card
    except HybridSegError as error:
        yield str(error)
        return
    there: list[tuple[Path, LabelMap]] = [
        (p, m) for p, m in maps if p is not None and m is not None
    ]
    for path, found in there:
        if not image.geometry.same_grid(found.geometry, _SAME_GRID):
            yield f"{path} does not lie on the grid of {case.image}."
            return
        unknown = sorted(set(found.present) - set(case.scheme.ids))
        if unknown:
            yield f"{path} holds the labels {unknown}, which {CASE_MANIFEST} does not name."
    if edited is not None and len(there) == 2:
        expected = edited_mask(there[0][1].array, there[1][1].array)
        if edited.shape != expected.shape or not np.array_equal(edited, expected):
            yield f"{case.edited} is not where the label maps differ; accept the case again."
