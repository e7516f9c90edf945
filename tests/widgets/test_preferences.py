"""The plugin's page in napari's Preferences, and what obeys it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari.settings
import npe2
import numpy as np
import pooch
import pytest
from pydantic import ValidationError

from napari_hybridseg.engine.jobs import ScoreJob
from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.resources import CACHE_VARIABLE, cache_folder
from napari_hybridseg.volume import LabelMap
from napari_hybridseg.widgets.dock import start_engine
from napari_hybridseg.widgets.layer_data import label_map_layer
from napari_hybridseg.widgets.preferences import PLUGIN, Preferences, ScoreRules
from napari_hybridseg.widgets.sample_data import HIPPOCAMPUS, fetch
from napari_hybridseg.widgets.settings import Settings

from .conftest import SCHEME
from .test_panel import Panel

needs_page = pytest.mark.skipif(
    not hasattr(napari.settings, "get_plugin_settings"),
    reason="napari shows plugins' pages since 0.9",
)


@pytest.fixture
def page() -> Any:
    npe2.PluginManager.instance().discover()
    return napari.settings.get_plugin_settings(PLUGIN)


@pytest.fixture
def old_napari(monkeypatch) -> None:
    monkeypatch.delattr(napari.settings, "get_plugin_settings", raising=False)


@needs_page
def test_the_page_begins_with_the_engines_defaults(page):
    job = {name: field.default for name, field in ScoreJob.model_fields.items()}
    assert page.scores.hd95_convention == job["convention"]
    assert page.scores.nsd_tolerance_mm == job["tolerance_mm"]
    assert page.segmenting.device == SegmentOptions().device
    assert Settings().options == SegmentOptions()


@needs_page
def test_every_choice_of_the_page_is_one_that_the_engine_takes(page):
    def choices(group: Any, name: str) -> list[str]:
        return type(group).model_json_schema()["properties"][name]["enum"]

    for device in choices(page.segmenting, "device"):
        SegmentOptions(device=device)
    for convention in choices(page.scores, "hd95_convention"):
        page.scores.hd95_convention = convention
        assert Preferences().score_rules.convention == convention
    with pytest.raises(ValidationError):
        page.scores.hd95_convention = "medpy"


@needs_page
@pytest.mark.parametrize(
    ("kept", "preferred", "used"),
    [("cuda:1", "cuda", "cuda:1"), ("cuda:1", "cpu", "cpu"), ("auto", "cuda", "cuda")],
)
def test_the_page_says_the_kind_of_device_and_the_panel_which(page, kept, preferred, used):
    settings = Settings()
    settings.options = SegmentOptions(device=kept, tta=True)
    assert page.segmenting.device == kept.partition(":")[0]
    page.segmenting.device = preferred
    assert settings.options == SegmentOptions(device=used, tta=True)


def test_an_older_napari_has_the_defaults_and_keeps_the_panels_device(old_napari):
    settings = Settings()
    settings.options = SegmentOptions(device="cuda:1")
    assert settings.options.device == "cuda:1"
    assert settings.preferences.score_rules == ScoreRules("monai", 1.0)
    assert settings.preferences.checkpoints_folder is None
    assert settings.preferences.cache_folder == cache_folder()
    assert settings.preferences.autosave_seconds == 5


@needs_page
def test_the_cache_folder_of_the_page_goes_before_that_of_the_environment(
    page, monkeypatch, tmp_path
):
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    usual = cache_folder()
    assert usual.name == PLUGIN
    assert Preferences().cache_folder == usual
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "environment"))
    assert Preferences().cache_folder == cache_folder() == tmp_path / "environment"
    page.files.cache_folder = str(tmp_path / "page")
    assert Preferences().cache_folder == tmp_path / "page"
    assert Preferences().engine_environment == {CACHE_VARIABLE: str(tmp_path / "page")}


@needs_page
def test_a_fetched_sample_lands_in_the_cache_folder_of_the_page(page, monkeypatch, tmp_path):
    page.files.cache_folder = str(tmp_path)
    landed: list[Path] = []

    def retrieve(*_: object, fname: str, path: Path, **__: object) -> str:
        landed.append(path)
        return str(path / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert fetch(HIPPOCAMPUS).parent == tmp_path
    assert landed == [tmp_path]


@needs_page
def test_the_autosave_interval_is_at_least_a_second(page):
    assert Preferences().autosave_seconds == 5
    page.corrections.autosave_seconds = 30
    assert Preferences().autosave_seconds == 30
    with pytest.raises(ValidationError):
        page.corrections.autosave_seconds = 0


@needs_page
def test_the_engines_process_gets_the_cache_folder_of_the_page(page, monkeypatch, tmp_path):
    got: dict[str, Any] = {}
    monkeypatch.setattr("napari_hybridseg.engine.EngineClient", lambda **given: got.update(given))
    page.files.cache_folder = str(tmp_path)
    start_engine(print)
    assert got["environment"] == {CACHE_VARIABLE: str(tmp_path)}


@pytest.fixture
def make_panel(make_napari_viewer_proxy, qtbot, engine) -> Any:
    return lambda: Panel(make_napari_viewer_proxy(), qtbot)


@needs_page
def test_scores_follow_the_page(make_panel, make_volume, engine, page, checkpoint_file):
    panel = make_panel()
    page.scores.hd95_convention = "pooled"
    page.scores.nsd_tolerance_mm = 2.5
    volume = make_volume()
    truth = LabelMap(volume.geometry, volume.source, (volume.array[0] > 0).astype(np.uint8), SCHEME)
    data, attributes, _ = label_map_layer(truth, "scan_reference")
    panel.add(volume)
    panel.viewer.add_labels(data, **attributes)
    panel.widget.checkpoint.chosen.emit(checkpoint_file)
    panel.run_button.click()
    panel.wait_until(lambda: panel.state.score is not None)
    assert isinstance(engine.jobs[-1], ScoreJob)
    assert (engine.jobs[-1].convention, engine.jobs[-1].tolerance_mm) == ("pooled", 2.5)


@needs_page
def test_page_and_panel_show_the_same_device(make_panel, page):
    page.segmenting.device = "cpu"
    panel = make_panel()
    # the page is read once the panel is open, and followed from then on
    panel.wait_until(lambda: panel.state.options.device == "cpu")
    page.segmenting.device = "mps"
    assert panel.state.options.device == panel.widget.segment.device.key == "mps"
    page.segmenting.device = "cpu"
    assert panel.state.options.device == panel.widget.segment.device.key == "cpu"
    panel.widget.segment.device_chosen.emit("auto")
    assert page.segmenting.device == "auto"
    panel.widget.controller.close()
    page.segmenting.device = "mps"
    assert panel.state.options.device == "auto"


@needs_page
def test_the_folder_of_the_page_is_offered(make_panel, page, checkpoint_file):
    page.checkpoints.folder = str(checkpoint_file.parent / "nowhere")
    assert Preferences().checkpoints_folder is None
    page.checkpoints.folder = str(checkpoint_file.parent)
    panel = make_panel()
    panel.wait_until(lambda: panel.state.checkpoint is not None)
    assert [choice.text for choice in panel.state.checkpoints] == [checkpoint_file.stem]
    assert panel.state.checkpoint.path == checkpoint_file
