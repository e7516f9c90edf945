"""Every odd file on hand: it opens to this grid, or it is refused for this reason.

The positions are compared with nibabel's affine where nibabel reads the file, else with
SimpleITK's; the voxels with the same library's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from napari_hybridseg.formats import FormatError, StoredImage, read_image

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Opens:
    """Axis codes, array shape, type, and a piece of each note that must be there."""

    codes: str
    shape: tuple[int, int, int, int]
    dtype: str
    notes: tuple[str, ...] = ()
    referee: str = "nibabel"


BRAIN = (1, 38, 52, 36)
F4 = "float32"
COLOUR = ("in colour",)
FOURTH = ("volumes are",)
FIFTH = ("volumes are channels",)
UNKNOWN = ("orientation is unknown",)
SCALED = ("Intensities were scaled",)
CONFLICT = ("position twice (sform and qform), and the two disagree",)

TABLE: dict[str, Opens | str] = {
    "derived/all_nan.nii.gz": Opens("RAS", BRAIN, F4, ("No voxel holds a number",)),
    "derived/anisotropic_4mm.nii.gz": Opens("RAS", (1, 10, 52, 36), F4),
    "derived/anisotropic_4mm_label.nii.gz": Opens("RAS", (1, 10, 52, 36), "uint8"),
    "derived/bad_magic.nii": "NIfTI mark is wrong",
    "derived/base_image.mha": Opens("RAS", BRAIN, F4, referee="sitk"),
    "derived/base_image.nii.gz": Opens("RAS", BRAIN, F4),
    "derived/base_image.nrrd": Opens("RAS", BRAIN, F4, referee="sitk"),
    "derived/base_label.nii.gz": Opens("RAS", BRAIN, "uint8"),
    "derived/base_label.nrrd": Opens("RAS", BRAIN, "uint8", referee="sitk"),
    "derived/big_endian_int16.nii.gz": Opens("RAS", BRAIN, F4),
    "derived/constant_zero.nii.gz": Opens("RAS", BRAIN, F4),
    "derived/dtype_complex64.nii.gz": "complex numbers",
    "derived/dtype_float64.nii.gz": Opens("RAS", BRAIN, "float64"),
    "derived/dtype_int64.nii.gz": Opens("RAS", BRAIN, "int64"),
    "derived/dtype_uint16.nii.gz": Opens("RAS", BRAIN, "uint16"),
    "derived/dtype_uint32.nii.gz": Opens("RAS", BRAIN, "uint32"),
    "derived/empty_file.nii.gz": "is empty",
    "derived/far_origin.nii.gz": Opens("RAS", BRAIN, F4),
    "derived/five_d_vector.nii.gz": Opens("RAS", (3, 38, 52, 36), F4, FIFTH),
    "derived/four_d_3ch.nii.gz": Opens("RAS", (3, 38, 52, 36), F4, FOURTH),
    "derived/gzip_named_nii.nii": Opens(
        "RAS", BRAIN, F4, ("gzip-compressed, whatever its name",), "base"
    ),
    "derived/gzip_truncated_half.nii.gz": "cut short.*284,544 bytes.*holds 138,200",
    "derived/gzip_truncated_tail8.nii.gz": Opens(
        "RAS", BRAIN, F4, ("checksum could not be checked",), "base"
    ),
    "derived/header_only.nii": "cut short.*holds 0",
    "derived/inf_voxels.nii.gz": Opens("RAS", BRAIN, F4, ("2 voxels are not numbers",)),
    "derived/int16_slope_intercept.nii.gz": Opens("RAS", BRAIN, F4, SCALED),
    "derived/label_empty.nii.gz": Opens("RAS", BRAIN, "uint8"),
    "derived/label_float_noisy.nii.gz": Opens("RAS", BRAIN, F4),
    "derived/label_negative.nii.gz": Opens("RAS", BRAIN, "int16"),
    "derived/label_origin_shift.nii.gz": Opens("RAS", BRAIN, "uint8"),
    "derived/label_shape_mismatch.nii.gz": Opens("RAS", (1, 38, 52, 33), "uint8"),
    "derived/label_spacing_mismatch.nii.gz": Opens("RAS", BRAIN, "uint8"),
    "derived/label_sparse_ids.nii.gz": Opens("RAS", BRAIN, "int32"),
    "derived/label_uint16_gt255.nii.gz": Opens("RAS", BRAIN, "uint16"),
    "derived/left_handed_flip.nii.gz": Opens("LAS", BRAIN, F4),
    "derived/micron_spacing.nii.gz": Opens("RAS", BRAIN, F4, ("check the unit",)),
    "derived/nan_block.nii.gz": Opens("RAS", BRAIN, F4, ("125 voxels are not numbers",)),
    "derived/nifti2.nii.gz": Opens("RAS", BRAIN, F4),
    "derived/nii_truncated.nii": "cut short.*284,544 bytes.*holds 189,578",
    "derived/no_sform_qform.nii.gz": Opens("LAS", BRAIN, F4, UNKNOWN),
    "derived/nrrd_negative_direction.nrrd": Opens("RAS", BRAIN, F4, referee="sitk"),
    "derived/nrrd_truncated.nrrd": "cut short",
    "derived/oblique_25_15.nii.gz": Opens("RAS", BRAIN, F4),
    "derived/oblique_25_15_label.nii.gz": Opens("RAS", BRAIN, "uint8"),
    "derived/pair.hdr": Opens("RAS", BRAIN, F4),
    "derived/pair.img": Opens("RAS", BRAIN, F4),
    "derived/permuted_PSR.nii.gz": Opens("ASR", (1, 36, 38, 52), F4),
    "derived/pixdim_negative.nii.gz": Opens("RAS", BRAIN, F4),
    "derived/pixdim_zero_noform.nii.gz": "says neither how large a voxel is",
    "derived/rgb24.nii.gz": Opens("RAS", (3, 38, 52, 36), "uint8", COLOUR),
    "derived/sform_qform_disagree.nii.gz": Opens("RAS", BRAIN, F4, CONFLICT),
    "derived/sform_qform_spacing_disagree.nii.gz": Opens("RAS", BRAIN, F4, CONFLICT),
    "derived/sform_sheared.nii.gz": "is sheared",
    "derived/sform_singular.nii.gz": "singular position matrix",
    "derived/single_slice.nii.gz": Opens("RAS", (1, 1, 52, 36), F4),
    "derived/slope_nan.nii.gz": Opens("RAS", BRAIN, "int16"),
    "derived/slope_zero.nii.gz": Opens("RAS", BRAIN, "int16"),
    "derived/text_named_nii.nii.gz": "Git LFS pointer",
    "derived/tiny_2x2x2.nii.gz": Opens("RAS", (1, 2, 2, 2), F4),
    "derived/trailing_singleton.nii.gz": Opens("RAS", BRAIN, F4),
    "derived/two_d.nii.gz": Opens("RAS", (1, 1, 52, 36), F4),
    "derived/ünïcode näme 漢字.nii.gz": Opens("RAS", BRAIN, F4),
    "real/itksnap_Z32.nii.gz": Opens("LPS", (1, 1, 110, 78), "uint16"),
    "real/itksnap_multi_chunk.nii.gz": Opens("LSP", (2, 39, 52, 64), "int16", FIFTH),
    "real/itksnap_t2_chunk.nii.gz": Opens("LSP", (1, 17, 41, 58), "int16"),
    "real/itksnap_tensor_rgb.nii.gz": Opens("LAS", (3, 20, 36, 36), "int16", FIFTH),
    "real/itksnap_ultrasound_img4d.nii.gz": Opens("RAS", (3, 56, 52, 56), F4, FOURTH),
    "real/ivadomed_rgb.nii.gz": Opens("RAS", (3, 4, 10, 10), "uint8", COLOUR),
    "real/nibabel_analyze.hdr": "nibabel_analyze.img is not beside it",
    "real/nibabel_anatomical.nii": Opens("LAS", (1, 25, 41, 33), "int16"),
    "real/nibabel_example4d.nii.gz": Opens("LAS", (2, 24, 96, 128), "int16", FOURTH),
    "real/nibabel_example_nifti2.nii.gz": Opens("LAS", (2, 12, 20, 32), "int16", FOURTH),
    "real/nibabel_functional.nii": Opens("LAS", (20, 3, 21, 17), F4, FOURTH + SCALED),
    "real/nibabel_nifti1.hdr": "nibabel_nifti1.img is not beside it",
    "real/nibabel_standard.nii.gz": Opens("RAS", (1, 7, 5, 4), "uint8"),
    "real/nibabel_test.mgz": "is sheared",
    "real/niivue_CT_pitch.nii.gz": Opens("RAS", (1, 58, 248, 175), "uint8"),
    "real/niivue_aparc.a2009s+aseg.mgz": Opens("LIA", (1, 256, 256, 256), "int32"),
    "real/niivue_complex.nii.gz": "complex numbers",
    "real/niivue_ct_perfusion.nii.gz": Opens("LAS", (3, 15, 286, 256), "uint8", COLOUR),
    "real/niivue_low_res.nii.gz": Opens("RAS", (1, 3, 5, 7), "uint8"),
    "real/niivue_mha.mha": Opens("LAS", (1, 37, 64, 64), "int16", referee="sitk"),
    "real/niivue_minimal.nii.gz": Opens("LAS", (1, 10, 64, 64), "uint8", UNKNOWN),
    "real/niivue_norm.mgz": Opens("LIA", (1, 256, 256, 256), "uint8"),
    "real/niivue_pcasl.nii.gz": Opens("RAS", (10, 20, 68, 52), "int16", FOURTH),
    "real/niivue_shear.nii.gz": "is sheared",
    "real/totalseg_spine_report_rgb.nii.gz": Opens("LPS", (3, 1, 1244, 1201), "uint8", COLOUR),
    **{
        f"real/orientations/{codes}.nii.gz": Opens(codes, shape, F4, SCALED)
        for codes, shape in {
            "AIL": (1, 64, 67, 79),
            "ARI": (1, 67, 64, 79),
            "IAL": (1, 64, 79, 67),
            "IPL": (1, 64, 79, 67),
            "LAI": (1, 67, 79, 64),
            "LPI": (1, 67, 79, 64),
            "PIL": (1, 64, 67, 79),
            "PRI": (1, 67, 64, 79),
            "RAI": (1, 67, 79, 64),
            "RPI": (1, 67, 79, 64),
            "SAL": (1, 64, 79, 67),
            "SPL": (1, 64, 79, 67),
        }.items()
    },
}


@pytest.fixture(scope="module")
def odd(shared_data: Path) -> Path:
    return shared_data / "odd_volumes"


def test_the_table_names_every_file(odd: Path) -> None:
    folders = ("derived", "real")
    on_disk = {
        path.relative_to(odd).as_posix()
        for folder in folders
        for path in (odd / folder).rglob("*")
        if path.is_file()
    }
    assert on_disk == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_opens_truly_or_is_refused(odd: Path, name: str) -> None:
    expected = TABLE[name]
    if isinstance(expected, str):
        with pytest.raises(FormatError, match=expected) as refusal:
            read_image(odd / name)
        _assert_one_sentence(str(refusal.value), odd / name)
        return
    image = read_image(odd / name)
    assert image.array.shape == expected.shape
    assert image.array.dtype == expected.dtype
    assert image.array.dtype.isnative
    assert image.geometry.shape == expected.shape[1:]
    assert image.geometry.axis_codes == expected.codes
    assert len(image.notes) == len(expected.notes), image.notes
    for piece in expected.notes:
        assert any(piece in note for note in image.notes), image.notes
    _assert_agrees(image, odd, name, expected.referee)


@pytest.mark.parametrize("name", ["derived/sform_sheared.nii.gz", "real/niivue_shear.nii.gz"])
def test_a_sheared_file_is_resampled_on_request(odd: Path, name: str) -> None:
    """Trilinear values at random places agree between the sheared and the straight grid."""
    image = read_image(odd / name, sheared="resample")
    assert any("resampled" in note for note in image.notes)
    stored = nibabel.load(odd / name)
    source = np.asarray(stored.dataobj, dtype=np.float64).T
    affine = RAS_TO_LPS @ stored.affine
    rng = np.random.default_rng(0)
    # Whole slices keep the comparison free of the difference between two interpolations in z.
    size = np.array(source.shape[::-1])
    index = rng.uniform(1, size - 2, (2000, 3))
    index[:, 2] = np.round(index[:, 2])
    world = index @ affine[:3, :3].T + affine[:3, 3]
    straight = _trilinear(image.array[0], image.geometry.index(world))
    sheared = _trilinear(source, index[:, ::-1])
    assert np.corrcoef(straight, sheared)[0, 1] > 0.98
    nearest = read_image(odd / name, sheared="resample-nearest").array
    assert set(np.unique(nearest)) <= {*np.unique(source.astype(nearest.dtype)), 0}


def test_one_head_in_twelve_orientations_is_one_head(odd: Path) -> None:
    folder = odd / "real/orientations"
    heads = [read_image(path) for path in sorted(folder.glob("*.nii.gz"))]
    assert len(heads) == 12
    first = heads[0]
    change = first.geometry.to_axis_codes("LPS")
    array, grid = change.apply(first.array), first.geometry.reoriented(change)
    for head in heads[1:]:
        change = head.geometry.to_axis_codes("LPS")
        np.testing.assert_array_equal(change.apply(head.array), array)
        assert head.geometry.reoriented(change).same_grid(grid)


def _assert_one_sentence(message: str, path: Path) -> None:
    assert str(path.parent) in message
    assert message.endswith(".")
    assert "\n" not in message
    assert "; " in message, "it says what to do"


def _assert_agrees(image: StoredImage, odd: Path, name: str, referee: str) -> None:
    if referee == "base":
        base = read_image(odd / "derived/base_image.nii.gz")
        assert image.geometry == base.geometry
        np.testing.assert_array_equal(image.array, base.array)
        return
    read = _by_nibabel if referee == "nibabel" else _by_sitk
    affine, voxels = read(odd / name)
    scale = np.abs(affine).max()
    np.testing.assert_allclose(image.geometry.affine, affine, rtol=0, atol=1e-6 * scale)
    np.testing.assert_allclose(image.array, voxels, rtol=1e-6)


def _by_nibabel(path: Path) -> tuple[np.ndarray, np.ndarray]:
    stored = nibabel.load(path)
    voxels = np.asanyarray(stored.dataobj)
    if voxels.dtype.names:
        voxels = np.stack([voxels[c] for c in voxels.dtype.names], axis=-1)
    spatial = voxels.reshape(*(*voxels.shape, 1, 1)[:3], -1)
    affine = RAS_TO_LPS @ stored.affine
    return affine, spatial.transpose(3, 2, 1, 0)


def _by_sitk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    stored = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(stored.GetDirection(), (3, 3)) * stored.GetSpacing()
    affine[:3, 3] = stored.GetOrigin()
    return affine, sitk.GetArrayFromImage(stored)[None]


def _trilinear(array: np.ndarray, index: np.ndarray) -> np.ndarray:
    return ndimage.map_coordinates(array.astype(np.float64), index.T, order=1)
