"""Every architecture segments a real volume that no training has seen, by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from small_networks import EVERY, NNUNET, random_checkpoint
from typer.testing import CliRunner

from napari_hybridseg.cli.app import app
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.networks.registry import MODULE_OF

LABELS = LabelScheme.from_names({1: "anterior", 2: "posterior"}, "hippocampus")
OFTEN = ("utnetv2-3d", "transfuse-s")
NAMES = [name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in EVERY]


@pytest.fixture(scope="session")
def hippocampus(shared_data: Path) -> Path:
    folder = shared_data / "hippocampus_msd04"
    if not folder.is_dir():
        pytest.skip("the hippocampus volumes are not beside this checkout")
    return folder / json.loads((folder / "dataset.json").read_text())["heldout"][0]["image"]


def test_none_is_forgotten() -> None:
    assert set(EVERY) == set(MODULE_OF)


@pytest.mark.parametrize("name", NAMES)
def test_it_segments_a_held_out_hippocampus(name: str, hippocampus: Path, tmp_path: Path) -> None:
    if name in NNUNET:
        pytest.importorskip("dynamic_network_architectures")
    checkpoint, out = random_checkpoint(tmp_path, name, LABELS), tmp_path / "labels.nii.gz"
    command = ["segment", hippocampus, "-c", checkpoint.path, "-o", out]
    ran = CliRunner().invoke(app, [*map(str, command), "--threads", "1", "--device", "cpu"])
    # logits that are no numbers end in a failure
    assert ran.exit_code == 0, ran.exception or ran.output
    image, labels = sitk.ReadImage(str(hippocampus)), sitk.ReadImage(str(out))
    assert labels.GetSize() == image.GetSize()
    assert labels.GetSpacing() == pytest.approx(image.GetSpacing(), abs=1e-6)
    assert labels.GetOrigin() == pytest.approx(image.GetOrigin(), abs=1e-4)
    assert labels.GetDirection() == pytest.approx(image.GetDirection(), abs=1e-6)
    assert set(np.unique(sitk.GetArrayFromImage(labels))) <= {0, 1, 2}
