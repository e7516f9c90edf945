"""The segmentation job."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.events import Event, Note, Progress, RegionDone, Result
from napari_hybridseg.inference.accumulator import SlabAccumulator
from napari_hybridseg.inference.backends import (
    BACKENDS,
    Backend,
    choose_precision,
    mirrored_mean,
)
from napari_hybridseg.inference.devices import cpu_threads, pick_device
from napari_hybridseg.inference.finish import LabelFinisher, LabelRows
from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.inference.preprocess import Prepared, prepare
from napari_hybridseg.inference.windows import WindowPlan, importance_map, plan_windows
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.volume import LabelMap, Volume, VolumeError, smallest_label_type


def segment(
    volume: Volume,
    checkpoint: Checkpoint,
    options: SegmentOptions | None = None,
    *,
    network: nn.Module | None = None,
) -> Iterator[Event]:
    """Segment a volume with a checkpoint.

    Parameters
    ----------
    volume : Volume
        The image.
    checkpoint : Checkpoint
        Its card says how the image is prepared and what the labels mean.
    options : SegmentOptions
        Choices of this run.
    network : Module, optional
        The checkpoint's network, where the caller keeps it built.

    Yields
    ------
    Event
        ``Progress`` and ``Note`` as they come, ``RegionDone`` for every finished part, and as
        the last one ``Result`` with a :class:`LabelMap` on the volume's grid. Closing the
        generator cancels within one window.

    Raises
    ------
    VolumeError
        If the volume does not fit the checkpoint.
    CheckpointError, DeviceError
        If the weights or the device cannot be used.
    """
    options = options or SegmentOptions()
    card = checkpoint.card
    _check_channels(volume, card)
    with cpu_threads(options.threads):
        yield Progress("Preparing", 0, 1)
        device = pick_device(options.device)
        prepared = prepare(volume, card.preprocessing)
        for note in (*modality_notes(volume, card), *prepared.notes):
            yield Note(note)
        backend = BACKENDS[options.backend](
            network if network is not None else checkpoint.build_network(),
            device,
            choose_precision(options.precision, device),
            card.windows.slice_axis,
        )
        try:
            yield from _run(volume, prepared, card, backend, options)
        finally:
            backend.close()


def modality_notes(volume: Volume, card: ModelCard) -> tuple[str, ...]:
    """Say what speaks against a checkpoint for a volume of this modality, if anything does."""
    known = volume.modality and card.modality
    if not known or volume.modality.upper() in card.modality.upper():
        return ()
    return (f"{card.name} was made for {card.modality}; {volume.name} is {volume.modality}.",)


def label_values(card: ModelCard) -> NDArray[np.uint8 | np.uint16]:
    """Give the label number of every output channel; channel 0 is background."""
    ids = [0, *card.labels.ids]
    return np.asarray(ids, dtype=smallest_label_type(max(ids)))


def _run(
    volume: Volume, prepared: Prepared, card: ModelCard, backend: Backend, options: SegmentOptions
) -> Iterator[Event]:
    labels = np.zeros(prepared.oriented.shape, dtype=label_values(card).dtype)
    back = prepared.change.inverse()
    canonical = back.apply(labels)
    inside = labels[prepared.box]
    for event in _labelled_rows(prepared, card, backend, options):
        if isinstance(event, Progress):
            yield event
            continue
        stop = event.start + len(event.labels)
        inside[event.start : stop] = event.labels
        yield _region(prepared, event, labels.shape)
    yield Result(
        LabelMap(
            geometry=volume.geometry,
            source=volume.source,
            array=np.ascontiguousarray(canonical),
            scheme=card.labels,
            name=f"{volume.name} {card.name}",
            notes=prepared.notes,
        )
    )


def _labelled_rows(
    prepared: Prepared, card: ModelCard, backend: Backend, options: SegmentOptions
) -> Iterator[Progress | LabelRows]:
    defaults = card.windows
    working = prepared.working.shape
    overlap = defaults.overlap if options.overlap is None else options.overlap
    plan = plan_windows(working, defaults.size, overlap)
    importance = torch.from_numpy(
        importance_map(plan.window, options.importance or defaults.importance)
    ).to(backend.device)
    accumulator = SlabAccumulator(plan, importance, card.num_classes)
    finisher = LabelFinisher(plan, working, _shape_of_box(prepared), label_values(card))
    image = torch.from_numpy(_padded(prepared.array, plan))
    mirror = defaults.mirror_axes if options.tta else ()
    began = time.monotonic()
    yield Progress("Segmenting", 0, len(plan))
    for done, start in enumerate(plan.starts, 1):
        logits = mirrored_mean(backend, _window(image, start, plan), mirror)
        for slab in accumulator.add(start, logits[0]):
            yield from finisher.feed(slab)
        left = (time.monotonic() - began) / done * (len(plan) - done)
        yield Progress("Segmenting", done, len(plan), left)
    for slab in accumulator.finish():
        yield from finisher.feed(slab)


def _window(image: Tensor, start: tuple[int, int, int], plan: WindowPlan) -> Tensor:
    z, y, x = (slice(s, s + n) for s, n in zip(start, plan.window, strict=True))
    return image[:, z, y, x][None]


def _padded(array: NDArray[np.float32], plan: WindowPlan) -> NDArray[np.float32]:
    if array.shape[1:] == plan.padded:
        return array
    missing = [
        (before, padded - before - n)
        for before, padded, n in zip(plan.before, plan.padded, array.shape[1:], strict=True)
    ]
    return np.pad(array, [(0, 0), *missing])


def _region(prepared: Prepared, rows: LabelRows, shape: tuple[int, ...]) -> RegionDone:
    """Say where rows of the network's orientation lie in the canonical label map."""
    back = prepared.change.inverse()
    first = [part.indices(length)[0] for part, length in zip(prepared.box, shape, strict=True)]
    start = (first[0] + rows.start, *first[1:])
    stop = [begin + n for begin, n in zip(start, rows.labels.shape, strict=True)]
    place = []
    for axis in range(3):
        old = 2 - back.order[2 - axis]
        place.append(shape[old] - stop[old] if back.flips[2 - axis] else start[old])
    z, y, x = place
    return RegionDone((z, y, x), np.ascontiguousarray(back.apply(rows.labels)))


def _shape_of_box(prepared: Prepared) -> tuple[int, int, int]:
    z, y, x = (
        len(range(*part.indices(length)))
        for part, length in zip(prepared.box, prepared.oriented.shape, strict=True)
    )
    return z, y, x


def _check_channels(volume: Volume, card: ModelCard) -> None:
    channels = volume.array.shape[0]
    if channels != card.in_channels:
        raise VolumeError(
            f"{volume.name} has {channels} channel{'s' if channels != 1 else ''}, and {card.name} "
            f"was trained on {card.in_channels}; choose a volume with {card.in_channels}."
        )
