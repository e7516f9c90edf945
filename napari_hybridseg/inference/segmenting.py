"""The segmentation job."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch import nn

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.events import Event, Note, Progress, RegionDone, Result
from napari_hybridseg.inference.axis_tables import axis_table
from napari_hybridseg.inference.backend_choice import NetworkRunner
from napari_hybridseg.inference.backends import Backend, choose_precision
from napari_hybridseg.inference.body import body_box
from napari_hybridseg.inference.cubic import thick_axis
from napari_hybridseg.inference.devices import pick_device, with_threads
from napari_hybridseg.inference.finish import LabelBox, Tables
from napari_hybridseg.inference.grids import working_grids
from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.inference.pages import own_pages
from napari_hybridseg.inference.preprocess import Prepared, prepare
from napari_hybridseg.inference.run_plan import (
    RunPlan,
    is_ct,
    looks_for_body,
    on_working_grid,
    plan_run,
)
from napari_hybridseg.inference.running import RowsDone, WindowRun, middle_window
from napari_hybridseg.inference.windows import Shape
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.older_python import zip
from napari_hybridseg.volume import LabelMap, Volume, VolumeError, smallest_label_type


def segment(
    volume: Volume,
    checkpoint: Checkpoint,
    options: SegmentOptions | None = None,
    *,
    network: nn.Module | NetworkRunner | None = None,
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
    network : Module or NetworkRunner, optional
        The checkpoint's network, where the caller keeps it built, perhaps with its backends.

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
    _check_channels(volume, checkpoint.card)
    return with_threads(options.threads, _segment(volume, checkpoint, options, network))


def _segment(
    volume: Volume,
    checkpoint: Checkpoint,
    options: SegmentOptions,
    network: nn.Module | NetworkRunner | None,
) -> Iterator[Event]:
    card = checkpoint.card
    yield Progress("Preparing", 0, 1)
    device = pick_device(options.device)
    prepared = prepare(volume, card.preprocessing)
    body = _body(volume, prepared, card, options)
    plan = plan_run(prepared.working.shape, card, options, body)
    unmet = _unmet_notes(volume, card, options, found_body=body is not None)
    for note in (*modality_notes(volume, card), *prepared.notes, *_crop_notes(plan), *unmet):
        yield Note(note)
    backend = yield from runner_for(checkpoint, network).backend(
        options.backend,
        device,
        choose_precision(options.precision, device),
        card.windows.slice_axis,
        middle_window(prepared.array, plan),
        plan.windows * plan.passes,
    )
    try:
        yield from _run(volume, prepared, card, plan, backend, options)
    finally:
        backend.close()


def runner_for(checkpoint: Checkpoint, network: nn.Module | NetworkRunner | None) -> NetworkRunner:
    """Give what prepares backends for a checkpoint's network."""
    if isinstance(network, NetworkRunner):
        return network
    card = checkpoint.card
    built = checkpoint.build_network() if network is None else network
    return NetworkRunner(built, f"{card.architecture} {sorted(card.config.items())}")


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
    volume: Volume,
    prepared: Prepared,
    card: ModelCard,
    plan: RunPlan,
    backend: Backend,
    options: SegmentOptions,
) -> Iterator[Event]:
    values = label_values(card)
    labels = own_pages(prepared.oriented.shape, values.dtype)
    inside = labels[prepared.box]
    tables = _tables(plan, inside.shape, prepared, card)
    run = WindowRun(plan, tables, values, backend, card, options.batch)
    try:
        for event in run.run(prepared.array):
            if isinstance(event, Progress):
                yield event
            elif isinstance(event, LabelBox):
                inside[_place(event.start, event.labels.shape)] = event.labels
            elif options.live:
                yield _region(prepared, event, inside)
    finally:
        run.close()
    canonical = prepared.change.inverse().apply(labels)
    yield Result(
        LabelMap(
            geometry=volume.geometry,
            source=volume.source,
            array=np.ascontiguousarray(canonical),
            scheme=card.labels,
            name=f"{volume.name} {card.name}",
            notes=(*prepared.notes, *_crop_notes(plan)),
        )
    )


def _body(
    volume: Volume, prepared: Prepared, card: ModelCard, options: SegmentOptions
) -> tuple[Shape, Shape] | None:
    """Find the body on the network's grid, if only that is to be looked at."""
    if not looks_for_body(options, card, volume.modality):
        return None
    grids = working_grids(volume, card.preprocessing, prepared.box)
    found = body_box(
        prepared.change.apply(volume.array), grids.oriented, is_ct=is_ct(card.modality)
    )
    return None if found is None else on_working_grid(found, prepared.box, grids.own, grids.working)


def _crop_notes(plan: RunPlan) -> tuple[str, ...]:
    if plan.windows == plan.windows_of_all:
        return ()
    return (
        f"Only the body was looked at: {plan.windows} windows instead of {plan.windows_of_all}.",
    )


def _unmet_notes(
    volume: Volume, card: ModelCard, options: SegmentOptions, *, found_body: bool
) -> Iterator[str]:
    """Say which wishes change nothing."""
    if options.tta and not card.windows.mirror_axes:
        yield f"{card.name} allows no mirroring, so no mirrored copies were averaged."
    if not found_body and looks_for_body(options, card, volume.modality):
        unit = "; check that its values are Hounsfield units" if is_ct(card.modality) else ""
        yield f"No body stands out in {volume.name}, so all of it was looked at{unit}."


def _tables(plan: RunPlan, output: tuple[int, ...], prepared: Prepared, card: ModelCard) -> Tables:
    """Say where output voxels lie; as nnU-Net, take the nearest across thick slices."""
    thick = None
    if card.preprocessing.interpolation == "cubic":
        thick = thick_axis(prepared.working.spacing_zyx, prepared.oriented.spacing_zyx)
    z, y, x = (
        axis_table(length, wanted, begin, end, nearest=axis == thick)
        for axis, (length, wanted, begin, end) in enumerate(
            zip(plan.working, output, plan.begin, plan.end, strict=True)
        )
    )
    return z, y, x


def _region(prepared: Prepared, rows: RowsDone, inside: NDArray[np.unsignedinteger]) -> RegionDone:
    """Say where rows of the network's orientation lie in the canonical label map."""
    back = prepared.change.inverse()
    place = [slice(0, n) for n in inside.shape]
    place[rows.axis] = slice(rows.begin, rows.end)
    labels = inside[tuple(place)]
    shape = prepared.oriented.shape
    start = [(part.start or 0) + here.start for part, here in zip(prepared.box, place, strict=True)]
    stop = [begin + n for begin, n in zip(start, labels.shape, strict=True)]
    at = []
    for axis in range(3):
        old = 2 - back.order[2 - axis]
        at.append(shape[old] - stop[old] if back.flips[2 - axis] else start[old])
    z, y, x = at
    # a copy: the label map is still being filled
    return RegionDone((z, y, x), np.array(back.apply(labels), order="C"))


def _place(start: Shape, shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))


def _check_channels(volume: Volume, card: ModelCard) -> None:
    channels = volume.array.shape[0]
    if channels != card.in_channels:
        raise VolumeError(
            f"{volume.name} has {channels} channel{'s' if channels != 1 else ''}, and {card.name} "
            f"was trained on {card.in_channels}; choose a volume with {card.in_channels}."
        )
