from __future__ import annotations

from pathlib import Path

import pytest
from cli_support import hybridseg

from napari_hybridseg.cli import architectures
from napari_hybridseg.networks import ArchitectureError, architecture_names
from napari_hybridseg.presets import PRESETS


@pytest.fixture
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        architectures, "architecture_names", lambda: ("utnetv2-3d", "unet", "not-installed")
    )


@pytest.mark.usefixtures("_few")
def test_architectures_as_json() -> None:
    ran = hybridseg("architectures", "--json")
    assert ran.code == 0
    utnet, unet, missing = ran.json["architectures"]
    assert utnet["name"] == "utnetv2-3d"
    assert utnet["dims"] == 3
    assert utnet["parameters"] / 1e6 == pytest.approx(utnet["paper_parameters_m"], rel=0.01)
    assert "bmha" in utnet["explains"]
    assert unet["config"]["channels"]
    assert missing["parameters"] is None
    assert "no architecture" in missing["note"]


@pytest.mark.usefixtures("_few")
def test_architectures_for_people() -> None:
    ran = hybridseg("architectures")
    assert ran.code == 0
    assert "15.34 M" in ran.out
    assert "15.3 M" in ran.out
    assert "utnetv2-3d" in ran.out


@pytest.mark.usefixtures("_few")
def test_presets_are_listed_with_their_organs() -> None:
    listed = hybridseg("architectures", "--json").json["presets"]
    assert [preset["full_name"] for preset in listed] == [preset.name for preset in PRESETS]
    flare = next(preset for preset in listed if preset["name"] == "flare2021")
    assert flare["architectures"] == ["uxnet-3d"]
    assert flare["organs"] == ["liver", "kidney", "spleen", "pancreas"]
    assert "flare2021" in hybridseg("architectures").out


def test_every_architecture_is_listed() -> None:
    listed = hybridseg("architectures", "--json").json["architectures"]
    assert [entry["name"] for entry in listed] == list(architecture_names())


def test_an_architecture_that_does_not_load_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ArchitectureError(f"{name} needs another library.")

    monkeypatch.setattr(architectures, "get_architecture", refuse)
    entries = hybridseg("architectures", "--json").json["architectures"]
    assert {entry["note"].split(" ", 1)[1] for entry in entries} == {"needs another library."}


def test_a_broken_plugin_on_this_machine_is_reported_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_plugin.py").write_text("import no_such_library\n")
    (tmp_path / "lazy_plugin.py").write_text(
        "from dataclasses import replace\n"
        "from napari_hybridseg.networks import get_architecture\n"
        "NET = replace(get_architecture('unet'), build=lambda *_: [][0])\n"
    )
    about = tmp_path / "broken_plugin-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[napari_hybridseg.architectures]\n"
        "broken-net = broken_plugin:NET\n"
        "lazy-net = lazy_plugin:NET\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert {"broken-net", "lazy-net"} < set(architecture_names())
    few = ("broken-net", "lazy-net", "unet")
    monkeypatch.setattr(architectures, "architecture_names", lambda: few)
    ran = hybridseg("architectures", "--json")
    assert ran.code == 0, ran.err
    broken, lazy, unet = ran.json["architectures"]
    assert "no_such_library" in broken["note"]
    assert "cannot be built" in lazy["note"]
    assert unet["parameters"]
