"""The protocol of CoTr.

Xie et al., MICCAI 2021, arXiv 2103.03024, trained inside nnU-Net v1.
"""

from __future__ import annotations

from napari_hybridseg.model_card import ClipStandardise, Preprocessing, WindowDefaults
from napari_hybridseg.presets import organs
from napari_hybridseg.presets.preset import Optimiser, Preset, Protocol, Schedule, Variation

PRESETS: tuple[Preset, ...] = (
    Preset(
        dataset="bcv",
        architecture="cotr",
        also_for=("cotr-dagger", "cotr-star"),
        # their deformable attention mixes up the axes, which their weights have learnt
        hidden={"axis_order": "legacy"},
        labels=organs.BCV,
        modality="CT",
        preprocessing=Preprocessing(
            orientation="as-stored",
            crop_to_nonzero=True,
            spacing=(0.76, 0.76, 3.0),
            interpolation="cubic",
            intensity=ClipStandardise(low=-958, high=327, mean=82.92, std=136.97),
        ),
        windows=WindowDefaults(size=(48, 192, 192), overlap=0.5, mirror_axes=(0, 1, 2)),
        protocol=Protocol(
            optimiser=Optimiser(kind="sgd", learning_rate=0.01, weight_decay=3e-5, momentum=0.99),
            schedule=Schedule(kind="polynomial", power=0.9),
            batch_size=2,
            steps=250_000,
            loss="Dice plus cross entropy, deep supervision",
            variation=Variation(
                probability=0.2,
                rotate=30,
                scale=0.3,
                flip_axes=(0, 1, 2),
                noise=0.1,
                brightness=0.25,
                contrast=0.25,
                smooth=1.0,
                other="gamma; no elastic deformation",
            ),
            gradient_clip=12.0,
            foreground=0.33,
        ),
        source=(
            "arXiv 2103.03024 and the authors' repository; the spacing is nnU-Net's plan for this "
            "data set, which the repository does not hold."
        ),
    ),
)
