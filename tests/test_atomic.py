from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from napari_hybridseg import atomic
from napari_hybridseg.atomic import WriteError, atomic_path, refuse_unwritable, write_text

SLOW_WRITER = """
import sys, time
from pathlib import Path
from napari_hybridseg.atomic import atomic_path
with atomic_path(Path(sys.argv[1]), overwrite=True) as path:
    with path.open("w") as file:
        file.write("half of the new")
        file.flush()
        print("writing", flush=True)
        time.sleep(60)
"""


def fail_while_writing(path: Path, error: BaseException) -> None:
    with atomic_path(path, overwrite=True) as draft:
        draft.write_text("half of the new")
        raise error


def test_a_new_file(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "grüße")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "grüße"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_an_existing_file_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(WriteError, match="exists already"):
        write_text(path, "new")
    assert path.read_text() == "old"
    write_text(path, "new", overwrite=True)
    assert path.read_text() == "new"


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    def race() -> None:
        with atomic_path(path) as draft:
            draft.write_text("ours")
            path.write_text("theirs")

    with pytest.raises(WriteError, match="exists already"):
        race()
    assert path.read_text() == "theirs"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt()], ids=repr)
def test_a_failure_while_writing_changes_nothing(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)):
        fail_while_writing(path, error)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_gets_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(WriteError, match=r"a\.txt cannot be written: No space left"):
        fail_while_writing(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_disk_that_fails_at_the_end_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    path = tmp_path / "a.txt"
    path.write_text("old")
    monkeypatch.setattr(atomic.os, broken, fail)
    with pytest.raises(WriteError, match="cannot be written"):
        write_text(path, "new", overwrite=True)
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGKILL")
def test_a_killed_writer_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    command = [sys.executable, "-c", SLOW_WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
    assert path.read_text() == "old"
    write_text(path, "new", overwrite=True)
    assert path.read_text() == "new"


@pytest.mark.parametrize("name", ["gone/a.txt", "file/a.txt", "x" * 300])
def test_a_place_that_cannot_be_gets_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="cannot be written"):
        write_text(tmp_path / name, "text")
    with pytest.raises(WriteError, match="cannot be written"):
        refuse_unwritable(tmp_path / name, overwrite=False)


def test_long_names_are_possible(tmp_path: Path) -> None:
    write_text(tmp_path / ("x" * 250 + ".txt"), "text")
    assert len(os.listdir(tmp_path)) == 1


def test_the_draft_ends_like_the_file_and_is_hidden(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.nii.gz") as draft:
        assert draft.name.endswith("a.nii.gz")
        assert draft.name.startswith(".")
        assert draft.parent == tmp_path


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes")
def test_the_file_may_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "there" / "a.txt")
    write_text(link, "text", overwrite=True)
    assert link.is_symlink()
    assert (tmp_path / "there" / "a.txt").read_text() == "text"


def test_asking_before_long_work(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    refuse_unwritable(path, overwrite=False)
    assert os.listdir(tmp_path) == []
    path.write_text("old")
    refuse_unwritable(path, overwrite=True)
    with pytest.raises(WriteError, match="exists already"):
        refuse_unwritable(path, overwrite=False)
    with pytest.raises(WriteError, match="folder"):
        refuse_unwritable(tmp_path, overwrite=True)
