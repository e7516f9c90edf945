"""Weights that should sum to one do, however many there are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from napari_hybridseg.explain import ExplainError
from napari_hybridseg.explain.capture import as_is, captured, exact_softmax, summing_to_one

MANY = 65536


def logits_of(positions: int, spread: float = 4.0) -> Tensor:
    torch.manual_seed(0)
    return spread * torch.randn(1, positions, 3)


def worst_sum(weights: Tensor, dim: int) -> float:
    return float((weights.double().sum(dim=dim) - 1).abs().max())


class Attention(nn.Module):
    """A network that is nothing but a softmax, which may be a wrong one."""

    def __init__(self, wrong: float = 1.0) -> None:
        super().__init__()
        self.weights = _Scaled(wrong)

    def forward(self, logits: Tensor) -> Tensor:
        found: Tensor = self.weights(logits)
        return found


class _Scaled(nn.Softmax):
    def __init__(self, factor: float) -> None:
        super().__init__(dim=-2)
        self.factor = factor

    def forward(self, logits: Tensor) -> Tensor:
        return super().forward(logits) * self.factor


@pytest.mark.parametrize("positions", [7, 4096, MANY])
def test_a_row_that_is_off_by_more_than_a_hundred_thousandth_is_refused(positions: int) -> None:
    good = logits_of(positions).double().softmax(dim=-2)
    assert summing_to_one(good, -2) is good
    one_row = torch.ones(3, dtype=torch.float64)
    one_row[1] = 1 + 0.9e-5
    summing_to_one(good * one_row, -2)
    for factor in (1 + 1.1e-5, 1 - 1.1e-5, float("nan")):
        one_row[1] = factor
        with pytest.raises(ExplainError, match="do not sum to 1"):
            summing_to_one(good * one_row, -2)


def test_what_is_captured_of_a_long_softmax_sums_to_one_though_the_networks_own_does_not() -> None:
    logits, network = logits_of(MANY), Attention()
    with captured(network, {"weights": as_is}) as seen:
        given = network(logits)
    assert worst_sum(given, -2) > 1e-5, "the network adds up well enough: nothing is tested"
    assert worst_sum(seen["weights"], -2) < 1e-6
    assert summing_to_one(seen["weights"], -2) is seen["weights"]
    torch.testing.assert_close(seen["weights"], logits.double().softmax(dim=-2).float())
    torch.testing.assert_close(seen["weights"], given, rtol=5e-4, atol=0)


@pytest.mark.parametrize("factor", [1.0001, 0.9, float("nan")])
def test_a_network_whose_weights_are_no_softmax_of_its_logits_is_refused(factor: float) -> None:
    network = Attention(factor)
    network(logits_of(16))  # what is not looked into is not checked
    with captured(network, {"weights": as_is}), pytest.raises(ExplainError, match="no softmax"):
        network(logits_of(16))


def test_a_softmax_over_another_axis_is_refused() -> None:
    logits = logits_of(16)
    with pytest.raises(ExplainError, match="no softmax of their logits"):
        exact_softmax(logits, -2, logits.softmax(dim=-1))


def test_weights_of_half_precision_are_refused() -> None:
    logits = logits_of(16)
    with pytest.raises(ExplainError, match="run it with float32"):
        exact_softmax(logits, -2, logits.bfloat16().softmax(dim=-2))
