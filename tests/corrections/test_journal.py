from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from correction_support import SCHEME, files_of_at_most
from helpers import grid
from hypothesis import given
from hypothesis import strategies as st

from napari_hybridseg.atomic import WriteError
from napari_hybridseg.corrections import CorrectionError
from napari_hybridseg.corrections.assist.strokes import Strokes
from napari_hybridseg.corrections.autosave import Autosave
from napari_hybridseg.corrections.journal import Journal, JournalHead
from napari_hybridseg.corrections.journal_file import STROKES, Record, committed_records
from napari_hybridseg.corrections.kept_strokes import KeptStrokes
from napari_hybridseg.corrections.recovery import list_recoverable
from napari_hybridseg.labels import LabelScheme

SHAPE = (12, 16, 16)


def head(shape: tuple[int, int, int] = SHAPE) -> JournalHead:
    geometry = grid(shape, angles=(0, 0, 20))
    return JournalHead(
        volume_sha256="1" * 64, title="scan", geometry=geometry, source=geometry, scheme=SCHEME
    )


def begun(root: Path, working: np.ndarray, network: np.ndarray | None = None) -> Journal:
    return Journal(root, head(working.shape), working, network)


def test_what_was_saved_is_offered_back_with_the_networks_labels(tmp_path: Path) -> None:
    network = np.random.default_rng(0).integers(0, 4, SHAPE).astype(np.uint8)
    working = network.copy()
    journal = begun(tmp_path, working, network)
    working[3:5, 2:9, 7] = 3
    assert journal.save(working) == 1
    assert journal.save(working) == 0
    grown = LabelScheme.from_names({3: "liver", 1: "spleen", 7: "lesion"})
    journal.rename_labels(grown)
    assert list_recoverable(tmp_path) == ()
    journal.close()
    (entry,) = list_recoverable(tmp_path)
    restored = entry.load()
    np.testing.assert_array_equal(restored.label.array, working)
    assert restored.network_label is not None
    np.testing.assert_array_equal(restored.network_label.array, network)
    assert restored.label.scheme == grown
    assert restored.label.geometry == head().geometry
    assert entry.head.title == "scan"
    entry.discard()
    assert list(tmp_path.iterdir()) == []


def said(count: int, spread: int = 0) -> KeptStrokes:
    """Make strokes of so many voxels, of which the first few were obeyed."""
    voxels = np.argwhere(np.ones(SHAPE, bool))[:count]
    strokes = Strokes(voxels, (voxels[:, 2] % 4).astype(np.uint16), voxels[:, 2] % 2 == 1)
    return KeptStrokes(strokes, np.arange(count) < spread)


def assert_same(found: KeptStrokes, expected: KeptStrokes) -> None:
    assert np.array_equal(found.strokes.voxels, expected.strokes.voxels)
    assert np.array_equal(found.strokes.labels, expected.strokes.labels)
    assert np.array_equal(found.strokes.is_not, expected.strokes.is_not)
    assert np.array_equal(found.has_spread, expected.has_spread)


def test_strokes_come_back_with_the_correction(tmp_path: Path) -> None:
    working = np.zeros(SHAPE, np.uint8)
    journal = Journal(tmp_path, head(), working, np.ones_like(working), said(3))
    assert journal.save(working, strokes=said(3)) == 0
    assert journal.save(working, strokes=said(70, 20)) == 1
    working[2] = 1
    assert journal.save(working) == 1  # the strokes of the last save hold
    journal.close()
    restored = list_recoverable(tmp_path)[0].load()
    assert_same(restored.strokes, said(70, 20))
    assert restored.strokes.waiting == 50
    np.testing.assert_array_equal(restored.label.array, working)
    assert restored.network_label is not None
    assert (restored.network_label.array == 1).all()


def test_strokes_that_were_taken_back_stay_so(tmp_path: Path) -> None:
    working = np.zeros(SHAPE, np.uint8)
    journal = begun(tmp_path, working)
    assert journal.save(working, strokes=KeptStrokes.none()) == 0
    assert journal.save(working, strokes=said(5)) == 1
    assert journal.save(working, strokes=KeptStrokes.none()) == 1
    journal.close()
    assert_same(list_recoverable(tmp_path)[0].load().strokes, KeptStrokes.none())


def test_labels_and_strokes_are_saved_together_or_not_at_all(tmp_path: Path) -> None:
    working = np.zeros(SHAPE, np.uint8)
    journal = begun(tmp_path, working)
    start = journal.bytes_on_disk
    working[:] = 1
    assert journal.save(working, strokes=said(9)) == 2
    end = journal.bytes_on_disk
    journal.close()
    (path,) = tmp_path.glob("*/*.journal")
    content = path.read_bytes()
    for cut in (*range(start, end, 5), end):
        path.write_bytes(content[:cut])
        restored = list_recoverable(tmp_path)[0].load()
        is_whole = cut == end
        assert np.unique(restored.label.array).tolist() == [int(is_whole)]
        assert restored.strokes.waiting == (9 if is_whole else 0)


def test_strokes_outlive_a_new_generation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_hybridseg.corrections.journal._KEPT_FREE", 1000)
    random = np.random.default_rng(0)
    working = np.zeros(SHAPE, np.uint8)
    journal = begun(tmp_path, working)
    journal.save(working, strokes=said(30, 2))
    for _ in range(20):
        working[:] = random.integers(0, 4, SHAPE)
        journal.save(working)
    journal.close()
    (path,) = tmp_path.glob("*/*.journal")
    assert path.stem != "000000"
    assert_same(list_recoverable(tmp_path)[0].load().strokes, said(30, 2))


@pytest.mark.parametrize("place", [(12, 0, 0), (0, 16, 0), (0, 0, 16)])
def test_a_stroke_outside_the_volume_is_no_correction(
    tmp_path: Path, place: tuple[int, int, int]
) -> None:
    outside = Strokes.join([(np.array([place]), 1, False)])
    journal = begun(tmp_path, np.zeros(SHAPE, np.uint8))
    journal.save(np.zeros(SHAPE, np.uint8), strokes=KeptStrokes(outside, np.zeros(1, bool)))
    journal.close()
    with pytest.raises(CorrectionError, match="do not lie in the volume"):
        list_recoverable(tmp_path)[0].load()


def test_what_is_no_strokes_is_refused_in_one_sentence(tmp_path: Path) -> None:
    journal = begun(tmp_path, np.zeros(SHAPE, np.uint8))
    journal._file.append([Record(STROKES, b"nothing like strokes")])
    journal.close()
    with pytest.raises(CorrectionError, match="cannot be read as a correction"):
        list_recoverable(tmp_path)[0].load()


def test_only_the_slabs_that_changed_are_written(tmp_path: Path) -> None:
    working = np.zeros((40, 256, 256), np.uint16)
    journal = begun(tmp_path, working)
    assert journal.slab_rows == 8
    working[9, 5, 5] = 1
    working[30, 5, 5] = 1
    assert journal.save(working, journal.slabs_of(9, 10)) == 1
    assert journal.save(working) == 1
    journal.close()


def test_a_file_cut_anywhere_gives_a_whole_save(tmp_path: Path) -> None:
    working = np.zeros(SHAPE, np.uint8)
    journal = begun(tmp_path, working)
    ends = [journal.bytes_on_disk]
    for stroke in (1, 2, 3):
        working[:] = stroke
        journal.save(working)
        ends.append(journal.bytes_on_disk)
    journal.close()
    (path,) = tmp_path.glob("*/*.journal")
    content = path.read_bytes()
    for cut in [*range(ends[0], len(content), 7), *ends]:
        path.write_bytes(content[:cut])
        (entry,) = list_recoverable(tmp_path)
        expected = max(n for n, end in enumerate(ends) if end <= cut)
        assert np.unique(entry.load().label.array).tolist() == [expected]


@given(place=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_a_flipped_byte_never_becomes_a_label(
    tmp_path_factory: pytest.TempPathFactory, place: int, flip: int
) -> None:
    root = tmp_path_factory.mktemp("flip")
    working = np.zeros(SHAPE, np.uint8)
    journal = begun(root, working)
    working[:] = 1
    journal.save(working)
    journal.close()
    (path,) = root.glob("*/*.journal")
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= flip
    path.write_bytes(content)
    values = [np.unique(entry.load().label.array).tolist() for entry in list_recoverable(root)]
    assert values in ([], [[0]], [[1]])


def test_the_file_does_not_grow_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_hybridseg.corrections.journal._KEPT_FREE", 20_000)
    random = np.random.default_rng(0)
    working = np.zeros((8, 32, 32), np.uint8)
    journal = begun(tmp_path, working, np.ones_like(working))
    largest = 0
    for _ in range(100):
        working[:] = random.integers(0, 200, working.shape)
        journal.save(working)
        largest = max(largest, journal.bytes_on_disk)
    live = 8 * 32 * 32
    assert largest < 3 * (live + 20_000)
    assert len(list(tmp_path.glob("*/*.journal"))) == 1
    journal.close()
    restored = list_recoverable(tmp_path)[0].load()
    np.testing.assert_array_equal(restored.label.array, working)
    assert restored.network_label is not None
    assert (restored.network_label.array == 1).all()


def test_a_full_disk_is_told_and_the_last_save_holds(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    working = np.zeros(SHAPE, np.uint8)
    journal = begun(tmp_path, working)
    working[:] = random.integers(0, 4, SHAPE)
    with files_of_at_most(journal.bytes_on_disk + 50), pytest.raises(WriteError, match="make room"):
        journal.save(working)
    (path,) = tmp_path.glob("*/*.journal")
    assert sum(1 for _ in committed_records(path)) == 2
    assert journal.save(working) == 1
    journal.close()
    np.testing.assert_array_equal(list_recoverable(tmp_path)[0].load().label.array, working)


def test_another_kind_of_array_is_refused(tmp_path: Path) -> None:
    journal = begun(tmp_path, np.zeros(SHAPE, np.uint8))
    with pytest.raises(CorrectionError, match="begin its autosave anew"):
        journal.save(np.full(SHAPE, 300, np.uint16))
    with pytest.raises(CorrectionError, match="does not lie"):
        Journal(tmp_path, head(), np.zeros((2, 2, 2), np.uint8))
    journal.discard()


def test_two_viewers_keep_their_own(tmp_path: Path) -> None:
    ones, twos = np.ones(SHAPE, np.uint8), np.full(SHAPE, 2, np.uint8)
    first, second = begun(tmp_path, ones), begun(tmp_path, twos)
    first.close()
    (entry,) = list_recoverable(tmp_path)
    assert (entry.load().label.array == 1).all()
    second.close()
    assert len(list_recoverable(tmp_path)) == 2


def test_strokes_are_saved_within_the_interval(tmp_path: Path) -> None:
    working = np.zeros(SHAPE, np.uint8)
    autosave = Autosave(begun(tmp_path, working), lambda: working, interval_s=0.05)
    working[4] = 1
    autosave.changed(4, 5)
    end = time.monotonic() + 5
    while not autosave.is_saved:
        assert time.monotonic() < end
        time.sleep(0.01)
    working[6] = 2
    autosave.changed()
    autosave.close()
    np.testing.assert_array_equal(list_recoverable(tmp_path)[0].load().label.array, working)


def test_strokes_that_wait_are_saved_within_the_interval(tmp_path: Path) -> None:
    working, now = np.zeros(SHAPE, np.uint8), said(4)
    autosave = Autosave(
        begun(tmp_path, working), lambda: working, read_strokes=lambda: now, interval_s=0.05
    )
    autosave.strokes_changed()
    assert not autosave.is_saved
    end = time.monotonic() + 5
    while not autosave.is_saved:
        assert time.monotonic() < end
        time.sleep(0.01)
    (path,) = tmp_path.glob("*/*.journal")
    assert any(record.kind == STROKES for record in committed_records(path))
    now = said(8, 3)
    autosave.strokes_changed()
    autosave.close()
    assert_same(list_recoverable(tmp_path)[0].load().strokes, said(8, 3))


def test_strokes_that_a_full_disk_refused_are_tried_again(tmp_path: Path) -> None:
    working = np.zeros(SHAPE, np.uint8)
    journal = begun(tmp_path, working)
    autosave = Autosave(journal, lambda: working, read_strokes=lambda: said(900), interval_s=60)
    autosave.strokes_changed()
    with files_of_at_most(journal.bytes_on_disk + 10), pytest.raises(WriteError, match="make room"):
        autosave.save_now()
    assert not autosave.is_saved
    autosave.close()
    assert_same(list_recoverable(tmp_path)[0].load().strokes, said(900))


def test_a_refusing_disk_is_complained_about_and_tried_again(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    working = np.zeros(SHAPE, np.uint8)
    told: list[str] = []
    journal = begun(tmp_path, working)
    autosave = Autosave(journal, lambda: working, interval_s=0.02, complain=told.append)
    with files_of_at_most(journal.bytes_on_disk + 10):
        working[:] = random.integers(0, 4, SHAPE)
        autosave.changed()
        end = time.monotonic() + 5
        while len(told) < 2:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert not autosave.is_saved
    autosave.close()
    assert "make room" in told[0]
    np.testing.assert_array_equal(list_recoverable(tmp_path)[0].load().label.array, working)


def test_discarding_leaves_nothing(tmp_path: Path) -> None:
    working = np.zeros(SHAPE, np.uint8)
    autosave = Autosave(begun(tmp_path, working), lambda: working)
    autosave.changed()
    autosave.discard()
    assert list(tmp_path.iterdir()) == []
