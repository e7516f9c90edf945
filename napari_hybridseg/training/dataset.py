"""A folder of labelled volumes, described by a Decathlon-like ``dataset.json``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.formats import IrregularGridError
from napari_hybridseg.inference.preprocess import (
    finite_values,
    prepare,
    resample_nearest,
)
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import ClipStandardise, Intensity, Preprocessing, ZScore
from napari_hybridseg.volume import (
    LabelMap,
    Volume,
    load_label_map,
    load_volume,
    smallest_label_type,
)

__all__ = ["Case", "Dataset", "DatasetError", "LoadedCase", "load_cases", "read_dataset"]


class DatasetError(HybridSegError):
    """A data set that cannot be trained on as it is."""


@dataclass(frozen=True)
class Case:
    """One image file and its label map's file."""

    image: Path
    label: Path


@dataclass(frozen=True)
class Dataset:
    """What ``dataset.json`` says.

    Attributes
    ----------
    name, modality, licence, attribution : str
        For the model card.
    scheme : LabelScheme
        The organs, from ``labels.json`` beside it where there is one (it has colours and codes).
    train, heldout : tuple of Case
        Cases to learn from, and cases that are only ever scored.
    """

    name: str
    modality: str
    licence: str
    attribution: str
    scheme: LabelScheme
    train: tuple[Case, ...]
    heldout: tuple[Case, ...]

    def sha256_of_train(self, count: int | None = None) -> str:
        """Hash the training files, so that a card can say what was learnt from."""
        digest = hashlib.sha256()
        for case in self.train[:count]:
            for path in (case.image, case.label):
                digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()


@dataclass(frozen=True)
class LoadedCase:
    """A case as the network sees it.

    ``image`` is (C, Z, Y, X) float32, normalised; ``channels`` is (Z, Y, X) and holds the index
    of the output channel that is right for every voxel. ``notes`` say what was odd about its label
    map.
    """

    name: str
    image: NDArray[np.float32]
    channels: NDArray[np.unsignedinteger]
    notes: tuple[str, ...] = ()


def read_dataset(path: Path) -> Dataset:
    """Read a data set's description.

    Needed are ``labels`` (number to name or name to number) and a list ``train`` or ``training``
    of ``{"image", "label"}``, relative to the file's folder; ``heldout`` is optional.

    Raises
    ------
    DatasetError
        If something is missing.
    """
    path = Path(path)
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        train = _cases(path.parent, content.get("train") or content["training"])
        heldout = _cases(path.parent, content.get("heldout", ()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{path} does not describe a data set: a JSON file with 'labels' and a list 'train' "
            f"of image and label files is needed ({error!r})."
        ) from error
    missing = [str(f) for c in (*train, *heldout) for f in (c.image, c.label) if not f.is_file()]
    if missing or not train:
        what = f"{len(missing)} files are missing, e.g. {missing[0]}" if missing else "no cases"
        raise DatasetError(f"{path} cannot be trained on: {what}.")
    both = sorted({str(case.image) for case in train} & {str(case.image) for case in heldout})
    if both:
        raise DatasetError(f"{path} lists cases to train on and to hold out, e.g. {both[0]}.")
    beside = path.parent / "labels.json"
    scheme = LabelScheme.from_json(beside if beside.is_file() else path)
    if not scheme.organs:
        raise DatasetError(f"{path} names no organ: a number from 1 up and its name are needed.")
    return Dataset(
        name=str(content.get("name", path.parent.name)),
        modality=_modality(content),
        licence=str(content.get("licence", "")),
        attribution=str(content.get("attribution", "")),
        scheme=scheme,
        train=train,
        heldout=heldout,
    )


def guess_intensity(dataset: Dataset, cases: Sequence[Case]) -> Intensity:
    """Choose a normalisation: fixed numbers from the organs' voxels for CT, else z-score."""
    if "CT" not in dataset.modality.upper().split():
        return ZScore()
    values = np.concatenate([_organ_values(case, dataset.scheme) for case in cases[:20]])
    if not values.size:
        raise DatasetError(f"No organ is labelled in the first cases of {dataset.name}.")
    low, high = np.percentile(values, [0.5, 99.5])
    return ClipStandardise(
        low=round(float(low), 1),
        high=round(max(float(high), float(low) + 1.0), 1),
        mean=round(float(values.mean()), 2),
        std=round(max(float(values.std()), 1.0), 2),
    )


def load_cases(
    cases: Sequence[Case], scheme: LabelScheme, preprocessing: Preprocessing
) -> Iterator[LoadedCase]:
    """Read and prepare cases one by one.

    Raises
    ------
    DatasetError
        If an image and its label map do not lie on the same grid, a label is not in the
        scheme, or images differ in their channels.
    """
    expected = 0
    for case in cases:
        volume, labels = _read(case, scheme)
        found = volume.array.shape[0]
        expected = expected or found
        if found != expected:
            raise DatasetError(
                f"{case.image} has {found} channels where {cases[0].image} has {expected}; all "
                "images of a data set need the same."
            )
        prepared = prepare(volume, preprocessing)
        turned = prepared.change.apply(labels.array)[prepared.box]
        channels = _channel_table(scheme, case, labels)[turned]
        yield LoadedCase(
            name=volume.name,
            image=prepared.array,
            channels=resample_nearest(channels, prepared.working.shape),
            notes=labels.notes,
        )


def _read(case: Case, scheme: LabelScheme) -> tuple[Volume, LabelMap]:
    try:
        volume = load_volume(case.image)
        labels = load_label_map(case.label, scheme)
    except IrregularGridError as error:
        raise DatasetError(
            f"The case {case.image.name} cannot be trained on: its slices or axes are irregular, "
            f"in the image or in {case.label.name}; export it again on an even, right-angled grid, "
            "or leave it out."
        ) from error
    if not volume.geometry.same_grid(labels.geometry, tolerance=0.1):
        raise DatasetError(
            f"{case.label} does not lie on the grid of {case.image}: "
            f"{labels.source.describe()} against {volume.source.describe()}; resample it."
        )
    return volume, labels


def _channel_table(
    scheme: LabelScheme, case: Case, labels: LabelMap
) -> NDArray[np.unsignedinteger]:
    unknown = sorted(set(labels.present) - set(scheme.ids))
    if unknown:
        raise DatasetError(
            f"{case.label} has the labels {unknown}, which the data set does not name."
        )
    largest = int(labels.array.max(initial=0))
    table = np.zeros(largest + 1, dtype=smallest_label_type(len(scheme.ids)))
    for channel, label in enumerate(scheme.ids, 1):
        if label < len(table):
            table[label] = channel
    return table


def _organ_values(case: Case, scheme: LabelScheme) -> NDArray[np.float32]:
    volume, labels = _read(case, scheme)
    values, _ = finite_values(volume.array, volume.name)
    inside: NDArray[np.float32] = values[:, labels.array > 0].ravel()
    return inside[:: 7 if inside.size > 1000 else 1]


def _cases(folder: Path, entries: Any) -> tuple[Case, ...]:
    return tuple(Case(folder / entry["image"], folder / entry["label"]) for entry in entries)


def _modality(content: dict[str, Any]) -> str:
    channels = content.get("channel_names") or content.get("modality") or {}
    return str(next(iter(channels.values()), "")) if isinstance(channels, dict) else str(channels)
