"""The network's probabilities for a box, from the windows that cover it and no others."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.corrections.boxes import Box
from napari_hybridseg.corrections.errors import CorrectionError
from napari_hybridseg.counting import counted
from napari_hybridseg.events import Progress
from napari_hybridseg.geometry import Reorientation
from napari_hybridseg.inference.backends import (
    TorchBackend,
    choose_precision,
    mirrored_mean,
)
from napari_hybridseg.inference.devices import pick_device
from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.inference.preprocess import Prepared, prepare
from napari_hybridseg.inference.windows import WindowPlan, importance_map, plan_windows
from napari_hybridseg.older_python import zip
from napari_hybridseg.volume import Volume

_KEPT_BYTES = 512 * 2**20

Span = tuple[int, int]
T = TypeVar("T")
Spans = tuple[Span, Span, Span]


class RegionPredictor:
    """A volume that is prepared for a network, and asked about box after box.

    The answer for a box is what segmenting the whole volume would have found there: the same
    windows, weighed in the same way. What the network said of the last windows is kept.

    Parameters
    ----------
    volume : Volume
        The image.
    checkpoint : Checkpoint
        Its card says how the image is prepared.
    network : Module, optional
        The checkpoint's network, where the caller keeps it built.
    options : SegmentOptions, optional
        Device, overlap and the like; the overlap of the windows is the card's by default.

    Raises
    ------
    CorrectionError
        If the volume has other channels than the network.
    VolumeError
        If a channel holds no numbers.
    """

    def __init__(
        self,
        volume: Volume,
        checkpoint: Checkpoint,
        network: nn.Module | None = None,
        options: SegmentOptions | None = None,
    ) -> None:
        self.volume = volume
        self.card = checkpoint.card
        self._kept: tuple[Box, NDArray[np.float32]] | None = None
        self._answers: OrderedDict[tuple[int, int, int], Tensor] = OrderedDict()
        self.options = options or SegmentOptions()
        found = volume.array.shape[0]
        if found != self.card.in_channels:
            raise CorrectionError(
                f"{volume.name} has {counted(found, 'channel')} and {self.card.name} was trained "
                f"on {self.card.in_channels}; choose the checkpoint that made the label map."
            )
        self.network = network if network is not None else checkpoint.build_network()
        self.device = pick_device(self.options.device)
        self.shape = volume.geometry.shape
        self.prepared: Prepared = prepare(volume, self.card.preprocessing)
        windows = self.card.windows
        overlap = windows.overlap if self.options.overlap is None else self.options.overlap
        self.plan = plan_windows(self.prepared.working.shape, windows.size, overlap)

    def probabilities(
        self, box: Box, network: nn.Module | None = None
    ) -> Generator[Progress, None, NDArray[np.float32]]:
        """Run the windows that touch a box.

        Parameters
        ----------
        box : tuple of slice
            A part of the volume's array (Z, Y, X).
        network : Module, optional
            Another network than the checkpoint's, e.g. an adapted one.

        Yields
        ------
        Progress
            For every window.

        Returns
        -------
        ndarray
            Shape (K, dz, dy, dx), float32, channel 0 background, summing to 1.
        """
        turned = oriented_box(box, self.prepared.change, self.shape)
        inner, place = self._inside_crop(turned)
        sizes = [stop - start for start, stop in turned]
        answer = np.zeros((self.card.num_classes, *sizes), np.float32)
        answer[0] = 1.0  # what the card has cropped away is background
        if all(stop > start for start, stop in inner):
            logits = yield from self._logits(inner, network or self.network)
            soft = torch.softmax(logits, dim=0).cpu().numpy()
            answer[(slice(None), *place)] = soft
        return np.ascontiguousarray(self.prepared.change.inverse().apply(answer))

    def kept_probabilities(self, box: Box) -> Generator[Progress, None, NDArray[np.float32]]:
        """Give the probabilities in a box; the last one asked for is kept, and parts of it."""
        if self._kept is None or not _holds(self._kept[0], box):
            self._kept = None
            self._kept = box, (yield from self.probabilities(box))
        outer, found = self._kept
        part = tuple(
            slice(b.start - o.start, b.stop - o.start) for b, o in zip(box, outer, strict=True)
        )
        return found[(slice(None), *part)]

    def _inside_crop(self, turned: Spans) -> tuple[Spans, tuple[slice, ...]]:
        """Give the box in the crop's own voxels, and where that lies in the box."""
        spans, places = [], []
        for (start, stop), part, length in zip(
            turned, self.prepared.box, self.prepared.oriented.shape, strict=True
        ):
            first, last, _ = part.indices(length)
            low, high = max(start, first), max(min(stop, last), max(start, first))
            spans.append((low - first, high - first))
            places.append(slice(low - start, high - start))
        return (spans[0], spans[1], spans[2]), tuple(places)

    def _logits(self, spans: Spans, network: nn.Module) -> Generator[Progress, None, Tensor]:
        cropped = _crop_shape(self.prepared)
        working = self.prepared.working.shape
        ways = [_sampling(span, n, w) for span, n, w in zip(spans, cropped, working, strict=True)]
        needed: Spans = tuple((int(low.min()), int(high.max()) + 1) for low, high, _ in ways)  # type: ignore[assignment]
        mean = yield from self._mean_logits(needed, network)
        for axis, ((low, high, part), (first, _)) in enumerate(zip(ways, needed, strict=True), 1):
            shape = [-1 if i == axis else 1 for i in range(4)]
            weight = torch.from_numpy(part).to(mean.device).reshape(shape)
            lower = mean.index_select(axis, torch.from_numpy(low - first).to(mean.device))
            upper = mean.index_select(axis, torch.from_numpy(high - first).to(mean.device))
            mean = torch.lerp(lower, upper, weight)
        return mean

    def _mean_logits(self, needed: Spans, network: nn.Module) -> Generator[Progress, None, Tensor]:
        plan, card = self.plan, self.card
        region: Spans = tuple(  # type: ignore[assignment]
            (start + b, stop + b) for (start, stop), b in zip(needed, plan.before, strict=True)
        )
        starts = [start for start in plan.starts if _touches(start, plan, region)]
        kind = self.options.importance or card.windows.importance
        importance = torch.from_numpy(importance_map(plan.window, kind)).to(self.device)
        sizes = [stop - start for start, stop in region]
        total = torch.zeros((card.num_classes, *sizes), device=self.device)
        weight = torch.zeros(sizes, device=self.device)
        mirror = card.windows.mirror_axes if self.options.tta else ()
        backend = self._backend(network)
        is_own = network is self.network
        for done, start in enumerate(starts):
            yield Progress("Asking the network", done, len(starts))
            logits = self._answers.get(start) if is_own else None
            if logits is None:
                logits = mirrored_mean(backend, self.window(start)[None], mirror)[0].float()
            if is_own:
                self._keep(start, logits)
            here, there = _overlap(start, plan, region)
            total[(slice(None), *there)] += logits[(slice(None), *here)] * importance[here]
            weight[there] += importance[here]
        yield Progress("Asking the network", len(starts), len(starts))
        return total / weight

    def _keep(self, start: tuple[int, int, int], logits: Tensor) -> None:
        """Keep a window's answer for the boxes to come; the one unused for longest goes first."""
        self._answers[start] = logits
        self._answers.move_to_end(start)
        while len(self._answers) * logits.nbytes > _KEPT_BYTES:
            self._answers.popitem(last=False)

    def _backend(self, network: nn.Module) -> TorchBackend:
        precision = choose_precision(self.options.precision, self.device)
        return TorchBackend(network, self.device, precision, self.card.windows.slice_axis)

    def window(self, start: tuple[int, int, int]) -> Tensor:
        """Cut a window (C, *window) of the plan out of the prepared image, zeros outside."""
        return cut(self.prepared.array, start, self.plan)


def region_probabilities(
    volume: Volume,
    checkpoint: Checkpoint,
    box: Box,
    *,
    network: nn.Module | None = None,
    options: SegmentOptions | None = None,
) -> NDArray[np.float32]:
    """Give the network's probabilities in a box of a volume, shape (K, dz, dy, dx).

    See :class:`RegionPredictor`, which is cheaper where several boxes are asked for.
    """
    return last_of(RegionPredictor(volume, checkpoint, network, options).probabilities(box))


def last_of(steps: Generator[Progress, None, T]) -> T:
    """Run a generator to its end and give what it returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: T = end.value
            return found


def _holds(outer: Box, inner: Box) -> bool:
    return all(o.start <= i.start and i.stop <= o.stop for o, i in zip(outer, inner, strict=True))


def oriented_box(box: Box, change: Reorientation, shape: tuple[int, ...]) -> Spans:
    """Say where a box of an array (Z, Y, X) lies after ``change`` was applied to the array."""
    spans = []
    for axis in range(3):
        old = 2 - change.order[2 - axis]
        start, stop, _ = box[old].indices(shape[old])
        flipped = change.flips[2 - axis]
        spans.append((shape[old] - stop, shape[old] - start) if flipped else (start, stop))
    return spans[0], spans[1], spans[2]


def cut(array: NDArray[np.float32], start: tuple[int, int, int], plan: WindowPlan) -> Tensor:
    """Cut a window of a plan out of (C, Z, Y, X), with zeros where the array was grown."""
    window = np.zeros((array.shape[0], *plan.window), np.float32)
    here, there = [], []
    for s, before, size, length in zip(
        start, plan.before, plan.window, array.shape[1:], strict=True
    ):
        low, high = max(s - before, 0), min(s - before + size, length)
        here.append(slice(low, high))
        there.append(slice(low - s + before, high - s + before))
    window[(slice(None), *there)] = array[(slice(None), *here)]
    return torch.from_numpy(window)


def _crop_shape(prepared: Prepared) -> tuple[int, int, int]:
    z, y, x = (
        len(range(*part.indices(length)))
        for part, length in zip(prepared.box, prepared.oriented.shape, strict=True)
    )
    return z, y, x


def _sampling(
    span: Span, output: int, working: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Say between which working rows output rows lie, and how far along."""
    place = (np.arange(*span) + 0.5) * (working / output) - 0.5
    place = np.clip(place, 0.0, working - 1.0)
    low = place.astype(np.int64)
    high = np.minimum(low + 1, working - 1)
    return low, high, (place - low).astype(np.float32)


def _touches(start: tuple[int, int, int], plan: WindowPlan, region: Spans) -> bool:
    return all(
        s < stop and s + size > first
        for s, size, (first, stop) in zip(start, plan.window, region, strict=True)
    )


def _overlap(
    start: tuple[int, int, int], plan: WindowPlan, region: Spans
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Give the common part of a window and a region, in each one's own voxels."""
    here, there = [], []
    for s, size, (first, stop) in zip(start, plan.window, region, strict=True):
        low, high = max(s, first), min(s + size, stop)
        here.append(slice(low - s, high - s))
        there.append(slice(low - first, high - first))
    return tuple(here), tuple(there)
