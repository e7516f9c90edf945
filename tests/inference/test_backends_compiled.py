from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_hybridseg.inference.backends import CompiledBackend, TorchBackend

CPU = torch.device("cpu")


def both(
    network: nn.Module, takes: tuple[int, ...], axis: int | None = None
) -> tuple[CompiledBackend, TorchBackend, list[tuple[int, ...]]]:
    """A prepared backend, the plain one, and the shapes that the prepared one computed."""
    seen: list[tuple[int, ...]] = []

    def compute(window: Tensor) -> Tensor:
        seen.append(tuple(window.shape))
        assert window.is_contiguous()
        logits: Tensor = network(window)
        return logits

    plain = TorchBackend(network, CPU, "float32", axis)
    return CompiledBackend("test", compute, takes, plain, axis), plain, seen


def test_a_batch_is_run_one_by_one() -> None:
    network = nn.Conv3d(2, 3, 3, padding=1)
    backend, plain, seen = both(network, (1, 2, 4, 5, 6))
    windows = torch.randn(3, 2, 6, 5, 4).transpose(2, 4)
    torch.testing.assert_close(backend(windows), plain(windows))
    assert seen == [(1, 2, 4, 5, 6)] * 3


def test_another_shape_goes_to_plain_torch() -> None:
    network = nn.Conv3d(1, 3, 3, padding=1)
    backend, plain, seen = both(network, (1, 1, 4, 5, 6))
    windows = torch.randn(2, 1, 4, 5, 7)
    torch.testing.assert_close(backend(windows), plain(windows))
    assert not seen


def test_slices_lose_and_regain_their_axis() -> None:
    network = nn.Conv2d(1, 3, 3, padding=1)
    backend, plain, seen = both(network, (1, 1, 6, 4), axis=1)
    windows = torch.randn(2, 1, 6, 1, 4)
    logits = backend(windows)
    assert logits.shape == (2, 3, 6, 1, 4)
    torch.testing.assert_close(logits, plain(windows))
    assert seen == [(1, 1, 6, 4)] * 2
