"""The samples in Slicer's Sample Data module."""

from __future__ import annotations

import hashlib
import sys
import types
from pathlib import Path
from typing import Any

import HybridSeg
import pytest
import slicer
from conftest import MODULE
from HybridSegLib.sample_data import SAMPLES, register

ARGUMENTS = {
    "category",
    "sampleName",
    "uris",
    "fileNames",
    "nodeNames",
    "customDownloader",
    "thumbnailFileName",
    "loadFileType",
    "loadFiles",
    "loadFileProperties",
    "checksums",
}


class Logic:
    registered: list[dict[str, Any]] = []  # noqa: RUF012

    @classmethod
    def registerCustomSampleDataSource(cls, **arguments: Any) -> None:
        assert set(arguments) <= ARGUMENTS
        cls.registered.append(arguments)


@pytest.fixture(autouse=True)
def _empty() -> None:
    Logic.registered = []


def test_each_sample_has_a_picture_a_checksum_and_a_fixed_address() -> None:
    register(Logic, MODULE / "Resources" / "Icons")
    assert len(Logic.registered) == len(SAMPLES)
    for sample in Logic.registered:
        assert Path(sample["thumbnailFileName"]).is_file()
        assert sample["checksums"].startswith("SHA256:")
        assert len(sample["checksums"]) == 7 + 64
        assert "/main/" not in sample["uris"]
        assert sample["uris"].endswith(sample["fileNames"])


def test_they_are_registered_once_slicer_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("SampleData")
    module.SampleDataLogic = Logic  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "SampleData", module)
    slicer.app.connections.clear()
    HybridSeg.HybridSeg(types.SimpleNamespace())
    assert not Logic.registered
    for _, receiver in slicer.app.connections:
        receiver()
    assert len(Logic.registered) == len(SAMPLES)


def test_the_hippocampus_is_the_published_file(shared_data: Path) -> None:
    sample = next(s for s in SAMPLES if s.name == "HybridSegHippocampus")
    local = shared_data / "hippocampus_msd04" / "images" / Path(sample.path).name
    if not local.is_file():
        pytest.skip("this case is not among the shared ones")
    assert hashlib.sha256(local.read_bytes()).hexdigest() == sample.sha256
