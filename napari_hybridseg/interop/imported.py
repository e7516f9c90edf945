"""A foreign checkpoint in our words, and what is checked before it may be one of ours."""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from napari_hybridseg import __version__
from napari_hybridseg.interop.foreign_files import ForeignFileError
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import ModelCard, Provenance
from napari_hybridseg.networks import create_network

_SHOWN = 5


@dataclass(frozen=True)
class Imported:
    """Weights under our names, and the card that they were given."""

    card: ModelCard
    weights: dict[str, Tensor]


def check_fits(imported: Imported, source: str) -> None:
    """Check that the weights are exactly those of the network that the card names.

    Raises
    ------
    ForeignFileError
        With the names of what is missing, too much, of another shape, or no finite number.
    """
    card = imported.card
    parameters = _parameters(card, source)
    wanted = {key: tuple(value.shape) for key, value in parameters.items()}
    given = {key: tuple(value.shape) for key, value in imported.weights.items()}
    faults = [
        f"{what} {listed(names)}"
        for what, names in (
            ("missing:", [key for key in wanted if key not in given]),
            ("not in the network:", [key for key in given if key not in wanted]),
            (
                "of another shape:",
                [
                    f"{key} {given[key]} instead of {shape}"
                    for key, shape in wanted.items()
                    if key in given and given[key] != shape
                ],
            ),
            (
                "not real, finite numbers:",
                [
                    key
                    for key, value in imported.weights.items()
                    if key in parameters and not _can_replace(value, parameters[key])
                ],
            ),
        )
        if names
    ]
    if faults:
        raise ForeignFileError(
            f"{source} does not hold the weights of the {card.architecture} that it seems to be; "
            f"check the preset and the config ({'; '.join(faults)})."
        )


def _parameters(card: ModelCard, source: str) -> dict[str, Tensor]:
    """Give the parameters of the card's network, without memory for them where that is possible.

    What a file says of its network may be wrong by orders of magnitude, or meant to fill memory.
    """
    size = (card.architecture, card.in_channels, card.num_classes)
    try:
        with torch.device("meta"):
            return create_network(*size, **card.config).state_dict()
    except RuntimeError:  # some networks read numbers while they are built
        pass
    try:
        return create_network(*size, **card.config).state_dict()
    except RuntimeError as error:
        raise ForeignFileError(
            f"{source} describes a {card.architecture} that cannot be built "
            f"({' '.join(str(error).split())[:200]}); ask its publisher for the right file."
        ) from error


def _can_replace(weight: Tensor, fresh: Tensor) -> bool:
    """Say whether a tensor holds numbers of the kind that a fresh network has in its place."""
    if weight.is_meta or weight.is_quantized or weight.layout != torch.strided:
        return False
    if weight.is_floating_point() != fresh.is_floating_point() or weight.is_complex():
        return False
    return bool(weight.isfinite().all())


def check_labels(labels: LabelScheme, num_classes: int, source: str) -> None:
    """Check that there is a name for every output channel but background's.

    Raises
    ------
    ForeignFileError
        If not.
    """
    if len(labels.organs) + 1 != num_classes:
        raise ForeignFileError(
            f"{source} has {num_classes - 1} organs, and {len(labels.organs)} are named; give "
            "their names with --labels labels.json."
        )


def imported_provenance(kind: str, files: Mapping[str, bytes], **details: Any) -> Provenance:
    """Say which files a checkpoint was made from.

    Parameters
    ----------
    kind : str
        The foreign format, in words.
    files : mapping
        Name to content.
    **details
        What else decided about the import, such as the preset.
    """
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return Provenance(
        created=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        software=f"napari-hybridseg {__version__}, torch {torch.__version__}",
        protocol={"imported_from": kind, "source_sha256": hashes, **details},
    )


def card_name(text: str) -> str:
    """Turn any text into a name that a card may have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "imported"


def listed(names: Iterable[str]) -> str:
    """Join names with commas; of many only the first and how many more there are."""
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
