from __future__ import annotations

import gzip
import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from correction_support import SCHEME, correction, files_of_at_most, verified
from helpers import tiny_card

from napari_hybridseg.atomic import WriteError
from napari_hybridseg.corrections import CorrectionError, CorrectionSet
from napari_hybridseg.corrections.accepting import accept
from napari_hybridseg.corrections.changing import remove_case
from napari_hybridseg.corrections.locking import LockedError, folder_lock
from napari_hybridseg.corrections.verifying import is_poisoned
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import Provenance
from napari_hybridseg.volume import LabelMap, load_volume


def snapshot(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_what_is_accepted_comes_back_as_it_was(tmp_path: Path) -> None:
    given = correction(card=tiny_card(), checkpoint_sha256="a" * 64)
    accepted = accept(tmp_path / "set", given)
    (case,) = CorrectionSet.open(tmp_path / "set").cases
    assert case == accepted
    assert case.name == "case-0001"
    assert given.network_label is not None
    image, label, network = case.load_image(), case.load_label(), case.load_network_label()
    assert network is not None
    np.testing.assert_array_equal(image.array, given.volume.array)
    np.testing.assert_array_equal(label.array, given.label.array)
    np.testing.assert_array_equal(network.array, given.network_label.array)
    np.testing.assert_array_equal(
        case.load_edited(), given.label.array != given.network_label.array
    )
    assert image.source.same_grid(given.volume.source, 1e-9)
    assert label.scheme == SCHEME
    assert case.card == tiny_card()
    assert case.checkpoint_sha256 == "a" * 64
    edits = {e.name: (e.added, e.removed) for e in case.manifest.edits}
    assert edits == {"liver": (0, 12), "spleen": (2, 0)}
    assert case.manifest.edited_voxels == 14
    assert verified(tmp_path / "set").ok


def test_files_are_those_that_other_tools_open(tmp_path: Path) -> None:
    import SimpleITK as sitk

    given = correction()
    case = accept(tmp_path, given)
    read = sitk.ReadImage(str(case.label))
    stored = given.volume.to_source(given.label.array)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), stored)
    assert read.GetSize() == given.volume.source.size


def test_the_same_scan_again_is_a_new_revision_of_its_case(tmp_path: Path) -> None:
    first = accept(tmp_path, correction(0))
    other = accept(tmp_path, correction(1))
    changed = correction(0)
    changed.label.array[0, 0, 0] = 1
    again = accept(tmp_path, changed)
    assert (first.name, other.name, again.name) == ("case-0001", "case-0002", "case-0001")
    assert again.manifest.revision == 2
    opened = CorrectionSet.open(tmp_path)
    assert [case.name for case in opened.cases] == ["case-0001", "case-0002"]
    assert opened.case("case-0001").load_label().array[0, 0, 0] == 1
    assert not first.folder.exists()
    assert verified(tmp_path).ok


def test_a_removed_case_is_gone_and_its_name_is_not_given_again(tmp_path: Path) -> None:
    gone = accept(tmp_path, correction(0))
    accept(tmp_path, correction(1))
    remove_case(tmp_path, "case-0001")
    assert [case.name for case in CorrectionSet.open(tmp_path).cases] == ["case-0002"]
    assert not gone.folder.exists()
    with pytest.raises(CorrectionError, match="no longer in"):
        gone.load_image()
    with pytest.raises(CorrectionError, match="no case 'case-0001'"):
        remove_case(tmp_path, "case-0001")
    assert accept(tmp_path, correction(0)).name == "case-0003"


def test_nothing_that_is_written_names_a_patient(tmp_path: Path) -> None:
    secret = b"DOE"
    given = correction()
    volume = replace(given.volume, name="DOE^JOHN", notes=("PatientName: DOE^JOHN",))
    label = replace(given.label, name="DOE^JOHN corrected", notes=("DOE",))
    card = tiny_card(provenance=Provenance(command="hybridseg train /scans/DOE_JOHN.nii"))
    accept(tmp_path, replace(given, volume=volume, label=label, card=card))
    for name, content in snapshot(tmp_path).items():
        assert secret not in name.encode()
        assert secret not in content
        if name.endswith(".nrrd"):
            header, _, voxels = content.partition(b"\n\n")
            assert secret not in header + gzip.decompress(voxels)


def test_a_dicom_series_leaves_its_header_behind(tmp_path: Path, shared_data: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    file = next(
        path
        for path in sorted((shared_data / "dicom").rglob("*"))
        if path.is_file()
        and path.read_bytes()[128:132] == b"DICM"
        and "Rows" in pydicom.dcmread(path, stop_before_pixels=True)
        and pydicom.dcmread(path, stop_before_pixels=True).get("Modality") in ("CT", "MR")
    )
    volume = load_volume(file.parent)
    header = pydicom.dcmread(file, stop_before_pixels=True)
    label = LabelMap(
        volume.geometry, volume.source, np.ones(volume.geometry.shape, np.uint8), SCHEME
    )
    accept(tmp_path / "set", correction(volume=volume, label=label, network_label=None))
    written = b"".join(name.encode() + c for name, c in snapshot(tmp_path / "set").items())
    tags = ("PatientName", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    told = [str(header[tag].value) for tag in tags if tag in header and str(header[tag].value)]
    assert told
    for word in (*told, file.stem):
        assert len(word) < 4 or word.encode() not in written


def test_a_label_map_on_another_grid_is_refused(tmp_path: Path) -> None:
    given = correction()
    geometry = given.label.geometry
    shifted = replace(geometry, origin=tuple(o + 1.0 for o in geometry.origin))
    with pytest.raises(CorrectionError, match=r"corrected label map does not lie on the image"):
        accept(tmp_path / "set", replace(given, label=replace(given.label, geometry=shifted)))
    assert given.network_label is not None
    wrong = replace(given.network_label, geometry=shifted)
    with pytest.raises(CorrectionError, match=r"network's label map does not lie"):
        accept(tmp_path / "set", replace(given, network_label=wrong))
    assert not (tmp_path / "set").exists()


def test_labels_without_a_name_are_refused(tmp_path: Path) -> None:
    given = correction()
    given.label.array[0, 0, 0] = 9
    with pytest.raises(CorrectionError, match=r"holds the labels \[9\]"):
        accept(tmp_path, given)


def test_an_organ_of_the_network_may_not_change_its_meaning(tmp_path: Path) -> None:
    given = correction()
    scheme = LabelScheme.from_names({3: "kidney", 1: "spleen"})
    with pytest.raises(CorrectionError, match="another number"):
        accept(tmp_path, replace(given, label=replace(given.label, scheme=scheme)))
    grown = LabelScheme.from_names({1: "spleen", 7: "lesion"})
    given.label.array[0, 0, 0] = 7
    case = accept(tmp_path, replace(given, label=replace(given.label, scheme=grown)))
    assert case.scheme.names == {1: "spleen", 7: "lesion", 3: "liver"}


def test_an_image_with_nan_comes_in_with_a_note(tmp_path: Path) -> None:
    given = correction()
    array = given.volume.array.astype(np.float32)
    array[0, 0, 0, :3] = np.nan
    case = accept(tmp_path, replace(given, volume=replace(given.volume, array=array)))
    assert is_poisoned(case)
    report = verified(tmp_path)
    assert report.ok
    assert report.notes == (
        "case-0001: 3 voxels of the image are not numbers; fine-tuning leaves the case out.",
    )
    assert not is_poisoned(accept(tmp_path, correction(5)))


@pytest.mark.parametrize(
    "name", ["image.nrrd", "label.seg.nrrd", "network.seg.nrrd", "edited.nrrd", "checkpoint.json"]
)
def test_verify_names_the_damaged_file(tmp_path: Path, name: str) -> None:
    case = accept(tmp_path, correction(card=tiny_card()))
    path = case.folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (problem,) = verified(tmp_path).problems
    assert str(path) in problem
    assert "was changed" in problem
    path.write_bytes(content[:-1])
    assert "bytes where" in verified(tmp_path).problems[0]
    path.unlink()
    assert "cannot be read" in verified(tmp_path).problems[0]


def test_verify_sees_what_hashes_do_not(tmp_path: Path) -> None:
    case = accept(tmp_path, correction())
    (case.folder / "notes.txt").write_text("x")
    assert "does not belong" in verified(tmp_path).problems[0]
    (case.folder / "notes.txt").unlink()
    manifest = case.folder / "case.json"
    before = manifest.read_bytes()
    manifest.write_bytes(before.replace(b'"revision": 1', b'"revision": 2'))
    assert "not the file that was accepted" in verified(tmp_path).problems[0]
    manifest.unlink()
    assert str(manifest) in verified(tmp_path).problems[0]


def test_verify_compares_the_files_with_each_other(tmp_path: Path) -> None:
    """A set whose hashes all agree, written by something that mixed two cases up."""
    case, other = accept(tmp_path, correction(0)), accept(tmp_path, correction(1, (6, 8, 12)))
    for which, expected in (("label.seg.nrrd", "grid"), ("edited.nrrd", "where the label maps")):
        kept = {p.name: p.read_bytes() for p in case.folder.iterdir()}
        listed = (tmp_path / "corrections.json").read_bytes()
        _forge(tmp_path, case.folder, which, (other.folder / which).read_bytes())
        assert expected in verified(tmp_path).problems[0]
        for name, content in kept.items():
            (case.folder / name).write_bytes(content)
        (tmp_path / "corrections.json").write_bytes(listed)
    assert verified(tmp_path).ok


def _forge(folder: Path, case: Path, name: str, content: bytes) -> None:
    import hashlib

    (case / name).write_bytes(content)
    manifest = json.loads((case / "case.json").read_text())
    digest = hashlib.sha256(content).hexdigest()
    manifest["files"][name] = {"bytes": len(content), "sha256": digest}
    (case / "case.json").write_text(json.dumps(manifest))
    listed = json.loads((folder / "corrections.json").read_text())
    listed["cases"][0]["manifest_sha256"] = hashlib.sha256(
        (case / "case.json").read_bytes()
    ).hexdigest()
    (folder / "corrections.json").write_text(json.dumps(listed))


def test_a_folder_that_was_copied_in_is_told_and_never_deleted(tmp_path: Path) -> None:
    import shutil

    case = accept(tmp_path, correction(0))
    shutil.copytree(case.folder, tmp_path / "case-0002")
    (note,) = verified(tmp_path).notes
    assert "never accepted" in note
    accept(tmp_path, correction(1))
    assert len(list(tmp_path.glob(".unlisted-case-0002-*/image.nrrd"))) == 1
    assert verified(tmp_path).ok


def test_a_set_whose_list_is_lost_is_not_begun_anew(tmp_path: Path) -> None:
    accept(tmp_path, correction(0))
    (tmp_path / "corrections.json").unlink()
    with pytest.raises(CorrectionError, match="is no correction set"):
        CorrectionSet.open(tmp_path)
    with pytest.raises(CorrectionError, match="is gone"):
        accept(tmp_path, correction(1))
    assert (tmp_path / "case-0001" / "image.nrrd").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 99}', '{"cases": [{}]}'])
def test_a_damaged_list_gets_one_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "corrections.json").write_text(content)
    with pytest.raises(CorrectionError, match=r"damaged|newer"):
        CorrectionSet.open(tmp_path)


def test_a_full_disk_leaves_the_set_as_it_was(tmp_path: Path) -> None:
    accept(tmp_path, correction(0))
    before = snapshot(tmp_path)
    largest = max(len(content) for content in before.values())
    for size in (0, 100, 300, largest // 2, largest - 1):
        with files_of_at_most(size), pytest.raises(WriteError) as failure:
            accept(tmp_path, correction(1))
        assert str(failure.value).count("\n") == 0
        assert "cannot be written" in str(failure.value)
        assert snapshot(tmp_path) == before
        assert not list(tmp_path.glob(".draft-*"))
    accept(tmp_path, correction(1))
    assert verified(tmp_path).ok


def test_two_viewers_accept_at_once_and_neither_loses(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            accept(tmp_path, correction(seed), wait_s=30)
        except CorrectionError as error:  # pragma: no cover
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(CorrectionSet.open(tmp_path).cases) == 6
    assert verified(tmp_path).ok


def test_a_locked_set_is_left_alone_and_the_holder_named(tmp_path: Path) -> None:
    accept(tmp_path, correction(0))
    before = snapshot(tmp_path)
    with folder_lock(tmp_path), pytest.raises(LockedError, match=r"written by process \d+ on"):
        accept(tmp_path, correction(1), wait_s=0.05)
    assert snapshot(tmp_path) == before


def test_a_lock_of_another_computer_counts_until_it_is_old(tmp_path: Path) -> None:
    import os

    lock = tmp_path / ".lock"
    lock.write_text('{"pid": 7, "host": "ward-3"}')
    with pytest.raises(LockedError, match=r"process 7 on ward-3.*delete"):
        accept(tmp_path, correction(0), wait_s=0.05)
    os.utime(lock, (0, 0))
    accept(tmp_path, correction(0), wait_s=0.05)


def test_a_lock_that_a_dead_program_left_does_not_count(tmp_path: Path) -> None:
    import socket

    (tmp_path / ".lock").write_text(json.dumps({"pid": 1, "host": socket.gethostname()}))
    accept(tmp_path, correction(0), wait_s=0.05)
