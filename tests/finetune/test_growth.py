from __future__ import annotations

import pytest
import torch
from helpers import TINY_UNET, tiny_card

from napari_hybridseg.finetune.growth import grown_network
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.networks import create_network

NETWORKS = {
    "unet": TINY_UNET,
    "unet-plus-plus": {"spatial_dims": 3, "features": [4, 4, 4, 4, 4, 4], "deep_supervision": True},
    "segresnet": {"init_filters": 8},
}


def cards(architecture: str) -> tuple[ModelCard, ModelCard]:
    two, four = (LabelScheme.from_names({i: f"organ {i}" for i in range(1, n + 1)}) for n in (2, 4))
    known = {"architecture": architecture, "config": NETWORKS[architecture]}
    return tiny_card(labels=two, **known), tiny_card(labels=four, **known)


@pytest.mark.parametrize("architecture", NETWORKS)
def test_old_logits_are_the_same_and_new_organs_never_win_at_first(architecture: str) -> None:
    parent, card = cards(architecture)
    torch.manual_seed(3)
    network = create_network(architecture, 1, parent.num_classes, **parent.config).eval()
    grown = grown_network(network.state_dict(), parent, card)
    image = torch.randn(1, 1, 32, 32, 32)
    with torch.no_grad():
        old, new = network(image), grown(image)
    assert new.shape[1] == 5
    torch.testing.assert_close(new[:, :3], old, rtol=0, atol=1e-6)
    assert not torch.isin(new.argmax(1), torch.tensor([3, 4])).any()


def test_nothing_changes_without_new_organs() -> None:
    parent, _ = cards("unet")
    network = create_network("unet", 1, 3, **TINY_UNET)
    grown = grown_network(network.state_dict(), parent, parent)
    torch.testing.assert_close(grown.state_dict(), network.state_dict(), rtol=0, atol=0)
