"""The masks of Kvasir-SEG, JPEG files in colour, are label maps of one polyp."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.volume import load_label_map, load_volume

POLYP = LabelScheme.from_names({1: "polyp"})


def test_every_mask_is_one_label_on_its_photographs_grid(shared_data: Path) -> None:
    folder = shared_data / "kvasir_seg_2d"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    masks = sorted((folder / "labels").glob("*.jpg"))
    assert len(masks) == 80
    for mask in masks:
        labels = load_label_map(mask, POLYP)
        assert labels.present == (1,)
        with Image.open(mask) as stored:
            expected = np.array(stored.convert("L")) >= 128  # as SOURCE.md says
        assert np.array_equal(labels.to_source(labels.array)[0] == 1, expected)
        photograph = load_volume(folder / "images" / mask.name)
        assert photograph.geometry.same_grid(labels.geometry)
