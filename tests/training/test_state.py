from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_hybridseg.atomic import WriteError
from napari_hybridseg.training.state import StateError, load_state, save_state

STATE = {"fingerprint": "abc", "step": 3, "network": {"w": torch.arange(4.0)}}


@pytest.fixture(scope="module")
def whole() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        save_state(Path(folder) / "x.state", STATE)
        return (Path(folder) / "x.state").read_bytes()


def test_a_state_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "x.state"
    assert load_state(path, "abc") is None
    save_state(path, STATE)
    save_state(path, STATE | {"step": 4})
    loaded = load_state(path, "abc")
    assert loaded is not None
    assert loaded["step"] == 4
    assert torch.equal(loaded["network"]["w"], STATE["network"]["w"])
    assert os.listdir(tmp_path) == ["x.state"]


def test_the_state_of_another_run_is_refused(tmp_path: Path) -> None:
    save_state(tmp_path / "x.state", STATE)
    with pytest.raises(StateError, match="other options or data"):
        load_state(tmp_path / "x.state", "abd")


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(data=st.data())
def test_a_damaged_state_gets_one_sentence(whole: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[place] ^= data.draw(st.integers(1, 255))
    content = data.draw(
        st.sampled_from([whole[:place], bytes(flipped), whole[place:]]) | st.binary(max_size=40)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.state"
        path.write_bytes(content)
        try:
            load_state(path, "abc")
        except StateError as error:
            assert str(path) in str(error)  # noqa: PT017


@pytest.mark.parametrize("content", [b"", b"G", b"PK", b"\x80\x02.", b"X\xff\xff\xff\xff"])
def test_bytes_that_torch_stumbles_over_get_it_too(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.state").write_bytes(content)
    with pytest.raises(StateError, match="damaged; delete it to start over"):
        load_state(tmp_path / "x.state", "abc")


def test_a_full_disk_keeps_the_last_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    save_state(tmp_path / "x.state", STATE)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(WriteError, match="No space left"):
        save_state(tmp_path / "x.state", STATE | {"step": 4})
    loaded = load_state(tmp_path / "x.state", "abc")
    assert loaded is not None
    assert loaded["step"] == 3
