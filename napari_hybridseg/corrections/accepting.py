"""Putting a corrected case into a set: all of it or nothing.

A case is written into a hidden folder beside the others, every file flushed to the disk; then the
folder gets its name, and last the set's manifest is replaced by one that lists it. A kill at any
moment leaves the old manifest, and with it the old set. Drafts of a writer that died are cleared
away by the next one; a case's folder that was never listed is put aside, not deleted.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_hybridseg import __version__
from napari_hybridseg.atomic import WriteError, atomic_path
from napari_hybridseg.corrections.case import CorrectionCase
from napari_hybridseg.corrections.correction_set import CorrectionSet
from napari_hybridseg.corrections.edits import count_edits, edited_mask
from napari_hybridseg.corrections.errors import CorrectionError
from napari_hybridseg.corrections.identity import volume_sha256
from napari_hybridseg.corrections.locking import folder_lock, is_running
from napari_hybridseg.corrections.manifest import (
    CARD,
    CASE_MANIFEST,
    EDITED,
    IMAGE,
    LABEL,
    NETWORK_LABEL,
    SET_MANIFEST,
    CaseManifest,
    ListedCase,
    SetManifest,
    manifest_bytes,
    read_manifest,
    sha256_of_file,
)
from napari_hybridseg.formats import write_image
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import ModelCard, Provenance
from napari_hybridseg.volume import LabelMap, Volume

_DRAFT = ".draft-"
_SAME_GRID = 0.01


@dataclass(frozen=True)
class Correction:
    """What a user accepts.

    Attributes
    ----------
    volume : Volume
        The image.
    label : LabelMap
        The corrected label map.
    network_label : LabelMap or None
        What the network said; None where nobody asked one.
    card : ModelCard or None
        The card of the checkpoint that said it.
    checkpoint_sha256 : str
        The file hash of that checkpoint, or empty.
    """

    volume: Volume
    label: LabelMap
    network_label: LabelMap | None = None
    card: ModelCard | None = None
    checkpoint_sha256: str = ""


def accept(folder: str | Path, correction: Correction, *, wait_s: float = 10.0) -> CorrectionCase:
    """Put a correction into a set, which is made if it is not there.

    A scan that the set holds already is recognised by its voxels: its case gets a new revision.
    No name of a file or patient is written; an image with voxels that are no numbers is taken
    with a note, which `verify_set` repeats.

    Parameters
    ----------
    folder : path
        The set.
    correction : Correction
        What is accepted.
    wait_s : float
        How long to wait for another viewer that is writing to the set.

    Returns
    -------
    CorrectionCase
        The case as it is now in the set.

    Raises
    ------
    CorrectionError
        If the label map does not lie on the image's grid or has labels without a name, or another
        program is writing to the set.
    WriteError
        If the disk refuses; the set stays as it was.
    """
    folder = Path(folder)
    scheme = _checked_scheme(correction)
    _make_folder(folder)
    with _draft(folder) as draft:
        notes = _write_files(draft, correction, scheme)
        digest = volume_sha256(correction.volume)
        with changing(folder, wait_s) as change:
            name, revision, number = _place(folder, change.manifest, digest)
            case = _case_manifest(draft, correction, scheme, name, revision, digest, notes)
            _write_bytes(draft / CASE_MANIFEST, manifest_bytes(case))
            flush(draft)
            target = folder / (name if revision == 1 else f"{name}_rev-{revision}")
            _take_place(draft, target)
            sha256 = sha256_of_file(target / CASE_MANIFEST).sha256
            line = ListedCase(name=name, folder=target.name, manifest_sha256=sha256)
            change.commit(_with_line(change.manifest, line, number))
    return CorrectionCase(target, case, sha256)


def remove_case(folder: str | Path, name: str, *, wait_s: float = 10.0) -> None:
    """Take a case out of a set and delete its files; its name is not given again.

    Raises
    ------
    CorrectionError
        If there is no such case, or another program is writing to the set.
    WriteError
        If the disk refuses.
    """
    folder = Path(folder)
    if not any(listed.name == name for listed in CorrectionSet.open(folder).manifest.cases):
        raise CorrectionError(f"There is no case {name!r} in {folder}.")
    with changing(folder, wait_s) as change:
        kept = tuple(listed for listed in change.manifest.cases if listed.name != name)
        change.commit(change.manifest.model_copy(update={"cases": kept}))


@dataclass
class Change:
    """A set that is locked for writing."""

    folder: Path
    manifest: SetManifest

    def commit(self, manifest: SetManifest) -> None:
        """Replace the set's manifest: from here on the change counts."""
        _write_bytes(self.folder / SET_MANIFEST, manifest_bytes(manifest), overwrite=True)
        self.manifest = manifest


@contextmanager
def changing(folder: Path, wait_s: float = 10.0) -> Iterator[Change]:
    """Lock a set, read its manifest as it is now, and clear away afterwards what it dropped.

    Raises
    ------
    LockedError
        If another program is writing to the set.
    CorrectionError
        If the set's manifest is damaged, or gone while cases are there.
    """
    with folder_lock(folder, wait_s):
        change = Change(folder, _current_manifest(folder))
        before = change.manifest
        yield change
        kept = {case.folder for case in change.manifest.cases}
        for case in before.cases:
            if case.folder not in kept:
                _delete(folder / case.folder)
        for draft in folder.glob(f"{_DRAFT}*"):
            if _is_abandoned(draft):
                shutil.rmtree(draft, ignore_errors=True)


def flush(folder: Path) -> None:
    """Flush a folder's list of names to the disk; Windows knows no such thing."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _checked_scheme(correction: Correction) -> LabelScheme:
    volume, label, network = correction.volume, correction.label, correction.network_label
    for what, map_ in (("corrected", label), ("network's", network)):
        if map_ is not None and not volume.geometry.same_grid(map_.geometry, _SAME_GRID):
            raise CorrectionError(
                f"The {what} label map does not lie on the image's grid "
                f"({map_.geometry.describe()} against {volume.geometry.describe()}, or moved in "
                "the patient); resample it onto the image."
            )
    scheme = label.scheme if network is None else _with_organs_of(label.scheme, network.scheme)
    for what, map_ in (("corrected", label), ("network's", network)):
        unknown = sorted(set(map_.present) - set(scheme.ids)) if map_ is not None else []
        if unknown:
            raise CorrectionError(
                f"The {what} label map holds the labels {unknown}, which have no name; name them "
                "or paint them over."
            )
    return scheme


def _with_organs_of(scheme: LabelScheme, network: LabelScheme) -> LabelScheme:
    names = scheme.names
    for organ in network.organs:
        if names.get(organ.id, organ.name) != organ.name:
            raise CorrectionError(
                f"Label {organ.id} is {names[organ.id]!r} in the correction and {organ.name!r} for "
                "the network; give the new organ another number."
            )
    missing = tuple(organ for organ in network.organs if organ.id not in names)
    return scheme.model_copy(update={"organs": scheme.organs + missing})


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"The folder {folder} cannot be made: {error.strerror}.") from error


@contextmanager
def _draft(folder: Path) -> Iterator[Path]:
    """Give a hidden folder to write to; it is gone afterwards, under that name at least."""
    draft = folder / _draft_name()
    try:
        draft.mkdir()
        yield draft
    except OSError as error:
        raise WriteError(f"{folder} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write_files(draft: Path, correction: Correction, scheme: LabelScheme) -> tuple[str, ...]:
    volume, network = correction.volume, correction.network_label
    image = np.ascontiguousarray(volume.to_source(volume.array))
    write_image(draft / IMAGE, image, volume.source)
    _write_labels(draft / LABEL, correction.label, volume, scheme)
    if network is not None:
        _write_labels(draft / NETWORK_LABEL, network, volume, scheme)
        mask = edited_mask(correction.label.array, network.array).astype(np.uint8)
        write_image(draft / EDITED, np.ascontiguousarray(volume.to_source(mask)), volume.source)
    if correction.card is not None:
        # a command line holds names of files, and those may hold names of people
        told = correction.card.provenance.model_dump() | {"command": ""}
        card = correction.card.model_copy(update={"provenance": Provenance(**told)})
        _write_bytes(draft / CARD, manifest_bytes(card))
    return poison_notes(volume)


def poison_notes(volume: Volume) -> tuple[str, ...]:
    """Say what makes an image unfit to learn from, if anything does."""
    if volume.array.dtype.kind != "f":
        return ()
    bad = sum(int(p.size - np.isfinite(p).sum()) for channel in volume.array for p in channel)
    if bad == 0:
        return ()
    return (f"{bad:,} voxels of the image are not numbers; fine-tuning leaves the case out.",)


def _write_labels(path: Path, labels: LabelMap, volume: Volume, scheme: LabelScheme) -> None:
    array = np.ascontiguousarray(volume.to_source(labels.array))
    write_image(path, array, volume.source, scheme=scheme)


def _case_manifest(
    draft: Path,
    correction: Correction,
    scheme: LabelScheme,
    name: str,
    revision: int,
    digest: str,
    notes: tuple[str, ...],
) -> CaseManifest:
    label, network = correction.label.array, correction.network_label
    edits = () if network is None else count_edits(label, network.array, scheme)
    edited = 0 if network is None else int(edited_mask(label, network.array).sum())
    return CaseManifest(
        name=name,
        revision=revision,
        accepted=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        software=f"napari-hybridseg {__version__}",
        volume_sha256=digest,
        files={path.name: sha256_of_file(path) for path in sorted(draft.iterdir())},
        scheme=scheme,
        modality=correction.volume.modality,
        edits=edits,
        edited_voxels=edited,
        checkpoint_sha256=correction.checkpoint_sha256,
        notes=notes,
    )


def _place(folder: Path, manifest: SetManifest, digest: str) -> tuple[str, int, int]:
    """Give the case's name, its revision, and the set's next number."""
    for listed in manifest.cases:
        with suppress(CorrectionError):  # a damaged case is not taken for this one
            known, _ = read_manifest(folder / listed.folder / CASE_MANIFEST, CaseManifest)
            if known.volume_sha256 == digest:
                return known.name, known.revision + 1, manifest.next_number
    return f"case-{manifest.next_number:04d}", 1, manifest.next_number + 1


def _take_place(draft: Path, target: Path) -> None:
    if target.exists():  # of a writer that was killed before it listed it, or copied by hand
        target.rename(target.with_name(f".unlisted-{target.name}-{secrets.token_hex(4)}"))
    draft.rename(target)
    flush(target.parent)


def _with_line(manifest: SetManifest, line: ListedCase, number: int) -> SetManifest:
    kept = tuple(line if old.name == line.name else old for old in manifest.cases)
    cases = kept if line in kept else (*kept, line)
    return manifest.model_copy(update={"cases": cases, "next_number": number})


def _current_manifest(folder: Path) -> SetManifest:
    if (folder / SET_MANIFEST).exists():
        return read_manifest(folder / SET_MANIFEST, SetManifest)[0]
    if any(folder.glob(f"case-*/{CASE_MANIFEST}")):
        raise CorrectionError(
            f"{folder} holds cases but its {SET_MANIFEST} is gone; restore it from a copy, or "
            "choose another folder."
        )
    # from the first moment on, so that cases without a list always mean that the list was lost
    _write_bytes(folder / SET_MANIFEST, manifest_bytes(SetManifest()))
    return SetManifest()


def _delete(case: Path) -> None:
    """Delete a case's folder; half of one never stands under a case's name."""
    with suppress(OSError):
        gone = case.with_name(_draft_name())
        case.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _draft_name() -> str:
    return f"{_DRAFT}{os.getpid()}-{secrets.token_hex(4)}-{_host()}"


def _host() -> str:
    return "".join(c if c.isalnum() else "-" for c in socket.gethostname())


def _is_abandoned(draft: Path) -> bool:
    pid, _, rest = draft.name.removeprefix(_DRAFT).partition("-")
    _, _, host = rest.partition("-")
    if host != _host() or not pid.isdigit():
        return False
    return is_running(int(pid), socket.gethostname()) is False


def _write_bytes(path: Path, content: bytes, overwrite: bool = False) -> None:
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(content)
