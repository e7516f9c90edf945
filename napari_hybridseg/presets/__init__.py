"""The papers' protocols by name: networks, preprocessing, windows and training."""

from napari_hybridseg.presets.find import PRESETS, PresetError, find_preset, presets_for
from napari_hybridseg.presets.preset import Preset
from napari_hybridseg.presets.train_options import preset_train_options

__all__ = [
    "PRESETS",
    "Preset",
    "PresetError",
    "find_preset",
    "preset_train_options",
    "presets_for",
]
