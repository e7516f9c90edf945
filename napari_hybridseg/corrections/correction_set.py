"""A folder of accepted corrections."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from napari_hybridseg.corrections.case import CorrectionCase
from napari_hybridseg.corrections.errors import CorrectionError
from napari_hybridseg.corrections.manifest import (
    CASE_MANIFEST,
    SET_MANIFEST,
    CaseManifest,
    ListedCase,
    SetManifest,
    read_manifest,
)


@dataclass(frozen=True)
class CorrectionSet:
    """A correction set as it was when it was opened.

    Others may add and remove cases meanwhile: what is listed here stays listed, and reading a
    case that is gone raises a `CorrectionError` that says so.

    Attributes
    ----------
    folder : Path
        Where it is.
    manifest : SetManifest
        What its ``corrections.json`` said.
    """

    folder: Path
    manifest: SetManifest

    @classmethod
    def open(cls, folder: str | Path) -> CorrectionSet:
        """Open a set; only manifests are read.

        Raises
        ------
        CorrectionError
            If the folder is no correction set.
        """
        folder = Path(folder)
        if not (folder / SET_MANIFEST).is_file():
            raise CorrectionError(
                f"{folder} is no correction set: it has no {SET_MANIFEST}; accept a first "
                "correction into it, or choose another folder."
            )
        manifest, _ = read_manifest(folder / SET_MANIFEST, SetManifest)
        return cls(folder, manifest)

    @cached_property
    def cases(self) -> tuple[CorrectionCase, ...]:
        """The accepted cases, in the order in which they were first accepted.

        Raises
        ------
        CorrectionError
            If a listed case is gone or its manifest damaged.
        """
        return tuple(self._read(listed) for listed in self.manifest.cases)

    def case(self, name: str) -> CorrectionCase:
        """Give one case by its name.

        Raises
        ------
        CorrectionError
            If it is not in the set, gone, or damaged.
        """
        for listed in self.manifest.cases:
            if listed.name == name:
                return self._read(listed)
        raise CorrectionError(f"There is no case {name!r} in {self.folder}.")

    def _read(self, listed: ListedCase) -> CorrectionCase:
        folder = self.folder / listed.folder
        manifest, sha256 = read_manifest(folder / CASE_MANIFEST, CaseManifest)
        if sha256 != listed.manifest_sha256 or manifest.name != listed.name:
            raise CorrectionError(
                f"{folder / CASE_MANIFEST} is not the file that was accepted; restore it from a "
                "copy, or remove the case."
            )
        return CorrectionCase(folder, manifest, sha256)
