"""The protocols of TransFuse.

Zhang et al. 2021, arXiv 2102.08005. Whole images are resized to one size.
"""

from __future__ import annotations

from typing import Any

from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import (
    ClipStandardise,
    Intensity,
    PerChannel,
    Preprocessing,
    WindowDefaults,
    ZScore,
)
from napari_hybridseg.presets import organs
from napari_hybridseg.presets.preset import Optimiser, Preset, Protocol, Schedule, Variation

_BRIGHTEST = 255
_BATCH = 16
_EPOCHS = 30

# mean and deviation of ImageNet's red, green and blue, which run from 0 to 1
IMAGENET = PerChannel(
    channels=tuple(
        ClipStandardise(low=0, high=_BRIGHTEST, mean=mean * _BRIGHTEST, std=std * _BRIGHTEST)
        for mean, std in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))
    )
)


def _preset(
    dataset: str,
    labels: LabelScheme,
    modality: str,
    intensity: Intensity,
    size: tuple[int, int],
    images: int | None,
    rate: float,
    variation: Variation,
    hidden: dict[str, Any] | None = None,
) -> Preset:
    rows, columns = size
    return Preset(
        dataset=dataset,
        architecture="transfuse-s",
        also_for=() if hidden else ("transfuse-l", "transfuse-l384", "transfuse-lstar"),
        config={"grid": (rows // 16, columns // 16)},
        hidden=hidden or {},
        labels=labels,
        modality=modality,
        preprocessing=Preprocessing(
            orientation="as-stored", shape=(None, rows, columns), intensity=intensity
        ),
        windows=WindowDefaults(
            size=(1, rows, columns), overlap=0, importance="constant", slice_axis=0
        ),
        protocol=Protocol(
            optimiser=Optimiser(kind="adam", learning_rate=rate, betas=(0.5, 0.999)),
            schedule=Schedule(kind="constant"),
            batch_size=_BATCH,
            steps=None if images is None else _EPOCHS * -(-images // _BATCH),
            loss=(
                "weighted binary cross entropy plus weighted IoU; 0.5 last fusion, 0.3 "
                "transformer, 0.2 first fusion"
            ),
            variation=variation,
            gradient_clip=2.0,
        ),
        source=(
            f"arXiv 2102.08005 and the authors' code: {_EPOCHS} epochs (code: 25); the text swaps "
            "the weights of the transformer's and the first fusion's loss."
        ),
    )


PRESETS: tuple[Preset, ...] = (
    _preset(
        "isic2017",
        organs.ISIC2017,
        "dermoscopy",
        IMAGENET,
        (192, 256),
        images=2000,
        rate=7e-5,
        variation=Variation(
            rotate=25,
            scale=0.15,
            flip_axes=(1, 2),
            brightness=0.2,
            contrast=0.2,
            other="shift 0.15, colour jitter",
        ),
        # the published weights are older than the authors' switch to aligned corners
        hidden={"align_corners": False},
    ),
    _preset(
        "polyp",
        organs.POLYP,
        "endoscopy",
        IMAGENET,
        (352, 352),
        images=1450,
        rate=1e-4,
        variation=Variation(other="images at 0.75, 1 and 1.25 times the size"),
    ),
    _preset(
        "hip",
        organs.HIP,
        "X-ray",
        IMAGENET,
        (352, 352),
        images=None,
        rate=1e-4,
        variation=Variation(other="not published"),
    ),
    _preset(
        "prostate",
        organs.PROSTATE,
        "MR",
        ZScore(),
        (320, 320),
        images=None,
        rate=1e-4,
        variation=Variation(other="not published"),
    ),
)
