"""How a label map looks in napari: fixed colours, and names under the mouse."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap

from napari_hybridseg.labels import LabelScheme

OPACITY = 0.55
UNEXPECTED = "#ff00ff"  # a label that the scheme does not name must not be invisible


def label_colormap(scheme: LabelScheme) -> DirectLabelColormap:
    """Give every organ its own colour, background none, and unknown labels a shrill one."""
    colours: dict[int | None, Any] = {None: UNEXPECTED, 0: "transparent"}
    colours.update({organ.id: organ.colour for organ in scheme.organs})
    return DirectLabelColormap(color_dict=colours)


def label_features(scheme: LabelScheme) -> dict[str, Any]:
    """Give the table from which napari tells the name of the organ under the mouse."""
    ids = [0, *scheme.ids]
    names = ["background", *(organ.name for organ in scheme.organs)]
    return {"index": np.asarray(ids, dtype=int), "organ": names}


def label_look(scheme: LabelScheme) -> dict[str, Any]:
    """Give the layer arguments that make a Labels layer look like its scheme."""
    return {
        "colormap": label_colormap(scheme),
        "features": label_features(scheme),
        "opacity": OPACITY,
    }
