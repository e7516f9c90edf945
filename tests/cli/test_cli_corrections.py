from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_support import hybridseg
from helpers import grid, tiny_checkpoint, write_dataset

from napari_hybridseg.formats import write_image
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.volume import load_label_map, load_volume

SHAPE = (8, 9, 10)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path, Path]:
    """Give an image, a corrected label map, the network's, and the organs' names."""
    image = np.random.default_rng(0).normal(0, 9, SHAPE).astype(np.int16)
    network = np.zeros(SHAPE, np.uint8)
    network[2:5, 2:5, 2:5] = 4
    label = network.copy()
    label[5, 2:5, 2:5] = 4
    paths = [tmp_path / f"{name}.nrrd" for name in ("DOE_JOHN", "label", "network")]
    for path, array in zip(paths, (image, label, network), strict=True):
        write_image(path, array, grid(SHAPE))
    names = tmp_path / "names.json"
    names.write_text(LabelScheme.from_names({4: "spleen"}).to_json())
    return paths[0], paths[1], paths[2], names


def test_add_list_verify_remove(tmp_path: Path, files: tuple[Path, Path, Path, Path]) -> None:
    image, label, network, names = files
    folder = tmp_path / "set"
    ran = hybridseg(
        "corrections", "add", folder, image, label, "--network-label", network,
        "--labels", names, "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert ran.json["name"] == "case-0001"
    assert ran.json["edits"] == [{"label": 4, "name": "spleen", "added": 9, "removed": 0}]
    assert "DOE" not in json.dumps(ran.json)
    listed = hybridseg("corrections", "list", folder, "--json").json
    assert [case["edited_voxels"] for case in listed["cases"]] == [9]
    assert "spleen" in hybridseg("corrections", "list", folder).out
    assert hybridseg("corrections", "verify", folder, "--json").json["ok"] is True
    (folder / "case-0001" / "label.seg.nrrd").write_bytes(b"x")
    ran = hybridseg("corrections", "verify", folder, "--json")
    assert ran.code == 1
    assert "label.seg.nrrd" in ran.json["problems"][0]
    assert "label.seg.nrrd" in hybridseg("corrections", "verify", folder).sentence
    assert hybridseg("corrections", "remove", folder, "case-0001").code == 0
    ran = hybridseg("corrections", "remove", folder, "case-0001")
    assert ran.code == 1
    assert "no case" in ran.sentence


def test_import_and_export_there_and_back(tmp_path: Path) -> None:
    source = write_dataset(tmp_path / "decathlon", train=2)
    folder = tmp_path / "set"
    ran = hybridseg("corrections", "import", folder, source, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["added"] == ["case-0001", "case-0002"]
    out = tmp_path / "Dataset101_Boxes"
    assert hybridseg("corrections", "export", folder, "-o", out).code == 0
    content = json.loads((out / "dataset.json").read_text())
    assert content["labels"] == {"background": 0, "large box": 1, "small box": 2}
    assert content["numTraining"] == 2
    assert content["channel_names"] == {"0": "MR"}
    image = load_volume(out / "imagesTr" / "case-0001_0000.nii.gz")
    first = load_volume(source.parent / "image0.nii.gz")
    np.testing.assert_array_equal(image.array, first.array)
    label = load_label_map(out / "labelsTr" / "case-0001.nii.gz").array
    given = load_label_map(source.parent / "label0.nii.gz").array
    np.testing.assert_array_equal(label, np.select([given == 2, given == 5], [1, 2], 0))
    again = tmp_path / "again"
    ran = hybridseg("corrections", "import", again, out, "--json")
    assert ran.json["added"] == ["case-0001", "case-0002"]
    ran = hybridseg("corrections", "export", folder, "-o", out)
    assert ran.code == 1
    assert "exists already" in ran.sentence
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_import_refuses_the_pair_that_does_not_fit_and_takes_the_others(tmp_path: Path) -> None:
    source = write_dataset(tmp_path / "data", train=2)
    write_image(
        source.parent / "label1.nii.gz", np.zeros((3, 3, 3), np.uint8), grid((3, 3, 3)),
        overwrite=True,
    )  # fmt: skip
    ran = hybridseg("corrections", "import", tmp_path / "set", source, "--json")
    assert ran.code == 1
    assert ran.json["added"] == ["case-0001"]
    assert "label1.nii.gz" in ran.json["refused"][0]
    assert hybridseg("corrections", "import", tmp_path / "set", tmp_path / "none").code == 1


def test_rank(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path)
    folder = tmp_path / "scans"
    folder.mkdir()
    for seed in range(3):
        array = np.random.default_rng(seed).normal(0, 1 + seed, SHAPE).astype(np.float32)
        write_image(folder / f"scan{seed}.nrrd", array, grid(SHAPE))
    ran = hybridseg("corrections", "rank", folder, "-c", checkpoint.path, "--json")
    assert ran.code == 0, ran.err
    assert len(ran.json["scans"]) == 3
    assert ran.json["scans"][0]["novelty"] == 1
    assert (
        "Correct these first" in hybridseg("corrections", "rank", folder, "-c", checkpoint.path).out
    )
