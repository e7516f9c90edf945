"""The cases that a fine-tune learns from, rehearses and is measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_hybridseg.corrections import CorrectionError, CorrectionSet
from napari_hybridseg.corrections.exchanging import read_pairs
from napari_hybridseg.corrections.manifest import SET_MANIFEST
from napari_hybridseg.finetune.errors import FineTuneError
from napari_hybridseg.labels import LabelScheme, Organ
from napari_hybridseg.training.dataset import Case, DatasetError, read_dataset
from napari_hybridseg.volume import LabelMap, Volume, load_label_map, load_volume

_DESCRIPTION = "dataset.json"
_LABELS = "labels.json"
_REFERENCE = "_reference"


@dataclass(frozen=True)
class TrainingCase:
    """A labelled volume on disk.

    Attributes
    ----------
    name : str
        For messages.
    image, label : Path
        The files.
    edited : Path or None
        The mask of the voxels that a person corrected.
    scheme : LabelScheme
        What the numbers in ``label`` mean.
    sha256 : str
        Hash of the case's files, or of the manifest that holds their hashes.
    scan_sha256 : str
        Which scan it is, where that is known: see `volume_sha256`.
    image_sha256 : str
        Hash of the image's file, where it is known.
    """

    name: str
    image: Path
    label: Path
    edited: Path | None
    scheme: LabelScheme
    sha256: str
    scan_sha256: str = ""
    image_sha256: str = ""

    def read(self) -> tuple[Volume, LabelMap]:
        """Read the image and its labels.

        Raises
        ------
        HybridSegError
            If a file is gone or damaged.
        FineTuneError
            If they do not lie on the same grid.
        """
        volume = replace(load_volume(self.image), name=self.name)
        labels = load_label_map(self.label, self.scheme)
        if not volume.geometry.same_grid(labels.geometry, tolerance=0.1):
            raise FineTuneError(
                f"{self.label} does not lie on the grid of {self.image}: "
                f"{labels.source.describe()} against {volume.source.describe()}; correct the "
                "case again, or take it out of the set."
            )
        return volume, labels


@dataclass(frozen=True)
class Source:
    """Where cases come from.

    Attributes
    ----------
    name, licence, attribution : str
        For the model card.
    cases : tuple of TrainingCase
        To learn from.
    heldout : tuple of TrainingCase
        Those that the description keeps apart.
    lost : tuple of str
        A sentence for every case that is listed and cannot be opened.
    """

    name: str
    cases: tuple[TrainingCase, ...]
    heldout: tuple[TrainingCase, ...] = ()
    lost: tuple[str, ...] = ()
    licence: str = ""
    attribution: str = ""

    @property
    def sha256(self) -> str:
        """Hash of the cases' hashes."""
        return hashlib.sha256("".join(case.sha256 for case in self.cases).encode()).hexdigest()


def open_source(path: Path) -> Source:
    """Open a correction set, a ``dataset.json`` (or its folder), or a folder of labelled volumes.

    A ``dataset.json`` is a Decathlon's, or nnU-Net's with one channel. In the last,
    ``NAME_reference.ext`` holds the labels of ``NAME.ext`` and ``labels.json`` their names.

    Raises
    ------
    FineTuneError, CorrectionError, DatasetError
        If it is none of them, or damaged.
    """
    path = Path(path)
    if (path / SET_MANIFEST).is_file():
        return _correction_set(path)
    if path.is_file() and path.name == SET_MANIFEST:
        return _correction_set(path.parent)
    if path.is_file():
        return _dataset(path)
    if (path / _DESCRIPTION).is_file():
        return _dataset(path / _DESCRIPTION)
    if (path / _LABELS).is_file():
        return _pairs(path)
    raise FineTuneError(
        f"{path} holds no labelled cases: give a correction set, a {_DESCRIPTION}, or a folder "
        f"with NAME.nii.gz, NAME{_REFERENCE}.nii.gz and {_LABELS}."
    )


def named_like(scheme: LabelScheme, base: LabelScheme) -> LabelScheme:
    """Give labels of which only the number is known the base's names for these numbers."""
    organs = []
    for organ in scheme.organs:
        known: Organ | None = base.organ(organ.id) if organ.id in base.ids else None
        is_unnamed = organ.name == f"label {organ.id}"
        organs.append(known if known is not None and is_unnamed else organ)
    return LabelScheme(name=scheme.name, organs=tuple(organs))


def evenly(cases: Sequence[TrainingCase], count: int) -> tuple[TrainingCase, ...]:
    """Choose cases, evenly spread over the list."""
    if len(cases) <= count:
        return tuple(cases)
    return tuple(cases[int(i)] for i in np.linspace(0, len(cases) - 1, count).round())


def _correction_set(folder: Path) -> Source:
    opened = CorrectionSet.open(folder)
    cases, lost = [], []
    for listed in opened.manifest.cases:
        try:
            case = opened.case(listed.name)
        except CorrectionError as error:
            lost.append(f"{listed.name} is left out: {error}")
            continue
        cases.append(
            TrainingCase(
                name=case.name,
                image=case.image,
                label=case.label,
                edited=case.edited,
                scheme=case.scheme,
                sha256=case.sha256,
                scan_sha256=case.manifest.volume_sha256,
            )
        )
    return Source("corrections", tuple(cases), lost=tuple(lost))


def _dataset(path: Path) -> Source:
    try:
        dataset = read_dataset(path)
    except DatasetError:
        if (path.parent / "imagesTr").is_dir() and (path.parent / "labelsTr").is_dir():
            return _nnunet(path)
        raise
    return Source(
        name=dataset.name,
        cases=_hashed(dataset.train, dataset.scheme),
        heldout=_hashed(dataset.heldout, dataset.scheme),
        licence=dataset.licence,
        attribution=dataset.attribution,
    )


def _nnunet(path: Path) -> Source:
    found = read_pairs(path)
    several = [pair for pair in found.pairs if len(pair.images) > 1]
    if several:
        raise FineTuneError(
            f"{path} describes images with a file for each channel, e.g. {several[0].images[0]}; "
            "make a correction set of it first: hybridseg corrections import."
        )
    cases = [Case(pair.images[0], pair.label) for pair in found.pairs]
    return Source(path.parent.name, _hashed(cases, found.scheme))


def _pairs(folder: Path) -> Source:
    scheme = LabelScheme.from_json(folder / _LABELS)
    pairs = []
    for label in sorted(folder.glob(f"*{_REFERENCE}.*")):
        stem = label.name.partition(_REFERENCE)[0]
        images = [p for p in sorted(folder.glob(f"{stem}.*")) if p.is_file()]
        if images:
            pairs.append(Case(images[0], label))
    if not pairs:
        raise FineTuneError(f"{folder} has no volume with labels named NAME{_REFERENCE}.ext.")
    return Source(scheme.name or folder.name, _hashed(pairs, scheme))


def _hashed(cases: Sequence[Case], scheme: LabelScheme) -> tuple[TrainingCase, ...]:
    result = []
    for case in cases:
        hashes = []
        for file in (case.image, case.label):
            try:
                hashes.append(hashlib.sha256(file.read_bytes()))
            except OSError as error:
                raise FineTuneError(f"{file} cannot be read: {error.strerror}.") from error
        result.append(
            TrainingCase(
                name=case.image.name.partition(".")[0],
                image=case.image,
                label=case.label,
                edited=None,
                scheme=scheme,
                sha256=hashlib.sha256(b"".join(each.digest() for each in hashes)).hexdigest(),
                image_sha256=hashes[0].hexdigest(),
            )
        )
    return tuple(result)
