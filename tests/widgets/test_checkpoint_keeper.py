"""Which checkpoint the panel takes by itself, and when it keeps its hands off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_hybridseg import resources
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import ModelCard, Preprocessing
from napari_hybridseg.volume import LabelMap, load_volume
from napari_hybridseg.widgets import sample_data
from napari_hybridseg.widgets.layer_data import label_map_layer, volume_layers
from napari_hybridseg.widgets.state import Phase

from .test_panel import Panel

FOUND = "napari_hybridseg.widgets.checkpoint_keeper.find_checkpoints"
needs_samples = pytest.mark.skipif(
    not resources.sample_volumes_folder().is_dir(), reason="the sample volumes are not there"
)


@pytest.fixture
def make_checkpoint(card: ModelCard, tmp_path: Path) -> Callable[..., Path]:
    """Give a maker of checkpoint files that can be described."""
    import torch

    from napari_hybridseg.checkpoint import save_checkpoint

    def make(name: str, organ: str = "liver", modality: str = "CT") -> Path:
        path = tmp_path / f"{name}.safetensors"
        scheme = LabelScheme.from_names({1: organ})
        changes = {"name": name, "labels": scheme, "modality": modality}
        save_checkpoint(path, {"weight": torch.zeros(1)}, card.model_copy(update=changes))
        return path

    return make


@pytest.fixture
def three(make_checkpoint, monkeypatch) -> list[Path]:
    """Have three checkpoints found: 'a' for MR, then 'b' and 'c' for CT."""
    files = [
        make_checkpoint("a", "larynx", "MR"),
        make_checkpoint("b", "larynx"),
        make_checkpoint("c", "liver"),
    ]
    monkeypatch.setattr(FOUND, lambda: files)
    return files


@pytest.fixture
def panel(make_napari_viewer_proxy, qtbot, engine, three) -> Panel:
    return Panel(make_napari_viewer_proxy(), qtbot)


def taken(panel: Panel) -> str:
    checkpoint = panel.state.checkpoint
    shown = panel.widget.checkpoint.choices.currentText()
    assert shown == checkpoint.path.stem
    return shown


def add_reference(panel: Panel, volume: Any, organ: str, name: str = "scan") -> None:
    labels = np.ones(volume.geometry.shape, np.uint8)
    scheme = LabelScheme.from_names({1: organ})
    label_map = LabelMap(volume.geometry, volume.source, labels, scheme)
    data, attributes, _ = label_map_layer(label_map, f"{name}_reference")
    panel.viewer.add_labels(data, **attributes)


@needs_samples
@pytest.mark.parametrize("opened", ["sample", "file", "nameless file"])
def test_the_torso_gets_the_torso_checkpoint(
    make_napari_viewer_proxy, qtbot, engine, monkeypatch, opened
):
    monkeypatch.setattr(FOUND, resources.find_checkpoints)
    panel = Panel(make_napari_viewer_proxy(), qtbot)
    assert taken(panel) == "headneck-utnetv2-3d"  # nothing is open: the first of the list
    if opened == "sample":
        panel.viewer.open_sample("napari-hybridseg", "torso_a")
    else:
        volume = load_volume(resources.sample_volumes_folder() / "torso_a.nii.gz")
        panel.add(volume, "scan" if opened == "nameless file" else volume.name)
    assert taken(panel) == "torso-utnetv2-3d"
    assert "torso-utnetv2-3d was taken for" in panel.widget.desk.log.text
    assert panel.run_button.isEnabled()


@needs_samples
def test_a_sample_says_which_checkpoint_it_goes_with():
    for sample in (sample_data.torso_a, sample_data.torso_b):
        about = sample()[0][1]["metadata"]["hybridseg"]
        assert (
            resources.shipped_checkpoints_folder() / f"{about['goes_with']}.safetensors"
        ).exists()


def test_the_modality_and_then_the_reference_decide(panel, make_volume):
    assert taken(panel) == "a"
    volume = make_volume()
    panel.add(volume)
    assert taken(panel) == "b"
    add_reference(panel, volume, "liver")
    assert taken(panel) == "c"
    assert "its organs are those of the open reference" in panel.widget.desk.log.text
    panel.viewer.layers.remove("scan_reference")
    assert taken(panel) == "c"  # what was learnt about the scan stays true


def test_what_the_user_chose_stays_whatever_is_opened(panel, make_volume, three):
    panel.widget.checkpoint.chosen.emit(three[0])
    volume = make_volume()
    panel.add(volume)
    add_reference(panel, volume, "liver")
    panel.controller.obey_preferences()
    assert taken(panel) == "a"
    panel.add(make_volume(), "another")
    assert taken(panel) == "a"
    assert "was made for MR" in panel.widget.segment.warning.text()


def test_what_was_run_on_a_volume_stays_for_it_and_is_remembered(
    panel, make_volume, make_napari_viewer_proxy, qtbot
):
    volume = make_volume()
    panel.add(volume)
    panel.run_button.click()
    panel.wait_for(Phase.DONE)
    add_reference(panel, volume, "liver")
    panel.wait_until(lambda: not panel.state.phase.is_busy)
    assert taken(panel) == "b"
    other = make_volume(origin=(300.0, 0.0, 0.0))
    panel.add(other, "other")
    add_reference(panel, other, "liver", "other")
    assert taken(panel) == "c"
    again = Panel(make_napari_viewer_proxy(), qtbot)
    assert taken(again) == "b"  # used last, though never chosen


def test_of_those_that_fit_alike_the_one_used_last_is_taken(
    make_napari_viewer_proxy, qtbot, engine, make_checkpoint, monkeypatch, make_volume
):
    files = [make_checkpoint(name, modality=m) for name, m in (("a", "MR"), ("b", ""), ("c", "CT"))]
    files.append(make_checkpoint("d"))
    monkeypatch.setattr(FOUND, lambda: files)
    first = Panel(make_napari_viewer_proxy(), qtbot)
    first.widget.checkpoint.chosen.emit(files[3])
    second = Panel(make_napari_viewer_proxy(), qtbot)
    second.add(make_volume())
    assert taken(second) == "d"
    first.widget.checkpoint.chosen.emit(files[0])
    third = Panel(make_napari_viewer_proxy(), qtbot)
    assert taken(third) == "a"
    third.add(make_volume())
    assert taken(third) == "c"  # another modality fits worse than one that was used last


def test_where_nothing_speaks_for_any_the_order_is_as_ever(
    make_napari_viewer_proxy, qtbot, engine, make_checkpoint, monkeypatch, make_volume
):
    files = [make_checkpoint(name) for name in ("y", "x")]
    monkeypatch.setattr(FOUND, lambda: files)
    panel = Panel(make_napari_viewer_proxy(), qtbot)
    panel.add(make_volume())
    assert taken(panel) == "y"
    assert "was taken for" not in panel.widget.desk.log.text


def test_a_volume_that_is_open_before_the_panel_is_looked_at_too(
    make_napari_viewer_proxy, qtbot, engine, three, make_volume
):
    viewer = make_napari_viewer_proxy()
    data, attributes, _ = volume_layers(make_volume())[0]
    viewer.add_image(data, **attributes)
    panel = Panel(viewer, qtbot)
    assert taken(panel) == "b"
    panel.controller.obey_preferences()
    assert taken(panel) == "b"


def test_the_options_say_what_the_card_of_the_chosen_checkpoint_says(
    panel, make_volume, make_checkpoint, card, tmp_path
):
    import torch

    from napari_hybridseg.checkpoint import save_checkpoint

    fields = panel.widget.segment.form.fields
    panel.add(make_volume())
    assert fields["overlap"].widget.text() == "from the card (0.5)"
    assert fields["tta"].widget.text() == "no axis (from the card)"
    assert fields["body_crop"].widget.currentText() == "auto (on)"
    panel.wait_until(lambda: fields["precision"].widget.currentText() == "auto (float32)")
    windows = card.windows.model_copy(
        update={"overlap": 0.25, "importance": "constant", "mirror_axes": (0, 2)}
    )
    changes = {
        "windows": windows,
        "modality": "MR",
        "preprocessing": Preprocessing(axes=(2, 1, 0)),
    }
    path = tmp_path / "other.safetensors"
    save_checkpoint(path, {"weight": torch.zeros(1)}, card.model_copy(update=changes))
    panel.widget.checkpoint.chosen.emit(path)
    assert fields["overlap"].widget.text() == "from the card (0.25)"
    assert fields["importance"].widget.currentText() == "from the card (constant)"
    assert fields["tta"].widget.text() == "left–right and head–feet (from the card)"
    assert fields["body_crop"].widget.currentText() == "auto (off)"
    explain = panel.widget.explain.section.form.fields
    assert explain["overlap"].widget.text() == "from the card (0.25)"
