"""Saving labels onto the exact grid of the file that their volume came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.volume import save_label_map
from napari_hybridseg.widgets.layer_data import label_map_of_attributes


def write_labels(path: str, data: NDArray[np.generic], attributes: dict[str, Any]) -> list[str]:
    """Write a Labels layer; napari has asked already whether a file may be replaced.

    Raises
    ------
    FormatError, LayerError
        If it cannot be written.
    """
    save_label_map(label_map_of_attributes(data, attributes), Path(path), overwrite=True)
    return [path]
