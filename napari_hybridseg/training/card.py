"""The model card of a freshly trained checkpoint."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Sequence

import torch

from napari_hybridseg import __version__
from napari_hybridseg.model_card import (
    DataSource,
    ModelCard,
    Preprocessing,
    Provenance,
    WindowDefaults,
)
from napari_hybridseg.networks import get_architecture
from napari_hybridseg.training.dataset import Dataset
from napari_hybridseg.training.options import TrainOptions


def training_card(
    options: TrainOptions,
    dataset: Dataset,
    preprocessing: Preprocessing,
    window: tuple[int, int, int],
    in_channels: int,
    command: str,
    backbones: Sequence[DataSource] = (),
) -> ModelCard:
    """Write down what a run will do, with the network's config spelled out in full."""
    architecture = get_architecture(options.architecture)
    cases = len(dataset.train[: options.limit_cases])
    return ModelCard(
        name=options.name or f"{options.architecture}-{cases}-cases",
        description=options.description,
        architecture=options.architecture,
        config=architecture.make_config(options.config).model_dump(mode="json"),
        in_channels=in_channels,
        labels=dataset.scheme,
        modality=dataset.modality,
        preprocessing=preprocessing,
        windows=WindowDefaults(
            size=window,
            overlap=options.overlap,
            mirror_axes=options.mirror_axes,
            slice_axis=options.slice_axis,
        ),
        provenance=Provenance(
            created=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
            software=f"napari-hybridseg {__version__}, torch {torch.__version__}",
            command=command,
            seed=options.seed,
            hardware=hardware(),
            data=(
                DataSource(
                    name=dataset.name,
                    licence=dataset.licence,
                    attribution=dataset.attribution,
                    cases=cases,
                    sha256=dataset.sha256_of_train(options.limit_cases),
                ),
            ),
            backbones=tuple(backbones),
            protocol=options.model_dump(mode="json", exclude={"config"}),
        ),
        licence=options.licence or dataset.licence,
        attribution=options.attribution or dataset.attribution,
        intended_use=options.intended_use,
        limitations=options.limitations,
    )


def with_minutes(card: ModelCard, minutes: float) -> ModelCard:
    """Give the card with the time that the run took."""
    provenance = card.provenance.model_copy(update={"minutes": round(minutes, 1)})
    return card.model_copy(update={"provenance": provenance})


def hardware() -> str:
    """Say what kind of machine this is."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name(0)
    return f"{os.cpu_count()} CPU cores ({platform.machine()})"
