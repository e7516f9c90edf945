"""Maps move with what is moved, whatever the network and whichever way it looks at a volume."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from explain_support import run, volume_of, voxel_mm

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.explain import SamplingPoints
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
# whole cells of CoTr's coarser map
STEP = np.array((8, 16, 16))


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


@pytest.mark.parametrize("family", ["cotr", "cotr-legacy"])
def test_a_moved_volume_moves_where_its_voxels_sample(
    small: Callable[[str], Checkpoint], family: str
) -> None:
    checkpoint = as_is(small(family))
    big, moved = _before_and_after()
    middle = np.array((3, 31, 31))  # of a window
    found = []
    for array, voxel in ((big, middle), (moved, middle + STEP)):
        volume = volume_of(array, spacing=(0.8, 1.1, 2.5), angles=(10, 0, 30))
        told = run(
            volume,
            checkpoint,
            "sampling-points",
            overlap=0.5,
            place="layer1",
            point=voxel_mm(volume, voxel),
        )
        found.append((*told.of_kind(SamplingPoints), told.window))
    (first, box), (second, moved_box) = found
    np.testing.assert_allclose(second.points_voxel - first.points_voxel, [STEP] * 12, atol=1e-9)
    np.testing.assert_allclose(np.subtract(moved_box.low, box.low), STEP, atol=1e-9)
    np.testing.assert_array_equal(second.weights, first.weights)
    assert np.ptp(first.weights) > 1e-3, "no sample counts more than another"


@pytest.mark.parametrize("family", ["cotr", "cotr-legacy"])
def test_a_moved_volume_moves_an_organs_influence(
    small: Callable[[str], Checkpoint], family: str
) -> None:
    checkpoint = as_is(small(family))
    # what only windows inside both volumes cover; along Z windows begin on cells of 8 voxels
    deep = slice(0, 8), slice(16, 32), slice(16, 32)
    first, second = (
        run(volume_of(array), checkpoint, "influence", overlap=0.5, organ=1).products[0].array
        for array in _before_and_after()
    )
    back = np.roll(second, -STEP, axis=(0, 1, 2))
    # a share of all reading, which what is at the volume's border changes
    parts = [array[deep] / array[deep].sum() for array in (first, back)]
    np.testing.assert_allclose(*parts, rtol=1e-4, atol=1e-9)
    stayed = second[deep] / second[deep].sum()
    assert np.abs(stayed - parts[0]).max() > 1e-2 * parts[0].max(), "nothing would move"


def _before_and_after() -> tuple[np.ndarray, np.ndarray]:
    """Give a volume of two windows of CoTr along each axis, and the same moved around."""
    big = np.random.default_rng(1).normal(size=(16, 64, 64)).astype(np.float32)
    return big, np.roll(big, STEP, axis=(0, 1, 2))


def as_is(checkpoint: Checkpoint) -> Checkpoint:
    """Give a checkpoint that looks at volumes from the other side, and does not normalise them.

    Moving a volume would change its mean, and so what is made of it.
    """
    preprocessing = Preprocessing(orientation="RAS", intensity={"kind": "as-is"})  # type: ignore[arg-type]
    card = checkpoint.card.model_copy(update={"preprocessing": preprocessing})
    return type(checkpoint)(path=checkpoint.path, card=card)
