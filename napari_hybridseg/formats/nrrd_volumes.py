"""What the volumes of an NRRD file are: time points, channels, colours.

NRRD's own word is the kind of the axis. 3D Slicer writes the kind ``list`` for all, and says the
rest elsewhere: a sequence (``.seq.nrrd``) in the axis's label, unit and ``axis 3 index values``
(https://slicer.readthedocs.io, Sequences), a MultiVolume in ``MultiVolume.*`` keys.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from napari_hybridseg.formats.nrrd_header import NrrdHeader
from napari_hybridseg.formats.stored import ChannelAxis
from napari_hybridseg.older_python import pairwise

_SECONDS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3,
            "millisecond": 1e-3, "milliseconds": 1e-3, "us": 1e-6, "µs": 1e-6, "usec": 1e-6,
            "min": 60.0}  # fmt: skip
_TIME_WORDS = ("time", "t", "temporal")
_TIME_TAGS = ("acquisitiontime", "contenttime", "seriestime", "triggertime")
_COLOUR_KINDS = ("rgb-color", "rgba-color", "3-color", "4-color")
_SAYS_NOTHING = ("", "???", "none", "domain", "space")
_EVEN = 0.01
_MULTI = "MultiVolume."


def kind_of_volumes(header: NrrdHeader) -> str:
    """Give the header's own word for the axis that does not run through space; empty if none."""
    kinds = header.fields.get("kinds", "").lower().split()
    axis = header.volume_axis
    return kinds[axis] if axis is not None and len(kinds) == len(header.sizes) else ""


def channel_axis(header: NrrdHeader) -> tuple[ChannelAxis, tuple[str, ...]]:
    """Say what the volumes are, and what was odd about it."""
    axis, kind = header.volume_axis, kind_of_volumes(header)
    if axis is None:
        return ChannelAxis(), ()
    if kind in _COLOUR_KINDS:
        return ChannelAxis("colours"), ()
    unit = _SECONDS.get(_unit(header, axis))
    tag = header.keys.get(f"{_MULTI}FrameIdentifyingDICOMTagName", "").lower()
    says_time = _of_axis(header, "labels", axis) in _TIME_WORDS or tag in _TIME_TAGS
    if kind == "time" or says_time or unit is not None:
        step, is_even = _step(_moments(header, axis))
        note = () if is_even else ("Its time points are not evenly spaced.",)
        return ChannelAxis("time", step * (unit or 0.0)), note
    is_sequence = f"axis {axis} index type" in header.keys
    return ChannelAxis("unstated" if is_sequence or kind in _SAYS_NOTHING else "channels"), ()


def _unit(header: NrrdHeader, axis: int) -> str:
    unit = _of_axis(header, "units", axis) or header.time_unit
    return unit or header.keys.get(f"{_MULTI}FrameIdentifyingDICOMTagUnits", "").strip().lower()


def _of_axis(header: NrrdHeader, field: str, axis: int) -> str:
    """Give what a field of quoted words, one for each axis, says of one."""
    words = re.findall(r'"([^"]*)"', header.fields.get(field, ""))
    return words[axis].strip().lower() if len(words) == len(header.sizes) else ""


def _moments(header: NrrdHeader, axis: int) -> list[float]:
    """Give when each volume was taken, in the file's unit; nothing where it does not say."""
    count = header.sizes[axis]
    listed = header.keys.get(f"axis {axis} index values", "").split()
    labels = header.keys.get(f"{_MULTI}FrameLabels", "").split(",")
    step = header.step_of(axis)
    for words in (listed, labels, [str(step * index) for index in range(count)]):
        if len(words) == count:
            try:
                return [float(word) for word in words]
            except ValueError:
                return []
    return []


def _step(moments: Sequence[float]) -> tuple[float, bool]:
    """Give the time from each moment to the next, 0 if unknown, and whether it is always the same.

    A damaged file may state any moments.
    """
    if len(moments) < 2 or not all(map(math.isfinite, moments)):
        return 0.0, True
    steps = [later - earlier for earlier, later in pairwise(moments)]
    mean = (moments[-1] - moments[0]) / len(steps)
    if not any(steps):
        return 0.0, True
    is_even = 0 < mean < math.inf and all(abs(step - mean) <= _EVEN * mean for step in steps)
    return (mean, True) if is_even else (0.0, False)
