from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import EVERY_ORDER, grid, random_volume, stored, tiny_card, tiny_checkpoint

from napari_hybridseg.events import Progress, Result
from napari_hybridseg.inference import SegmentOptions, segment
from napari_hybridseg.inference.body import body_box
from napari_hybridseg.inference.estimate import Estimate, Probe, estimate
from napari_hybridseg.inference.probing import estimate_by_probe
from napari_hybridseg.inference.run_plan import looks_for_body, on_working_grid
from napari_hybridseg.model_card import Preprocessing, WindowDefaults
from napari_hybridseg.volume import OnGrid, Volume

OPTIONS = SegmentOptions(device="cpu", threads=1, batch=1)


def lying_body(shape: tuple[int, int, int] = (40, 60, 60)) -> Volume:
    """Air with noise around a block, and a small thing beside it."""
    random = np.random.default_rng(0)
    array = random.normal(-1000, 20, (1, *shape)).astype(np.float32)
    array[0, 8:32, 20:42, 16:50] = 40
    array[0, 2, 2, 2] = 3000
    return Volume.from_stored(stored(array, grid(shape), EVERY_ORDER[0]), "ct")


@pytest.mark.parametrize("tta", [False, True])
@pytest.mark.parametrize("overlap", [None, 0.25])
@pytest.mark.parametrize("spacing", [None, (2.0, 2.0, 2.0)])
def test_the_windows_are_those_of_the_run(
    tmp_path: Path, spacing: tuple[float, float, float] | None, overlap: float | None, tta: bool
) -> None:
    checkpoint = tiny_checkpoint(
        tmp_path,
        preprocessing=Preprocessing(spacing=spacing, orientation="RAS"),
        windows=WindowDefaults(size=(8, 8, 8), mirror_axes=(0,)),
    )
    volume = random_volume((12, 14, 20))
    options = OPTIONS.model_copy(update={"overlap": overlap, "tta": tta})
    cost = estimate(volume, checkpoint.card, options)
    steps = [e for e in segment(volume, checkpoint, options) if isinstance(e, Progress)]
    assert cost.windows * cost.passes == steps[-1].total
    assert cost.passes == (2 if tta else 1)
    assert cost.seconds is None
    grids_alone = OnGrid(volume.geometry, volume.source)
    assert estimate(grids_alone, checkpoint.card, options) == cost


def test_time_is_the_probes() -> None:
    volume, probe = random_volume((12, 12, 12)), Probe(0.5, 1000)
    plain = estimate(volume, tiny_card(), OPTIONS)
    cost = estimate(volume, tiny_card(), OPTIONS, probe)
    assert cost.seconds == 0.5 * cost.windows
    assert cost.peak_bytes == plain.peak_bytes + 1000
    assert cost.probe == probe


def test_memory_grows_with_the_volume_and_stays_far_below_the_logits() -> None:
    card = tiny_card(windows=WindowDefaults(size=(96, 96, 96)))
    small, large = (
        estimate(OnGrid(g, g), card, OPTIONS).peak_bytes
        for g in (grid((100, 256, 256)), grid((300, 512, 512)))
    )
    assert small < large < 300 * 512 * 512 * (4 * 3 + 4 * 4)


def test_two_windows_are_timed(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path)
    volume = random_volume((12, 12, 12))
    *_, last = estimate_by_probe(volume, checkpoint, OPTIONS)
    assert isinstance(last, Result)
    cost = last.value
    assert isinstance(cost, Estimate)
    assert cost.probe is not None
    assert cost.probe.seconds_per_pass > 0
    assert cost == estimate(volume, checkpoint.card, OPTIONS, cost.probe)


def test_the_body_is_found_with_a_margin_and_noise_is_not() -> None:
    volume = lying_body()
    box = body_box(volume.array, volume.geometry, is_ct=True)
    assert box is not None
    spacing = volume.geometry.spacing_zyx
    for part, (low, high), step, n in zip(
        box, ((8, 32), (20, 42), (16, 50)), spacing, volume.geometry.shape, strict=True
    ):
        margin = 1 + round(10 / step)
        assert part == slice(max(low - margin, 0), min(high + margin, n))
    assert body_box(volume.array + 1024, volume.geometry, is_ct=False) is not None
    assert body_box(np.full((1, 4, 4, 4), -1000.0), grid((4, 4, 4)), is_ct=True) is None
    assert body_box(np.zeros((1, 4, 4, 4)), grid((4, 4, 4)), is_ct=False) is None


def test_the_body_lessens_the_windows_of_a_ct_only() -> None:
    volume, ct = lying_body((60, 100, 100)), tiny_card(modality="CT")
    mr = tiny_card(modality="MR")
    whole = estimate(volume, mr, OPTIONS).windows
    assert estimate(volume, ct, OPTIONS).windows < whole
    off = OPTIONS.model_copy(update={"body_crop": "off"})
    assert estimate(volume, ct, off).windows == whole
    assert not looks_for_body(OPTIONS, ct, "MR")
    assert looks_for_body(OPTIONS.model_copy(update={"body_crop": "on"}), mr, "")
    assert estimate(replace(volume, modality="MR"), ct, OPTIONS).windows == whole


def test_a_box_lands_on_the_networks_grid_with_nothing_cut_off() -> None:
    own, working = grid((10, 20, 30)), grid((5, 40, 10))
    body = (slice(3, 7), slice(1, 20), slice(4, 30))
    whole = (slice(None), slice(None), slice(None))
    assert on_working_grid(body, whole, own, working) == ((1, 2, 1), (4, 40, 10))
    assert on_working_grid(body, (slice(3, 13), slice(0, 20), slice(0, 30)), own, working) == (
        (0, 2, 1),
        (2, 40, 10),
    )
