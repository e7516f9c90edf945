"""A preset's protocol in the words of ``hybridseg train``."""

from __future__ import annotations

from typing import Any

from napari_hybridseg.older_python import zip
from napari_hybridseg.presets.find import find_preset
from napari_hybridseg.presets.preset import Preset, Protocol


def preset_train_options(name: str, architecture: str | None = None) -> dict[str, Any]:
    """Give the training options that a preset decides.

    What this trainer does in its own way is left out: it uses AdamW, so a rate that was chosen
    for SGD means nothing to it, and its loss and schedule are its own.

    Parameters
    ----------
    name : str
        As for ``find_preset``.
    architecture : str, optional
        The network to train.

    Returns
    -------
    dict
        Keywords of ``TrainOptions``.

    Raises
    ------
    PresetError
        If there is no such preset.
    """
    preset = find_preset(name, architecture)
    return {
        "architecture": architecture or preset.architecture,
        "config": preset.config,
        "patch_size": _patch_size(preset),
        "orientation": preset.preprocessing.orientation,
        "spacing": preset.preprocessing.spacing,
        "intensity": preset.preprocessing.intensity.model_dump(),
        "slice_axis": preset.windows.slice_axis,
        "overlap": preset.windows.overlap,
        "mirror_axes": preset.windows.mirror_axes,
        **_options(preset.protocol),
    }


def _patch_size(preset: Preset) -> tuple[int, int, int]:
    """Turn the window of the authors' axes into (Z, Y, X), in which we train."""
    size = dict(zip(preset.preprocessing.axes, preset.windows.size, strict=True))
    return size[0], size[1], size[2]


def _options(protocol: Protocol) -> dict[str, Any]:
    options: dict[str, Any] = {
        "batch_size": protocol.batch_size,
        "warm_up": protocol.schedule.warm_up,
        "ema_decay": protocol.ema_decay,
        "augmentation": protocol.variation.model_dump(exclude={"other"}),
    }
    if protocol.steps is not None:
        options["steps"] = protocol.steps
    if protocol.optimiser.kind != "sgd":
        options["learning_rate"] = protocol.optimiser.learning_rate
        options["weight_decay"] = protocol.optimiser.weight_decay
    if protocol.gradient_clip is not None:
        options["gradient_clip"] = protocol.gradient_clip
    if protocol.foreground is not None:
        options["foreground"] = protocol.foreground
    return options
