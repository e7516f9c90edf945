from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from cli_support import hybridseg, hybridseg_process

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.volume import load_label_map, load_volume


@pytest.fixture
def run(tiny: Checkpoint):
    """Give a function that segments with the tiny checkpoint."""
    return lambda *args: hybridseg("segment", "-c", tiny.path, "--device", "cpu", *args)


def test_a_label_map_on_the_images_grid(run, image: Path, tmp_path: Path) -> None:
    ran = run(image, "-o", tmp_path / "out.nii.gz", "--json")
    assert ran.code == 0, ran.err
    content = ran.json
    assert content["checkpoint"] == "tiny"
    assert content["failed"] == []
    (result,) = content["results"]
    assert result["output"] == str(tmp_path / "out.nii.gz")
    assert set(result["organs_ml"]) == {"spleen", "liver", "aorta"}
    before, after = (sitk.ReadImage(str(p)) for p in (image, tmp_path / "out.nii.gz"))
    assert after.GetSize() == before.GetSize()
    assert after.GetSpacing() == before.GetSpacing()
    assert after.GetOrigin() == before.GetOrigin()
    assert after.GetDirection() == before.GetDirection()
    labels = load_label_map(tmp_path / "out.nii.gz")
    ml = labels.geometry.voxel_volume_ml
    assert result["organs_ml"]["liver"] == pytest.approx((labels.array == 3).sum() * ml, abs=1e-3)
    assert labels.source == load_volume(image).source


def test_in_a_process_of_its_own(tiny: Checkpoint, image: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.nrrd"
    ran = hybridseg_process("segment", image, "-c", tiny.path, "-o", out, "--threads", 1, "--json")
    assert ran.code == 0, ran.err
    assert ran.err == ""
    assert ran.json["results"][0]["output"] == str(out)
    assert out.is_file()


def test_for_people(run, image: Path, tmp_path: Path) -> None:
    ran = run(image, "-o", tmp_path / "out.nii.gz")
    assert ran.code == 0
    assert "Label maps" in ran.out
    assert "liver" in ran.out


def test_several_images_go_into_a_folder(run, image: Path, tmp_path: Path) -> None:
    second = shutil.copy(image, tmp_path / "second.nii.gz")
    ran = run(image, second, "-o", tmp_path / "out", "--json")
    assert ran.code == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "scan_labels.nii.gz",
        "second_labels.nii.gz",
    ]


def test_a_failed_case_does_not_stop_the_rest(run, image: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.nrrd").write_bytes(b"no image")
    ran = run(tmp_path / "bad.nrrd", image, "-o", tmp_path / "out", "--json")
    assert ran.code == 1
    assert [Path(r["image"]).name for r in ran.json["results"]] == ["scan.nii.gz"]
    (failure,) = ran.json["failed"]
    assert "bad.nrrd" in failure["error"]
    assert "\n" not in failure["error"]


def test_an_existing_label_map_is_kept(run, image: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.nii.gz"
    out.write_text("mine")
    ran = run(image, "-o", out)
    assert ran.code == 1
    assert "exists already" in ran.sentence
    assert out.read_text() == "mine"
    assert "exists already" in run(tmp_path / "gone.nii.gz", "-o", out).sentence
    assert run(image, "-o", out, "--overwrite").code == 0
    assert load_label_map(out).array.shape == load_volume(image).geometry.shape


def test_existing_label_maps_can_be_skipped(run, image: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "scan_labels.nii.gz").write_text("mine")
    second = shutil.copy(image, tmp_path / "second.nii.gz")
    ran = run(image, second, "-o", out, "--skip-existing", "--json")
    assert ran.code == 0
    assert [r.get("skipped", False) for r in ran.json["results"]] == [True, False]
    assert (out / "scan_labels.nii.gz").read_text() == "mine"


def test_the_image_itself_is_never_overwritten(run, image: Path) -> None:
    before = image.read_bytes()
    ran = run(image, "-o", image, "--overwrite")
    assert ran.code == 1
    assert "is the image itself" in ran.sentence
    assert image.read_bytes() == before


def test_images_of_the_same_name_are_named_by_their_folders(
    run, image: Path, tmp_path: Path
) -> None:
    images = [tmp_path / "patients" / name / "scan.nii.gz" for name in ("p01", "p02")]
    for each in images:
        each.parent.mkdir(parents=True)
        shutil.copy(image, each)
    out = tmp_path / "out"
    ran = run(*images, "-o", out, "--json")
    assert ran.code == 0, ran.err
    expected = ["p01_scan_labels.nii.gz", "p02_scan_labels.nii.gz"]
    assert [r["output"] for r in ran.json["results"]] == [str(out / name) for name in expected]
    assert ran.sentence.startswith("Note: Images of several folders share a name")
    assert "p01_scan_labels.nii.gz" in ran.sentence

    images[1].write_bytes(b"no image")
    told = run(*images, "-o", tmp_path / "again").out
    assert all(str(Path(*image.parts[-3:-1])) in "".join(told.split()) for image in images)

    alone = run(images[1], "-o", out, "--skip-existing", "--json").json["results"]
    assert [(r["output"], r["skipped"]) for r in alone] == [(str(out / expected[1]), True)]
    assert sorted(path.name for path in out.iterdir()) == expected


def test_an_image_given_twice_is_refused(run, image: Path, tmp_path: Path) -> None:
    ran = run(image, image, "-o", tmp_path / "out")
    assert ran.code == 2
    assert "was given 2 times" in " ".join(ran.err.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device", "toaster"], "device"),
        (["--overlap", "1.5"], "overlap"),
        (["--precision", "int3"], "precision"),
        (["--threads", "-1"], "threads"),
    ],
)
def test_wrong_choices_are_exit_code_2(
    run, image: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    ran = run(image, "-o", tmp_path / "out.nii.gz", *arguments)
    assert ran.code == 2
    assert words in ran.err
    assert ran.out == ""


def test_what_cannot_be_written_is_said_before_the_work(run, image: Path, tmp_path: Path) -> None:
    ran = run(image, "-o", tmp_path / "out.mgz")
    assert ran.code == 2
    assert ".nii.gz" in ran.err
    assert not (tmp_path / "out.mgz").exists()
    assert run(image, image, "-o", tmp_path / "out.nii.gz").code == 2
    (tmp_path / "file").write_text("")
    ran = run(image, "-o", tmp_path / "file")
    assert ran.code == 1
    assert "cannot be made" in ran.sentence


def test_a_device_that_is_not_there_fails_each_case(run, image: Path, tmp_path: Path) -> None:
    ran = run(image, "-o", tmp_path / "out.nii.gz", "--device", "cuda:99", "--json")
    assert ran.code == 1
    assert "There is no device 'cuda:99' here" in ran.json["failed"][0]["error"]


def test_an_unknown_checkpoint_lists_the_known_ones(
    installed: Path, image: Path, tmp_path: Path
) -> None:
    ran = hybridseg("segment", image, "-c", "kidney", "-o", tmp_path / "out.nii.gz", "--json")
    assert ran.code == 1
    assert ran.out == ""
    assert "no checkpoint 'kidney'" in ran.sentence
    assert "liver-1.0" in ran.sentence


@pytest.mark.parametrize("name", ["liver-1.0", "spleen", "other-file"])
def test_a_checkpoint_is_found_by_its_name(
    installed: Path, image: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()  # a folder of that name in the current folder is no checkpoint
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out.nii.gz"
    ran = hybridseg("segment", image, "-c", name, "-o", out, "--device", "cpu", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["checkpoint"] == ("liver-1.0" if name == "liver-1.0" else "spleen")


def test_notes_go_to_stderr(run, tmp_path: Path, image: Path) -> None:
    volume = sitk.ReadImage(str(image))
    array = sitk.GetArrayFromImage(volume)
    array[0, 0, 0] = np.nan
    damaged = sitk.GetImageFromArray(array)
    damaged.CopyInformation(volume)
    sitk.WriteImage(damaged, str(tmp_path / "nan.nrrd"))
    ran = run(tmp_path / "nan.nrrd", "-o", tmp_path / "out.nrrd", "--json")
    assert ran.code == 0
    assert "NaN" in ran.err
    assert any("NaN" in note for note in ran.json["results"][0]["notes"])


def test_an_image_that_a_label_map_would_replace_is_said(run, image: Path) -> None:
    drawn = Path(shutil.copy(image, image.with_name("scan_labels.nii.gz")))
    before = drawn.read_bytes()
    assert image.name == "scan.nii.gz"
    ran = run(image, drawn, "-o", image.parent, "--overwrite")
    assert ran.code == 2
    assert "would replace an image" in " ".join(ran.err.split())
    assert drawn.read_bytes() == before


def test_one_moment_of_a_time_series(run, image: Path, tmp_path: Path) -> None:
    moments = [sitk.ReadImage(str(image)) + shift for shift in (0, 300)]
    series = tmp_path / "series.mha"
    sitk.WriteImage(sitk.JoinSeries(moments), str(series))
    out = tmp_path / "out.nrrd"
    ran = run(series, "-o", out)
    assert ran.code == 1
    assert f"{series} holds 2 volumes" in ran.sentence
    assert "choose one with --time 1 to --time 2" in ran.sentence
    assert "no volume 3" in run(series, "-o", out, "--time", 3).sentence
    assert run(series, "-o", out, "--time", 2).code == 0
    sitk.WriteImage(moments[1], str(tmp_path / "second.mha"))
    assert run(tmp_path / "second.mha", "-o", tmp_path / "alone.nrrd").code == 0
    there, alone = (load_label_map(tmp_path / name) for name in ("out.nrrd", "alone.nrrd"))
    np.testing.assert_array_equal(there.array, alone.array)
    assert there.source.same_grid(alone.source)


def test_the_help_names_every_choice() -> None:
    words = " ".join(hybridseg("segment", "--help").out.replace("│", " ").split())
    for choice in ("gaussian", "constant", "openvino", "onnx", "bfloat16", "float16", "cuda"):
        assert choice in words
    assert "as many as tell the images apart: p01_scan_labels.nii.gz." in words


def test_a_wrong_device_is_answered_with_the_possible_ones(
    run, image: Path, tmp_path: Path
) -> None:
    ran = run(image, "-o", tmp_path / "out.nii.gz", "--device", "gpu")
    words = " ".join(ran.err.replace("│", " ").split())
    assert ran.code == 2
    assert "auto, cpu, cuda, cuda:1 or mps" in words
    assert "pattern" not in words


def test_a_missing_folder_is_named(run, image: Path, tmp_path: Path) -> None:
    ran = run(image, "-o", tmp_path / "no" / "out.nii.gz")
    assert ran.code == 1
    assert "no does not exist" in ran.sentence


def test_the_option_that_replaces_is_named(run, image: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.nii.gz"
    assert run(image, "-o", out).code == 0
    assert "--overwrite" in run(image, "-o", out).sentence
