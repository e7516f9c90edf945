from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from napari_hybridseg.inference.backends import TorchBackend, choose_precision, mirrored_mean

CPU = torch.device("cpu")


class Places(nn.Module):
    """A network that is not symmetric: its logits depend on where a voxel lies."""

    def forward(self, image: Tensor) -> Tensor:
        ramp = torch.arange(image[0, 0].numel(), dtype=torch.float32).reshape(image.shape[2:])
        return torch.cat([image * ramp, image + ramp], dim=1)


def test_windows_become_logits_without_gradients() -> None:
    network = nn.Conv3d(1, 3, 3, padding=1).train()
    logits = TorchBackend(network, CPU, "float32", None)(torch.ones(2, 1, 4, 5, 6))
    assert logits.shape == (2, 3, 4, 5, 6)
    assert not logits.requires_grad
    assert not network.training


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_2d_network_gets_slices(axis: int) -> None:
    network = nn.Conv2d(1, 3, 3, padding=1)
    size = [6, 5, 4]
    size[axis] = 1
    windows = torch.randn(2, 1, *size)
    logits = TorchBackend(network, CPU, "float32", axis)(windows)
    assert logits.shape == (2, 3, *size)
    with torch.no_grad():
        expected = network(windows.squeeze(axis + 2))
    assert torch.equal(logits.squeeze(axis + 2), expected)


def test_mixed_precision_is_close() -> None:
    torch.manual_seed(0)
    network = nn.Conv3d(1, 3, 3, padding=1)
    windows = torch.randn(1, 1, 6, 6, 6)
    full, mixed = (TorchBackend(network, CPU, p, None)(windows) for p in ("float32", "bfloat16"))
    assert mixed.dtype == torch.bfloat16
    torch.testing.assert_close(mixed.float(), full, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("axes", [(), (0,), (2,), (0, 1), (0, 1, 2)])
def test_mirroring_averages_every_combination(axes: tuple[int, ...]) -> None:
    backend = TorchBackend(Places(), CPU, "float32", None)
    windows = torch.randn(1, 1, 2, 3, 4)
    combinations = [
        subset for n in range(len(axes) + 1) for subset in itertools.combinations(axes, n)
    ]
    assert len(combinations) == 2 ** len(axes)
    expected = torch.zeros(1, 2, 2, 3, 4)
    for subset in combinations:
        flips = [axis + 2 for axis in subset]
        expected += Places()(torch.flip(windows, flips)).flip(flips)
    torch.testing.assert_close(mirrored_mean(backend, windows, axes), expected / len(combinations))


def test_precision_is_chosen_for_the_device() -> None:
    assert choose_precision("auto", CPU) == "float32"
    assert choose_precision("auto", torch.device("mps")) == "float16"
    assert choose_precision("bfloat16", CPU) == "bfloat16"
