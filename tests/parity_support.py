"""What the parity helpers of the network families share."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

TOLERANCE = 1e-4


class GoldenCase:
    """One numerical case made with the authors' code."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        self.meta: dict[str, Any] = json.loads(bytes(arrays.pop("meta_json")).decode())
        self.image = torch.from_numpy(arrays.pop("input"))
        self.state = _under("state/", arrays)
        self.intermediates = _under("inter/", arrays)
        outputs = _under("output/", arrays)
        self.outputs = [outputs[str(index)] for index in range(len(outputs))]


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): torch.from_numpy(array)
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


@contextmanager
def recorded(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Fill the given dict with what the modules return while the context lasts."""
    seen: dict[str, Tensor] = {}
    handles = [
        module.register_forward_hook(
            lambda _module, _inputs, output, name=name: seen.__setitem__(name, output)
        )
        for name, module in modules.items()
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def compare(
    case: GoldenCase, heads: Sequence[Tensor], intermediates: Mapping[str, Tensor]
) -> dict[str, float]:
    """Give the largest absolute difference of each of the authors' tensors, by its name.

    Raises
    ------
    AssertionError
        Where a tensor is missing, has another shape, or differs by more than ``TOLERANCE``.
    """
    assert len(heads) == len(case.outputs)
    pairs = {f"output/{i}": pair for i, pair in enumerate(zip(heads, case.outputs, strict=True))}
    for name, expected in case.intermediates.items():
        pairs[f"inter/{name}"] = (intermediates[name], expected)
    found = {}
    for name, (ours, expected) in pairs.items():
        assert ours.shape == expected.shape, (name, ours.shape, expected.shape)
        found[name] = float((ours - expected).abs().max())
    apart = {name: value for name, value in found.items() if not value <= TOLERANCE}
    assert not apart, f"differ by more than {TOLERANCE}: {apart}"
    return found


def compare_exactly(case: GoldenCase, heads: Sequence[Tensor]) -> None:
    """Compare outputs in float64: only the rounding of the authors' own run may be left."""
    floors = case.meta["fp32_vs_fp64_maxabs"]
    for ours, expected, floor in zip(heads, case.outputs, floors, strict=True):
        assert ours.dtype == torch.float64
        assert float((ours - expected).abs().max()) <= 1.01 * floor + 1e-7


def assert_same_distribution(ours: Mapping[str, Tensor], stats: Mapping[str, list[Any]]) -> None:
    """Compare fresh parameters with [shape, mean, std, min, max] of the authors' fresh ones."""
    assert set(ours) == set(stats)
    for name, (shape, mean, std, _low, _high) in stats.items():
        values = ours[name].detach().double()
        assert list(values.shape) == shape, name
        # two samples of n values: six standard errors of their difference
        error = 6 * std * (2 / values.numel()) ** 0.5 + 1e-7
        assert abs(float(values.mean()) - mean) <= error, (name, float(values.mean()), mean)
        if values.numel() > 16:
            spread = float(values.std())
            assert abs(spread - std) <= error, (name, spread, std)
