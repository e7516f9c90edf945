from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers import tiny_card
from torch import Tensor

from napari_hybridseg.inference.arithmetic import DeviceArithmetic, HostArithmetic
from napari_hybridseg.inference.axis_tables import axis_table
from napari_hybridseg.inference.finish import LabelBox
from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.inference.run_plan import plan_run
from napari_hybridseg.inference.running import WindowRun, sent

SHAPE, OUTPUT = (20, 14, 9), (23, 30, 9)
VALUES = np.array([0, 1, 3, 300], dtype=np.uint16)
CPU = torch.device("cpu")
OPERATIONS = ("own", "empty", "taken", "largest", "means_into", "largest_between", "copy")


class Waves:
    """A backend whose logits depend on the image and the place in the window."""

    name = "waves"
    device = CPU

    def __call__(self, windows: Tensor) -> Tensor:
        ramp = torch.linspace(-1, 1, windows.shape[-1])
        return torch.cat([torch.sin(n * windows + ramp * n) for n in range(4)], dim=1)

    def close(self) -> None:
        """Nothing is held."""


class Scarce(DeviceArithmetic):
    """A device whose memory runs out at the n-th time that some operation needs any."""

    def __init__(self, operation: str, left: int) -> None:
        super().__init__(CPU)
        for name in OPERATIONS:
            if name == operation:
                setattr(self, name, self._running_out(getattr(self, name)))
        self.left = left

    def _running_out(self, act: Any) -> Any:
        def wrapped(*arguments: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return act(*arguments)

        return wrapped


def labels_with(arithmetic: Any, output: tuple[int, int, int]) -> tuple[np.ndarray, WindowRun]:
    card = tiny_card()
    plan = plan_run(SHAPE, card, SegmentOptions(), None)
    tables = tuple(axis_table(n, m) for n, m in zip(SHAPE, output, strict=True))
    run = WindowRun(plan, tables, VALUES, Waves(), card, 2, arithmetic)  # type: ignore[arg-type]
    labels = np.full(output, 9999, dtype=np.uint16)
    image = np.random.default_rng(0).standard_normal((1, *SHAPE), dtype=np.float32)
    for event in run.run(image):
        if isinstance(event, LabelBox):
            place = zip(event.start, event.labels.shape, strict=True)
            labels[tuple(slice(s, s + n) for s, n in place)] = event.labels
    run.close()
    return labels, run


@pytest.mark.parametrize("output", [SHAPE, OUTPUT])
@pytest.mark.parametrize("left", [3, 10, 31])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_when_the_device_is_full_the_sums_go_on_in_the_computers_memory(
    operation: str, left: int, output: tuple[int, int, int]
) -> None:
    expected, _ = labels_with(HostArithmetic(1), output)
    scarce = Scarce(operation, left)
    labels, run = labels_with(scarce, output)
    assert (labels != expected).mean() < 1e-3  # two roundings, the same numbers
    assert isinstance(run._sums.arithmetic, HostArithmetic) == (scarce.left < 0)


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_windows_of_one_value_are_run_once_and_several_values_are_kept_apart(batch: int) -> None:
    card, ran = tiny_card(), []

    class Counting(Waves):
        def __call__(self, windows: Tensor) -> Tensor:
            ran.append(len(windows))
            return super().__call__(windows)

    image = np.random.default_rng(0).standard_normal((1, 8, 8, 56), dtype=np.float32)
    image[..., 8:24], image[..., 28:44] = -1, 2
    plan = plan_run(image.shape[1:], card, SegmentOptions(), None)  # type: ignore[arg-type]
    tables = tuple(axis_table(n, n) for n in image.shape[1:])
    found = []
    for values in (image, image + np.random.default_rng(1).normal(0, 1e-6, image.shape)):
        ran.clear()
        run = WindowRun(plan, tables, VALUES, Counting(), card, batch)  # type: ignore[arg-type]
        labels = np.zeros(image.shape[1:], dtype=np.uint16)
        for event in run.run(values.astype(np.float32)):
            if isinstance(event, LabelBox):
                place = zip(event.start, event.labels.shape, strict=True)
                labels[tuple(slice(s, s + n) for s, n in place)] = event.labels
        run.close()
        found.append((labels, sum(ran)))
    assert (found[0][0] != found[1][0]).mean() < 1e-3
    assert found[1][1] == 13
    # three windows hold only -1 and three only 2
    assert found[0][1] == 13 - 4 if batch == 1 else found[0][1] <= 13


def test_that_memory_does_run_out_in_these_tests() -> None:
    ran_out = []
    for operation in OPERATIONS:
        scarce = Scarce(operation, 10)
        labels_with(scarce, OUTPUT)
        ran_out.append(scarce.left < 0)
    assert sum(ran_out) >= 5


def test_a_computer_that_is_full_says_so() -> None:
    class Full(HostArithmetic):
        def empty(self, shape: Any) -> Any:
            raise MemoryError

    with pytest.raises(MemoryError):
        labels_with(Full(1), SHAPE)


def test_only_a_windows_own_voxels_are_pinned_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[Tensor] = []
    moved: list[tuple[Any, bool]] = []

    def pin(tensor: Tensor) -> Tensor:
        pinned.append(tensor)
        return tensor

    def move(tensor: Tensor, device: torch.device, *, non_blocking: bool = False) -> Tensor:
        moved.append((device, non_blocking))
        return tensor

    monkeypatch.setattr(Tensor, "pin_memory", pin)
    monkeypatch.setattr(Tensor, "to", move)
    image = torch.arange(1000.0).reshape(1, 10, 10, 10)
    window = image[None, :, 2:6, 2:6, 2:6]
    assert sent(window, CPU) is window
    assert not pinned
    cuda = torch.device("cuda")
    assert torch.equal(sent(window, cuda), window)
    assert pinned[0].is_contiguous()
    assert pinned[0].untyped_storage().nbytes() == window.numel() * 4
    assert moved[-1] == (cuda, True)
