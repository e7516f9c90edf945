from __future__ import annotations

from pathlib import Path

import npe2
import numpy as np
import pooch
import pytest

from napari_hybridseg import resources
from napari_hybridseg.widgets import sample_data

pytestmark = pytest.mark.skipif(
    not resources.sample_volumes_folder().is_dir(), reason="the sample volumes are not there"
)


@pytest.mark.parametrize("key", ["torso_a", "torso_b"])
def test_shipped_samples_open_with_their_reference(key):
    npe2.PluginManager.instance().discover()
    manifest = npe2.PluginManager.instance().get_manifest("napari-hybridseg")
    sample = next(s for s in manifest.contributions.sample_data if s.key == key)
    image, reference = sample.open()
    assert (image[2], reference[2]) == ("image", "labels")
    assert image[0].shape == reference[0].shape
    assert np.allclose(image[1]["translate"], reference[1]["translate"])
    names = [organ["name"] for organ in reference[1]["metadata"]["hybridseg"]["scheme"]["organs"]]
    assert "liver" in names


@pytest.mark.parametrize("sample", [sample_data.torso_a, sample_data.torso_b])
def test_liver_is_at_screen_left_and_lungs_at_the_top(sample):
    """The patient's right side, and the head, whatever the file's own order."""
    data, attributes, _ = sample()[1]
    organs = attributes["metadata"]["hybridseg"]["scheme"]["organs"]
    centre = {o["name"]: np.argwhere(data == o["id"]).mean(axis=0) for o in organs}
    assert centre["liver"][2] < centre["spleen"][2]
    assert centre["right lung"][2] < centre["left lung"][2]
    assert centre["left lung"][0] < centre["spleen"][0]
    assert centre["stomach"][1] < centre["spine"][1]


@pytest.fixture
def download(monkeypatch, tmp_path):
    """Replace the network: what is given does the download."""

    def replace_by(function):
        monkeypatch.setattr(pooch.HTTPDownloader, "__call__", function)
        monkeypatch.setenv(resources.CACHE_VARIABLE, str(tmp_path))

    return replace_by


def test_without_a_network_the_message_says_what_to_do(download):
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("no route to host")

    download(unreachable)
    with pytest.raises(sample_data.SampleError, match="check the network"):
        sample_data.hippocampus()


def test_a_file_that_was_changed_is_not_opened(download):
    def other(self: object, url: str, output_file: str, *_: object, **__: object) -> None:
        Path(output_file).write_bytes(b"something else")

    download(other)
    with pytest.raises(sample_data.SampleError, match="not the file"):
        sample_data.body_ct()


def test_a_fetched_file_opens_and_its_licence_is_shown(download, shared_data, monkeypatch):
    here = shared_data / "hippocampus_msd04" / "images" / "hippocampus_004.nii.gz"

    def copy(self: object, url: str, output_file: str, *_: object, **__: object) -> None:
        assert url.endswith(f"{sample_data.HIPPOCAMPUS.commit}/{sample_data.HIPPOCAMPUS.path}")
        Path(output_file).write_bytes(here.read_bytes())

    shown: list[str] = []
    monkeypatch.setattr(sample_data, "show_info", shown.append)
    download(copy)
    ((data, _, kind),) = sample_data.hippocampus()
    assert (kind, data.ndim) == ("image", 3)
    assert "CC BY-SA 4.0" in shown[0]


def test_users_checkpoints_are_found_after_the_shipped_ones(monkeypatch, tmp_path):
    for folder in ("shipped", "user"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.safetensors").touch()
        monkeypatch.setattr(
            resources, f"{folder}_checkpoints_folder", lambda folder=folder: tmp_path / folder
        )
    (tmp_path / "user" / "notes.txt").touch()
    assert [path.parent.name for path in resources.find_checkpoints()] == ["shipped", "user"]
