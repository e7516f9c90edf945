"""The protocols of UTNetV2 and MedFormer.

Gao et al. 2022, arXiv 2203.00131, and the configurations of the authors' repository (CBIM): the
code's numbers where it differs from the text.
"""

from __future__ import annotations

from typing import Any

from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import (
    ClipStandardise,
    Intensity,
    PercentileRescale,
    PercentileStandardise,
    Preprocessing,
    Spacing,
    WindowDefaults,
)
from napari_hybridseg.presets import organs
from napari_hybridseg.presets.preset import Optimiser, Preset, Protocol, Schedule, Variation

_STEPS_PER_EPOCH = 200
_AMOS_MR_STEPS_PER_EPOCH = 80
_SOURCE = (
    "arXiv 2203.00131 and the authors' repository, whose numbers are taken where they differ: the "
    "learning rate falls polynomially (text: exponentially), the Dice term is an adaptive Tversky "
    "loss. How strong noise, brightness and contrast are is this trainer's choice."
)
_LOSS = "cross entropy with background weight 0.5, plus adaptive Tversky loss"

_ACDC_INTENSITY = PercentileRescale(low=0, high=98)
_BCV_INTENSITY = ClipStandardise(low=-958, high=327, mean=82.92, std=136.97)

_ANISOTROPIC: dict[str, Any] = {
    "kernels": ((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    "scales": ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)),
}
_ISOTROPIC: dict[str, Any] = {"kernels": ((3, 3, 3),) * 5, "scales": ((2, 2, 2),) * 4}
_DEEP: dict[str, Any] = {
    "attention_blocks": (0, 2, 4, 6, 4, 2, 0, 0),
    "heads": (1, 4, 8, 10, 8, 4, 1, 1),
    "map_size": (4, 4, 4),
    "fusion_dim": 320,
    "fusion_heads": 10,
}
_AMOS: dict[str, Any] = {
    **_ISOTROPIC,
    **_DEEP,
    "conv_blocks": (2, 1, 0, 0, 0, 1, 2, 2),
    "attention_blocks": (0, 1, 4, 6, 4, 1, 0, 0),
}


def _protocol(
    rate: float,
    epochs: int,
    flat: bool,
    smooth: float = 0.0,
    steps_per_epoch: int = _STEPS_PER_EPOCH,
) -> Protocol:
    return Protocol(
        optimiser=Optimiser(kind="adamw", learning_rate=rate, weight_decay=0.05),
        schedule=Schedule(kind="polynomial", warm_up=5 / epochs),
        batch_size=32 if flat else 3,
        steps=epochs * steps_per_epoch,
        loss=_LOSS,
        variation=Variation(
            rotate=180 if flat else 30,
            scale=0.3,
            noise=0.1,
            brightness=0.2,
            contrast=0.25,
            smooth=smooth,
        ),
        ema_decay=0.99,
    )


def _preset(
    architecture: str,
    dataset: str,
    labels: LabelScheme,
    modality: str,
    intensity: Intensity,
    spacing: Spacing,
    window: tuple[int, int, int],
    protocol: Protocol,
    config: dict[str, Any] | None = None,
) -> Preset:
    flat = architecture.endswith("2d")
    return Preset(
        dataset=dataset,
        architecture=architecture,
        config=config or {},
        labels=labels,
        modality=modality,
        preprocessing=Preprocessing(orientation="as-stored", spacing=spacing, intensity=intensity),
        windows=WindowDefaults(
            size=window, overlap=0.5, importance="constant", slice_axis=0 if flat else None
        ),
        protocol=protocol,
        source=_SOURCE,
    )


def _acdc(architecture: str, epochs: int) -> Preset:
    flat = architecture.endswith("2d")
    return _preset(
        architecture,
        "acdc",
        organs.ACDC,
        "MR",
        _ACDC_INTENSITY,
        (1.5625, 1.5625, None if flat else 5.0),
        (1, 256, 256) if flat else (16, 192, 192),
        _protocol(5e-4 if flat else 1e-3, epochs, flat),
    )


def _ct(
    dataset: str,
    labels: LabelScheme,
    intensity: Intensity,
    spacing: Spacing,
    window: tuple[int, int, int],
    protocol: Protocol,
    config: dict[str, Any],
) -> Preset:
    return _preset(
        "medformer-3d", dataset, labels, "CT", intensity, spacing, window, protocol, config
    )


PRESETS: tuple[Preset, ...] = (
    _acdc("utnetv2-2d", 150),
    _acdc("utnetv2-3d", 150),
    _acdc("medformer-2d", 200),
    _acdc("medformer-3d", 150),
    _ct(
        "bcv",
        organs.BCV,
        _BCV_INTENSITY,
        (0.75, 0.75, 3.0),
        (32, 128, 128),
        _protocol(6e-4, 150, flat=False, smooth=1.0),
        _ANISOTROPIC | _DEEP | {"map_size": (3, 3, 3)},
    ),
    _ct(
        "lits",
        organs.LITS,
        ClipStandardise(low=-17, high=201, mean=99.40, std=39.39),
        (0.7676, 0.7676, 1.0),
        (128, 128, 128),
        _protocol(4e-4, 150, flat=False),
        _ISOTROPIC | _DEEP | {"heads": (1,) * 8, "auxiliary_head": False},
    ),
    _ct(
        "kits",
        organs.KITS,
        ClipStandardise(low=-79, high=304, mean=100.93, std=76.90),
        (0.7816, 0.7816, 0.7816),
        (128, 128, 128),
        _protocol(4e-4, 150, flat=False),
        _ISOTROPIC | _DEEP,
    ),
    _ct(
        "amos-ct",
        organs.AMOS,
        ClipStandardise(low=-991, high=362, mean=50, std=141),
        (0.688, 0.688, 2.0),
        (128, 128, 128),
        _protocol(6e-4, 400, flat=False),
        _AMOS,
    ),
    _preset(
        "medformer-3d",
        "amos-mr",
        organs.AMOS,
        "MR",
        PercentileStandardise(),
        (1.1875, 1.1875, 2.0),
        (48, 160, 224),
        _protocol(6e-4, 200, flat=False, steps_per_epoch=_AMOS_MR_STEPS_PER_EPOCH),
        _AMOS,
    ),
)
