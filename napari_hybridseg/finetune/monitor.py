"""A quick look at how a network does while it learns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from napari_hybridseg.finetune.loading import LearnCase
from napari_hybridseg.finetune.sampler import Shape, cut_case

_WINDOWS = 8
_SLICES = 24


class Monitor:
    """Measures Dice on a few windows that stay the same.

    Whole volumes would take longer than the training between two looks.

    Parameters
    ----------
    cases : sequence of LearnCase
        What is looked at.
    window : tuple of int
        Voxels (Z, Y, X).
    slice_axis : int or None
        The axis that a 2D network does not see.
    """

    def __init__(self, cases: Sequence[LearnCase], window: Shape, slice_axis: int | None) -> None:
        most = _SLICES if slice_axis is not None else _WINDOWS
        self._slice_axis = slice_axis
        self._windows: list[tuple[Tensor, Tensor]] = []
        for number in range(max(most, len(cases)) if cases else 0):
            case = cases[number % len(cases)]
            if number >= most:
                break
            cut = cut_case(case, _centre(case, number // len(cases)), window)
            self._windows.append((cut["image"][None].float(), cut["channels"].long()))

    def dice(self, network: nn.Module, device: torch.device, sign: float = 1.0) -> float | None:
        """Give the mean over organs of the Dice over all windows; None where there is no organ.

        With a ``sign`` of -1 the network sees each window's negative.
        """
        overlap: dict[int, int] = {}
        total: dict[int, int] = {}
        was_training = network.training
        network.eval()
        with torch.no_grad():
            for image, channels in self._windows:
                seen_as = image if sign > 0 else 2 * image.mean() - image
                found = self._predict(network, seen_as.to(device))
                for channel in torch.unique(channels).tolist():
                    if channel:
                        there, seen = channels[0] == channel, found == channel
                        overlap[channel] = overlap.get(channel, 0) + int((there & seen).sum())
                        total[channel] = total.get(channel, 0) + int(there.sum() + seen.sum())
        network.train(was_training)
        scores = [2 * overlap[channel] / total[channel] for channel in total]
        return float(np.mean(scores)) if scores else None

    def _predict(self, network: nn.Module, image: Tensor) -> Tensor:
        axis = self._slice_axis
        flat = image if axis is None else image.squeeze(axis + 2)
        found = network(flat)[0].argmax(0).cpu()
        return found if axis is None else found.unsqueeze(axis)


def _centre(case: LearnCase, number: int) -> np.ndarray:
    """Give the ``number``-th place to look at: spread over the corrected or labelled voxels."""
    voxels = case.edited if case.edited.size else np.flatnonzero(case.loaded.channels)
    shape = case.loaded.channels.shape
    if not voxels.size:
        return np.array([n // 2 for n in shape])
    place = voxels[int((0.5 + 0.618 * number) % 1 * len(voxels))]
    return np.array(np.unravel_index(place, shape))
