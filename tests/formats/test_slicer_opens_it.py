"""What we write is opened by 3D Slicer's own classes, and what they write by us.

Needs slicer-core, in this Python or in the one that HYBRIDSEG_SLICER_PYTHON names (a virtual
environment of its own: ``pip install slicer-core``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_hybridseg.formats import read_image, write_image
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.labels import LabelScheme, Organ

_SLICER_PYTHON = os.environ.get("HYBRIDSEG_SLICER_PYTHON", sys.executable)
_OPENS = Path(__file__).with_name("slicer_opens.py")
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

OBLIQUE = Geometry(
    (6, 5, 4), (1.0, 1.5, 2.0), (-1.0, 22.0, 3.0), (0, 0.6, 0.8, 1, 0, 0, 0, 0.8, -0.6)
)
SCHEME = LabelScheme(
    organs=(
        Organ(id=40, name="Tumor: links | ü~^", colour="#ff0000"),
        Organ(id=2, name="Leber", colour="#dd8265", snomed="10200004"),
        Organ(id=3, name="absent", colour="#00ff01", snomed="78961009"),
    )
)


def slicer_says(path: Path, saved: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        [_SLICER_PYTHON, str(_OPENS), str(path), str(saved)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    segments: list[dict[str, Any]] = json.loads(done.stdout)
    return segments


@pytest.fixture(scope="module", autouse=True)
def needs_slicer() -> None:
    code = "import slicer; slicer.vtkMRMLSegmentationStorageNode"
    done = subprocess.run([_SLICER_PYTHON, "-c", code], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("needs slicer-core; name its Python in HYBRIDSEG_SLICER_PYTHON")


@pytest.mark.parametrize("largest", [7, 300])
def test_slicer_sees_the_same_segments_and_we_see_what_it_saves(
    tmp_path: Path, largest: int
) -> None:
    labels = np.zeros(OBLIQUE.shape, np.uint16)
    labels[1:3, 2, 3], labels[0, 0, 0], labels[3, 4, 5] = 2, 40, largest
    path, saved = tmp_path / "ours.seg.nrrd", tmp_path / "slicers.seg.nrrd"
    write_image(path, labels, OBLIQUE, scheme=SCHEME)
    segments = slicer_says(path, saved)

    organs = (*SCHEME.organs, SCHEME.organ(largest))
    assert [s["name"] for s in segments] == [organ.name for organ in organs]
    assert [s["value"] for s in segments] == [organ.id for organ in organs]
    for segment, organ in zip(segments, organs, strict=True):
        assert tuple(round(255 * part) for part in segment["colour"]) == organ.rgb
        code = ["SCT", organ.snomed, organ.name] if organ.snomed else ["SCT", "85756007", "Tissue"]
        assert segment["type"] == code
        inside = np.reshape(segment["voxels"], segment["shape"]) != 0
        np.testing.assert_array_equal(inside, labels == organ.id)
        np.testing.assert_allclose(segment["affine_ras"], _LPS_TO_RAS @ OBLIQUE.affine, atol=1e-9)

    back = read_image(saved)
    assert back.geometry.same_grid(OBLIQUE)
    assert back.scheme is not None
    assert back.scheme.organs == organs
    np.testing.assert_array_equal(back.array[0], labels)
