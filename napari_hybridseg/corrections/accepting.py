"""Putting a corrected case into a set: all of it or nothing.

A case is written into a hidden folder beside the others, every file flushed to the disk; then the
folder gets its name, and last the set's manifest is replaced by one that lists it. A kill at any
moment leaves the old manifest, and with it the old set. Drafts of a writer that died are cleared
away by the next one; a case's folder that was never listed is put aside, not deleted.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from napari_hybridseg.corrections.case import CorrectionCase
from napari_hybridseg.corrections.case_files import Correction, case_manifest, write_files
from napari_hybridseg.corrections.changing import changing
from napari_hybridseg.corrections.drafts import (
    draft_in,
    flush,
    make_folder,
    take_place,
    write_bytes,
)
from napari_hybridseg.corrections.errors import CorrectionError
from napari_hybridseg.corrections.identity import volume_sha256
from napari_hybridseg.corrections.manifest import (
    CASE_MANIFEST,
    CaseManifest,
    ListedCase,
    SetManifest,
    manifest_bytes,
    read_manifest,
    sha256_of_file,
)
from napari_hybridseg.labels import LabelScheme

_SAME_GRID = 0.01

__all__ = ["Correction", "accept"]


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
    make_folder(folder)
    with draft_in(folder) as draft:
        notes = write_files(draft, correction, scheme)
        digest = volume_sha256(correction.volume)
        with changing(folder, wait_s) as change:
            name, revision, number = _place(folder, change.manifest, digest)
            case = case_manifest(draft, correction, scheme, name, revision, digest, notes)
            write_bytes(draft / CASE_MANIFEST, manifest_bytes(case))
            flush(draft)
            target = folder / (name if revision == 1 else f"{name}_rev-{revision}")
            take_place(draft, target)
            sha256 = sha256_of_file(target / CASE_MANIFEST).sha256
            line = ListedCase(name=name, folder=target.name, manifest_sha256=sha256)
            change.commit(_with_line(change.manifest, line, number))
    return CorrectionCase(target, case, sha256)


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


def _place(folder: Path, manifest: SetManifest, digest: str) -> tuple[str, int, int]:
    """Give the case's name, its revision, and the set's next number."""
    for listed in manifest.cases:
        with suppress(CorrectionError):  # a damaged case is not taken for this one
            known, _ = read_manifest(folder / listed.folder / CASE_MANIFEST, CaseManifest)
            if known.volume_sha256 == digest:
                return known.name, known.revision + 1, manifest.next_number
    return f"case-{manifest.next_number:04d}", 1, manifest.next_number + 1


def _with_line(manifest: SetManifest, line: ListedCase, number: int) -> SetManifest:
    kept = tuple(line if old.name == line.name else old for old in manifest.cases)
    cases = kept if line in kept else (*kept, line)
    return manifest.model_copy(update={"cases": cases, "next_number": number})
