"""Label maps into DICOM SEG files that refer to the series they were made on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.atomic import atomic_path
from napari_hybridseg.formats.dicom.catalogue import survey
from napari_hybridseg.formats.dicom.codes import ANATOMICAL_STRUCTURE, TISSUE
from napari_hybridseg.formats.dicom.libraries import check_installed, open_header, parsing
from napari_hybridseg.formats.dicom.reading import choose, grid_of
from napari_hybridseg.formats.dicom.segmentations import description_of
from napari_hybridseg.formats.stored import FormatError
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.labels import LabelScheme, Organ

if TYPE_CHECKING:
    from highdicom.seg import Segmentation, SegmentDescription
    from pydicom import Dataset

_PACKAGE = "napari-hybridseg"
_LARGEST_LABEL = 65535
_LONGEST_TEXT = 64
_SERIES_OFFSET = 1000
# PS3.3 type 2: must be there and may be empty; anonymisers delete them.
_MAY_BE_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
)
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")


@dataclass(frozen=True)
class Algorithm:
    """What made a segmentation, as the file will say.

    Attributes
    ----------
    name, version : str
        E.g. the checkpoint's name and the first digits of its hash.
    kind : str
        ``"AUTOMATIC"``, or ``"SEMIAUTOMATIC"`` when a person corrected it.
    """

    name: str
    version: str
    kind: Literal["AUTOMATIC", "SEMIAUTOMATIC"] = "AUTOMATIC"


def write_dicom_seg(
    path: str | PathLike[str],
    labels: NDArray[np.generic],
    geometry: Geometry,
    source_files: Sequence[str | PathLike[str]],
    scheme: LabelScheme | None = None,
    *,
    algorithm: Algorithm | None = None,
    description: str = "Segmentation",
    overwrite: bool = False,
) -> None:
    """Write a label map as a binary DICOM SEG.

    The file names the source series, its patient and its study. Organs with a SNOMED-CT code carry
    it, others the code for tissue; every organ carries its name, colour and number.

    Parameters
    ----------
    path : path-like
        Where the file will be; it appears when it is complete.
    labels : ndarray
        Shape (Z, Y, X), whole numbers from 0 to 65535.
    geometry : Geometry
        Its grid: that of the source series as `read_series` gives it.
    source_files : sequence of path-like
        The files of the series, as in `SeriesInfo.files`.
    scheme : LabelScheme or None
        The organs; labels that it does not know get made-up names.
    algorithm : Algorithm or None
        What made the label map; None for a person.
    description : str
        The new series' description.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    FormatError
        If the labels do not lie on the source series, or the source files lack what a
        segmentation must refer to.
    WriteError
        If the file exists and may not be replaced, or the disk refuses. Nothing is left behind.
    """
    path = Path(path)
    check_installed(path)
    labels = _checked(path, labels, geometry)
    files = [Path(file) for file in source_files]
    sources = _sources(path, files)
    _check_grid(path, files, geometry)
    known = scheme or LabelScheme()
    unknown = sorted({int(v) for v in np.unique(labels)} - {0, *known.ids})
    organs = (*known.organs, *(known.organ(label) for label in unknown))
    if not organs:
        raise FormatError(f"{path} cannot be written: the label map holds no organ to write.")
    segmentation = _segmentation(path, labels, geometry, sources, organs, algorithm, description)
    with atomic_path(path, overwrite=overwrite) as draft:
        segmentation.save_as(draft, enforce_file_format=True)


def _checked(path: Path, labels: NDArray[np.generic], geometry: Geometry) -> NDArray[np.generic]:
    if labels.shape != geometry.shape:
        raise FormatError(
            f"{path} cannot be written: the array's shape {labels.shape} does not fit its grid "
            f"{geometry.shape}."
        )
    if labels.dtype.kind not in "bui":
        raise FormatError(
            f"{path} cannot be written: its values are no labels; convert them to whole numbers."
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > _LARGEST_LABEL:
        raise FormatError(
            f"{path} cannot be written: its labels run from {low} to {high} where 0 to "
            f"{_LARGEST_LABEL} are possible."
        )
    return labels


def _sources(path: Path, files: Sequence[Path]) -> list[Dataset]:
    if not files:
        raise FormatError(f"{path} cannot be written: a DICOM SEG needs the series it was made on.")
    datasets: list[Dataset] = []
    for file in files:
        with parsing(file, "its header cannot be read"):
            dataset = open_header(file)[0]
            missing = [name for name in _NEEDED if not dataset.get(name)]
            for keyword in _MAY_BE_EMPTY:
                if keyword not in dataset:
                    setattr(dataset, keyword, "")
        if missing:
            raise FormatError(
                f"{path} cannot be written: {file.name} has no {missing[0]} to refer to (lost when "
                "it was anonymised?); save as .seg.nrrd."
            )
        datasets.append(dataset)
    return datasets


def _check_grid(path: Path, files: Sequence[Path], geometry: Geometry) -> None:
    """Refuse labels that were not made on the series; one that is irregular has no grid."""
    series = choose(files[0], survey(files[0]))
    try:
        grid = grid_of(files[0], series)
    except FormatError:
        return
    if not geometry.same_grid(grid):
        raise FormatError(
            f"{path} cannot be written: the labels' grid ({geometry.describe()}) is not that of "
            f"the series ({grid.describe()}); choose the series that they were made on."
        )


def _segmentation(
    path: Path,
    labels: NDArray[np.generic],
    geometry: Geometry,
    sources: list[Dataset],
    organs: tuple[Organ, ...],
    algorithm: Algorithm | None,
    description: str,
) -> Segmentation:
    from highdicom import UID, Volume
    from highdicom.seg import Segmentation

    # A SEG counts its segments from 1 without a gap.
    segment_of = np.zeros(_LARGEST_LABEL + 1, np.uint8 if len(organs) < 256 else np.uint16)
    for number, organ in enumerate(organs, 1):
        segment_of[organ.id] = number
    with parsing(path, "the series that it refers to cannot be used"):
        volume = Volume(
            segment_of[labels.astype(np.uint16)],
            geometry.affine[:, [2, 1, 0, 3]],
            "PATIENT",
            sources[0].FrameOfReferenceUID,
        )
        return Segmentation(
            source_images=sources,
            pixel_array=volume,
            segmentation_type="BINARY",
            segment_descriptions=[
                _described(number, organ, algorithm) for number, organ in enumerate(organs, 1)
            ],
            series_instance_uid=UID(),
            series_number=int(sources[0].get("SeriesNumber") or 0) + _SERIES_OFFSET,
            sop_instance_uid=UID(),
            instance_number=1,
            manufacturer=_PACKAGE,
            manufacturer_model_name=_PACKAGE,
            software_versions=version(_PACKAGE),
            device_serial_number="none",
            content_label="SEGMENTATION",
            content_description=description[:_LONGEST_TEXT],
            series_description=description[:_LONGEST_TEXT],
        )


def _described(number: int, organ: Organ, algorithm: Algorithm | None) -> SegmentDescription:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription
    from highdicom.sr import CodedConcept
    from pydicom.sr.codedict import codes

    tissue = CodedConcept(TISSUE, "SCT", "Tissue")
    name = organ.name.replace("\\", "/")[:_LONGEST_TEXT]
    segment = SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=CodedConcept(
            ANATOMICAL_STRUCTURE, "SCT", "Anatomical Structure"
        )
        if organ.snomed
        else tissue,
        segmented_property_type=CodedConcept(organ.snomed, "SCT", name) if organ.snomed else tissue,
        algorithm_type=algorithm.kind if algorithm else "MANUAL",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=algorithm.name[:_LONGEST_TEXT],
            family=codes.DCM.ArtificialIntelligence,
            version=algorithm.version[:_LONGEST_TEXT],
        )
        if algorithm
        else None,
        display_color=CIELabColor.from_rgb(*organ.rgb),
    )
    segment.SegmentDescription = description_of(organ)
    return segment
