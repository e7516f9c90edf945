from __future__ import annotations

import pytest
import torch

from napari_hybridseg.inference.devices import (
    DeviceError,
    available_devices,
    cpu_threads,
    pick_device,
)


def test_a_cpu_is_always_there() -> None:
    assert list(available_devices())[-1] == "cpu"
    assert pick_device("cpu") == torch.device("cpu")


def test_auto_takes_the_first() -> None:
    assert pick_device("auto") == torch.device(next(iter(available_devices())))


@pytest.mark.parametrize("wish", ["cuda:99", "tpu", "", "cpu:1"])
def test_an_unknown_device_gets_one_sentence(wish: str) -> None:
    with pytest.raises(
        DeviceError, match=r"There is no device .* here; choose one of: auto, .*cpu"
    ):
        pick_device(wish)


def test_a_gpu_is_found_by_its_short_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "napari_hybridseg.inference.devices.available_devices",
        lambda: {"cuda:0": "a", "cuda:1": "b", "cpu": "c"},
    )
    assert pick_device("cuda") == torch.device("cuda:0")
    assert pick_device("cuda:1") == torch.device("cuda:1")
    assert pick_device("auto") == torch.device("cuda:0")


@pytest.mark.parametrize("count", [0, 1, 2])
def test_threads_are_given_back(count: int) -> None:
    before = torch.get_num_threads()
    with cpu_threads(count):
        assert torch.get_num_threads() == (count or before)
    assert torch.get_num_threads() == before


def test_threads_are_given_back_after_a_failure() -> None:
    before = torch.get_num_threads()

    def fail() -> None:
        with cpu_threads(before + 1):
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        fail()
    assert torch.get_num_threads() == before
