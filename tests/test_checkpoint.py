from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import TINY_UNET, tiny_card, tiny_checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from napari_hybridseg.atomic import WriteError
from napari_hybridseg.checkpoint import (
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
    verify_checkpoint,
)
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.networks import ArchitectureError, create_network
from napari_hybridseg.resources import find_checkpoints

WEIGHTS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(7)}


@pytest.fixture(scope="module")
def whole() -> bytes:
    """Give the bytes of a small checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        return save_checkpoint(
            Path(folder) / "x.safetensors", WEIGHTS, tiny_card()
        ).path.read_bytes()


def header_of(content: bytes) -> tuple[dict[str, Any], bytes]:
    start = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:start]), content[start:]


def with_header(header: Any, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def with_card(content: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """Change the card the way another version of the program would: with the hash it then has."""
    header, data = header_of(content)
    card = json.loads(header["__metadata__"]["hybridseg.card"])
    change(card)
    metadata = header.pop("__metadata__")
    metadata["hybridseg.card"] = text = json.dumps(card)
    signed = json.dumps([text, metadata["hybridseg.weights_sha256"], header], sort_keys=True)
    metadata["hybridseg.header_sha256"] = hashlib.sha256(signed.encode()).hexdigest()
    return with_header({"__metadata__": metadata, **header}, data)


def test_a_header_without_its_hash_is_refused(tmp_path: Path, whole: bytes) -> None:
    header, data = header_of(whole)
    del header["__metadata__"]["hybridseg.header_sha256"]
    path = tmp_path / "x.safetensors"
    path.write_bytes(with_header(header, data))
    assert "damaged: its header" in sentence_about(path)


def sentence_about(path: Path) -> str:
    """Give what is said about a file that cannot be used: one sentence that names it."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path).weights()
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert message.endswith((".", ".)"))
    return message


def test_weights_and_card_come_back(tmp_path: Path) -> None:
    card = tiny_card(description="grüße ☃", provenance={"protocol": {"steps": 3}})
    saved = save_checkpoint(tmp_path / "x.safetensors", WEIGHTS, card)
    loaded = load_checkpoint(str(saved.path))
    assert loaded == saved
    assert loaded.card == card
    torch.testing.assert_close(loaded.weights(), WEIGHTS, rtol=0, atol=0)
    assert loaded.weights()["b"].dtype == torch.int64
    verify_checkpoint(saved.path)
    assert os.listdir(tmp_path) == ["x.safetensors"]


def test_the_network_comes_back(tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = create_network("unet", 1, 4, **TINY_UNET).eval()
    save_checkpoint(tmp_path / "x.safetensors", network.state_dict(), tiny_card())
    built = load_checkpoint(tmp_path / "x.safetensors").build_network()
    assert not built.training
    image = torch.randn(1, 1, 8, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(built(image), network(image), rtol=0, atol=0)


def test_others_can_read_the_weights(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "x.safetensors", WEIGHTS, tiny_card()).path
    torch.testing.assert_close(load_file(path), WEIGHTS, rtol=0, atol=0)
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["hybridseg.card"])["name"] == "tiny"
    header_length = int.from_bytes(path.read_bytes()[:8], "little")
    assert header_length % 8 == 0


def test_half_precision_is_half_the_size(tmp_path: Path) -> None:
    weights = {"w": torch.linspace(-3, 3, 10_000), "n": torch.tensor(70_000)}
    full = save_checkpoint(tmp_path / "full.safetensors", weights, tiny_card())
    half = save_checkpoint(tmp_path / "half.safetensors", weights, tiny_card(), half=True)
    assert half.path.stat().st_size < 0.55 * full.path.stat().st_size
    loaded = half.weights()
    assert loaded["w"].dtype == torch.float32
    assert loaded["n"] == 70_000
    torch.testing.assert_close(loaded["w"], weights["w"], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_failed_training_is_not_saved(tmp_path: Path, bad: float) -> None:
    with pytest.raises(CheckpointError, match="not a finite number"):
        save_checkpoint(tmp_path / "x.safetensors", {"w": torch.tensor([1.0, bad])}, tiny_card())
    assert os.listdir(tmp_path) == []


def test_what_half_precision_cannot_hold_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="too large for half precision"):
        save_checkpoint(
            tmp_path / "x.safetensors", {"w": torch.tensor([1e6])}, tiny_card(), half=True
        )
    assert os.listdir(tmp_path) == []


def test_an_existing_checkpoint_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, WEIGHTS, tiny_card())
    with pytest.raises(WriteError, match="exists already"):
        save_checkpoint(path, WEIGHTS, tiny_card(description="other"))
    assert load_checkpoint(path).card.description == ""
    save_checkpoint(path, WEIGHTS, tiny_card(description="other"), overwrite=True)
    assert load_checkpoint(path).card.description == "other"


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"ends in \.safetensors"):
        save_checkpoint(tmp_path / "x.pth", WEIGHTS, tiny_card())


def test_a_full_disk_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, WEIGHTS, tiny_card())
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match="No space left"):
        save_checkpoint(path, WEIGHTS, tiny_card(description="other"), overwrite=True)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["x.safetensors"]


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no /dev/full here")
def test_a_disk_that_is_really_full_gets_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the draft's bytes go to a device that has no room
    real = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda self, mode="r", *a, **k: real(
            Path("/dev/full") if "w" in mode else self, mode, *a, **k
        ),
    )
    with pytest.raises(WriteError, match="No space left"):
        save_checkpoint(tmp_path / "x.safetensors", WEIGHTS, tiny_card())
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes")
def test_others_may_read_the_file(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        path = save_checkpoint(tmp_path / "x.safetensors", WEIGHTS, tiny_card()).path
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644


@settings(max_examples=150)
@given(data=st.data())
def test_a_file_cut_anywhere_is_refused(whole: bytes, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(whole) - 1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.safetensors"
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            load_checkpoint(path)


@settings(max_examples=400)
@given(data=st.data())
def test_a_changed_byte_is_noticed_or_harmless(whole: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[place] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.safetensors"
        path.write_bytes(damaged)
        try:
            checkpoint = load_checkpoint(path)
            weights = checkpoint.weights()
        except CheckpointError:
            return
    assert checkpoint.card == tiny_card()
    torch.testing.assert_close(weights, WEIGHTS, rtol=0, atol=0)


def test_a_changed_weight_is_noticed(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert load_checkpoint(path).card == tiny_card()
    assert "damaged: its weights" in sentence_about(path)
    with pytest.raises(CheckpointError, match="damaged"):
        verify_checkpoint(path)


def test_a_changed_word_in_the_card_is_noticed(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(whole.replace(b"Research only", b"Clinical use!"))
    assert "damaged: its header" in sentence_about(path)


def test_weights_of_another_name_are_noticed(tmp_path: Path, whole: bytes) -> None:
    header, data = header_of(whole)
    header["c"] = header.pop("a")
    path = tmp_path / "x.safetensors"
    path.write_bytes(with_header(header, data))
    assert "damaged: its header" in sentence_about(path)


def test_a_newer_format_asks_for_an_update(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(with_card(whole, lambda card: card.update(format=2, new_field=1)))
    assert "update HybridSeg" in sentence_about(path)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 0},
        {"format": "one"},
        {"format": 2.5},
        {"name": None},
        {"windows": {"size": [0, 0, 0]}},
        {"unheard_of": 1},
        {"labels": {"organs": [{"id": 0}]}},
    ],
    ids=str,
)
def test_a_card_that_makes_no_sense(tmp_path: Path, whole: bytes, change: dict) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(with_card(whole, lambda card: card.update(change)))
    message = sentence_about(path)
    assert "makes no sense" in message
    assert next(iter(change)) in message


def test_somebody_elses_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file(WEIGHTS, path)
    assert "no model card" in sentence_about(path)
    assert "checkpoints import" in sentence_about(path)


@pytest.mark.parametrize(
    "metadata",
    [None, [], "x", {}, {"hybridseg.card": 5}, {"hybridseg.card": "[]"}, {"hybridseg.card": "{"}],
    ids=str,
)
def test_metadata_of_any_kind(tmp_path: Path, metadata: Any) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(with_header({"__metadata__": metadata}, b""))
    assert "card" in sentence_about(path)


class _Boom:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(Path(tempfile.gettempdir()) / "hybridseg-was-unpickled"),))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"hello world, this is no checkpoint at all",
        pickle.dumps(_Boom()),
        with_header(b"[]", b""),
        with_header(b"{" * 20, b""),
        with_header(b'{"a":' * 50_000, b""),
        with_header({"a": {"data_offsets": "xy"}}, b""),
        with_header({"a": {"data_offsets": [0]}}, b""),
        with_header({"a": 5}, b""),
    ],
    ids=lambda content: repr(content[:20]),
)
def test_what_is_no_checkpoint_at_all(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    assert "is not a checkpoint file" in sentence_about(path)
    assert not (Path(tempfile.gettempdir()) / "hybridseg-was-unpickled").exists()


def test_a_renamed_torch_file_is_not_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    torch.save({"state": _Boom()}, path)
    assert "is not a checkpoint file" in sentence_about(path)
    assert not (Path(tempfile.gettempdir()) / "hybridseg-was-unpickled").exists()


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    assert "cannot be opened" in sentence_about(tmp_path / "gone.safetensors")
    assert "cannot be opened" in sentence_about(tmp_path)


def test_a_file_cut_in_its_header_says_so(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(whole[:200])
    assert "cut short" in sentence_about(path)
    path.write_bytes(whole[:-3])
    assert "cut short" in sentence_about(path)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"architecture": "ufo-net"}, ArchitectureError, "no architecture 'ufo-net'"),
        ({"architecture": "segresnet", "config": {}}, CheckpointError, "does not hold the weights"),
        (
            {"config": TINY_UNET | {"channels": [4, 6]}},
            CheckpointError,
            "does not hold the weights",
        ),
        ({"config": TINY_UNET | {"wings": 2}}, ArchitectureError, "no setting 'wings'"),
        ({"config": TINY_UNET | {"in_channels": 2}}, ArchitectureError, "no setting 'in_channels'"),
        ({"in_channels": 3}, CheckpointError, "does not hold the weights"),
    ],
    ids=str,
)
def test_a_card_that_does_not_fit_its_weights(
    tmp_path: Path, change: dict[str, Any], error: type[HybridSegError], words: str
) -> None:
    good = tiny_checkpoint(tmp_path)
    path = tmp_path / "bad.safetensors"
    save_checkpoint(path, good.weights(), tiny_card(**change))
    with pytest.raises(error, match=words) as caught:
        load_checkpoint(path).build_network()
    assert "\n" not in str(caught.value)


def test_a_descendant_can_name_its_parent(tmp_path: Path) -> None:
    one, same = (
        save_checkpoint(tmp_path / f"{name}.safetensors", WEIGHTS, tiny_card()) for name in "ab"
    )
    other = save_checkpoint(tmp_path / "c.safetensors", WEIGHTS, tiny_card(description="x"))
    assert one.sha256 == same.sha256 == Checkpoint(one.path, one.card).sha256
    assert one.sha256 != other.sha256


def test_drafts_of_a_killed_program_are_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in ("b.safetensors", "a.safetensors", ".0f.tmp-c.safetensors", "readme.txt"):
        (folder / name).write_text("")
    monkeypatch.setattr("napari_hybridseg.resources._sample_data_folder", lambda: tmp_path)
    monkeypatch.setattr(
        "napari_hybridseg.resources.user_checkpoints_folder", lambda: tmp_path / "none"
    )
    assert [path.name for path in find_checkpoints()] == ["a.safetensors", "b.safetensors"]
