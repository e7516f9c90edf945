"""Every architecture, with random weights, gives the same by our engine."""

from __future__ import annotations

import pytest
import torch
from small_networks import EVERY, windows_for

from napari_hybridseg.inference.winograd.compute import Compute
from napari_hybridseg.inference.winograd.program import Ours, Program
from napari_hybridseg.inference.winograd.rewriting import rewritten
from napari_hybridseg.networks import get_architecture

# a few that hold what the others are made of; the rest take a minute
_QUICK = {"utnetv2-3d", "cotr", "transfuse-s", "uxnet-3d", "residual-encoder-unet"}


@pytest.mark.parametrize(
    "name",
    [name if name in _QUICK else pytest.param(name, marks=pytest.mark.slow) for name in EVERY],
)
@torch.inference_mode()
def test_an_architecture_gives_the_same(name: str) -> None:
    architecture = get_architecture(name)
    config = architecture.make_config(EVERY[name])
    windows = windows_for(name, config, (32, 32, 32))
    torch.manual_seed(0)
    network = architecture.build(1, 3, config).eval()
    size = windows.size if windows.slice_axis is None else windows.size[1:]
    image = torch.randn(1, 1, *size)
    with torch.inference_mode(False), torch.no_grad():
        program = Program.from_bytes(rewritten(network, image.clone()).to_bytes())
    found = Compute(program, image, 1)
    assert any(isinstance(step.target, Ours) for step in program.steps)
    for one in (image, image.flip(-1) * 1.5 + 0.1):  # one that it was not made with, too
        expected = network(one)
        largest = float(expected.abs().max())
        torch.testing.assert_close(found(one), expected, atol=1e-4 * largest, rtol=1e-4)
