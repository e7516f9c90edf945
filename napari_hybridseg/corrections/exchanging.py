"""Pairs of images and label maps that others made: nnU-Net's and the Decathlon's folders."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_hybridseg.corrections.accepting import Correction, accept
from napari_hybridseg.corrections.errors import CorrectionError
from napari_hybridseg.counting import counted
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.events import Event, Note, Progress, Result
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.older_python import zip
from napari_hybridseg.volume import Volume, load_label_map, load_volume

_SAME_GRID = 0.01


@dataclass(frozen=True)
class Pair:
    """A labelled scan: one file for each channel (or one with all), and the label map's."""

    images: tuple[Path, ...]
    label: Path


@dataclass(frozen=True)
class PairFolder:
    """What a foreign ``dataset.json`` describes."""

    pairs: tuple[Pair, ...]
    scheme: LabelScheme
    modality: str


@dataclass(frozen=True)
class ImportReport:
    """The names of the cases that came in, and a sentence for each pair that did not."""

    added: tuple[str, ...]
    refused: tuple[str, ...]


def read_pairs(path: str | Path) -> PairFolder:
    """Find the pairs of an nnU-Net or Decathlon data set.

    Parameters
    ----------
    path : path
        A ``dataset.json``, or the folder that holds one. With a list ``training`` (or ``train``)
        of ``{"image", "label"}`` it is a Decathlon's; else nnU-Net's ``imagesTr`` with
        ``CASE_0000.ext`` for each channel and ``labelsTr`` with ``CASE.ext``.

    Raises
    ------
    CorrectionError
        If it is neither, or holds no pair.
    """
    path = Path(path)
    path = path / "dataset.json" if path.is_dir() else path
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        channels = content.get("channel_names") or content.get("modality") or {}
        entries = content.get("training") or content.get("train")
        if entries and isinstance(entries[0], dict):
            pairs = [_listed(path.parent, entry) for entry in entries]
        else:
            pairs = _nnunet_pairs(path.parent, str(content["file_ending"]), len(channels))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorrectionError(
            f"{path} describes no data set: nnU-Net's dataset.json with imagesTr and labelsTr "
            f"beside it, or a Decathlon's with a list 'training', is needed ({error!r})."
        ) from error
    if not pairs:
        raise CorrectionError(f"{path.parent} holds no pair of an image and a label map.")
    modality = str(next(iter(channels.values()), "")) if isinstance(channels, dict) else ""
    beside = path.parent / "labels.json"
    scheme = LabelScheme.from_json(beside if beside.is_file() else path)
    if any(organ.name.casefold() == "ignore" for organ in scheme.organs):
        raise CorrectionError(
            f"{path} has an 'ignore' label, for which there is no place here; relabel it."
        )
    return PairFolder(tuple(pairs), scheme, modality)


def import_pairs(folder: str | Path, path: str | Path) -> Iterator[Event]:
    """Put all pairs of a data set into a correction set; see `read_pairs` for what is understood.

    Yields
    ------
    Event
        ``Progress``; ``Note`` for each pair that was refused; last ``Result`` with an
        :class:`ImportReport`.

    Raises
    ------
    CorrectionError
        If there is no data set.
    WriteError
        If the disk refuses; what came in before stays in.
    """
    found = read_pairs(path)
    added, refused = [], []
    for done, pair in enumerate(found.pairs):
        yield Progress("Importing", done, len(found.pairs))
        try:
            correction = _as_correction(pair, found)
        except HybridSegError as error:
            refused.append(str(error))
            yield Note(refused[-1])
            continue
        added.append(accept(folder, correction).name)
    yield Progress("Importing", len(found.pairs), len(found.pairs))
    yield Result(ImportReport(tuple(added), tuple(refused)))


def load_pair(pair: Pair, scheme: LabelScheme | None = None) -> Correction:
    """Read an image (all its channels) and its label map.

    Raises
    ------
    CorrectionError, FormatError, VolumeError
        If they cannot be read or do not lie on one grid.
    """
    volumes = [load_volume(path) for path in pair.images]
    first = volumes[0]
    for volume, path in zip(volumes[1:], pair.images[1:], strict=True):
        if not first.geometry.same_grid(volume.geometry, _SAME_GRID):
            raise CorrectionError(f"{path} does not lie on the grid of {pair.images[0]}.")
    volume = replace(first, array=np.concatenate([v.array for v in volumes]))
    label = load_label_map(pair.label, scheme)
    if not volume.geometry.same_grid(label.geometry, _SAME_GRID):
        raise CorrectionError(
            f"{pair.label} does not lie on the grid of {pair.images[0]} "
            f"({label.source.describe()} against {volume.source.describe()}, or moved in the "
            "patient); resample it."
        )
    unknown = sorted(set(label.present) - set(label.scheme.ids))
    if unknown:
        raise CorrectionError(f"{pair.label} holds the labels {unknown}, which have no name.")
    return Correction(volume, label)


def _as_correction(pair: Pair, found: PairFolder) -> Correction:
    read = load_pair(pair, found.scheme)
    return replace(read, volume=_with_modality(read.volume, found.modality))


def _with_modality(volume: Volume, modality: str) -> Volume:
    return volume if volume.modality else replace(volume, modality=modality)


def _listed(folder: Path, entry: dict[str, str]) -> Pair:
    return Pair((folder / entry["image"],), folder / entry["label"])


def _nnunet_pairs(folder: Path, ending: str, channels: int) -> list[Pair]:
    labels = sorted((folder / "labelsTr").glob(f"*{ending}"))
    pairs = []
    for label in labels:
        if label.name.startswith("."):
            continue
        case = label.name.removesuffix(ending)
        files = sorted((folder / "imagesTr").glob(f"{case}_[0-9][0-9][0-9][0-9]{ending}"))
        if len(files) != channels:
            raise CorrectionError(
                f"{label} has {counted(len(files), 'image')} in imagesTr where dataset.json names "
                f"{counted(channels, 'channel')}."
            )
        pairs.append(Pair(tuple(files), label))
    return pairs
