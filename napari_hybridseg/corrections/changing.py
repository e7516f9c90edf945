"""Changing a set's list of cases: locked against others, and replaced in one step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from napari_hybridseg.corrections.correction_set import CorrectionSet
from napari_hybridseg.corrections.drafts import clear_abandoned, delete, write_bytes
from napari_hybridseg.corrections.errors import CorrectionError
from napari_hybridseg.corrections.locking import folder_lock
from napari_hybridseg.corrections.manifest import (
    CASE_MANIFEST,
    SET_MANIFEST,
    SetManifest,
    manifest_bytes,
    read_manifest,
)


@dataclass
class Change:
    """A set that is locked for writing."""

    folder: Path
    manifest: SetManifest

    def commit(self, manifest: SetManifest) -> None:
        """Replace the set's manifest: from here on the change counts."""
        write_bytes(self.folder / SET_MANIFEST, manifest_bytes(manifest), overwrite=True)
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
                delete(folder / case.folder)
        clear_abandoned(folder)


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


def _current_manifest(folder: Path) -> SetManifest:
    if (folder / SET_MANIFEST).exists():
        return read_manifest(folder / SET_MANIFEST, SetManifest)[0]
    if any(folder.glob(f"case-*/{CASE_MANIFEST}")):
        raise CorrectionError(
            f"{folder} holds cases but its {SET_MANIFEST} is gone; restore it from a copy, or "
            "choose another folder."
        )
    # from the first moment on, so that cases without a list always mean that the list was lost
    write_bytes(folder / SET_MANIFEST, manifest_bytes(SetManifest()))
    return SetManifest()
