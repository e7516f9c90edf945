"""One file of every kind that ``hybridseg info`` reads, of about 100 kB, ready to be damaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_hybridseg.formats import write_image
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.labels import LabelScheme

GRID = Geometry((50, 45, 44), (0.5, 0.75, 2.0), (10.0, -20.0, 30.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
# Noise of few values: it hardly packs, and any voxel that is lost or made up changes a count.
VOXELS = np.random.default_rng(0).integers(0, 40, GRID.shape, dtype=np.uint8)
SCHEME = LabelScheme.from_names({1: "liver", 2: "spleen"})
_NRRD_HEAD, _DICOM_HEAD = 300, 1600


@dataclass(frozen=True)
class Case:
    """What is described, and the files that get damaged, each with the length of its header.

    ``is_checked``: every byte lies under a checksum, so whatever opens must be the whole truth.
    """

    described: Path
    damaged: tuple[tuple[Path, int], ...]
    is_checked: bool = False


def _nifti1(folder: Path) -> Case:
    return _written(folder / "x.nii", 352)


def _nifti2(folder: Path) -> Case:
    return _by_nibabel(folder / "x.nii", "Nifti2Image", 544)


def _packed_nifti(folder: Path) -> Case:
    return replace(_written(folder / "x.nii.gz", 200), is_checked=True)


def _nrrd(folder: Path) -> Case:
    return _written(folder / "x.nrrd", _NRRD_HEAD)


def _segmentation(folder: Path) -> Case:
    path = _written(folder / "x.seg.nrrd", 0, SCHEME).described
    return Case(path, ((path, path.read_bytes().index(b"\n\n")),))


def _metaimage(folder: Path) -> Case:
    return _written(folder / "x.mha", 330)


def _detached_nrrd(folder: Path) -> Case:
    return _by_sitk(folder / "x.nhdr")


def _detached_metaimage(folder: Path) -> Case:
    return _by_sitk(folder / "x.mhd")


def _mgh(folder: Path) -> Case:
    return _by_nibabel(folder / "x.mgh", "MGHImage", 284)


def _mgz(folder: Path) -> Case:
    return replace(_by_nibabel(folder / "x.mgz", "MGHImage", 200), is_checked=True)


def _dicom_file(folder: Path) -> Case:
    slice_ = _dicom_slices(folder)[1]
    return Case(slice_, ((slice_, _DICOM_HEAD),))


def _dicom_folder(folder: Path) -> Case:
    return Case(folder, tuple((path, _DICOM_HEAD) for path in _dicom_slices(folder)))


def _jpeg_2000(folder: Path) -> Case:
    return _compressed(folder, "1.2.840.10008.1.2.4.90")


def _jpeg_ls(folder: Path) -> Case:
    return _compressed(folder, "1.2.840.10008.1.2.4.80")


def _run_length(folder: Path) -> Case:
    return _compressed(folder, "1.2.840.10008.1.2.5")


def _dicom_seg(folder: Path) -> Case:
    from napari_hybridseg.formats.dicom import Algorithm, read_series, write_dicom_seg

    files = _dicom_slices(folder)
    path = folder / "seg.dcm"
    grid = read_series(files[0]).geometry
    labels = np.random.default_rng(2).integers(0, 3, grid.shape, dtype=np.uint8)
    write_dicom_seg(path, labels, grid, files, SCHEME, algorithm=Algorithm("a", "1"))
    return Case(path, ((path, path.stat().st_size - 1),))


def _structure_set(folder: Path) -> Case:
    from formats.test_dicom_labels import square, structure_set

    _dicom_slices(folder)
    outline = [v + s for v, s in zip(square(0, 2, 32), [-9.5, 20.5, 0] * 4, strict=True)]
    path = structure_set(folder / "rt.dcm", {"liver": [outline], "spleen": [outline]})
    return Case(path, ((path, path.stat().st_size - 1),))


CASES: dict[str, Callable[[Path], Case]] = {
    "NIfTI-1": _nifti1,
    "NIfTI-2": _nifti2,
    "nii.gz": _packed_nifti,
    "NRRD": _nrrd,
    "NHDR": _detached_nrrd,
    "seg.nrrd": _segmentation,
    "MHA": _metaimage,
    "MHD": _detached_metaimage,
    "MGH": _mgh,
    "MGZ": _mgz,
    "DICOM file": _dicom_file,
    "DICOM folder": _dicom_folder,
    "DICOM JPEG 2000": _jpeg_2000,
    "DICOM JPEG-LS": _jpeg_ls,
    "DICOM RLE": _run_length,
    "DICOM SEG": _dicom_seg,
    "RTSTRUCT": _structure_set,
}


def _written(path: Path, head: int, scheme: LabelScheme | None = None) -> Case:
    write_image(path, VOXELS, GRID, scheme=scheme)
    return Case(path, ((path, head),))


def _by_nibabel(path: Path, kind: str, head: int) -> Case:
    import nibabel

    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ GRID.affine
    nibabel.save(getattr(nibabel, kind)(VOXELS.T, affine), path)
    return Case(path, ((path, head),))


def _by_sitk(path: Path) -> Case:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(VOXELS)
    image.SetSpacing(GRID.spacing)
    image.SetOrigin(GRID.origin)
    sitk.WriteImage(image, str(path))
    (body,) = (each for each in path.parent.iterdir() if each != path)
    return Case(path, ((path, path.stat().st_size), (body, 100)))


def _compressed(folder: Path, syntax: str) -> Case:
    import pydicom

    files = _dicom_slices(folder)
    for path in files:
        dataset = pydicom.dcmread(path)
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(path)
    return Case(folder, tuple((path, _DICOM_HEAD) for path in files))


def _dicom_slices(folder: Path) -> list[Path]:
    from formats.dicom_samples import save_series

    array = np.random.default_rng(1).integers(0, 40, (3, 120, 130), dtype=np.uint16)
    return save_series(folder, array, intercept=0)
