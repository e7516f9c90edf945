"""What the tests of corrections build on."""

from __future__ import annotations

import resource
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from helpers import EVERY_ORDER, grid, stored

from napari_hybridseg.corrections.accepting import Correction
from napari_hybridseg.corrections.verifying import VerifyReport, verify_set
from napari_hybridseg.events import Event, Result
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.volume import LabelMap, Volume

SCHEME = LabelScheme.from_names({3: "liver", 1: "spleen"}, "test")


def correction(
    seed: int = 0, shape: tuple[int, int, int] = (6, 8, 10), **changes: Any
) -> Correction:
    """Give a scan stored in an odd order, a network's box of liver, and a person's change to it."""
    random = np.random.default_rng(seed)
    image = random.normal(0, 50, (1, *shape)).astype(np.int16)
    volume = Volume.from_stored(stored(image, grid(shape), EVERY_ORDER[17]), "DOE^JOHN 1969")
    network = np.zeros(volume.geometry.shape, np.uint8)
    network[1:4, 2:5, 2:6] = 3
    label = network.copy()
    label[3] = 0
    label[5, 5:7, 5] = 1
    told = {"geometry": volume.geometry, "source": volume.source, "scheme": SCHEME}
    return replace(
        Correction(volume, LabelMap(array=label, **told), LabelMap(array=network, **told)),
        **changes,
    )


def value(events: Iterable[Event]) -> Any:
    """Run a job to its end and give its result."""
    *_, last = events
    assert isinstance(last, Result)
    return last.value


def verified(folder: Path) -> VerifyReport:
    """Verify a set."""
    found = value(verify_set(folder))
    assert isinstance(found, VerifyReport)
    return found


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let the system refuse longer files, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
