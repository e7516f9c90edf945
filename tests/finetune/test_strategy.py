from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import TINY_UNET
from torch import nn

from napari_hybridseg.finetune import FineTuneOptions
from napari_hybridseg.finetune.strategy import (
    ChannelGains,
    Pull,
    choose_pull,
    choose_strategy,
    decoder_names,
    hold_batch_statistics,
    norms_are_bare,
)
from napari_hybridseg.networks import create_network


@pytest.mark.parametrize(
    ("wish", "cases", "dice", "chosen"),
    [
        ("auto", 3, 0.8, "norms"),
        ("auto", 3, None, "norms"),
        ("auto", 3, 0.1, "full"),
        ("auto", 4, 0.8, "full"),
        ("decoder", 1, 0.1, "decoder"),
    ],
)
def test_few_cases_teach_little_unless_the_checkpoint_is_lost(
    wish: Any, cases: int, dice: float | None, chosen: str
) -> None:
    assert choose_strategy(FineTuneOptions(strategy=wish), cases, dice) == chosen


def test_few_cases_beside_rehearsed_ones_teach_everything() -> None:
    options = FineTuneOptions(rehearse="old/dataset.json")
    assert choose_strategy(options, 1, 0.8) == "full"
    assert choose_strategy(options.model_copy(update={"strategy": "norms"}), 1, 0.8) == "norms"


def test_what_is_rehearsed_needs_less_pull() -> None:
    from pathlib import Path

    alone = choose_pull(FineTuneOptions())
    assert alone > choose_pull(FineTuneOptions(rehearse=Path("old.json")))
    assert choose_pull(FineTuneOptions(pull=7.0)) == 7.0


def test_the_decoder_is_what_runs_after_the_coarsest_features() -> None:
    network = create_network("unet", 1, 3, channels=[4, 8, 16], strides=[2, 2])
    chosen = decoder_names(network, torch.zeros(1, 1, 16, 16, 16))
    every = {name for name, _ in network.named_parameters()}
    assert any(name.startswith("model.2.") for name in chosen)  # the last, with the head
    assert not any(name.startswith("model.0.") for name in chosen)  # the first
    assert chosen < every


def test_an_ensembles_members_have_decoders_of_their_own() -> None:
    network = create_network("ensemble", 1, 3, member="unet", members=2, settings=TINY_UNET)
    chosen = decoder_names(network, torch.zeros(1, 1, 8, 8, 8))
    assert {name.split(".")[1] for name in chosen} == {"0", "1"}
    assert not any(".model.0." in name for name in chosen)


def test_gains_scale_channels_and_are_folded_into_the_weights() -> None:
    network = nn.Sequential(nn.Conv3d(2, 3, 1), nn.InstanceNorm3d(3), nn.Conv3d(3, 4, 1))
    assert norms_are_bare(network)
    start = network[2].weight.detach().clone()
    gains = ChannelGains(network)
    assert [tuple(gain.shape) for gain in gains.parameters] == [(1, 2, 1, 1, 1), (1, 3, 1, 1, 1)]
    image = torch.randn(1, 2, 4, 4, 4)
    network(image).square().sum().backward()
    raw = network[2].weight.grad.clone()  # type: ignore[union-attr]
    gains.collect()
    expected = (raw * start).sum((0, 2, 3, 4))
    torch.testing.assert_close(gains.parameters[1].grad.ravel(), expected)  # type: ignore[union-attr]
    with torch.no_grad():
        gains.parameters[1].copy_(torch.tensor([2.0, 1.0, 0.5]).reshape(1, 3, 1, 1, 1))
    gains.fold()
    torch.testing.assert_close(network[2].weight[:, 0], 2 * start[:, 0])
    torch.testing.assert_close(network[2].weight[:, 2], start[:, 2] / 2)


def test_norms_with_parameters_need_no_gains() -> None:
    assert not norms_are_bare(nn.InstanceNorm3d(3, affine=True))


def test_the_pull_goes_a_part_of_the_way_back() -> None:
    weight = nn.Parameter(torch.zeros(3))
    pull = Pull([weight], 10.0)
    with torch.no_grad():
        weight.add_(1.0)
    pull.apply(0.01)
    torch.testing.assert_close(weight.detach(), torch.full((3,), 0.9))
    Pull([weight], 0.0).apply(0.01)
    torch.testing.assert_close(weight.detach(), torch.full((3,), 0.9))


def test_batch_statistics_are_held() -> None:
    network = nn.Sequential(nn.Conv3d(1, 2, 1), nn.BatchNorm3d(2)).train()
    hold_batch_statistics(network)
    before = network[1].running_mean.clone()  # type: ignore[union-attr]
    network(torch.randn(2, 1, 4, 4, 4) + 5)
    torch.testing.assert_close(network[1].running_mean, before)
