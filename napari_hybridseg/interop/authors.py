"""Importing a file of weights that the authors of one of the papers' code saved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_hybridseg.checkpoint import load_checkpoint
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.interop.foreign_files import (
    ForeignFileError,
    read_safetensors,
    read_torch_file,
    state_dict_of,
)
from napari_hybridseg.interop.imported import (
    Imported,
    card_name,
    check_fits,
    check_labels,
    imported_provenance,
)
from napari_hybridseg.interop.sniff import sniff
from napari_hybridseg.interop.sniffed import Sniffed
from napari_hybridseg.interop.state_dicts import convert_state_dict, strip_wrapper_prefixes
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.networks import get_architecture
from napari_hybridseg.presets import Preset, find_preset, presets_for

# of TransFuse: the last layer of each of its three heads
_LAST_LAYERS = ("head_first.2", "head_tokens.1", "head_last.1")


def import_authors_file(
    path: Path,
    preset: str | None,
    architecture: str | None = None,
    labels: LabelScheme | None = None,
    config: Mapping[str, Any] | None = None,
) -> Imported:
    """Turn the authors' file into one of our checkpoints.

    Parameters
    ----------
    path : Path
        A ``.pth``, ``.model`` or ``.safetensors`` file.
    preset : str or None
        What the weights do not show: see ``find_preset``.
    architecture : str, optional
        What the file is expected to be of.
    labels : LabelScheme, optional
        Instead of the preset's.
    config : mapping, optional
        Settings that take precedence over what the preset says and the weights show.

    Raises
    ------
    ForeignFileError
        If the file cannot be read, is of another network, or does not fit the preset.
    PresetError, ArchitectureError, StateDictError
        If there is no such preset, or the settings or names do not fit.
    """
    content = _content(path)
    held = _held(content, path)
    _refuse_single_fold(held, path)
    state = {
        strip_wrapper_prefixes(key): value for key, value in state_dict_of(held, path.name).items()
    }
    found = sniff(state, path.name)
    _check_architecture(found, architecture, path)
    chosen = _preset(preset, found, path)
    settings = {**chosen.config, **chosen.hidden, **found.config, **(config or {})}
    checked = get_architecture(found.architecture).make_config(settings)
    weights = convert_state_dict(state, found.architecture, settings)
    classes = found.num_classes
    if classes == 1:
        weights, classes = with_background(weights, path.name), 2
    scheme = labels or chosen.labels
    check_labels(scheme, classes, path.name)
    card = ModelCard(
        name=card_name(f"{found.architecture}-{chosen.dataset}"),
        description=f"The authors' {get_architecture(found.architecture).title}, imported.",
        architecture=found.architecture,
        config=checked.model_dump(mode="json"),
        in_channels=found.in_channels,
        labels=scheme,
        modality=chosen.modality,
        preprocessing=chosen.preprocessing,
        windows=chosen.windows,
        provenance=imported_provenance(
            "the authors' file", {path.name: content}, preset=chosen.name
        ),
        attribution=get_architecture(found.architecture).paper,
        limitations=(
            "What the weights do not show (preprocessing, organs' names, and settings such as "
            f"heads and activations) is taken from the preset {chosen.name}: {chosen.source}"
        ),
    )
    imported = Imported(card, weights)
    check_fits(imported, path.name)
    return imported


def with_background(weights: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Give a network with one output, which means organ or not by a sigmoid, a second one.

    Background gets the logit 0, so the softmax over both is the sigmoid, and the largest of both
    is the organ exactly where the sigmoid is above one half.

    Raises
    ------
    ForeignFileError
        If it is not known where this network's last layers are.
    """
    if f"{_LAST_LAYERS[-1]}.weight" not in weights:
        raise ForeignFileError(
            f"{name} has one output class, which no known file of this network has; only "
            "TransFuse's files may."
        )
    extended = dict(weights)
    for layer in _LAST_LAYERS:
        for part in (f"{layer}.weight", f"{layer}.bias"):
            extended[part] = torch.cat([torch.zeros_like(weights[part]), weights[part]])
    return extended


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ForeignFileError(f"{path} cannot be read: {error.strerror or error}.") from error


def _held(content: bytes, path: Path) -> Any:
    if path.suffix != ".safetensors":
        return read_torch_file(content, path.name)
    try:
        load_checkpoint(path)
    except HybridSegError:
        return read_safetensors(content, path.name)
    raise ForeignFileError(
        f"{path.name} is a checkpoint of ours already and needs no import; use it as it is."
    )


def _refuse_single_fold(held: Any, path: Path) -> None:
    if isinstance(held, Mapping) and "network_weights" in held:
        raise ForeignFileError(
            f"{path.name} is one fold of an nnU-Net; give the trained model's folder instead, the "
            "one with plans.json and dataset.json."
        )


def _check_architecture(found: Sniffed, wish: str | None, path: Path) -> None:
    if wish is not None and wish != found.architecture:
        raise ForeignFileError(
            f"{path.name} is a file of {found.architecture}, not of {wish}; leave the "
            "architecture out."
        )


def _preset(name: str | None, found: Sniffed, path: Path) -> Preset:
    if name is not None:
        return find_preset(name, found.architecture)
    known = presets_for(found.architecture)
    fitting = [p for p in known if len(p.labels.organs) + 1 == max(found.num_classes, 2)]
    choice = ", ".join(preset.dataset for preset in fitting or known) or "none is known"
    raise ForeignFileError(
        f"{path.name} is a {found.architecture} with {found.num_classes} output classes, but "
        "weights show neither how images were prepared nor what the classes mean; choose with "
        f"--preset: {choice}."
    )
