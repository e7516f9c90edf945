"""Names of the label maps of many images."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from napari_hybridseg.cli.naming import ENDING, targets_for


def files(folder: Path, *names: str) -> list[Path]:
    """Make empty files, and give them."""
    made = [folder / name for name in names]
    for path in made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return made


def short(images: list[Path], out: Path) -> list[str]:
    """Give the names without their common ending."""
    targets = targets_for(images, out)
    assert all(target.parent == out for target in targets)
    return [target.name.removesuffix(ENDING) for target in targets]


def done(out: Path, *names: str) -> None:
    """Have label maps of an earlier run."""
    files(out, *(f"{name}{ENDING}" for name in names))


def test_names_that_differ_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = files(tmp_path, "a/one.nii.gz", "b/two.nrrd")
    assert short(images, tmp_path / "out") == ["one", "two"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["p1/scan.nii", "p2/scan.nii"], ["p1_scan", "p2_scan"]),
        (["p1/scan.nii.gz", "p2/scan.nrrd"], ["p1_scan", "p2_scan"]),
        (["p1/Scan.nii", "p2/scan.nii"], ["p1_Scan", "p2_scan"]),
        (["p1/s/a.nii", "p2/s/a.nii"], ["p1_s_a", "p2_s_a"]),
        (["p1/s/a.nii", "p1/t/a.nii", "p2/s/a.nii"], ["p1_s_a", "p1_t_a", "p2_s_a"]),
        (["p1/ct.nii", "p2/ct.nii", "p1/mr.nii"], ["p1_ct", "p2_ct", "p1_mr"]),
        (["p/a_b/c.nii", "q/a/b_c.nii", "q/x/c.nii"], ["p_a_b_c", "q_a_b_c", "q_x_c"]),
    ],
)
def test_as_many_folders_as_tell_them_apart(
    tmp_path: Path, given: list[str], expected: list[str]
) -> None:
    images = files(tmp_path, *given)
    assert short(images, tmp_path / "out") == expected
    assert short(images[::-1], tmp_path / "out") == expected[::-1]


def test_folders_of_series_are_told_apart_by_their_patients(tmp_path: Path) -> None:
    images = [tmp_path / name / "CT" for name in ("p1", "p2")]
    for image in images:
        image.mkdir(parents=True)
    assert short(images, tmp_path / "out") == ["p1_CT", "p2_CT"]


def test_one_note_says_what_was_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    targets_for(files(tmp_path, "p1/scan.nii", "p2/scan.nii"), tmp_path / "out")
    (note,) = capsys.readouterr().err.splitlines()
    assert note == (
        "Note: Images of several folders share a name: the names of folders go before it, as in "
        "p1_scan_labels.nii.gz."
    )


def test_an_image_given_alone_keeps_its_longer_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = files(tmp_path, "p1/scan.nii", "p2/scan.nii", "p_3/scan.nii")
    out = tmp_path / "out"
    done(out, "p1_scan", "p_3_scan")
    for image, name in zip(images, ("p1_scan", "p2_scan", "p_3_scan"), strict=True):
        assert short([image], out) == [name]
    assert "The label maps there have their images' folders in their" in capsys.readouterr().err


def test_it_keeps_the_name_that_only_namesakes_had_so_far(tmp_path: Path) -> None:
    images = files(tmp_path, "p1/s/a.nii", "p1/t/a.nii", "p2/s/a.nii", "p_2/t_0/a.nii")
    out = tmp_path / "out"
    done(out, "p_2_t_0_a")
    for chosen in (images, images[:2], images[:1], images[2:]):
        expected = ["_".join(image.parts[-3:]).removesuffix(".nii") for image in chosen]
        assert short(chosen, out) == expected


def test_label_maps_of_other_images_lengthen_no_name(tmp_path: Path) -> None:
    images = files(tmp_path, "p1/scan.nii")
    done(tmp_path / "out", "big_scan", "p2_scan", "other")
    assert short(images, tmp_path / "out") == ["scan"]


def test_a_run_goes_on_under_its_own_names_wherever_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = files(tmp_path, "p1/scan.nii", "p2/scan.nii")
    done(tmp_path / "out", "p1_scan")
    monkeypatch.chdir(images[1].parent)
    assert short([Path("scan.nii")], tmp_path / "out") == ["p2_scan"]
    assert short([Path("../p1/scan.nii"), Path("./scan.nii")], tmp_path / "out") == [
        "p1_scan",
        "p2_scan",
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["p/a.nii", "p/a.nrrd"], "would have the same name, with the names of their folders too"),
        (["p/a.nii", "p/a.nii"], "was given 2 times"),
        (["p/../p/a.nii", "p/a.nii"], "was given 2 times"),
    ],
)
def test_what_stays_ambiguous_is_refused(tmp_path: Path, given: list[str], said: str) -> None:
    images = files(tmp_path, *given)
    with pytest.raises(typer.BadParameter, match=said) as caught:
        targets_for(images, tmp_path / "out")
    assert str(images[-1]) in str(caught.value)
    assert not (tmp_path / "out").exists()


# no name is others joined by an underscore: nobody could tell whose that is
FOLDERS = st.sampled_from(["a", "b", "x_y", "y_z_1", "A"])
FILES = st.sampled_from(["a", "b", "A"])
PATHS = st.lists(st.tuples(FOLDERS, FOLDERS, FILES), min_size=1, max_size=6, unique=True)


@given(PATHS, st.data())
def test_any_part_of_a_study_gets_the_names_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, paths: list[tuple[str, str, str]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("study")
    images = files(folder / "in", *(f"{x}/{y}/{z}.nii" for x, y, z in paths))
    out = folder / "out"
    try:
        names = short(images, out)
    except typer.BadParameter:  # A/a and a/a
        assert len({str(image).casefold() for image in images}) < len(images)
        return
    assert len({name.casefold() for name in names}) == len(names)
    written = dict(zip(images, names, strict=True))
    done(out, *names)
    some = data.draw(st.lists(st.sampled_from(images), min_size=1, unique=True))
    assert short(some, out) == [written[image] for image in some]
