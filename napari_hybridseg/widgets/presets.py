"""Quality presets: names for sets of options."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from napari_hybridseg.inference.options import SegmentOptions


class Quality(str, Enum):
    """How much time a run may take for its quality."""

    FAST = "fast"
    STANDARD = "standard"
    BEST = "best"
    CUSTOM = "custom"


QUALITY_HELP: Mapping[Quality, str] = {
    Quality.FAST: "Windows overlap by a quarter: the quickest, seams may show.",
    Quality.STANDARD: "As the checkpoint's card says.",
    Quality.BEST: "Windows overlap by 60 % and mirrored copies are averaged where the checkpoint "
    "allows it: the smoothest, several times slower.",
    Quality.CUSTOM: "Your own choices under 'More options'.",
}

_CHOICES: Mapping[Quality, Mapping[str, Any]] = {
    Quality.FAST: {"overlap": 0.25, "importance": None, "tta": False},
    Quality.STANDARD: {"overlap": None, "importance": None, "tta": False},
    Quality.BEST: {"overlap": 0.6, "importance": "gaussian", "tta": True},
}


def with_quality(options: SegmentOptions, quality: Quality) -> SegmentOptions:
    """Give the options with a preset's choices; what the preset leaves open stays as it is."""
    return options.model_copy(update=dict(_CHOICES.get(quality, {})))


def quality_of(options: SegmentOptions) -> Quality:
    """Name the preset that the options are, or ``CUSTOM``."""
    for quality, choices in _CHOICES.items():
        if all(getattr(options, name) == value for name, value in choices.items()):
            return quality
    return Quality.CUSTOM
