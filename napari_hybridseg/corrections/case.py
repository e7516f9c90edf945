"""One accepted correction, as it lies in a set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from napari_hybridseg.corrections.errors import CorrectionError
from napari_hybridseg.corrections.manifest import (
    CARD,
    EDITED,
    IMAGE,
    LABEL,
    NETWORK_LABEL,
    CaseManifest,
)
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.volume import LabelMap, Volume, load_label_map, load_volume


@dataclass(frozen=True)
class CorrectionCase:
    """An accepted correction: where its files are, and what they are.

    Attributes
    ----------
    folder : Path
        The case's own folder.
    manifest : CaseManifest
        What its ``case.json`` says.
    sha256 : str
        Hash of ``case.json``, which holds the hashes of all other files: it names exactly this
        state of the case.
    """

    folder: Path
    manifest: CaseManifest
    sha256: str

    @property
    def name(self) -> str:
        """The case's name in its set, e.g. ``"case-0003"``."""
        return self.manifest.name

    @property
    def image(self) -> Path:
        """The image's file, on the grid of the scan that it came from."""
        return self.folder / IMAGE

    @property
    def label(self) -> Path:
        """The corrected label map's file."""
        return self.folder / LABEL

    @property
    def network_label(self) -> Path | None:
        """The file of the network's label map; None for a pair that was imported."""
        return self._optional(NETWORK_LABEL)

    @property
    def edited(self) -> Path | None:
        """The file of the mask of edited voxels; None without a network's label map."""
        return self._optional(EDITED)

    @property
    def scheme(self) -> LabelScheme:
        """What the numbers in the label maps mean."""
        return self.manifest.scheme

    @property
    def sha256s(self) -> Mapping[str, str]:
        """The hash of every file, by its name."""
        return {name: record.sha256 for name, record in self.manifest.files.items()}

    @property
    def checkpoint_sha256(self) -> str:
        """The file hash of the checkpoint behind the network's label map, or empty."""
        return self.manifest.checkpoint_sha256

    @property
    def card(self) -> ModelCard | None:
        """The card of the checkpoint that made the network's label map, where there was one.

        Raises
        ------
        CorrectionError
            If the file is gone or damaged.
        """
        path = self._optional(CARD)
        if path is None:
            return None
        try:
            return ModelCard.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise CorrectionError(
                f"{path} cannot be read as a checkpoint's card; 'hybridseg corrections verify' "
                "tells more."
            ) from error

    def load_image(self) -> Volume:
        """Read the image.

        Raises
        ------
        CorrectionError
            If the case was removed meanwhile.
        FormatError
            If the file is damaged.
        """
        self._refuse_removed()
        volume = load_volume(self.image)
        return replace(volume, name=self.name, modality=self.manifest.modality)

    def load_label(self) -> LabelMap:
        """Read the corrected label map; raises as `load_image`."""
        return self._load(self.label)

    def load_network_label(self) -> LabelMap | None:
        """Read the network's label map, if there is one; raises as `load_image`."""
        path = self.network_label
        return None if path is None else self._load(path)

    def load_edited(self) -> NDArray[np.bool_] | None:
        """Read the edited voxels, (Z, Y, X) in canonical orientation; raises as `load_image`."""
        path = self.edited
        if path is None:
            return None
        self._refuse_removed()
        mask: NDArray[np.bool_] = load_label_map(path).array != 0
        return mask

    def _load(self, path: Path) -> LabelMap:
        self._refuse_removed()
        return load_label_map(path, self.scheme)

    def _optional(self, name: str) -> Path | None:
        return self.folder / name if name in self.manifest.files else None

    def _refuse_removed(self) -> None:
        if not self.folder.is_dir():
            raise CorrectionError(
                f"{self.name} is no longer in {self.folder.parent}; it was removed or corrected "
                "anew, so open the set again."
            )
