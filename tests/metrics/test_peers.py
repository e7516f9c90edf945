"""Our numbers are those of MONAI and medpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from metric_cases import balls, label_map_pairs

from napari_hybridseg.metrics import score_arrays

SPACING = (2.0, 0.75, 0.9)
relaxed = settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))


def with_islands():
    a, b = balls((24, 60, 70), labels=4, seed=3)
    a[1:4, 1:4, 1:4], a[20:24, 55:60, 66:70] = 1, 2
    return a, b


@pytest.mark.parametrize("pair", [balls((24, 60, 70), labels=4), with_islands()])
def test_monai(pair) -> None:
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    a, b = pair
    report = score_arrays(a, b, SPACING, tolerance_mm=1.2)
    one_hot = [torch.from_numpy(np.stack([m == label for label in range(5)])[None]) for m in (a, b)]
    dice = metrics.compute_dice(*one_hot, include_background=False)[0]
    hd95 = metrics.compute_hausdorff_distance(*one_hot, percentile=95, spacing=SPACING)[0]
    hd100 = metrics.compute_hausdorff_distance(*one_hot, spacing=SPACING)[0]
    assd = metrics.compute_average_surface_distance(*one_hot, symmetric=True, spacing=SPACING)[0]
    nsd = metrics.compute_surface_dice(*one_hot, class_thresholds=[1.2] * 4, spacing=SPACING)[0]
    assert [organ.status for organ in report.organs] == ["scored"] * 4
    for k, organ in enumerate(report.organs):
        assert organ.dice == pytest.approx(float(dice[k]), abs=1e-6)
        assert organ.hd95_mm == pytest.approx(float(hd95[k]), abs=1e-5)
        assert organ.hd100_mm == pytest.approx(float(hd100[k]), abs=1e-5)
        assert organ.assd_mm == pytest.approx(float(assd[k]), abs=1e-5)
        assert organ.nsd == pytest.approx(float(nsd[k]), abs=1e-6)


@pytest.mark.parametrize("pair", [balls((24, 60, 70), labels=4), with_islands()])
def test_medpy_to_the_last_bit(pair) -> None:
    medpy = pytest.importorskip("medpy.metric.binary", reason="medpy is not installed")
    a, b = pair
    for organ in score_arrays(a, b, SPACING, convention="pooled").organs:
        masks = a == organ.label, b == organ.label
        assert organ.hd95_mm == medpy.hd95(*masks, voxelspacing=SPACING)
        assert organ.hd100_mm == medpy.hd(*masks, voxelspacing=SPACING)
        assert organ.assd_mm == pytest.approx(medpy.assd(*masks, voxelspacing=SPACING), rel=1e-12)
        assert organ.dice == medpy.dc(*masks)


@relaxed
@given(label_map_pairs())
def test_medpy_on_noise(case) -> None:
    medpy = pytest.importorskip("medpy.metric.binary", reason="medpy is not installed")
    a, b, spacing = case
    # Where an axis has one voxel, we score a picture; medpy is told so by dropping the axis.
    flat = [n for n in a.shape if n > 1]
    steps = [step for step, n in zip(spacing, a.shape, strict=True) if n > 1]
    for organ in score_arrays(a, b, spacing, convention="pooled").organs:
        if organ.status == "scored" and flat:
            masks = [(m == organ.label).reshape(flat) for m in (a, b)]
            assert organ.hd95_mm == pytest.approx(medpy.hd95(*masks, steps), rel=1e-14)
