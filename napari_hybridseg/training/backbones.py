"""Files of public classifiers' weights that a network's branches start from."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.model_card import DataSource
from napari_hybridseg.networks import architecture_names, get_architecture
from napari_hybridseg.networks.registry import MODULE_OF

HUB = "hf://"
_HUB_FILE = "model.safetensors"


class BackboneError(HybridSegError):
    """Backbone weights that are not there, or that the network has no use for."""


@dataclass(frozen=True)
class Backbone:
    """One file of weights on this machine.

    ``source`` says for the card where it is from, with its hash.
    """

    path: Path
    architecture: str
    source: DataSource

    def load_into(self, network: nn.Module) -> str:
        """Copy the weights into the part of a fresh network that they fit; name that part.

        Raises
        ------
        BackboneWeightsError
            If they fit nowhere.
        """
        load = get_architecture(self.architecture).load_backbone
        assert load is not None, "find_backbones has checked it"
        return load(network, self.path)


def find_backbones(architecture: str, names: Sequence[str]) -> tuple[Backbone, ...]:
    """Find the files that a run starts from, downloading those that are named on the hub.

    Parameters
    ----------
    architecture : str
        The network.
    names : sequence of str
        Paths, or ``hf://OWNER/NAME`` for the ``model.safetensors`` of a hub repository.

    Raises
    ------
    BackboneError
        If the network has no such branch, or a file is not there and cannot be had.
    """
    if names and get_architecture(architecture).load_backbone is None:
        able = [n for n in architecture_names() if n in MODULE_OF and _takes_backbones(n)]
        raise BackboneError(
            f"{architecture} starts from no backbone weights; leave them out or choose one of: "
            f"{', '.join(able)}."
        )
    return tuple(_find(architecture, name) for name in names)


def _takes_backbones(name: str) -> bool:
    return get_architecture(name).load_backbone is not None


def _find(architecture: str, name: str) -> Backbone:
    path = _download(name.removeprefix(HUB)) if name.startswith(HUB) else Path(name)
    try:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise BackboneError(
            f"The backbone weights {name} cannot be read: {error.strerror or error}."
        ) from error
    shown = name if name.startswith(HUB) else path.name
    return Backbone(path, architecture, DataSource(name=shown, sha256=sha256))


def _download(repository: str) -> Path:
    try:
        hub = importlib.import_module("huggingface_hub")
        errors = importlib.import_module("huggingface_hub.errors")
    except ImportError as error:
        raise BackboneError(
            f"{HUB}{repository} needs a library that is not installed; run: "
            "pip install huggingface_hub, or give a file."
        ) from error
    try:
        return Path(hub.hf_hub_download(repository, _HUB_FILE))
    except (OSError, ValueError, errors.HfHubHTTPError) as error:
        raise BackboneError(
            f"{HUB}{repository} cannot be downloaded, and is not in the cache; check the name and "
            f"the connection, or give a {_HUB_FILE} that was downloaded elsewhere."
        ) from error
