"""Small DICOM series, made to order for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

PATIENT = "Doe^Jane"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
FRAME_OF_REFERENCE = "1.2.3.4.5"
STUDY = "1.2.3.4"
SERIES = "1.2.3.4.1"


def voxels(shape: tuple[int, ...] = (5, 6, 7), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2000, shape, dtype=np.uint16)


def ct_slice(
    pixels: np.ndarray,
    position: Sequence[float],
    *,
    orientation: Sequence[float] = AXIAL,
    spacing: Sequence[float] = (0.75, 0.5),
    series: str = SERIES,
    description: str = "Thorax 5.0",
    number: int = 1,
    slope: float = 1.0,
    intercept: float = 0.0,
    **more: object,
) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = STUDY
    dataset.SeriesInstanceUID = series
    dataset.FrameOfReferenceUID = FRAME_OF_REFERENCE
    dataset.SeriesDescription = description
    dataset.SeriesNumber = 3
    dataset.Modality = "CT"
    dataset.PatientName = PATIENT
    dataset.PatientID = "4711"
    dataset.PatientBirthDate = "19700101"
    dataset.PatientSex = "F"
    dataset.AccessionNumber = "A1"
    dataset.StudyID = "1"
    dataset.StudyDate = "20200101"
    dataset.StudyTime = "120000"
    dataset.InstanceNumber = number
    dataset.ImagePositionPatient = [float(f"{v:.10g}") for v in position]
    dataset.ImageOrientationPatient = [float(f"{v:.10g}") for v in orientation]
    dataset.PixelSpacing = list(spacing)
    dataset.SliceThickness = 2.0
    dataset.RescaleSlope = slope
    dataset.RescaleIntercept = intercept
    dataset.SamplesPerPixel = 1 if pixels.ndim == 2 else pixels.shape[2]
    dataset.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    for keyword, value in more.items():
        setattr(dataset, keyword, value)
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def save_series(
    folder: Path,
    array: np.ndarray,
    *,
    heights: Sequence[float] | None = None,
    sideways: float = 0.0,
    orientation: Sequence[float] = AXIAL,
    **more: object,
) -> list[Path]:
    """Save the slices of (Z, Y, X) voxels at these heights along their normal, 2 mm by default.

    ``sideways`` is how far each slice is shifted along its columns a millimetre of height.
    """
    heights = [2.0 * z for z in range(len(array))] if heights is None else heights
    normal = np.cross(orientation[:3], orientation[3:])
    column = np.asarray(orientation[3:])
    paths = []
    for z, (pixels, height) in enumerate(zip(array, heights, strict=True)):
        position = np.array([-10.0, 20.0, 30.0]) + (normal + sideways * column) * height
        dataset = ct_slice(pixels, position, orientation=orientation, number=z + 1, **more)
        # Names run against the order in the patient: nobody may rely on them.
        paths.append(save(dataset, folder / f"{len(array) - z:03d}.dcm"))
    return paths
