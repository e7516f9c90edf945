"""Saving a layer where a file is already, from a script and from napari's own Save dialog."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import napari.settings
import npe2
import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog

from napari_hybridseg.atomic import WriteError
from napari_hybridseg.volume import load_label_map
from napari_hybridseg.widgets import replacing

PLUGIN = "napari-hybridseg"
MINE = b"a week of painting"


@pytest.fixture(autouse=True)
def plugins_known() -> None:
    npe2.PluginManager.instance().discover()


@pytest.fixture
def layer_data() -> Any:
    return np.full((3, 4, 5), 2, np.uint8), {"name": "liver", "scale": (2, 1, 1)}, "labels"


@pytest.fixture(params=[".nii.gz", ".seg.nrrd", ".mha"])
def existing(tmp_path: Path, request: Any) -> Path:
    path = tmp_path / f"liver{request.param}"
    path.write_bytes(MINE)
    return path


@pytest.fixture
def scripts_may_replace() -> Iterator[None]:
    if not hasattr(napari.settings, "get_plugin_settings"):
        pytest.skip("napari shows plugins' pages since 0.9")
    files = napari.settings.get_plugin_settings(PLUGIN).files
    files.replace_existing = True
    yield
    files.replace_existing = False


def test_a_script_does_not_replace_a_file(layer_data, existing):
    with pytest.raises(WriteError, match=r"exists already.*Preferences"):
        npe2.write(str(existing), [layer_data], plugin_name=PLUGIN)
    assert existing.read_bytes() == MINE
    assert list(existing.parent.iterdir()) == [existing]


def test_a_script_replaces_a_file_if_the_preferences_allow_it(
    layer_data, existing, scripts_may_replace
):
    npe2.write(str(existing), [layer_data], plugin_name=PLUGIN)
    assert load_label_map(existing).present == (2,)


def test_the_layers_own_save_does_not_replace_and_the_dialog_does(
    make_napari_viewer_proxy, layer_data, existing, monkeypatch
):
    viewer = make_napari_viewer_proxy()
    layer = viewer.add_labels(layer_data[0], scale=(2, 1, 1), name="liver")
    with pytest.raises(WriteError, match="exists already"):
        layer.save(str(existing), plugin=PLUGIN)
    assert existing.read_bytes() == MINE

    def choose(*_: object, **given: str) -> tuple[str, str]:
        ours = next(each for each in given["filter"].split(";;") if "Medical label map" in each)
        return str(existing), ours

    monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
    viewer.window._qt_viewer._save_layers_dialog(selected=True)
    assert load_label_map(existing).present == (2,)


@pytest.mark.parametrize(("asked_about", "is_allowed"), [("liver.nrrd", True), ("liver", False)])
def test_a_yes_holds_for_the_name_that_was_asked_about(tmp_path, asked_about, is_allowed):
    path = tmp_path / "liver.nrrd"
    path.write_bytes(MINE)
    dialog: dict[str, Any] = {"__name__": "napari._qt.qt_viewer", "ask": replacing.may_replace}
    lines = "def _save_layers_dialog(filename, path):\n    return ask(path)"
    exec(lines, dialog)
    name = str(tmp_path / asked_about)
    if is_allowed:
        assert dialog["_save_layers_dialog"](name, str(path))
    else:
        with pytest.raises(WriteError, match="exists already"):
            dialog["_save_layers_dialog"](name, str(path))
