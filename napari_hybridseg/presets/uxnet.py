"""The protocols of 3D UX-Net.

Lee et al., ICLR 2023, arXiv 2209.15076, and the authors' repository. Their volumes are RAS and,
as MONAI reads them, in (X, Y, Z) order.
"""

from __future__ import annotations

from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import ClipRescale, Preprocessing, Spacing, WindowDefaults
from napari_hybridseg.presets import organs
from napari_hybridseg.presets.preset import Optimiser, Preset, Protocol, Schedule, Variation

_CT = ClipRescale(low=-125, high=275)


def _preset(
    dataset: str,
    labels: LabelScheme,
    modality: str,
    intensity: ClipRescale,
    spacing: Spacing | None,
    rotate: float,
) -> Preset:
    return Preset(
        dataset=dataset,
        architecture="uxnet-3d",
        labels=labels,
        modality=modality,
        preprocessing=Preprocessing(
            orientation="RAS", axes=(2, 1, 0), spacing=spacing, intensity=intensity
        ),
        windows=WindowDefaults(size=(96, 96, 96), overlap=0.5, importance="constant"),
        protocol=Protocol(
            optimiser=Optimiser(kind="adamw", learning_rate=1e-4, weight_decay=0.01),
            schedule=Schedule(kind="constant"),
            batch_size=2,
            steps=40_000,
            loss="Dice plus cross entropy, background included",
            variation=Variation(
                probability=0.5, rotate=rotate, scale=0.1, other="intensity shift 0.1"
            ),
            foreground=0.5,
        ),
        source=(
            "arXiv 2209.15076 and the authors' code, whose numbers are taken where they differ: "
            "CT from -125 to 275 HU (text: -175 to 250), weight decay 0.01 (text: 0.08), a "
            "constant learning rate (text: lowered on plateaus), rotation about z by "
            f"{rotate:g} degrees (text: 30), window overlap 0.5 (readme: 0.7)."
        ),
    )


PRESETS: tuple[Preset, ...] = (
    _preset("flare2021", organs.FLARE2021, "CT", _CT, (1.0, 1.0, 1.2), rotate=6),
    _preset("amos", organs.AMOS, "CT", _CT, (1.5, 1.5, 2.0), rotate=6),
    _preset("feta2021", organs.FETA2021, "MR", ClipRescale(low=0, high=1000), None, rotate=12),
)
