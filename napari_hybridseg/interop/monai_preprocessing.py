"""What a MONAI bundle's transforms do to an image, in the words of a model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_hybridseg.interop.foreign_files import ForeignFileError
from napari_hybridseg.model_card import (
    AsIs,
    Axes,
    ClipRescale,
    Intensity,
    PercentileRescale,
    Preprocessing,
    WindowDefaults,
    ZScore,
)

# MONAI's readers give (X, Y, Z)
MONAI_AXES: Axes = (2, 1, 0)

_WITHOUT_EFFECT = frozenset(
    ("LoadImage", "EnsureChannelFirst", "AddChannel", "EnsureType", "ToTensor", "CastToType")
)
_NOT_CARRIED_OVER = frozenset(("CropForeground", "DivisiblePad", "SpatialPad"))


def preprocessing_of_transforms(
    transforms: Sequence[Mapping[str, Any]], channels: int
) -> tuple[Preprocessing, tuple[str, ...]]:
    """Give the preprocessing, and the transforms that were left out.

    Parameters
    ----------
    transforms : sequence of mapping
        MONAI's, every reference resolved.
    channels : int
        Of the image.

    Raises
    ------
    ForeignFileError
        If a transform does what a model card cannot say.
    """
    steps: dict[str, Any] = {"orientation": "as-stored", "intensity": AsIs()}
    left_out = []
    for transform in transforms:
        name = str(transform["_target_"]).rsplit(".", 1)[-1].removesuffix("d")
        if name in _WITHOUT_EFFECT or transform.get("_disabled_"):
            continue
        if name in _NOT_CARRIED_OVER:
            left_out.append(name)
        elif name == "Orientation":
            steps["orientation"] = _orientation(transform)
        elif name == "Spacing":
            x, y, z = transform["pixdim"]
            steps["spacing"] = (x, y, z)
        elif isinstance(steps["intensity"], AsIs):
            steps["intensity"] = _intensity(name, transform, channels)
        else:
            _refuse(name, transform)
    return Preprocessing(axes=MONAI_AXES, **steps), tuple(left_out)


def windows_of_inferer(inferer: Mapping[str, Any], dims: int) -> WindowDefaults:
    """Give the windows of a bundle's inferer, in the order of MONAI's axes.

    Raises
    ------
    ForeignFileError
        If it does not slide a window.
    """
    name = str(inferer["_target_"]).rsplit(".", 1)[-1]
    if name not in ("SlidingWindowInferer", "SliceInferer"):
        raise ForeignFileError(
            f"This MONAI bundle predicts with a {name}; only sliding windows can be imported."
        )
    size = [int(length) for length in inferer["roi_size"]]
    flat = dims == 2
    return WindowDefaults(
        size=(size[0], size[1], 1 if flat else size[2]),
        overlap=float(inferer.get("overlap", 0.25)),
        importance="gaussian" if inferer.get("mode", "constant") == "gaussian" else "constant",
        slice_axis=2 if flat else None,
    )


def _orientation(transform: Mapping[str, Any]) -> str:
    codes = str(transform["axcodes"])
    if codes not in ("RAS", "LPS"):
        raise ForeignFileError(
            f"This MONAI bundle turns images to {codes}; only RAS and LPS can be imported."
        )
    return codes


def _intensity(name: str, transform: Mapping[str, Any], channels: int) -> Intensity:
    to_one = (transform.get("b_min", 0.0), transform.get("b_max", 1.0)) == (0.0, 1.0)
    if name == "ScaleIntensityRange" and to_one and transform.get("clip"):
        return ClipRescale(low=transform["a_min"], high=transform["a_max"])
    if name == "ScaleIntensityRangePercentiles" and to_one and transform.get("clip"):
        return PercentileRescale(low=transform["lower"], high=transform["upper"])
    each = bool(transform.get("channel_wise")) or channels == 1
    if name == "ScaleIntensity" and (
        each and (transform.get("minv", 0.0), transform.get("maxv", 1.0)) == (0.0, 1.0)
    ):
        return PercentileRescale(low=0, high=100)
    fixed = transform.get("subtrahend") is not None or transform.get("divisor") is not None
    if name == "NormalizeIntensity" and each and not fixed:
        return ZScore(nonzero_only=bool(transform.get("nonzero", False)))
    return _refuse(name, transform)


def _refuse(name: str, transform: Mapping[str, Any]) -> Any:
    how = ", ".join(f"{k} {v!r}" for k, v in transform.items() if k not in ("_target_", "keys"))
    raise ForeignFileError(
        f"This MONAI bundle prepares images with {name} ({how}), which a model card cannot say, "
        "so it cannot be imported."
    )
