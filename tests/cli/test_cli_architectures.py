from __future__ import annotations

import pytest
from cli_support import hybridseg

from napari_hybridseg.cli import architectures
from napari_hybridseg.networks import ArchitectureError, architecture_names


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


def test_every_architecture_is_listed() -> None:
    listed = hybridseg("architectures", "--json").json["architectures"]
    assert [entry["name"] for entry in listed] == list(architecture_names())


def test_an_architecture_that_does_not_load_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ArchitectureError(f"{name} needs another library.")

    monkeypatch.setattr(architectures, "get_architecture", refuse)
    entries = hybridseg("architectures", "--json").json["architectures"]
    assert {entry["note"].split(" ", 1)[1] for entry in entries} == {"needs another library."}
