"""Which series a folder holds, and what else is in it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from napari_hybridseg.formats.dicom.headers import (
    IMAGE,
    SEGMENTATION,
    STRUCTURES,
    DicomFile,
    Frame,
    Numbers,
    is_dicom_file,
    is_remnant,
    read_header,
)
from napari_hybridseg.formats.dicom.libraries import check_installed, parsing
from napari_hybridseg.formats.header_text import damaged as damage_of
from napari_hybridseg.formats.stored import FormatError
from napari_hybridseg.older_python import zip

_SAME_DIRECTION = 1e-3
_SAME_MILLIMETRES = 1e-4
_GLANCE = 200
_MOST_NEARBY = 5000


@dataclass(frozen=True)
class SeriesInfo:
    """One series as a chooser shows it.

    Attributes
    ----------
    uid : str
        What `read_series` takes: the SeriesInstanceUID, and ``#2``, ``#3``, ... behind it for the
        further stacks of a series that mixes orientations or sizes.
    description, modality : str
        As stored; the description may be empty.
    count : int
        Slices (frames).
    size : tuple of int
        Pixels across and down a slice.
    files : tuple of Path
        Where it is stored.
    """

    uid: str
    description: str
    modality: str
    count: int
    size: tuple[int, int]
    files: tuple[Path, ...]

    def describe(self, opened: Path) -> str:
        """Say it in words: ``'T1 WM AX' (MR, 4 slices of 52×77, in head/IM-0001.dcm)``.

        The file's place is told from what was opened, as files of two series often have one name.
        """
        name = f"'{self.description}'" if self.description else "without a description"
        slices = "1 slice" if self.count == 1 else f"{self.count} slices"
        kind = f"{self.modality}, " if self.modality else ""
        size = "×".join(map(str, self.size))
        first = self.files[0]
        inside = first != opened and first.is_relative_to(opened)
        place = first.relative_to(opened).as_posix() if inside else first.name
        return f"{name} ({kind}{slices} of {size}, in {place})"


@dataclass(frozen=True)
class Series:
    """A stack of slices of one series, one orientation and one size.

    Attributes
    ----------
    info : SeriesInfo
        For people.
    series_uid : str
        The SeriesInstanceUID.
    frames : tuple of Frame
        In no particular order.
    instances : tuple of str
        The SOP instances that hold the frames.
    siblings : int
        Into how many stacks the series falls, this one counted.
    problem : str
        Why no volume can be made of it; else empty.
    is_named : bool
        Whether its files say which series they belong to.
    """

    info: SeriesInfo
    series_uid: str
    frames: tuple[Frame, ...]
    instances: tuple[str, ...]
    siblings: int
    problem: str
    is_named: bool


@dataclass(frozen=True)
class Catalogue:
    """What was found under a path.

    Attributes
    ----------
    series : tuple of Series
        Those of which a volume may be made.
    flat : tuple of DicomFile
        Images without a position in the patient.
    labels : tuple of DicomFile
        Segmentations and structure sets.
    damaged : mapping
        Refusals of files that do not even say what they are, by path.
    others : int
        How many files are DICOM but none of these, e.g. reports and plans.
    notes : tuple of str
        What was left out.
    """

    series: tuple[Series, ...]
    flat: tuple[DicomFile, ...]
    labels: tuple[DicomFile, ...]
    damaged: Mapping[Path, FormatError]
    others: int
    notes: tuple[str, ...]


def looks_like_dicom(path: Path) -> bool:
    """Say whether a file is DICOM, or such a file is among the first in a folder."""
    return any(True for _ in _candidates(path))


def first_header(path: Path) -> DicomFile | None:
    """Give the header of a file, or of the first image in a folder; None if there is none.

    Raises
    ------
    FormatError
        If the DICOM libraries are missing.
    """
    check_installed(path)
    for candidate in _candidates(path):
        with suppress(FormatError):
            header = read_header(candidate)
            if header is not None and (path.is_file() or header.kind == IMAGE):
                return header
    return None


def survey(path: Path) -> Catalogue:
    """Find what a folder, with the folders in it, or the folder of a file holds.

    Raises
    ------
    FormatError
        If the DICOM libraries are missing, or there is no DICOM file at all.
    """
    check_installed(path)
    # The file that was asked for comes first: it stands for itself even where it is a copy.
    files = _files_under(path) if path.is_dir() else dict.fromkeys((path, *_files_in(path.parent)))
    found = _examined(files)
    if not (found.series or found.flat or found.labels or found.damaged or found.others):
        raise FormatError(
            f"{path} is a folder without DICOM files; choose an image file or a DICOM folder."
        )
    # Who opens one file did not ask about the others.
    return found if path.is_dir() else replace(found, notes=())


def survey_near(path: Path) -> Catalogue:
    """Find what lies around a file: in its folder, in those in it, and in those beside it.

    Raises
    ------
    FormatError
        If the DICOM libraries are missing.
    """
    check_installed(path)
    folders = dict.fromkeys((path.parent, *_folders_in(path.parent), path.parent.parent))
    folders |= dict.fromkeys(_folders_in(path.parent.parent))
    files = (file for folder in folders for file in _files_in(folder))
    return _examined(islice(files, _MOST_NEARBY))


def _examined(files: Iterable[Path]) -> Catalogue:
    headers: dict[str, DicomFile] = {}
    damaged: dict[Path, FormatError] = {}
    foreign = twice = 0
    for file in files:
        try:
            with parsing(file, "its first bytes cannot be read"):
                if is_remnant(file):
                    raise damage_of(file, "it is cut short before it says what it is")
                header = read_header(file) if is_dicom_file(file) else None
        except FormatError as error:
            damaged[file] = error
            continue
        if header is None:
            foreign += 1
        elif header.kind == IMAGE and header.instance_uid in headers:
            twice += 1
        else:
            unique = header.kind == IMAGE and header.instance_uid
            headers[header.instance_uid if unique else str(file)] = header
    return _sorted_out(list(headers.values()), damaged, foreign, twice)


def _sorted_out(
    headers: list[DicomFile], damaged: dict[Path, FormatError], foreign: int, twice: int
) -> Catalogue:
    images = [h for h in headers if h.kind == IMAGE]
    placed = [h for h in images if any(frame.is_placed for frame in h.frames)]
    flat = [h for h in images if not any(frame.is_placed for frame in h.frames)]
    labels = [h for h in headers if h.kind in (SEGMENTATION, STRUCTURES)]
    others = [h.kind for h in headers if h.kind != IMAGE] + [h.modality or "image" for h in flat]
    notes = []
    if foreign:
        files = "1 file that is" if foreign == 1 else f"{foreign} files that are"
        notes.append(f"The folder also holds {files} not DICOM: left out.")
    if twice:
        files = "1 file that repeats another" if twice == 1 else f"{twice} files that repeat others"
        notes.append(f"The folder also holds {files} (the same instance): left out.")
    if others:
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(Counter(others).items()))
        notes.append(f"The folder also holds other DICOM files ({kinds}): open them on their own.")
    return Catalogue(
        series=tuple(_stacks(placed)),
        flat=tuple(flat),
        labels=tuple(labels),
        damaged=damaged,
        others=len(headers) - len(images) - len(labels),
        notes=tuple(notes),
    )


def _stacks(images: Iterable[DicomFile]) -> Iterator[Series]:
    by_series: dict[str, list[DicomFile]] = {}
    for image in images:
        # Some anonymisers delete the series; then a folder is one.
        by_series.setdefault(image.series_uid or str(image.path.parent), []).append(image)
    for uid, members in by_series.items():
        stacks: list[list[tuple[DicomFile, Frame]]] = []
        for member in members:
            for frame in member.frames:
                alike = (stack for stack in stacks if _stackable(stack[0][1], frame))
                stack = next(alike, None)
                if stack is None:
                    stacks.append(stack := [])
                stack.append((member, frame))
        for number, stack in enumerate(stacks, 1):
            yield _series(uid if number == 1 else f"{uid}#{number}", stack, len(stacks))


def _series(key: str, stack: list[tuple[DicomFile, Frame]], siblings: int) -> Series:
    files = list(dict.fromkeys(file.path for file, _ in stack))
    first, frame = min(stack, key=lambda entry: (str(entry[0].path), entry[1].index))
    info = SeriesInfo(
        uid=key,
        description=first.description,
        modality=first.modality,
        count=len(stack),
        size=(frame.columns, frame.rows),
        files=tuple(sorted(files)),
    )
    return Series(
        info=info,
        series_uid=key.partition("#")[0],
        frames=tuple(frame for _, frame in stack),
        instances=tuple(dict.fromkeys(file.instance_uid for file, _ in stack)),
        siblings=siblings,
        problem=next((file.problem for file, _ in stack if file.problem), ""),
        is_named=bool(first.series_uid),
    )


def _stackable(one: Frame, other: Frame) -> bool:
    """Say whether two slices have one size and, but for rounding, one orientation and spacing."""
    return (
        (one.rows, one.columns, one.samples) == (other.rows, other.columns, other.samples)
        and _alike(one.orientation, other.orientation, _SAME_DIRECTION)
        and _alike(one.pixel_spacing, other.pixel_spacing, _SAME_MILLIMETRES)
    )


def _alike(one: Numbers, other: Numbers, tolerance: float) -> bool:
    return len(one) == len(other) and all(
        abs(a - b) <= tolerance for a, b in zip(one, other, strict=True)
    )


def _candidates(path: Path) -> Iterator[Path]:
    for file in islice(_files_under(path), _GLANCE) if path.is_dir() else (path,):
        with suppress(OSError):
            if is_dicom_file(file):
                yield file


def _files_under(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files = (Path(where, name) for name in sorted(names) if not name.startswith("."))
        # A pipe would wait for ever to be read.
        yield from (file for file in files if file.is_file())


def _files_in(folder: Path) -> Iterator[Path]:
    yield from sorted(p for p in _entries(folder) if p.is_file())


def _folders_in(folder: Path) -> list[Path]:
    return sorted(p for p in _entries(folder) if p.is_dir())


def _entries(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        yield from (p for p in folder.iterdir() if not p.name.startswith("."))
