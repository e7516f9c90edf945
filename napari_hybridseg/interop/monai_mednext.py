"""MONAI's ways of naming a MedNeXt: the sizes of the paper, and one expansion for all stages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Roy et al. 2023 (arXiv 2303.09975), table 1: expansion and blocks of each stage on the way
# down, which the way up mirrors, and of the bottleneck
_SIZES: Mapping[str, tuple[tuple[int, ...], int, tuple[int, ...], int]] = {
    "s": ((2, 2, 2, 2), 2, (2, 2, 2, 2), 2),
    "b": ((2, 3, 4, 4), 4, (2, 2, 2, 2), 2),
    "m": ((2, 3, 4, 4), 4, (3, 4, 4, 4), 4),
    "l": ((3, 4, 8, 8), 8, (3, 4, 8, 8), 8),
}
_SIZED = re.compile(r"mednext(s|small|b|base|m|medium|l|large)", re.IGNORECASE)


def size_of_mednext(target: str) -> dict[str, Any] | None:
    """Give the arguments of MONAI's ``MedNeXt`` that ``MedNeXtS``, ``MedNextBase`` etc. stand for.

    None for any other name.
    """
    found = _SIZED.fullmatch(target)
    if found is None:
        return None
    expansion, at_bottom, blocks, blocks_at_bottom = _SIZES[found[1][0].lower()]
    return {
        "kernel_size": 3,
        "encoder_expansion_ratio": expansion,
        "bottleneck_expansion_ratio": at_bottom,
        "decoder_expansion_ratio": expansion[::-1],
        "blocks_down": blocks,
        "blocks_bottleneck": blocks_at_bottom,
        "blocks_up": blocks[::-1],
        "use_residual_connection": True,
    }


def with_expansion_of_each_stage(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Write one expansion for all stages, which MONAI takes, as one for each."""
    stages = {"encoder_expansion": "blocks_down", "decoder_expansion": "blocks_up"}
    spread = {
        key: (settings[key],) * len(settings[blocks])
        for key, blocks in stages.items()
        if isinstance(settings[key], int)
    }
    return {**settings, **spread}
