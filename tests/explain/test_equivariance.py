"""Maps move with what is moved, whatever the network and whichever way it looks at a volume."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from explain_support import run, volume_of

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.model_card import Preprocessing

# every way a map comes from windows to the volume: blended voxels, blended cells, one window
MAPS: list[tuple[str, str, dict[str, Any]]] = [
    ("medformer", "token-map", {"place": "down2.0", "token": 1}),
    ("utnetv2", "token-map", {"place": "up2.0", "token": 3, "direction": "token-to-map"}),
    ("cotr", "margin", {}),
    ("transfuse", "spatial-attention", {"place": "fuse_8"}),
    ("transfuse", "attention-gate", {"place": "merge_4"}),
    ("unet", "entropy", {}),
    ("unet", "mirror-disagreement", {}),
]


@pytest.mark.parametrize(("family", "view", "options"), MAPS)
def test_a_volume_moved_by_whole_steps_moves_its_maps(
    small: Callable[[str], Checkpoint], family: str, view: str, options: dict[str, Any]
) -> None:
    checkpoint = as_is(small(family))
    window = checkpoint.card.windows.size
    step = tuple(max(n // 2, 1) for n in window)
    shape = tuple(2 * n for n in window)
    big = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    moved = np.roll(big, step, axis=(0, 1, 2))
    first, second = (
        run(volume_of(array), checkpoint, view, overlap=0.5, **options).products[0].array
        for array in (big, moved)
    )
    back = np.roll(second, [-n for n in step], axis=(0, 1, 2))
    # what only windows inside both volumes cover
    deep = tuple(slice(n // 2, n) for n in window)
    np.testing.assert_allclose(back[deep], first[deep], rtol=1e-4, atol=1e-6)
    assert np.abs(second[deep] - first[deep]).max() > 1e-4, "nothing would move"


def as_is(checkpoint: Checkpoint) -> Checkpoint:
    """Give a checkpoint that looks at volumes from the other side, and does not normalise them.

    Moving a volume would change its mean, and so what is made of it.
    """
    preprocessing = Preprocessing(orientation="RAS", intensity={"kind": "as-is"})  # type: ignore[arg-type]
    card = checkpoint.card.model_copy(update={"preprocessing": preprocessing})
    return type(checkpoint)(path=checkpoint.path, card=card)
