from __future__ import annotations

import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from napari_hybridseg.cli.architectures import _describe
from napari_hybridseg.networks import (
    ArchitectureError,
    NetworkConfig,
    create_network,
    get_architecture,
    registry,
)

_UNET = get_architecture("unet")


class _NoJson(NetworkConfig):
    """A default that no card can hold."""

    thing: object = sys


def _leave(*_: Any) -> Any:
    sys.exit(3)


# each is wrong in one field that the list of architectures or a run reads
WRONG: dict[str, dict[str, Any]] = {
    "explains": {"explains": None},
    "paper_channels": {"paper_channels": None},
    "paper_parameters": {"paper_parameters": "many"},
    "title": {"title": None},
    "note": {"note": None},
    "spatial_dims": {"spatial_dims": 7},
    "config_class": {"config_class": dict},
    "constraints": {"constraints": None},
    "load_backbone": {"load_backbone": "resnet.pth"},
}
ENTRIES = {
    **{field: replace(_UNET, **change) for field, change in WRONG.items()},
    "leaves": replace(_UNET, build=_leave),
    "no-json": replace(_UNET, config_class=_NoJson),
    "leaves-in-backbone": replace(_UNET, load_backbone=_leave),
}


@pytest.fixture(autouse=True)
def _plugins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "leaving_plugin.py").write_text("import sys; sys.exit('I leave')\n")
    (tmp_path / "silent_plugin.py").write_text("raise RuntimeError\n")
    (tmp_path / "talking_plugin.py").write_text("raise ImportError('one line,\\nand another.')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    points = {name: f"{__name__}:ENTRIES.{name}" for name in ENTRIES}
    points |= {name: f"{name}_plugin:NET" for name in ("leaving", "silent", "talking")}

    def found(group: str) -> list[EntryPoint]:
        return [_Point(name, value, group) for name, value in points.items()]

    monkeypatch.setattr(registry, "entry_points", found)


class _Point(EntryPoint):
    def load(self) -> Any:
        return ENTRIES[self.name] if self.name in ENTRIES else super().load()


@pytest.mark.parametrize("field", WRONG)
def test_a_field_of_another_kind_is_named(field: str) -> None:
    with pytest.raises(ArchitectureError, match=rf"cannot be used: {field} .* is not what"):
        get_architecture(field)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("leaving", "does not load: I leave."),
        ("silent", "does not load: RuntimeError."),
        ("talking", "does not load: one line, and another."),
    ],
)
def test_whatever_keeps_a_plugin_from_loading_is_one_sentence(name: str, said: str) -> None:
    with pytest.raises(ArchitectureError) as caught:
        get_architecture(name)
    assert str(caught.value).endswith(said)


def test_a_plugin_that_leaves_while_it_builds_is_reported() -> None:
    with pytest.raises(ArchitectureError, match="cannot be built: 3"):
        create_network("leaves")


def test_a_plugin_that_leaves_while_it_loads_a_backbone_is_reported() -> None:
    load = get_architecture("leaves-in-backbone").load_backbone
    assert load is not None
    with pytest.raises(ArchitectureError, match="cannot be built: 3"):
        load(None, Path("resnet.pth"))


def test_a_config_has_to_fit_in_a_card() -> None:
    with pytest.raises(ArchitectureError, match="cannot be built: Unable to serialize"):
        get_architecture("no-json").make_config()


@pytest.mark.parametrize("name", [*ENTRIES, "leaving", "silent", "talking"])
def test_the_list_of_architectures_survives(name: str) -> None:
    described = _describe(name)
    assert described["name"] == name
    if name != "leaves-in-backbone":
        assert described["parameters"] is None
        assert name in described["note"]
