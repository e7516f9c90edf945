"""One file that holds a network's weights and says everything about them.

The file is a ``.safetensors`` file: plain numbers behind a JSON header, so opening one never
runs code. Its header carries the :class:`ModelCard`, the hash of the weights, and a hash of
these two and the table of tensors, so that opening a file notices a damaged header at once and
reading the weights notices the rest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from napari_hybridseg.atomic import atomic_path, refuse_existing
from napari_hybridseg.errors import HybridSegError, first_problem
from napari_hybridseg.model_card import CARD_FORMAT, ModelCard

if TYPE_CHECKING:
    from torch import Tensor, nn

SUFFIX = ".safetensors"
_CARD_KEY = "hybridseg.card"
_HASH_KEY = "hybridseg.weights_sha256"
_HEADER_HASH_KEY = "hybridseg.header_sha256"
_LARGEST_HEADER = 100_000_000


class CheckpointError(HybridSegError):
    """A checkpoint that cannot be used; the message says which file and why."""


@dataclass(frozen=True)
class _Header:
    card: ModelCard
    weights_sha256: str
    data_start: int


@dataclass(frozen=True)
class Checkpoint:
    """Weights and their model card, as read from a file."""

    path: Path
    card: ModelCard

    @cached_property
    def sha256(self) -> str:
        """Hash of the whole file, by which a descendant names its parent."""
        return _sha256_of_file(self.path, 0)

    def weights(self) -> dict[str, Tensor]:
        """Read the weights, as float32 on the CPU.

        Raises
        ------
        CheckpointError
            If they are not the ones that were saved.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        verify_checkpoint(self.path)
        try:
            stored = load_file(self.path)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{self.path} cannot be read: {error}.") from error
        return {k: v.float() if v.is_floating_point() else v for k, v in stored.items()}

    def build_network(self) -> nn.Module:
        """Build the network that the card names, with these weights, in evaluation mode.

        Raises
        ------
        CheckpointError
            If the weights are not those of that network.
        ArchitectureError
            If this installation has no such network, or it cannot be built as the card says.
        """
        from napari_hybridseg.networks import get_architecture

        card = self.card
        architecture = get_architecture(card.architecture)
        config = architecture.make_config(card.config)
        network = architecture.build(card.in_channels, card.num_classes, config)
        try:
            network.load_state_dict(self.weights())
        except RuntimeError as error:
            raise CheckpointError(
                f"{self.path} does not hold the weights of the {card.architecture} that its card "
                f"describes; make it again. ({' '.join(str(error).split())[:300]})"
            ) from error
        return network.eval()


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Open a checkpoint; the weights are read when they are asked for.

    Raises
    ------
    CheckpointError
        If the file is missing, cut short, foreign, damaged or of a newer format.
    """
    path = Path(path)
    return Checkpoint(path=path, card=_read_header(path).card)


def verify_checkpoint(path: str | Path) -> None:
    """Check that the weights in a file are the ones that were saved.

    Raises
    ------
    CheckpointError
        If not.
    """
    path = Path(path)
    header = _read_header(path)
    if _sha256_of_file(path, header.data_start) != header.weights_sha256:
        raise CheckpointError(
            f"{path} is damaged: its weights are not the ones that were saved; copy or download "
            "the file again."
        )


def save_checkpoint(
    path: str | Path,
    weights: Mapping[str, Tensor],
    card: ModelCard,
    *,
    half: bool = False,
    overwrite: bool = False,
) -> Checkpoint:
    """Write weights and card into one file, atomically.

    Parameters
    ----------
    path : path
        Must end in ``.safetensors``.
    weights : mapping
        The network's state dict.
    card : ModelCard
        What the file says about itself.
    half : bool
        Store floating-point weights as float16: half the size, about three decimal digits.
    overwrite : bool
        Whether a file of that name may be replaced.

    Raises
    ------
    CheckpointError, WriteError
        If the name is wrong or the file cannot be written.
    """
    from safetensors.torch import save

    path = Path(path)
    refuse_other_name(path)
    refuse_existing(path, overwrite)
    if not _all_finite(weights):
        raise CheckpointError(
            f"{path} was not written: a weight is not a finite number, so the training failed."
        )
    stored = {key: _stored(value, half) for key, value in weights.items()}
    if not _all_finite(stored):
        raise CheckpointError(
            f"{path} was not written: a weight is too large for half precision; save it in full."
        )
    laid_out = memoryview(save(stored))
    data_start = 8 + int.from_bytes(laid_out[:8], "little")
    data = laid_out[data_start:]
    header = _header_bytes(json.loads(bytes(laid_out[8:data_start])), data, card)
    with atomic_path(path, overwrite=overwrite) as temporary, temporary.open("wb") as file:
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        file.write(data)
    return Checkpoint(path=path, card=card)


def refuse_other_name(path: Path) -> None:
    """Raise if this is no name for a checkpoint: ask before long work, not after it."""
    if path.suffix != SUFFIX:
        raise CheckpointError(f"A checkpoint's name ends in {SUFFIX}, not {path.name!r}.")


def _all_finite(weights: Mapping[str, Tensor]) -> bool:
    return all(bool(v.isfinite().all()) for v in weights.values() if v.is_floating_point())


def _stored(value: Tensor, half: bool) -> Tensor:
    number = value.half() if half and value.is_floating_point() else value
    return number.detach().cpu().contiguous().clone()


def _header_bytes(tensors: dict[str, Any], data: memoryview, card: ModelCard) -> bytes:
    """Give the JSON header, filled up with spaces so that the weights begin at a multiple of 8."""
    text, digest = card.model_dump_json(), hashlib.sha256(data).hexdigest()
    metadata = {
        "format": "pt",
        _CARD_KEY: text,
        _HASH_KEY: digest,
        _HEADER_HASH_KEY: _sha256_of_header(text, digest, tensors),
    }
    header = json.dumps({"__metadata__": metadata, **tensors}).encode()
    return header + b" " * (-len(header) % 8)


def _sha256_of_header(card: str, weights_sha256: str, tensors: Mapping[str, Any]) -> str:
    content = json.dumps([card, weights_sha256, tensors], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _read_header(path: Path) -> _Header:
    header, data_start = _read_json_header(path)
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or not isinstance(metadata.get(_CARD_KEY), str):
        raise CheckpointError(
            f"{path} has no model card, so it is not a HybridSeg checkpoint; "
            "'hybridseg checkpoints import' turns other people's files into one."
        )
    size = path.stat().st_size
    expected = data_start + max((e["data_offsets"][1] for e in header.values()), default=0)
    if size != expected:
        raise CheckpointError(
            f"{path} is cut short or damaged: it has {size} bytes and should have {expected}; "
            "copy or download it again."
        )
    content = _card_content(path, metadata[_CARD_KEY])
    digest = metadata.get(_HASH_KEY, "")
    if metadata.get(_HEADER_HASH_KEY) != _sha256_of_header(metadata[_CARD_KEY], digest, header):
        raise CheckpointError(
            f"{path} is damaged: its header is not the one that was saved; copy or download the "
            "file again."
        )
    return _Header(_checked_card(path, content), digest, data_start)


def _card_content(path: Path, text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
        version = content.get("format")
    except (ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} has a damaged model card; copy the file again.") from error
    if isinstance(version, int) and version > CARD_FORMAT:
        raise CheckpointError(
            f"{path} was made by a newer HybridSeg (card format {version}; this one reads "
            f"{CARD_FORMAT}); update HybridSeg to use it."
        )
    checked: dict[str, Any] = content
    return checked


def _checked_card(path: Path, content: dict[str, Any]) -> ModelCard:
    try:
        return ModelCard.model_validate(content)
    except ValidationError as error:
        raise CheckpointError(
            f"{path} has a model card that makes no sense ({first_problem(error)}); "
            "make the checkpoint again."
        ) from error


def _read_json_header(path: Path) -> tuple[dict[str, Any], int]:
    foreign = (
        f"{path} is not a checkpoint file: a {SUFFIX} file made by HybridSeg is needed; "
        "'hybridseg checkpoints import' turns other people's files into one."
    )
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            text = file.read(min(length, size))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be opened: {error.strerror}.") from error
    if length > _LARGEST_HEADER or not text.startswith(b"{"):
        raise CheckpointError(foreign)
    if len(text) < length:
        raise CheckpointError(f"{path} is cut short; copy or download it again.")
    try:
        header = json.loads(text)
        entries = [e for k, e in header.items() if k != "__metadata__"]
        if not all(isinstance(entry["data_offsets"][1], int) for entry in entries):
            raise TypeError
    except (
        ValueError,
        AttributeError,
        KeyError,
        IndexError,
        TypeError,
        RecursionError,
    ) as error:
        raise CheckpointError(foreign) from error
    return header, 8 + length


def _sha256_of_file(path: Path, start: int) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            file.seek(start)
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    return digest.hexdigest()
