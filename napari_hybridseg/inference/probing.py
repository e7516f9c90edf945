"""Timing two windows, so that the length of a run can be said before it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.events import Event, Progress, Result
from napari_hybridseg.inference.axis_tables import axis_table
from napari_hybridseg.inference.backend_choice import NetworkRunner
from napari_hybridseg.inference.backends import choose_precision
from napari_hybridseg.inference.devices import pick_device, with_threads
from napari_hybridseg.inference.estimate import Probe, estimate
from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.inference.run_plan import plan_run
from napari_hybridseg.inference.running import WindowRun
from napari_hybridseg.inference.segmenting import runner_for
from napari_hybridseg.volume import OnGrid

PROBE_WINDOWS = 2


def estimate_by_probe(
    volume: OnGrid,
    checkpoint: Checkpoint,
    options: SegmentOptions | None = None,
    *,
    network: nn.Module | NetworkRunner | None = None,
) -> Iterator[Event]:
    """Run two windows of noise, and say what segmenting a volume costs.

    With backend ``auto`` plain PyTorch is timed: preparing a faster one would take longer than
    two windows, so a long run may take less time than is said here.

    Yields
    ------
    Event
        ``Progress``, and as the last one ``Result`` with an
        :class:`~napari_hybridseg.inference.estimate.Estimate`.
    """
    options = options or SegmentOptions()
    return with_threads(options.threads, _estimate(volume, checkpoint, options, network))


def _estimate(
    volume: OnGrid,
    checkpoint: Checkpoint,
    options: SegmentOptions,
    network: nn.Module | NetworkRunner | None,
) -> Iterator[Event]:
    card = checkpoint.card
    yield Progress("Timing two windows", 0, PROBE_WINDOWS)
    device = pick_device(options.device)
    shape = card.windows.size
    noise = np.random.default_rng(0).standard_normal((card.in_channels, *shape), dtype=np.float32)
    backend = yield from runner_for(checkpoint, network).backend(
        options.backend,
        device,
        choose_precision(options.precision, device),
        card.windows.slice_axis,
        torch.from_numpy(noise)[None],
        PROBE_WINDOWS,
    )
    taken = []
    try:
        plan = plan_run(shape, card, options.model_copy(update={"tta": False}), None)
        tables = tuple(axis_table(n, n) for n in shape)
        values = np.arange(card.num_classes, dtype=np.uint16)
        _watch_memory(device)
        for number in range(PROBE_WINDOWS):
            began = time.monotonic()
            run = WindowRun(plan, tables, values, backend, card, 1)  # type: ignore[arg-type]
            for _event in run.run(noise):
                pass
            run.close()
            taken.append(time.monotonic() - began)
            yield Progress("Timing two windows", number + 1, PROBE_WINDOWS)
        probe = Probe(min(taken), _most_memory(device))
    finally:
        backend.close()
    yield Result(estimate(volume, card, options, probe))


def _watch_memory(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _most_memory(device: torch.device) -> int:
    return int(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else 0
