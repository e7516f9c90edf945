"""Training windows: where a person corrected, where organs are, and from the rehearsed cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.utils import convert_to_tensor
from numpy.typing import NDArray
from torch import Tensor

from napari_hybridseg.finetune.loading import LearnCase
from napari_hybridseg.finetune.options import FineTuneOptions, ScannerAugmentation
from napari_hybridseg.finetune.scanner import LookTransfer, OtherScanner, quantiles
from napari_hybridseg.older_python import zip
from napari_hybridseg.training.augment import augmentation_transform, cut_window
from napari_hybridseg.training.options import Augmentation

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Windows:
    """Windows whose labels speak of the same organs.

    ``images`` is (N, C, Z, Y, X), ``channels`` (N, 1, Z, Y, X); ``unknown`` are the channels that
    these labels say nothing about.
    """

    images: Tensor
    channels: Tensor
    unknown: tuple[int, ...]


class MixedSampler:
    """Cuts windows from corrections and rehearsed cases, the same ones for the same seed and step.

    Parameters
    ----------
    cases, rehearsed : sequence of LearnCase
        What is learnt, and what is shown in between; the latter may be empty.
    window : tuple of int
        Voxels (Z, Y, X); 1 along an axis makes slices.
    options : FineTuneOptions
        The shares of the windows.
    augmentation, scanner
        How they are varied.
    turned : bool
        Whether the corrections' contrast is the parent's turned round.
    """

    def __init__(
        self,
        cases: Sequence[LearnCase],
        rehearsed: Sequence[LearnCase],
        window: Shape,
        options: FineTuneOptions,
        augmentation: Augmentation,
        scanner: ScannerAugmentation,
        turned: bool = False,
    ) -> None:
        self._share = options.rehearsal_share if cases and rehearsed else 0.0
        self._options = options
        self._augmentation = augmentation
        # beside rehearsed cases, the corrections show their own contrast and no other
        negative = scanner.negative if turned and not rehearsed else 0.0
        self._other_scanner = OtherScanner(scanner.model_copy(update={"negative": negative}))
        self._transfer_share = scanner.transfer
        self._transfer = LookTransfer(
            [case.loaded.image for case in cases],
            [case.loaded.image for case in rehearsed],
            turned,
        )
        self._quantiles = {id(case): quantiles(case.loaded.image) for case in rehearsed}
        self._pools = [pool for pool in (cases, rehearsed) if pool]
        self._organs = {
            id(case): _voxels_by_organ(case.loaded.channels)
            for pool in self._pools
            for case in pool
        }
        self.resize(window)

    def resize(self, window: Shape) -> None:
        """Cut windows of another size from now on."""
        self._window = window
        self._vary = augmentation_transform(self._augmentation, window)

    def batch(self, step: int, part: int, size: int, rank: int = 0) -> list[Windows]:
        """Give ``size`` windows of a step, in groups; ``part`` counts the parts of a batch."""
        random = np.random.default_rng([self._options.seed, step, part, rank])
        self._vary.set_random_state(seed=int(random.integers(2**31)))
        old = int(size * self._share + random.random())
        groups: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
        for number in range(size):
            pool = self._pools[-1 if number < old else 0]
            case = pool[int(random.integers(len(pool)))]
            groups.setdefault(case.unknown, []).append(self._varied(case, random))
        return [
            Windows(torch.stack([i for i, _ in pairs]), torch.stack([c for _, c in pairs]), unknown)
            for unknown, pairs in groups.items()
        ]

    def _varied(self, case: LearnCase, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        cut = self._vary(cut_case(case, self._centre(case, random), self._window, random))
        image, channels = (
            convert_to_tensor(cut[key], track_meta=False) for key in ("image", "channels")
        )
        image = image.float()
        old = self._quantiles.get(id(case))
        if old is None:
            image = self._other_scanner(image, random)
        elif random.random() < self._transfer_share:
            image = self._other_scanner(self._transfer(image, old, random), random)
        # else it keeps the look that must not be forgotten
        return image, channels.round().long()

    def _centre(self, case: LearnCase, random: np.random.Generator) -> NDArray[np.int64]:
        shape = case.loaded.channels.shape
        organs = self._organs[id(case)]
        voxels: NDArray[np.int64] | None = None
        if case.edited.size and random.random() < self._options.edited:
            voxels = case.edited
        elif organs and random.random() < self._options.foreground:
            voxels = organs[int(random.integers(len(organs)))]
        if voxels is None:
            return np.array([random.integers(n) for n in shape])
        return np.array(np.unravel_index(voxels[int(random.integers(len(voxels)))], shape))


def cut_case(
    case: LearnCase,
    centre: NDArray[np.int64],
    window: Shape,
    random: np.random.Generator | None = None,
) -> dict[str, Tensor]:
    """Cut the window about ``centre``, moved about at random where ``random`` is given."""
    shape = case.loaded.channels.shape
    start = [_start(int(c), n, w, random) for c, n, w in zip(centre, shape, window, strict=True)]
    return {
        "image": torch.from_numpy(cut_window(case.loaded.image, start, window)),
        "channels": torch.from_numpy(
            cut_window(case.loaded.channels[None], start, window).astype(np.float32)
        ),
    }


def _start(centre: int, length: int, window: int, random: np.random.Generator | None) -> int:
    if window >= length:  # the whole axis fits: shift it about inside the window
        room = window - length
        return -(int(random.integers(room + 1)) if random is not None else room // 2)
    jitter = 0 if random is None else int(random.integers(-(window // 4), window // 4 + 1))
    return int(np.clip(centre + jitter - window // 2, 0, length - window))


def _voxels_by_organ(channels: NDArray[np.unsignedinteger]) -> list[NDArray[np.int64]]:
    flat = channels.ravel()
    return [np.flatnonzero(flat == channel) for channel in np.unique(flat) if channel]
