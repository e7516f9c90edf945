"""Who else can say what a DICOM file holds: SimpleITK's GDCM, plain arithmetic, files beside it."""

from __future__ import annotations

import warnings
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import SimpleITK as sitk

from napari_hybridseg.formats import StoredImage
from napari_hybridseg.formats.dicom.headers import is_dicom_file
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.volume import Volume, load_label_map

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def assert_agrees(image: StoredImage, path: Path, referee: str) -> None:
    if referee.endswith(".nrrd"):
        folder = path if path.is_dir() else path.parent
        assert_same_labels(path, [folder / name for name in referee.split()])
    elif referee == "truth":
        truth = nibabel.load(path.parent / "001_ground_truth.nii.gz")
        voxels = np.asanyarray(truth.dataobj)
        if voxels.dtype.names:
            voxels = np.stack([voxels[c] for c in "RGB"], axis=-1)
        voxels = voxels.reshape(*voxels.shape[:3], -1).transpose(3, 2, 1, 0)
        stored = StoredImage(
            voxels, Geometry.from_affine(voxels.shape, RAS_TO_LPS @ truth.affine), None, "", ()
        )
        ours, theirs = Volume.from_stored(image), Volume.from_stored(stored)
        assert ours.geometry.same_grid(theirs.geometry, tolerance=1e-3)
        np.testing.assert_array_equal(ours.array, theirs.array)
    elif referee == "contours":
        assert_same_contours(image, path)
    elif referee == "highdicom":
        assert image.array.any()
    else:
        read = by_sitk if referee == "sitk" else by_frames
        folder = path if path.is_dir() else path.parent
        affine, voxels = read(same_stack(folder, path))
        np.testing.assert_allclose(image.geometry.affine, affine, rtol=0, atol=2e-4)
        np.testing.assert_allclose(image.array, voxels, rtol=1e-6)


def same_stack(folder: Path, path: Path) -> list[Path]:
    """Give the CT or MR files in a folder; of the same orientation, where a file is asked for."""
    if path.suffix == ".dcm" and "enhanced" in path.name:
        return [path]
    files = [p for p in sorted(folder.iterdir()) if is_dicom_file(p)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        headers = {p: pydicom.dcmread(p, stop_before_pixels=True) for p in files}
    files = [p for p in files if headers[p].get("Modality") in ("CT", "MR")]
    if path.is_file():
        wanted = headers[path].ImageOrientationPatient
        files = [p for p in files if headers[p].ImageOrientationPatient == wanted]
    return files


def by_sitk(files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    folder = str(files[0].parent)
    uid = str(pydicom.dcmread(files[0]).get("SeriesInstanceUID") or "")
    if uid and len(files) > 1:
        names = list(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(folder, uid))
    else:
        # GDCM finds no series without a UID: sort as it would.
        heights = {p: float(pydicom.dcmread(p).ImagePositionPatient[2]) for p in files}
        names = [str(p) for p in sorted(files, key=heights.__getitem__)]
    stored = sitk.ReadImage(names) if len(names) > 1 else sitk.ReadImage(names[0])
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(stored.GetDirection(), (3, 3)) * stored.GetSpacing()
    affine[:3, 3] = stored.GetOrigin()
    return affine, sitk.GetArrayFromImage(stored)[None]


def by_frames(files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Stack frames with nothing but pydicom and the standard's formula (C.7.6.2.1.1)."""
    slices = []
    for path in files:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(path)
            pixels = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
        own = dataset.get("PerFrameFunctionalGroupsSequence") or [dataset]
        shared = (dataset.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0]
        for plane, group in zip(pixels, own, strict=True):

            def value(sequence: str, keyword: str, group=group, shared=shared, root=dataset):
                for where in (group, shared):
                    if sequence in where and keyword in where[sequence].value[0]:
                        return where[sequence].value[0][keyword].value
                return root.get(keyword)

            position = value("PlanePositionSequence", "ImagePositionPatient")
            cosines = value("PlaneOrientationSequence", "ImageOrientationPatient")
            spacing = value("PixelMeasuresSequence", "PixelSpacing")
            slope = value("PixelValueTransformationSequence", "RescaleSlope")
            intercept = value("PixelValueTransformationSequence", "RescaleIntercept")
            values = plane * float(1 if slope is None else slope) + float(intercept or 0)
            slices.append((np.array(position, float), np.array(cosines, float), spacing, values))
    row, column = slices[0][1][:3], slices[0][1][3:]
    slices.sort(key=lambda entry: float(entry[0] @ np.cross(row, column)))
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = row * float(slices[0][2][1]), column * float(slices[0][2][0])
    affine[:3, 2] = (slices[-1][0] - slices[0][0]) / (len(slices) - 1)
    affine[:3, 3] = slices[0][0]
    return affine, np.stack([entry[3] for entry in slices])[None]


def assert_same_labels(path: Path, references: list[Path]) -> None:
    ours = load_label_map(path)
    expected = np.zeros_like(ours.array)
    parts = [load_label_map(reference) for reference in references]
    for organ in ours.scheme.organs:
        for part in parts:
            assert part.geometry.same_grid(ours.geometry)
            expected[part.array == organ.id] = organ.id
    np.testing.assert_array_equal(ours.array, expected)
    assert ours.array.any()


def assert_same_contours(image: StoredImage, path: Path) -> None:
    """Test every voxel centre near the contours by counting the edges that a ray crosses."""
    dataset = pydicom.dcmread(path)
    expected = np.zeros(image.array.shape[1:], dtype=bool)
    for contour in dataset.ROIContourSequence[0].ContourSequence:
        world = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
        index = image.geometry.index(world)
        z = round(float(index[0, 0]))
        y, x = np.mgrid[: expected.shape[1], : expected.shape[2]]
        inside = np.zeros(y.shape, dtype=bool)
        for (y0, x0), (y1, x1) in zip(index[:, 1:], np.roll(index[:, 1:], -1, 0), strict=True):
            if y0 != y1:
                crosses = (y0 > y) != (y1 > y)
                inside ^= crosses & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
        expected[z] ^= inside
    differing = np.count_nonzero(expected != image.array[0].astype(bool))
    # Centres that lie exactly on an outline belong to either side.
    assert differing <= 0.005 * expected.sum()
    assert expected.sum() > 1000
