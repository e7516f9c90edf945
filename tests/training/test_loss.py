from __future__ import annotations

import pytest
import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn

from napari_hybridseg.networks.base import SegmentationNetwork
from napari_hybridseg.training.loss import AllHeads, HeadsLoss

CHANNELS = torch.arange(4 * 4 * 6).reshape(1, 1, 4, 4, 6) % 3


def sure(channels: Tensor) -> Tensor:
    """Give logits that leave no doubt."""
    return 50 * nn.functional.one_hot(channels[:, 0], 3).movedim(-1, 1).float()


def test_what_is_right_costs_nothing() -> None:
    assert HeadsLoss([1.0])([sure(CHANNELS)], CHANNELS) == pytest.approx(0, abs=1e-5)
    assert HeadsLoss([1.0])([sure((CHANNELS + 1) % 3)], CHANNELS) > 2


def test_heads_count_by_their_weights() -> None:
    torch.manual_seed(0)
    one, other = torch.randn(2, 1, 3, 4, 4, 6)
    alone = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)
    expected = 0.7 * alone(one, CHANNELS) + 0.3 * alone(other, CHANNELS)
    torch.testing.assert_close(HeadsLoss([0.7, 0.3])([one, other], CHANNELS), expected)


def test_a_coarse_head_is_compared_on_its_own_grid() -> None:
    coarse = CHANNELS[..., 1::2, 1::2, 1::2]  # of two voxels the second is the nearest
    assert HeadsLoss([1.0])([sure(coarse)], CHANNELS) == pytest.approx(0, abs=1e-5)


def test_a_forgotten_weight_is_noticed() -> None:
    with pytest.raises(ValueError, match="zip"):
        HeadsLoss([1.0])([sure(CHANNELS)] * 2, CHANNELS)


def test_heads_of_any_network() -> None:
    class Two(SegmentationNetwork):
        head_weights = (0.5, 0.25)

        def forward_heads(self, image: Tensor) -> tuple[Tensor, ...]:
            return image, 2 * image

    image = torch.ones(1, 1, 2, 2, 2)
    assert [head.mean() for head in AllHeads(Two())(image)] == [1, 2]
    assert AllHeads(Two()).weights == (0.5, 0.25)
    assert len(AllHeads(nn.Identity())(image)) == 1
    assert AllHeads(nn.Identity()).weights == (1.0,)
