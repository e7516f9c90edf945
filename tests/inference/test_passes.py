from __future__ import annotations

import pytest
import torch
from helpers import tiny_card
from torch import Tensor

from napari_hybridseg.inference.finish import InferenceError
from napari_hybridseg.inference.passes import Passes, mirrorings, window_problem
from napari_hybridseg.model_card import WindowDefaults


class Fake:
    """A backend that holds at most so many windows, and fails as it is told."""

    name = "fake"
    device = torch.device("cpu")

    def __init__(self, holds: int = 99, failure: Exception | None = None) -> None:
        self.holds = holds
        self.failure = failure
        self.calls: list[int] = []

    def __call__(self, windows: Tensor) -> Tensor:
        self.calls.append(len(windows))
        if self.failure is not None:
            raise self.failure
        if len(windows) > self.holds:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        ramp = torch.arange(windows.shape[-1], dtype=torch.float32)
        return torch.cat([windows * ramp, windows + ramp], dim=1)

    def close(self) -> None:
        """Nothing is held."""


def answer(passes: Passes, windows: Tensor) -> tuple[Tensor, int]:
    *before, logits = passes.run(windows)
    assert all(one is None for one in before)
    assert logits is not None
    return logits, len(before) + 1


@pytest.mark.parametrize("axes", [(), (2,), (0, 2), (0, 1, 2)])
def test_mirrored_copies_are_averaged_pass_by_pass(axes: tuple[int, ...]) -> None:
    windows = torch.randn(2, 1, 3, 4, 5)
    logits, count = answer(Passes(Fake(), tiny_card(), axes), windows)
    assert count == len(mirrorings(axes)) == 2 ** len(axes)
    expected = torch.zeros(2, 2, 3, 4, 5)
    for subset in mirrorings(axes):
        flips = [axis + 2 for axis in subset]
        expected += Fake()(windows.flip(flips)).flip(flips)
    torch.testing.assert_close(logits, expected / count)


def test_a_backend_may_use_its_memory_again() -> None:
    buffer = torch.zeros(1, 2, 2, 2, 2)

    class Reusing(Fake):
        def __call__(self, windows: Tensor) -> Tensor:
            return buffer.copy_(super().__call__(windows))

    windows = torch.randn(1, 1, 2, 2, 2)
    plain, reusing = (
        answer(Passes(b, tiny_card(), (0, 2)), windows)[0] for b in (Fake(), Reusing())
    )
    torch.testing.assert_close(plain, reusing)


def test_when_memory_runs_out_fewer_windows_are_run_at_once() -> None:
    backend = Fake(holds=2)
    passes = Passes(backend, tiny_card(), batch=8)
    windows = torch.randn(8, 1, 2, 2, 2)
    logits, _ = answer(passes, windows)
    torch.testing.assert_close(logits, Fake()(windows))
    assert backend.calls == [8, 4, 2, 2, 4, 2, 2]
    assert passes.batch == 2


def test_then_room_is_made_and_then_it_is_said() -> None:
    backend, made = Fake(holds=0), []

    def make_room() -> bool:
        made.append(True)
        backend.holds = 1
        return True

    windows = torch.randn(2, 1, 2, 2, 2)
    logits, _ = answer(Passes(backend, tiny_card(), batch=2, make_room=make_room), windows)
    torch.testing.assert_close(logits, Fake()(windows))
    assert made == [True]
    with pytest.raises(InferenceError, match="too little memory for one window of tiny; close"):
        answer(Passes(Fake(holds=0), tiny_card(), batch=2), windows)


def test_a_missing_operator_is_named() -> None:
    failure = NotImplementedError(
        "The operator 'aten::_ctc_loss' is not currently implemented for the MPS device."
    )
    with pytest.raises(InferenceError, match="operator aten::_ctc_loss; choose device 'cpu'"):
        answer(Passes(Fake(failure=failure), tiny_card()), torch.randn(1, 1, 8, 8, 8))


def test_an_impossible_window_is_said_and_other_failures_are_not_hidden() -> None:
    windows = torch.randn(1, 1, 8, 8, 8)
    odd = tiny_card(windows=WindowDefaults(size=(8, 7, 8)))
    with pytest.raises(InferenceError, match="cannot take windows of 8×7×8"):
        answer(Passes(Fake(failure=RuntimeError("Sizes of tensors must match")), odd), windows)
    with pytest.raises(RuntimeError, match="another"):
        answer(Passes(Fake(failure=RuntimeError("another")), tiny_card()), windows)


def test_a_flat_network_in_a_3d_card_is_said() -> None:
    card = tiny_card(windows=WindowDefaults(size=(1, 8, 8), slice_axis=0))
    assert "works in 3D" in window_problem(card)
    assert window_problem(tiny_card()) == ""


def test_small_windows_are_run_together_on_a_cpu() -> None:
    sizes = {(8, 8, 8): 16, (64, 64, 64): 1, (96, 96, 96): 1, (32, 64, 64): 2}
    for size, batch in sizes.items():
        assert Passes(Fake(), tiny_card(windows=WindowDefaults(size=size))).batch == batch
