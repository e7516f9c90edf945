"""The temporary folder is private, holds arrays truly, and does not stay behind."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hybridseg.engine import bits
from napari_hybridseg.engine import scratch as module
from napari_hybridseg.engine.scratch import ArrayFolder, Scratch, ScratchError, sweep

KILLED_OWNER = """
import os, sys
from pathlib import Path
from unittest.mock import patch
from napari_hybridseg.engine.scratch import Scratch
scratch = Scratch(Path(sys.argv[1]))
print(scratch.path, flush=True)
sys.stdin.readline()
os._exit(1)
"""


def make_old(folder: Path) -> None:
    long_ago = time.time() - 3600
    os.utime(folder, (long_ago, long_ago))


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")
def test_only_the_user_may_look_inside(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    assert stat.S_IMODE(scratch.path.stat().st_mode) == 0o700
    assert str(os.getpid()) in scratch.path.name


def test_it_is_removed_when_closed_and_when_forgotten(tmp_path: Path) -> None:
    first, second = Scratch(tmp_path), Scratch(tmp_path)
    first.put(np.zeros(3), "x")
    first.close()
    del second
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_killed_owner_is_swept_and_that_of_a_living_one_is_not(
    tmp_path: Path,
) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", KILLED_OWNER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    folder = Path(owner.stdout.readline().strip())
    make_old(folder)
    sweep(tmp_path)
    assert folder.is_dir()
    owner.communicate("die\n")
    make_old(folder)
    sweep(tmp_path)
    assert not folder.exists()


def test_the_sweep_leaves_what_it_is_not_sure_of(tmp_path: Path) -> None:
    young, foreign, target = (
        tmp_path / "hybridseg-1-young",
        tmp_path / "hybridseg-notes-2",
        tmp_path / "precious",
    )
    for folder in (young, foreign, target):
        folder.mkdir()
    for folder in (young, target):
        (folder / "owner.lock").touch()
    link = tmp_path / "hybridseg-3-link"
    link.symlink_to(target)
    make_old(foreign)
    make_old(target)
    os.utime(link, (0, 0), follow_symlinks=False)
    sweep(tmp_path)
    assert young.is_dir()
    assert foreign.is_dir()
    assert (target / "owner.lock").exists()


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.int16).reshape(1, 2, 3, 4),
        np.asfortranarray(np.random.default_rng(0).normal(size=(3, 4))),
        np.arange(10, dtype=">u2")[::-2],
        np.zeros((0, 3), np.float32),
        np.array(2.5),
        np.array([True, False]),
    ],
)
def test_arrays_come_back_writable_and_the_file_stays(
    tmp_path: Path, array: np.ndarray, mapped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mapped and array.size:
        monkeypatch.setattr(module, "MAPPED_FROM_BYTES", 0)
    folder = ArrayFolder(tmp_path)
    name = folder.put_once(array)
    back = folder.take(name)
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype
    assert type(back) is np.ndarray
    back[...] = 0
    np.testing.assert_array_equal(folder.take(name), array)


def test_a_taken_array_outlives_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAPPED_FROM_BYTES", 0)
    folder = ArrayFolder(tmp_path)
    folder.put(np.arange(5), "x")
    back = folder.take("x.npy", remove=True)
    assert back.sum() == 10
    assert sys.platform == "win32" or folder.names() == set()


def test_the_same_array_is_written_once_and_another_is_not_taken_for_it(tmp_path: Path) -> None:
    folder = ArrayFolder(tmp_path)
    array = np.arange(6, dtype=np.int16)
    name = folder.put_once(array)
    written = (tmp_path / name).stat().st_mtime_ns
    assert folder.put_once(array.copy()) == name
    assert (tmp_path / name).stat().st_mtime_ns == written
    others = [array.reshape(2, 3), array.view(np.uint16), array[::-1], array + 1]
    assert len({name, *map(folder.put_once, others)}) == 5


def test_an_array_edited_in_place_is_written_anew(tmp_path: Path) -> None:
    folder = ArrayFolder(tmp_path)
    array = np.zeros(4)
    before = folder.put_once(array)
    array[2] = 1
    assert folder.take(folder.put_once(array))[2] == 1
    assert folder.take(before)[2] == 0


@pytest.mark.parametrize("from_bytes", [0, 10**9], ids=["compared", "hashed"])
@pytest.mark.parametrize("at", [0, 700, -1])
def test_whatever_changes_in_an_array_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, from_bytes: int
) -> None:
    monkeypatch.setattr(module, "COMPARED_FROM_BYTES", from_bytes)
    monkeypatch.setattr(bits, "_PIECE_BYTES", 64)
    folder = ArrayFolder(tmp_path)
    array = np.random.default_rng(0).normal(size=(1, 9, 10, 11)).astype(np.float32)
    shown = array[:, ::-1]  # as a volume's array lies over its layer's
    name = folder.put_once(shown)
    assert folder.put_once(shown) == name
    array.reshape(-1)[at] = np.nan
    other = folder.put_once(shown)
    assert other != name
    np.testing.assert_array_equal(folder.take(other), shown)
    assert folder.put_once(shown.copy()) == other
    assert folder.put_once(shown.astype(np.float64)) not in (name, other)


def test_a_large_array_is_not_hashed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMPARED_FROM_BYTES", 0)
    folder = ArrayFolder(tmp_path)
    array = np.arange(1000)
    name = folder.put_once(array)
    hashed: list[int] = []
    known = ArrayFolder._put_by_hash
    monkeypatch.setattr(
        ArrayFolder, "_put_by_hash", lambda self, new: hashed.append(1) or known(self, new)
    )
    assert folder.put_once(array) == name
    assert not hashed
    folder.remove("in-*")
    assert folder.put_once(array) == name
    assert hashed == [1]
    np.testing.assert_array_equal(folder.take(name), array)


@settings(max_examples=60)
@given(
    shape=st.lists(st.integers(0, 5), max_size=4).map(tuple),
    kind=st.sampled_from(["u1", "<i2", ">f4", "f8", "c16", "?"]),
    piece=st.sampled_from([1, 16, 10_000]),
    seed=st.integers(0, 99),
    flips=st.booleans(),
)
def test_bits_are_compared_whatever_the_shape(
    shape: tuple[int, ...], kind: str, piece: int, seed: int, flips: bool
) -> None:
    random = np.random.default_rng(seed)
    array = random.integers(0, 2, shape).astype(kind)
    if flips and array.ndim:
        array = array[::-1].T
    other = array.copy()
    with patch.object(bits, "_PIECE_BYTES", piece):
        assert bits.same_bits(array, other)
        assert not bits.same_bits(array, other[None])
        if other.size:
            place = tuple(int(random.integers(n)) for n in other.shape)
            other[place] = not other[place]
            assert not bits.same_bits(array, other)


def test_nan_is_what_it_was_and_a_negative_nothing_is_not() -> None:
    assert bits.same_bits(np.array([np.nan]), np.array([np.nan]))
    assert not bits.same_bits(np.array([0.0]), np.array([-0.0]))
    assert not bits.same_bits(np.zeros(2, "f4"), np.zeros(2, "u4"))


@pytest.mark.parametrize("name", ["../x.npy", "/etc/passwd", "x", "gone.npy", ""])
def test_only_arrays_of_the_folder_are_taken(tmp_path: Path, name: str) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    np.save(tmp_path / "x.npy", np.zeros(2))
    with pytest.raises(ScratchError):
        ArrayFolder(inner).take(name)


def test_python_objects_are_not_handed_over(tmp_path: Path) -> None:
    folder = ArrayFolder(tmp_path)
    with pytest.raises(ScratchError):
        folder.put(np.array([object()]), "x")
    np.save(tmp_path / "evil.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ScratchError):
        folder.take("evil.npy")
    assert folder.names() == {"evil.npy"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.part").symlink_to("/dev/full")
    with pytest.raises(ScratchError, match="free some space"):
        ArrayFolder(tmp_path).put(np.zeros(10_000), "x")
    assert list(tmp_path.iterdir()) == []
