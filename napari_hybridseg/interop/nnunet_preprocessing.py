"""What an nnU-Net v2 plan says about preparing images, in the words of a model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from napari_hybridseg.interop.foreign_files import ForeignFileError
from napari_hybridseg.model_card import (
    AsIs,
    ChannelIntensity,
    ClipRescale,
    ClipStandardise,
    Intensity,
    PercentileRescale,
    PerChannel,
    Preprocessing,
    WindowDefaults,
    ZScore,
)
from napari_hybridseg.older_python import zip

_ORIENTATIONS: Mapping[str, Literal["as-stored", "RAS"]] = {
    "SimpleITKIO": "as-stored",
    "NibabelIO": "as-stored",
    "SimpleITKIOWithReorient": "RAS",
    "NibabelIOWithReorient": "RAS",
}
_RESAMPLING = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
_SMALLEST_SPREAD = 1e-8


def preprocessing_of_plans(plans: Mapping[str, Any], plan: Mapping[str, Any]) -> Preprocessing:
    """Give the preprocessing of one configuration.

    Parameters
    ----------
    plans : mapping
        All of ``plans.json``.
    plan : mapping
        The configuration, with what it inherits filled in.

    Raises
    ------
    ForeignFileError
        If a step is one that we do not do.
    """
    _check_resampling(plan)
    reader = plans.get("image_reader_writer", "SimpleITKIO")
    if reader not in _ORIENTATIONS:
        raise ForeignFileError(
            f"This nnU-Net model reads images with {reader}, which is for other than medical "
            "volumes, so it cannot be imported."
        )
    axes = tuple(plans["transpose_forward"])
    return Preprocessing(
        orientation=_ORIENTATIONS[reader],
        axes=axes,
        crop_to_nonzero=True,
        spacing=_spacing(plan["spacing"], axes),
        interpolation="cubic",
        intensity=_intensity(plans, plan),
    )


def windows_of_plan(plan: Mapping[str, Any], mirrored: Sequence[int] | None) -> WindowDefaults:
    """Give the windows of one configuration.

    Parameters
    ----------
    plan : mapping
        The configuration.
    mirrored : sequence of int or None
        The network's spatial axes along which nnU-Net would mirror.
    """
    size = list(plan["patch_size"])
    flat = len(size) == 2
    axes = [axis + 1 if flat else axis for axis in mirrored or ()]
    return WindowDefaults(
        size=(1, *size) if flat else tuple(size),
        overlap=0.5,
        importance="gaussian",
        mirror_axes=tuple(axes),  # type: ignore[arg-type]
        slice_axis=0 if flat else None,
    )


def _spacing(
    spacing: Sequence[float], axes: tuple[int, ...]
) -> tuple[float | None, float | None, float | None]:
    """Turn millimetres along the network's axes into (x, y, z) of the file's.

    A 2D configuration keeps the distance between slices.
    """
    own: list[float | None] = [None, None, None]
    for axis, step in zip(axes[-len(spacing) :], spacing, strict=True):
        own[axis] = step
    return own[2], own[1], own[0]


def _intensity(plans: Mapping[str, Any], plan: Mapping[str, Any]) -> Intensity:
    schemes = plan["normalization_schemes"]
    measured = plans.get("foreground_intensity_properties_per_channel") or plans.get(
        "foreground_intensity_properties_by_modality", {}
    )
    masked = plan.get("use_mask_for_norm") or [False] * len(schemes)
    channels = tuple(
        _of_channel(scheme, measured.get(str(index), {}), masked[index])
        for index, scheme in enumerate(schemes)
    )
    same = all(channel == channels[0] for channel in channels)
    return channels[0] if same else PerChannel(channels=channels)


def _of_channel(scheme: str, measured: Mapping[str, float], masked: bool) -> ChannelIntensity:
    if scheme == "CTNormalization":
        return ClipStandardise(
            low=measured["percentile_00_5"],
            high=measured["percentile_99_5"],
            mean=measured["mean"],
            std=max(measured["std"], _SMALLEST_SPREAD),
        )
    if scheme == "ZScoreNormalization":
        return ZScore(nonzero_only=masked)
    if scheme == "NoNormalization":
        return AsIs()
    if scheme == "RescaleTo01Normalization":
        return PercentileRescale(low=0, high=100)
    if scheme == "RGBTo01Normalization":
        return ClipRescale(low=0, high=255)
    raise ForeignFileError(
        f"This nnU-Net model normalises with {scheme}, which we do not know, so it cannot be "
        "imported."
    )


def _check_resampling(plan: Mapping[str, Any]) -> None:
    preprocessor = plan.get("preprocessor_name", "DefaultPreprocessor")
    resampler = plan.get("resampling_fn_data", "resample_data_or_seg_to_shape")
    given = plan.get("resampling_fn_data_kwargs", {})
    ours = {**_RESAMPLING, **given} == _RESAMPLING
    if preprocessor != "DefaultPreprocessor":
        raise ForeignFileError(
            f"This nnU-Net model prepares images with {preprocessor}, which we do not have, so it "
            "cannot be imported."
        )
    if resampler != "resample_data_or_seg_to_shape" or not ours:
        raise ForeignFileError(
            f"This nnU-Net model resamples with {resampler} {given}, which we do not do, so it "
            "cannot be imported."
        )
