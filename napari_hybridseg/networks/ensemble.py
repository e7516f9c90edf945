"""Several networks of one architecture whose mean is the prediction, such as nnU-Net's folds."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field, PositiveInt, field_validator
from torch import Tensor, nn

from napari_hybridseg.networks.base import SegmentationNetwork
from napari_hybridseg.networks.registry import (
    Architecture,
    Constraints,
    NetworkConfig,
    create_network,
    get_architecture,
)

NAME = "ensemble"


class EnsembleConfig(NetworkConfig):
    """What an ensemble is made of.

    Attributes
    ----------
    member : str
        The architecture of every member.
    members : int
        How many there are.
    settings : dict
        The members' config; what is not given is that architecture's default.
    """

    member: str = "unet"
    members: PositiveInt = 5
    settings: dict[str, Any] = Field(default_factory=dict)

    @field_validator("member")
    @classmethod
    def _is_no_ensemble(cls, member: str) -> str:
        if member == NAME:
            raise ValueError("the members of an ensemble are no ensembles")
        return member


class Ensemble(SegmentationNetwork):
    """Networks side by side; the logits are their mean, as nnU-Net averages its folds.

    Source: Isensee et al., Nature Methods 2021 (doi 10.1038/s41592-020-01008-z).
    """

    def __init__(self, in_channels: int, num_classes: int, config: EnsembleConfig) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            create_network(config.member, in_channels, num_classes, **config.settings)
            for _ in range(config.members)
        )

    def forward_heads(self, image: Tensor) -> tuple[Tensor, ...]:
        """Give the mean of the members' logits, (N, num_classes, ...) on the image's grid."""
        return (torch.stack([member(image) for member in self.members]).mean(dim=0),)


def constraints(config: EnsembleConfig) -> Constraints:
    """Give the windows that the members can be given."""
    member = get_architecture(config.member)
    return member.constraints(member.make_config(config.settings))


ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture(
        name=NAME,
        title="Ensemble",
        paper="Isensee et al. 2021, doi 10.1038/s41592-020-01008-z",
        spatial_dims=3,
        config_class=EnsembleConfig,
        build=Ensemble,
        constraints=constraints,
        note="The mean of several networks of one architecture; here five residual U-Nets.",
    ),
)
