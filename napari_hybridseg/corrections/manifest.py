"""What a correction set and its cases say about themselves, as JSON files.

``corrections.json`` lists the cases that were accepted; a folder that it does not list is no
case. ``case.json`` in a case's folder lists that case's files. Neither holds anything that names
a patient: no file name of the scan, no header field, no free text that was not typed for it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError

from napari_hybridseg.corrections.errors import CorrectionError
from napari_hybridseg.errors import first_problem
from napari_hybridseg.labels import LabelScheme

SET_MANIFEST = "corrections.json"
CASE_MANIFEST = "case.json"
FORMAT = 1

IMAGE = "image.nrrd"
LABEL = "label.seg.nrrd"
NETWORK_LABEL = "network.seg.nrrd"
EDITED = "edited.nrrd"
CARD = "checkpoint.json"

Sha256 = Field(pattern=r"^[0-9a-f]{64}$")
ModelType = TypeVar("ModelType", bound=BaseModel)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FileRecord(_Frozen):
    """The size and hash of a file, by which damage is noticed."""

    bytes: NonNegativeInt
    sha256: str = Sha256


class OrganEdits(_Frozen):
    """How many voxels of an organ a person added and removed."""

    label: PositiveInt
    name: str
    added: NonNegativeInt
    removed: NonNegativeInt


class CaseManifest(_Frozen):
    """What a case's ``case.json`` says.

    Attributes
    ----------
    name : str
        The case's name in the set, e.g. ``"case-0003"``.
    revision : int
        Counts how often the correction of this case was accepted, from 1.
    volume_sha256 : str
        Hash of the image's voxels and grid, by which the same scan is recognised.
    files : dict
        File name to size and hash.
    scheme : LabelScheme
        What the numbers in the label maps mean.
    modality : str
        ``"CT"``, ``"MR"``, ... where it is known.
    edits : tuple of OrganEdits
        Per organ, against the network's label map; empty without one.
    edited_voxels : int
        Voxels whose label a person changed.
    checkpoint_sha256 : str
        The file hash of the checkpoint that made the network's label map, where it is known.
    notes : tuple of str
        What a later reader should know, e.g. that voxels are not numbers.
    """

    format: int = Field(default=FORMAT, ge=1, le=FORMAT)
    name: str = Field(pattern=r"^case-\d{4,}$")
    revision: PositiveInt = 1
    accepted: str = ""
    software: str = ""
    volume_sha256: str = Sha256
    files: dict[str, FileRecord]
    scheme: LabelScheme
    modality: str = ""
    edits: tuple[OrganEdits, ...] = ()
    edited_voxels: NonNegativeInt = 0
    checkpoint_sha256: str = ""
    notes: tuple[str, ...] = ()


class ListedCase(_Frozen):
    """A line of the set's manifest."""

    name: str = Field(pattern=r"^case-\d{4,}$")
    folder: str = Field(pattern=r"^case-\d{4,}(_rev-\d+)?$")
    manifest_sha256: str = Sha256


class SetManifest(_Frozen):
    """What a set's ``corrections.json`` says; ``next_number`` is never given twice."""

    format: int = Field(default=FORMAT, ge=1, le=FORMAT)
    next_number: PositiveInt = 1
    cases: tuple[ListedCase, ...] = ()


def read_manifest(path: Path, kind: type[ModelType]) -> tuple[ModelType, str]:
    """Read a manifest; give it and the hash of its file.

    Raises
    ------
    CorrectionError
        If it is missing, damaged or of a newer format.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CorrectionError(
            f"{path} cannot be read ({error.strerror}); is the folder a whole correction set?"
        ) from error
    try:
        text: Any = json.loads(content)
        if isinstance(text, dict) and isinstance(text.get("format"), int):
            _refuse_newer(path, text["format"])
        return kind.model_validate(text), hashlib.sha256(content).hexdigest()
    except (ValidationError, ValueError, RecursionError) as error:
        reason = first_problem(error) if isinstance(error, ValidationError) else "no JSON"
        raise CorrectionError(
            f"{path} is damaged ({reason}); restore it from a copy of the set."
        ) from error


def _refuse_newer(path: Path, version: int) -> None:
    if version > FORMAT:
        raise CorrectionError(
            f"{path} was written by a newer HybridSeg (format {version}; this one reads {FORMAT}); "
            "update HybridSeg to use it."
        )


def manifest_bytes(manifest: BaseModel) -> bytes:
    """Write a manifest as it stands in its file."""
    return (manifest.model_dump_json(indent=1) + "\n").encode()


def sha256_of_file(path: Path) -> FileRecord:
    """Measure and hash a file.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            size += len(block)
    return FileRecord(bytes=size, sha256=digest.hexdigest())
