"""Every architecture segments a real volume through the panel, with the engine's own process."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
from small_networks import EVERY, NNUNET, random_checkpoint

from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.volume import load_volume
from napari_hybridseg.widgets.layer_data import volume_layers
from napari_hybridseg.widgets.state import Phase

LABELS = LabelScheme.from_names({1: "anterior", 2: "posterior"}, "hippocampus")
HAS_NNUNET = importlib.util.find_spec("dynamic_network_architectures") is not None
TIMEOUT_MS = 600_000
EVERY_NAME = [name for name in EVERY if HAS_NNUNET or name not in NNUNET]


@pytest.fixture
def hippocampus(shared_data):
    folder = shared_data / "hippocampus_msd04"
    if not folder.is_dir():
        pytest.skip("the hippocampus volumes are not beside this checkout")
    case = json.loads((folder / "dataset.json").read_text())["heldout"][0]
    return load_volume(folder / case["image"])


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("medformer-2d", "uxnet-3d"), id="two"),
        pytest.param(EVERY_NAME, id="all", marks=pytest.mark.slow),
    ],
)
def test_the_panel_segments_a_held_out_hippocampus(
    make_napari_viewer_proxy, qtbot, hippocampus, tmp_path, names
):
    viewer = make_napari_viewer_proxy()
    _, panel = viewer.window.add_plugin_dock_widget("napari-hybridseg", "HybridSeg")
    data, attributes, _ = volume_layers(hippocampus)[0]
    image = viewer.add_image(data, **attributes)
    # two threads on a busy machine wait for each other
    panel.segment.options_chosen.emit(panel.state.options.model_copy(update={"threads": 1}))
    assert panel.state.options.threads == 1
    for name in names:
        checkpoint = random_checkpoint(tmp_path, name, LABELS)
        panel.checkpoint.chosen.emit(checkpoint.path)
        viewer.layers.selection.active = image
        panel.segment.button.click()
        try:
            qtbot.waitUntil(lambda: not panel.state.phase.is_busy, timeout=TIMEOUT_MS)
        except qtbot.TimeoutError:
            pytest.fail(f"{name} takes too long: {panel.controller.report()}")
        # logits that are no numbers end in a failure
        assert panel.state.phase is Phase.DONE, f"{name}: {panel.controller.report()}"
        result = viewer.layers[f"{image.name} · {name}"]
        assert result.data.shape == data.shape, name
        assert np.array_equal(result.scale, image.scale), name
        assert np.array_equal(result.translate, image.translate), name
        assert set(np.unique(result.data)) <= {0, 1, 2}, name
