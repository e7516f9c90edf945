"""What one DICOM file says about itself: whose series it is, and where its slices lie.

Classic files (one slice each) and enhanced ones (many frames, PS3.3 C.7.6.16) come out alike, as
a list of frames. Nothing that identifies the patient is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hybridseg.formats.dicom.libraries import is_short, open_header, parsing
from napari_hybridseg.formats.header_text import damaged

if TYPE_CHECKING:
    from pydicom import Dataset

SEGMENTATION = "SEG"
STRUCTURES = "RTSTRUCT"
IMAGE = "image"
_SEGMENTATION_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
_STRUCTURE_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
_NO_SCAN = ("RT Dose Storage", "RT Image Storage", "Parametric Map Storage", "Raw Data Storage")
_SUFFIXES = (".dcm", ".ima", ".dicom")
_MARK = b"DICM"
_FIRST_GROUPS = (2, 8)
_TRIGGER_TIMES = (
    ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    ("", "TriggerTime"),
)
_MOST_FRAMES = 100_000
_ROUNDED = 0.01

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Frame:
    """One slice, wherever it is stored.

    Attributes
    ----------
    path : Path
        Its file.
    index : int
        Its place in the file, from 0.
    rows, columns, samples : int
        Pixels down, pixels across, numbers a pixel (3 in colour images).
    position : tuple of float
        LPS millimetres of the centre of the first pixel; empty where the file does not say.
    orientation : tuple of float
        Direction of a row, then of a column (six cosines); empty where the file does not say.
    pixel_spacing : tuple of float
        Millimetres between rows, then between columns; empty where the file does not say.
    slope, intercept : float
        From stored values to intensities.
    thickness : float
        Millimetres from slice to slice as the file states it, 0 where it does not.
    order : tuple of int
        Time point, acquisition, instance: which of several frames at one place came first.
    moment_s : float or None
        Seconds since the trigger or the first time point, None where the file does not say.
    """

    path: Path
    index: int
    rows: int
    columns: int
    samples: int
    position: Numbers
    orientation: Numbers
    pixel_spacing: Numbers
    slope: float
    intercept: float
    thickness: float
    order: tuple[int, ...]
    moment_s: float | None = None

    @property
    def is_placed(self) -> bool:
        """Whether the file says where in the patient this slice lies."""
        return bool(self.position and self.orientation and self.pixel_spacing)


@dataclass(frozen=True)
class DicomFile:
    """What a file's header says.

    Attributes
    ----------
    kind : str
        `IMAGE`, `SEGMENTATION`, `STRUCTURES`, or the modality of what is none of these.
    series_uid, instance_uid, description, modality : str
        As stored; all but the modality may be empty.
    frames : tuple of Frame
        Empty unless it is an image.
    problem : str
        Why no volume can be made of it although it is an image; else empty.
    """

    path: Path
    kind: str
    series_uid: str
    instance_uid: str
    description: str = ""
    modality: str = ""
    frames: tuple[Frame, ...] = field(default=())
    problem: str = ""


def is_dicom_file(path: Path) -> bool:
    """Say whether a file begins like DICOM, with or without the preamble.

    Raises
    ------
    OSError
        If it cannot be opened.
    """
    with path.open("rb") as file:
        head = file.read(132)
    return head[128:] == _MARK or _is_bare(head)


def is_remnant(path: Path) -> bool:
    """Say whether this was a DICOM file, by its name or its few bytes, and is none any more.

    A copy that broke off leaves such files; a scan without them would lack slices.

    Raises
    ------
    OSError
        If it cannot be opened.
    """
    suffix = path.suffix.lower()
    if suffix in _SUFFIXES:
        return not is_dicom_file(path)
    with path.open("rb") as file:
        head = file.read(132)
    is_begun = not head[:128].strip(b"\0") and _MARK.startswith(head[128:])
    return not suffix and len(head) < 132 and is_begun


def read_header(path: Path) -> DicomFile | None:
    """Read a file's header; None for a media directory or what only looks like DICOM.

    Raises
    ------
    FormatError
        If it is a damaged DICOM file.
    """
    with path.open("rb") as file:
        bare = file.read(132)[128:] != _MARK
    with parsing(path, "its header cannot be read"):
        dataset, has_pixels = open_header(path)
        # Asked first, because pydicom forgets the stated length of what was read.
        ends_early = is_short(dataset)
        sop_class = str(dataset.get("SOPClassUID") or "")
        series = str(dataset.get("SeriesInstanceUID") or "")
        if bare and not (sop_class and "SOPInstanceUID" in dataset):
            return None
        if ends_early:
            raise damaged(path, "it is cut short in its header")
        meta = getattr(dataset, "file_meta", {})
        if _DIRECTORY_CLASS in (sop_class, str(meta.get("MediaStorageSOPClassUID") or "")):
            return None
        header = _described(path, dataset, sop_class, series)
    if header.kind == IMAGE and not has_pixels:
        raise damaged(path, "it is cut short before its image begins")
    return header


def text(dataset: Dataset, keyword: str) -> str:
    """Give a text attribute on one line, empty where there is none."""
    value = str(dataset.get(keyword) or "")
    return " ".join("".join(c if c.isprintable() else " " for c in value).split())


def _is_bare(head: bytes) -> bool:
    group = int.from_bytes(head[:2], "little")
    element = int.from_bytes(head[2:4], "little")
    return len(head) == 132 and group in _FIRST_GROUPS and element <= 0x18


def _described(path: Path, dataset: Dataset, sop_class: str, series: str) -> DicomFile:
    from pydicom.uid import UID

    modality = text(dataset, "Modality")
    class_name = UID(sop_class).name
    is_picture = "Rows" in dataset and "Columns" in dataset
    if not sop_class and not is_picture:
        raise damaged(path, "it is cut short before it says what it is")
    if sop_class in _SEGMENTATION_CLASSES:
        kind = SEGMENTATION
    elif sop_class == _STRUCTURE_CLASS:
        kind = STRUCTURES
    elif class_name in _NO_SCAN or not (is_picture or "Image Storage" in class_name):
        kind = modality or "unknown"
    else:
        kind = IMAGE
    if kind == IMAGE and not is_picture:
        raise damaged(path, "it is cut short before its image begins")
    return DicomFile(
        path=path,
        kind=kind,
        series_uid=series,
        instance_uid=str(dataset.get("SOPInstanceUID") or ""),
        description=text(dataset, "SeriesDescription"),
        modality=modality,
        frames=tuple(frames_of(path, dataset)) if kind == IMAGE else (),
        problem=_problem(dataset) if kind == IMAGE else "",
    )


def _problem(dataset: Dataset) -> str:
    """Say why slices cannot be stacked although they have positions."""
    if "MOSAIC" in (dataset.get("ImageType") or ()):
        return (
            "is a mosaic of many slices in one picture; export it as enhanced MR or with dcm2niix"
        )
    if "ModalityLUTSequence" in dataset:
        return "stores intensities by a look-up table; export it with a slope and intercept"
    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        return "stores colours by a palette; export it in grey or RGB"
    return ""


def frames_of(path: Path, dataset: Dataset) -> Iterator[Frame]:
    """Describe the frames of an image or a segmentation.

    Raises
    ------
    FormatError, ValueError
        If the file contradicts itself.
    """
    count = int(dataset.get("NumberOfFrames") or 1)
    if not 1 <= count <= _MOST_FRAMES:
        raise damaged(path, f"it states {count} frames")
    shared = next(iter(dataset.get("SharedFunctionalGroupsSequence") or ()), None)
    own = list(dataset.get("PerFrameFunctionalGroupsSequence") or ())
    if own and len(own) != count:
        raise damaged(path, f"it describes {len(own)} of its {count} frames")
    size = int(dataset.Rows), int(dataset.Columns), int(dataset.get("SamplesPerPixel") or 1)
    if min(size) < 1:
        raise damaged(path, f"it states a slice of {size[1]} × {size[0]} pixels")
    for index in range(count):
        groups = _Groups(own[index] if own else None, shared, dataset)
        # One position for many frames (a film, projections around the patient) places none.
        placed = count == 1 or bool(own)
        position = groups.numbers("PlanePositionSequence", "ImagePositionPatient", 3)
        yield Frame(
            path=path,
            index=index,
            rows=size[0],
            columns=size[1],
            samples=size[2],
            position=position if placed else (),
            orientation=groups.orientation(),
            pixel_spacing=groups.pixel_spacing(),
            slope=groups.slope(),
            intercept=groups.number("PixelValueTransformationSequence", "RescaleIntercept", 0.0),
            thickness=groups.number("PixelMeasuresSequence", "SpacingBetweenSlices", 0.0)
            or groups.number("PixelMeasuresSequence", "SliceThickness", 0.0),
            order=(
                int(groups.number("FrameContentSequence", "TemporalPositionIndex", 0.0))
                or int(groups.number("", "TemporalPositionIdentifier", 0.0)),
                int(groups.number("FrameContentSequence", "AcquisitionNumber", 0.0)),
                int(groups.number("FrameContentSequence", "InstanceNumber", 0.0)),
                index,
            ),
            moment_s=groups.moment_s(),
        )


@dataclass(frozen=True)
class _Groups:
    """Where an attribute may stand: with its frame, with all frames, or in the file's root."""

    own: Dataset | None
    shared: Dataset | None
    root: Dataset

    def value(self, sequence: str, keyword: str) -> Any:
        for groups in (self.own, self.shared):
            items = groups.get(sequence) if groups is not None else None
            if items and items[0].get(keyword) is not None:
                return items[0].get(keyword)
        return self.root.get(keyword)

    def numbers(self, sequence: str, keyword: str, count: int) -> Numbers:
        value = self.value(sequence, keyword)
        if value is None or value == "":
            return ()
        numbers = tuple(float(v) for v in value)
        if len(numbers) != count or not np.isfinite(numbers).all():
            raise ValueError(f"{keyword} is no set of {count} numbers")
        return numbers

    def orientation(self) -> Numbers:
        cosines = self.numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6)
        if cosines:
            row, column = np.asarray(cosines[:3]), np.asarray(cosines[3:])
            lengths = np.linalg.norm([row, column], axis=1)
            if np.abs(lengths - 1).max() > _ROUNDED or abs(row @ column) > _ROUNDED:
                raise ValueError("ImageOrientationPatient is no pair of directions")
        return cosines

    def pixel_spacing(self) -> Numbers:
        spacing = self.numbers("PixelMeasuresSequence", "PixelSpacing", 2)
        if spacing and min(spacing) <= 0:
            raise ValueError("PixelSpacing is not positive")
        return spacing

    def slope(self) -> float:
        slope = self.number("PixelValueTransformationSequence", "RescaleSlope", 1.0)
        if slope == 0:
            raise ValueError("RescaleSlope is 0")
        return slope

    def moment_s(self) -> float | None:
        offset = self.number("TemporalPositionSequence", "TemporalPositionTimeOffset", np.nan)
        if np.isfinite(offset):
            return offset
        for sequence, keyword in _TRIGGER_TIMES:
            milliseconds = self.number(sequence, keyword, np.nan)
            if np.isfinite(milliseconds):
                return milliseconds / 1000
        return None

    def number(self, sequence: str, keyword: str, default: float) -> float:
        value = self.value(sequence, keyword)
        if value is None or value == "":
            return default
        number = float(value)
        if not np.isfinite(number):
            raise ValueError(f"{keyword} is not finite")
        return number
