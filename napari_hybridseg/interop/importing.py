"""The one way in for other people's checkpoints, whatever they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_hybridseg.interop.authors import import_authors_file
from napari_hybridseg.interop.file_tree import FileTree, open_tree
from napari_hybridseg.interop.foreign_files import ForeignFileError
from napari_hybridseg.interop.imported import Imported
from napari_hybridseg.interop.monai_bundle import INFERENCE, import_monai_bundle
from napari_hybridseg.interop.nnunet import import_nnunet
from napari_hybridseg.labels import LabelScheme

_PLANS = "plans.json"


def import_checkpoint(
    path: str | Path,
    *,
    preset: str | None = None,
    architecture: str | None = None,
    labels: LabelScheme | None = None,
    config: Mapping[str, Any] | None = None,
    folds: Sequence[str] | None = None,
) -> Imported:
    """Read somebody else's checkpoint and describe it as one of ours.

    Understood are the files of the papers' authors (CBIM, CoTr, TransFuse, 3D UX-Net), nnU-Net v2
    trained models and MONAI bundles, the latter two as folder or zip archive. No code in them is
    run and nothing is written.

    Parameters
    ----------
    path : path
        The file or folder.
    preset : str, optional
        For an authors' file: the protocol that it was trained with, see ``find_preset``.
    architecture : str, optional
        What it is expected to be of.
    labels : LabelScheme, optional
        Instead of the labels that are known for it.
    config : mapping, optional
        For an authors' file: settings that take precedence.
    folds : sequence of str, optional
        For nnU-Net: which folds, all of them unless given.

    Raises
    ------
    HybridSegError
        With one sentence on why it cannot be imported.
    """
    path = Path(path)
    if not path.exists():
        raise ForeignFileError(f"{path} does not exist; give a file or folder that does.")
    tree = open_tree(path)
    if tree is None:
        if folds is not None:
            raise ForeignFileError(f"{path} is one file and has no folds; leave the fold out.")
        return import_authors_file(path, preset, architecture, labels, config)
    imported = _import_tree(tree, labels, folds)
    card = imported.card
    if architecture not in (None, card.architecture, card.config.get("member")):
        raise ForeignFileError(
            f"{path} is of {card.architecture}, not of {architecture}; leave the architecture out."
        )
    if preset is not None or config is not None:
        raise ForeignFileError(
            f"{path} says itself how it was trained; leave the preset and the config out."
        )
    return imported


def _import_tree(
    tree: FileTree, labels: LabelScheme | None, folds: Sequence[str] | None
) -> Imported:
    model = tree.folder_of(_PLANS)
    if model is not None:
        return import_nnunet(tree.below(model), labels, folds)
    bundle = tree.folder_of(INFERENCE)
    if bundle is not None:
        return import_monai_bundle(tree.below(bundle), labels)
    raise ForeignFileError(
        f"{tree.path} is neither an nnU-Net v2 trained model (it has no {_PLANS}) nor a MONAI "
        f"bundle (it has no {INFERENCE}); give the folder that holds one of these."
    )
