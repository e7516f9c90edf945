"""How long the window stands still on a large CT; measured as this thread's own work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
import slicer
from HybridSegLib.bench.correcting import AcceptTask, begin, facts_of
from HybridSegLib.bench.explain_nodes import ExplainNodes
from HybridSegLib.bench.score_task import ScoreTask
from HybridSegLib.bench.segmentations import show_label_map
from HybridSegLib.bench.volumes import volume_of

from napari_hybridseg.explain import ExplainOptions, Explanation, HeatMap, View
from napari_hybridseg.labels import LabelScheme, Organ, distinct_colour
from napari_hybridseg.volume import LabelMap

pytestmark = pytest.mark.slow

SHAPE = (300, 512, 512)
ORGANS = 15
LONGEST_S = 1.0


@contextmanager
def brief(what: str) -> Iterator[None]:
    """Fail if this thread worked too long: that long the window would not answer."""
    before = time.thread_time()
    yield
    seconds = time.thread_time() - before
    print(f"{what}: {seconds:.2f} s")  # noqa: T201
    assert seconds < LONGEST_S, what


def balls() -> Any:
    """Give a label array with organs of many sizes."""
    rng = np.random.default_rng(0)
    labels = np.zeros(SHAPE, np.uint8)
    for label in range(1, ORGANS + 1):
        centre = rng.uniform(0.2, 0.8, 3) * SHAPE
        radius = rng.uniform(15, 80, 3)
        low = np.maximum(centre - radius, 0).astype(int)
        high = np.minimum(centre + radius + 1, SHAPE).astype(int)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        grid = np.ogrid[box]
        inside = sum(((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radius, strict=True)) < 1
        labels[box][inside] = label
    return labels


def test_no_step_on_a_large_ct_holds_the_window(scene: Any, tmp_path: Path) -> None:
    labels = balls()
    scan = phantoms.volume("CT", np.diag([-0.8, -0.8, 1.5, 1.0]), labels.astype(np.int16) * 20)
    names = tuple(
        Organ(id=n, name=f"organ {n}", colour=distinct_colour(n)) for n in range(1, ORGANS + 1)
    )
    with brief("reading the volume"):
        volume = volume_of(scan)

    def answer(array: Any) -> LabelMap:
        canonical = volume.source.to_axis_codes("LPS").apply(array)
        scheme = LabelScheme(organs=names)
        return LabelMap(volume.geometry, volume.source, np.ascontiguousarray(canonical), scheme)

    result, other = answer(labels), answer(np.roll(labels, 3, axis=0))
    with brief("showing a result"):
        node = show_label_map(scene, result, scan, "net")
    with brief("showing it again"):
        assert show_label_map(scene, result, scan, "net") is node
    truth = show_label_map(scene, other, scan, "truth")
    with brief("preparing the scores"):
        ScoreTask(node, truth)
    array = labels.astype(np.int16)
    given = slicer.util.addVolumeFromArray(
        array,
        ijkToRAS=np.diag([-0.8, -0.8, 1.5, 1.0]),
        nodeClassName="vtkMRMLLabelMapVolumeNode",
    )
    with brief("preparing the scores of a label map"):
        ScoreTask(given, node)
    with brief("beginning a correction"):
        correction, _ = begin(scene, scan, node, LabelScheme(organs=names))
    with brief("counting what was edited"):
        facts_of(correction, scan)
    with brief("preparing a case"):
        AcceptTask(correction, scan, tmp_path)
    numbers = np.random.default_rng(0).random(result.array.shape, np.float32)
    heat = HeatMap(volume.geometry, volume.source, numbers, "map", "nats")
    view = View(name="entropy", title="Entropy", description="", gives="map")
    with brief("showing a map"):
        ExplainNodes(scene, scan).show(
            Explanation(view, ExplainOptions(), (heat,), provenance=""), volume.source
        )
