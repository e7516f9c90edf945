"""What is written about a case: image, label maps, mask of edits, card and manifest."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_hybridseg import __version__
from napari_hybridseg.corrections.drafts import write_bytes
from napari_hybridseg.corrections.edits import count_edits, edited_mask
from napari_hybridseg.corrections.manifest import (
    CARD,
    EDITED,
    IMAGE,
    LABEL,
    NETWORK_LABEL,
    CaseManifest,
    manifest_bytes,
    sha256_of_file,
)
from napari_hybridseg.counting import counted
from napari_hybridseg.formats import write_image
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import ModelCard, Provenance
from napari_hybridseg.volume import LabelMap, Volume


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


def write_files(draft: Path, correction: Correction, scheme: LabelScheme) -> tuple[str, ...]:
    """Write everything but the manifest; give notes for it."""
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
        write_bytes(draft / CARD, manifest_bytes(card))
    return poison_notes(volume)


def poison_notes(volume: Volume) -> tuple[str, ...]:
    """Say what makes an image unfit to learn from, if anything does."""
    if volume.array.dtype.kind != "f":
        return ()
    bad = sum(int(p.size - np.isfinite(p).sum()) for channel in volume.array for p in channel)
    if bad == 0:
        return ()
    are = "is no number" if bad == 1 else "are not numbers"
    return (f"{counted(bad, 'voxel')} of the image {are}; fine-tuning leaves the case out.",)


def _write_labels(path: Path, labels: LabelMap, volume: Volume, scheme: LabelScheme) -> None:
    array = np.ascontiguousarray(volume.to_source(labels.array))
    write_image(path, array, volume.source, scheme=scheme)


def case_manifest(
    draft: Path,
    correction: Correction,
    scheme: LabelScheme,
    name: str,
    revision: int,
    digest: str,
    notes: tuple[str, ...],
) -> CaseManifest:
    """Describe a case, with the hash of every file of its draft."""
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
