"""What a run costs, said before it: windows, time and memory. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from napari_hybridseg.inference.body import body_box
from napari_hybridseg.inference.grids import WHOLE, orientation_change, working_grids
from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.inference.run_plan import (
    RunPlan,
    is_ct,
    looks_for_body,
    on_working_grid,
    plan_run,
)
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.volume import OnGrid, Volume, smallest_label_type

_FLOAT_BYTES = 4
_COPIES_IN_PREPARING = 2


@dataclass(frozen=True)
class Probe:
    """What two windows told of a network on a device.

    Attributes
    ----------
    seconds_per_pass : float
        Time of one window through the network, its sums included.
    network_bytes : int
        What the network holds while it runs on a GPU; 0 on a CPU, where it is not known.
    """

    seconds_per_pass: float
    network_bytes: int = 0


@dataclass(frozen=True)
class Estimate:
    """What a run costs.

    Attributes
    ----------
    windows : int
        How many are run.
    passes : int
        How often each goes through the network: more than once when mirrored copies are.
    seconds : float or None
        How long windows take in all; None without a probe.
    peak_bytes : int
        What the run holds at most beside the volume, and on a CPU beside the network.
    probe : Probe or None
        What the time comes from; the same probe serves other options of the same network.
    """

    windows: int
    passes: int
    seconds: float | None
    peak_bytes: int
    probe: Probe | None = None


def estimate(
    volume: OnGrid, card: ModelCard, options: SegmentOptions, probe: Probe | None = None
) -> Estimate:
    """Say what segmenting costs.

    Parameters
    ----------
    volume : Volume or OnGrid
        Given a ``Volume``, the body is looked for if the options say so; given only its grids,
        or where the card crops to what is not 0, the answer is at most what it will be.
    card : ModelCard
        The checkpoint's.
    options : SegmentOptions
        The user's choices.
    probe : Probe, optional
        What two windows took.
    """
    plan = plan_for(volume, card, options)
    return Estimate(
        windows=plan.windows,
        passes=plan.passes,
        seconds=None if probe is None else plan.windows * plan.passes * probe.seconds_per_pass,
        peak_bytes=_peak_bytes(volume, card, options, plan)
        + (0 if probe is None else probe.network_bytes),
        probe=probe,
    )


def plan_for(volume: OnGrid, card: ModelCard, options: SegmentOptions) -> RunPlan:
    """Plan the windows of a run before anything was prepared."""
    grids = working_grids(volume, card.preprocessing)
    body = None
    if isinstance(volume, Volume) and looks_for_body(options, card, volume.modality):
        preprocessing = card.preprocessing
        change = orientation_change(volume, preprocessing.orientation, preprocessing.axes)
        found = body_box(change.apply(volume.array), grids.oriented, is_ct=is_ct(card.modality))
        if found is not None:
            body = on_working_grid(found, WHOLE, grids.own, grids.working)
    return plan_run(grids.working.shape, card, options, body)


def _peak_bytes(volume: OnGrid, card: ModelCard, options: SegmentOptions, plan: RunPlan) -> int:
    """Add up what is held while windows run, or while the volume is prepared if that is more."""
    label_bytes = smallest_label_type(max(card.labels.ids, default=0)).itemsize
    labels = prod(volume.geometry.shape) * label_bytes * 2
    image = prod(plan.working) * card.in_channels * _FLOAT_BYTES
    window = prod(plan.wall.grid.window) * _FLOAT_BYTES
    logits = max(options.batch, 1) + 1
    batch = window * (card.in_channels * max(options.batch, 1) + card.num_classes * logits)
    own = prod(volume.geometry.shape) * card.in_channels * _FLOAT_BYTES
    preparing = own * _COPIES_IN_PREPARING + image
    return max(preparing, image + labels + plan.sums_bytes + batch)
