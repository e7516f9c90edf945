"""Every network can be exported and compiled, and is made the same from one seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from small_networks import EVERY, NNUNET, PAPERS
from torch import Tensor, nn

from napari_hybridseg.networks import create_network, get_architecture
from napari_hybridseg.networks.base import network_heads

# what is written differently inside: tested in addition
VARIANTS = {
    "cotr as the authors wrote it": ("cotr-star", PAPERS["cotr-star"] | {"axis_order": "legacy"}),
    # sampling points enough for a batch to be read in parts
    "cotr with the paper's sampling": (
        "cotr",
        PAPERS["cotr"] | {"heads": 6, "points": 4, "widths": (4, 6, 12)},
    ),
    "3D UX-Net with MLP blocks": ("uxnet-3d", PAPERS["uxnet-3d"] | {"block": "mlp"}),
}
CASES = {name: (name, config) for name, config in EVERY.items()} | VARIANTS
# tracing takes seconds: one of each family is always looked at, the rest with the slow tests
OFTEN = (
    "utnetv2-3d",
    "cotr with the paper's sampling",
    "transfuse-s",
    "uxnet-3d",
    "basic-unet",
)
TRACED = [case if case in OFTEN else pytest.param(case, marks=pytest.mark.slow) for case in CASES]


def make(case: str, seed: int = 0) -> nn.Module:
    name, config = CASES[case]
    if name in NNUNET:
        pytest.importorskip("dynamic_network_architectures")
    torch.manual_seed(seed)
    return create_network(name, 1, 2, **config).eval()


def images(case: str, count: int) -> Tensor:
    """Give a batch of the smallest windows that leave the norms something to average."""
    name, config = CASES[case]
    architecture = get_architecture(name)
    constraints = architecture.constraints(architecture.make_config(config))
    size = constraints.fit(tuple(2 * divisor for divisor in constraints.divisors))
    return torch.randn(count, 1, *size, generator=torch.Generator().manual_seed(count))


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("case", TRACED)
def test_it_is_exported_for_any_number_of_windows(case: str) -> None:
    network = make(case)
    batch = torch.export.Dim("batch", min=1, max=64)
    with torch.no_grad():
        program = torch.export.export(network, (images(case, 2),), dynamic_shapes=({0: batch},))
        exported: Callable[[Tensor], Tensor] = program.module()
        for count in (1, 3):
            image = images(case, count)
            torch.testing.assert_close(exported(image), network(image), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("case", TRACED)
def test_it_compiles_in_one_graph(case: str) -> None:
    network = make(case)
    compiled = torch.compile(network, backend="eager", fullgraph=True, dynamic=False)
    image = images(case, 1)
    with torch.no_grad():
        torch.testing.assert_close(compiled(image), network(image), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_one_seed_makes_one_network_with_one_answer(case: str) -> None:
    one, same, other = make(case, 3), make(case, 3), make(case, 4)
    image = images(case, 2)
    with torch.no_grad():
        for left, right in zip(network_heads(one, image), network_heads(same, image), strict=True):
            assert torch.equal(left, right)
        assert not torch.equal(one(image), other(image))
