"""What the registry says of a network's windows is true of the network."""

from __future__ import annotations

import pytest
import torch
from small_networks import EVERY, NNUNET
from torch import nn

from napari_hybridseg.networks import Constraints, create_network, get_architecture
from napari_hybridseg.networks.base import network_heads


def make(name: str) -> tuple[nn.Module, Constraints]:
    if name in NNUNET:
        pytest.importorskip("dynamic_network_architectures")
    architecture = get_architecture(name)
    config = architecture.make_config(EVERY[name])
    torch.manual_seed(0)
    network = create_network(name, 1, 2, **config.model_dump())
    return network, architecture.constraints(config)


@pytest.mark.parametrize("name", EVERY)
def test_the_smallest_window_can_be_learnt_from_alone(name: str) -> None:
    network, constraints = make(name)
    heads = network_heads(network.train(), torch.randn(1, 1, *constraints.minimum))
    sum(head.square().mean() for head in heads).backward()  # type: ignore[union-attr]
    for key, parameter in network.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("seed", range(2))
def test_any_fitted_window_gives_logits_on_its_grid(name: str, seed: int) -> None:
    network, constraints = make(name)
    wish = torch.randint(1, 40, (len(constraints.minimum),), generator=_generator(seed)).tolist()
    size = constraints.fit(tuple(wish))
    with torch.inference_mode():
        logits = network.eval()(torch.randn(1, 1, *size, generator=_generator(seed)))
    assert logits.shape == (1, 2, *size)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", ["utnetv2-3d", "cotr", "transfuse-s", "uxnet-3d"])
def test_the_divisors_are_needed(name: str) -> None:
    network, constraints = make(name)
    size = tuple(
        low + max(divisor // 2, 1)
        for low, divisor in zip(constraints.minimum, constraints.divisors, strict=True)
    )
    assert not constraints.allows(size)
    with pytest.raises((RuntimeError, ValueError)), torch.inference_mode():
        assert network.eval()(torch.randn(1, 1, *size)).shape[2:] == size


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
