from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from explain_support import noise, run, voxel_mm

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.engine import EngineClient, JobFailed
from napari_hybridseg.events import Progress, Result
from napari_hybridseg.explain import ExplainOptions


def test_the_engine_process_gives_what_this_one_gives(small: Callable[[str], Checkpoint]) -> None:
    volume, checkpoint = noise((8, 32, 32), order=9, angles=(5, 6, 7)), small("cotr")
    point = voxel_mm(volume, (4, 10, 20))
    options = ExplainOptions(view="sampling-points", point=point, device="cpu", threads=1)
    with EngineClient() as client:
        *before, last = client.explain(volume, checkpoint.path, options)
        assert isinstance(last, Result)
        assert any(isinstance(event, Progress) for event in before)
        ours = run(volume, checkpoint, "sampling-points", point=point)
        (theirs,), (expected,) = last.value.products, ours.products
        np.testing.assert_allclose(theirs.points_mm, expected.points_mm, atol=1e-4)
        assert theirs.geometry == volume.geometry
        assert last.value.provenance == ours.provenance
        with pytest.raises(JobFailed, match="does not offer 'token-map'"):
            list(client.explain(volume, checkpoint.path, ExplainOptions(view="token-map")))
