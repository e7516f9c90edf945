"""A correction set as an nnU-Net data set."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_hybridseg.atomic import WriteError, write_text
from napari_hybridseg.corrections.case import CorrectionCase
from napari_hybridseg.corrections.case_files import poison_notes
from napari_hybridseg.corrections.correction_set import CorrectionSet
from napari_hybridseg.corrections.drafts import flush
from napari_hybridseg.corrections.errors import CorrectionError
from napari_hybridseg.corrections.schemes import MergedScheme, merge_schemes
from napari_hybridseg.counting import counted
from napari_hybridseg.events import Event, Note, Progress, Result
from napari_hybridseg.formats import write_image
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.volume import Volume, smallest_label_type

_ENDING = ".nii.gz"


@dataclass(frozen=True)
class ExportReport:
    """Where the data set is, its cases, and a sentence for each that was left out."""

    folder: Path
    cases: tuple[str, ...]
    left_out: tuple[str, ...]


def export_nnunet(set_folder: str | Path, out: str | Path) -> Iterator[Event]:
    """Write a set as nnU-Net v2 wants it: ``imagesTr``, ``labelsTr``, ``dataset.json``.

    Labels are numbered 1, 2, ... in the order of the merged scheme, as nnU-Net demands; cases whose
    image holds voxels that are no numbers are left out.

    Parameters
    ----------
    set_folder : path
        The correction set.
    out : path
        A folder that does not exist yet, such as ``nnUNet_raw/Dataset101_Liver``.

    Yields
    ------
    Event
        ``Progress``, ``Note`` for a case that is left out, last ``Result`` with an
        :class:`ExportReport`.

    Raises
    ------
    CorrectionError
        If the set has no case, or cases differ in channels or in what a name means.
    WriteError
        If the folder exists or cannot be written; nothing is left behind.
    """
    out = Path(out)
    cases = CorrectionSet.open(set_folder).cases
    if not cases:
        raise CorrectionError(f"{set_folder} has no case to export.")
    if out.exists():
        raise WriteError(f"{out} exists already; choose a new folder.")
    merged = merge_schemes(cases[0].scheme, [case.scheme for case in cases])
    draft = out.with_name(f".{out.name}.draft-{secrets.token_hex(4)}")
    try:
        for part in ("imagesTr", "labelsTr"):
            (draft / part).mkdir(parents=True)
        report = yield from _write(draft, out, cases, merged)
        flush(draft)
        os.rename(draft, out)
        flush(out.parent)
    except OSError as error:
        raise WriteError(f"{out} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    yield Result(report)


def _write(
    draft: Path, out: Path, cases: tuple[CorrectionCase, ...], merged: MergedScheme
) -> Generator[Event, None, ExportReport]:
    written: list[str] = []
    left_out: list[str] = []
    channels, modality = 0, ""
    for which, case in enumerate(cases):
        yield Progress("Exporting", which, len(cases))
        volume = case.load_image()
        if poison_notes(volume):
            left_out.append(f"{case.name} is left out: its image holds voxels that are no numbers.")
            yield Note(left_out[-1])
            continue
        found = volume.array.shape[0]
        if channels and found != channels:
            raise CorrectionError(
                f"{case.image} has {counted(found, 'channel')} where the cases before have "
                f"{channels}; nnU-Net needs the same in all."
            )
        channels, modality = found, modality or volume.modality
        _write_case(draft, case, volume, merged, which)
        written.append(case.name)
    if not written:
        raise CorrectionError("No case is fit for export: all images hold voxels without numbers.")
    content = {
        "channel_names": {str(n): _channel(modality, n, channels) for n in range(channels)},
        "labels": {"background": 0} | _numbered(merged.scheme),
        "numTraining": len(written),
        "file_ending": _ENDING,
    }
    write_text(draft / "dataset.json", json.dumps(content, indent=1))
    yield Progress("Exporting", len(cases), len(cases))
    return ExportReport(out, tuple(written), tuple(left_out))


def _write_case(
    draft: Path, case: CorrectionCase, volume: Volume, merged: MergedScheme, which: int
) -> None:
    label = case.load_label()
    consecutive = np.zeros(max(merged.scheme.ids, default=0) + 1, dtype=np.uint16)
    for number, organ in enumerate(merged.scheme.organs, 1):
        consecutive[organ.id] = number
    labels = consecutive[merged.renumber(label.array, which)]
    labels = labels.astype(smallest_label_type(len(merged.scheme.organs)))
    for channel, array in enumerate(volume.to_source(volume.array)):
        path = draft / "imagesTr" / f"{case.name}_{channel:04d}{_ENDING}"
        write_image(path, np.ascontiguousarray(array), volume.source)
    path = draft / "labelsTr" / f"{case.name}{_ENDING}"
    write_image(path, np.ascontiguousarray(volume.to_source(labels)), volume.source)


def _numbered(scheme: LabelScheme) -> dict[str, int]:
    return {organ.name: number for number, organ in enumerate(scheme.organs, 1)}


def _channel(modality: str, number: int, channels: int) -> str:
    name = modality or "image"
    return name if channels == 1 else f"{name} {number}"
