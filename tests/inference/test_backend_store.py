from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from napari_hybridseg.inference import backend_store as module
from napari_hybridseg.inference.backend_store import BackendStore, machine, network_sha256

KEY = {"network": "abc", "shape": [1, 2], "torch": "2"}


def only_entry(store: BackendStore) -> Path:
    (path,) = store.folder.iterdir()
    return path


@pytest.fixture
def store(tmp_path: Path) -> BackendStore:
    return BackendStore(tmp_path / "cache")


@pytest.mark.parametrize("content", [b"", b"one\ntwo\n\nthree", bytes(range(256)) * 40])
def test_content_comes_back(store: BackendStore, content: bytes) -> None:
    assert store.read("model", KEY) is None
    store.write("model", KEY, content)
    assert store.read("model", KEY) == content
    assert store.read("choice", KEY) is None
    assert store.read("model", KEY | {"network": "abd"}) is None


@pytest.mark.parametrize("place", [0, 3, 60, -1, -40])
def test_an_altered_entry_is_none(store: BackendStore, place: int) -> None:
    store.write("model", KEY, b"x" * 100)
    path = only_entry(store)
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)
    assert store.read("model", KEY) is None


@pytest.mark.parametrize("kept", [0, 1, 20, 150, -1])
def test_a_torn_entry_is_none(store: BackendStore, kept: int) -> None:
    store.write("model", KEY, b"x" * 100)
    path = only_entry(store)
    path.write_bytes(path.read_bytes()[:kept])
    assert store.read("model", KEY) is None


def test_an_entry_of_another_network_in_its_place_is_none(store: BackendStore) -> None:
    """The header says whose it is; a file's name alone is no proof."""
    store.write("model", KEY, b"mine")
    mine = only_entry(store)
    store.write("model", KEY | {"network": "other"}, b"other's")
    (other,) = (path for path in store.folder.iterdir() if path != mine)
    os.replace(other, mine)
    assert store.read("model", KEY) is None


def test_a_folder_that_cannot_be_made_only_costs_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = BackendStore(tmp_path / "file" / "cache")
    store.write("model", KEY, b"x")
    assert store.read("model", KEY) is None


def test_what_was_unused_for_longest_goes_first(
    store: BackendStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [{"network": str(n)} for n in range(4)]
    for n, key in enumerate(keys[:3]):
        store.write("model", key, bytes(1000))
        for path in store.folder.iterdir():
            if path.stat().st_mtime > 100:
                os.utime(path, (n, n))
    assert store.read("model", keys[0]) is not None  # now the latest
    monkeypatch.setattr(module, "_LARGEST_TOTAL", 3500)
    store.write("model", keys[3], bytes(1000))
    kept = [store.read("model", key) is not None for key in keys]
    assert kept == [True, False, True, True]


def test_the_hash_names_weights_shape_and_description() -> None:
    torch.manual_seed(0)
    one = nn.Linear(2, 3)
    same = nn.Linear(2, 3)
    same.load_state_dict(one.state_dict())
    assert network_sha256(one, "a") == network_sha256(same, "a")
    assert network_sha256(one, "a") != network_sha256(one, "b")
    with torch.no_grad():
        same.bias[0] += 1e-6
    assert network_sha256(one, "a") != network_sha256(same, "a")


def test_the_machine_is_named_with_its_versions() -> None:
    names = machine()
    assert names["torch"] == torch.__version__.split("+")[0] or names["torch"] == torch.__version__
    assert names["cpu"]


@pytest.mark.parametrize("head", [b"[" * 200_000, b"[1]", b"\xff\xfe"])
def test_a_file_that_is_no_entry_is_none(store: BackendStore, head: bytes) -> None:
    store.write("model", KEY, b"x")
    only_entry(store).write_bytes(head + b"\nx")
    assert store.read("model", KEY) is None
