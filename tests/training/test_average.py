from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_hybridseg.training.average import WeightAverage


def filled(value: float) -> nn.Module:
    network = nn.BatchNorm1d(2)
    with torch.no_grad():
        network.weight.fill_(value)
    return network


def test_the_average_follows_slowly() -> None:
    average = WeightAverage(filled(0.0), decay=0.9)
    average.update(filled(1.0), step=10_000)
    assert average.state["weight"].tolist() == pytest.approx([0.1, 0.1])
    average.update(filled(1.0), step=10_001)
    assert average.state["weight"].tolist() == pytest.approx([0.19, 0.19])


def test_the_initial_weights_are_soon_forgotten() -> None:
    average = WeightAverage(filled(100.0), decay=0.999)
    average.update(filled(1.0), step=0)
    assert average.state["weight"][0] == pytest.approx(0.1 * 100 + 0.9)
    for step in range(1, 50):
        average.update(filled(1.0), step)
    assert average.state["weight"][0] == pytest.approx(1, abs=0.01)


def test_counters_are_copied() -> None:
    network = filled(1.0)
    average = WeightAverage(network, decay=0.9)
    network.num_batches_tracked += 7
    average.update(network, step=100)
    assert average.state["num_batches_tracked"] == 7


def test_the_average_is_a_copy_and_can_be_put_back() -> None:
    network = filled(1.0)
    average = WeightAverage(network, decay=0.9)
    with torch.no_grad():
        network.weight.fill_(5.0)
    assert average.state["weight"].tolist() == [1, 1]
    again = WeightAverage(filled(0.0), decay=0.9)
    again.load(average.state)
    assert again.state["weight"].tolist() == [1, 1]
