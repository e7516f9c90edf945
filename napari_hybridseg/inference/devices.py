"""What the network can run on here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TypeVar

import torch

from napari_hybridseg.errors import HybridSegError

T = TypeVar("T")


class DeviceError(HybridSegError):
    """A device that was asked for and is not there."""


def available_devices() -> dict[str, str]:
    """Give what can be chosen: the device's name for torch, and its name for people."""
    devices = {}
    for index in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(index).total_memory / 2**30
        devices[f"cuda:{index}"] = f"{torch.cuda.get_device_name(index)}, {memory:.0f} GB"
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple GPU"
    devices["cpu"] = f"CPU, {os.cpu_count()} cores"
    return devices


def pick_device(wish: str) -> torch.device:
    """Give the device for a wish such as ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.

    Raises
    ------
    DeviceError
        If it is not there.
    """
    available = available_devices()
    if wish == "auto":
        return torch.device(next(iter(available)))
    name = "cuda:0" if wish == "cuda" else wish
    if name not in available:
        raise DeviceError(
            f"There is no device {wish!r} here; choose one of: auto, {', '.join(available)}."
        )
    return torch.device(name)


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Calculate with this many CPU threads for a while; 0 changes nothing."""
    before = torch.get_num_threads()
    if count > 0:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def with_threads(count: int, events: Iterator[T]) -> Iterator[T]:
    """Pass events on, and calculate with this many CPU threads only while one is being made.

    The number of threads belongs to the whole process; between events it is the caller's.
    """
    with closing(events):  # type: ignore[type-var]
        while True:
            with cpu_threads(count):
                try:
                    event = next(events)
                except StopIteration:
                    return
            yield event
