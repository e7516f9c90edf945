"""Importing an nnU-Net v2 trained model: a folder, or the zip archive that nnU-Net exports."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from napari_hybridseg.interop.file_tree import FileTree
from napari_hybridseg.interop.foreign_files import (
    ForeignFileError,
    read_torch_file,
    state_dict_of,
)
from napari_hybridseg.interop.imported import (
    Imported,
    card_name,
    check_fits,
    check_labels,
    imported_provenance,
)
from napari_hybridseg.interop.nnunet_architecture import network_of_plan
from napari_hybridseg.interop.nnunet_preprocessing import preprocessing_of_plans, windows_of_plan
from napari_hybridseg.interop.state_dicts import convert_state_dict, strip_wrapper_prefixes
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.networks import get_architecture

_CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")
_LIMITATIONS = (
    "Images are prepared exactly as nnU-Net does. Windows lie at steps of half a window from the "
    "first voxel, where nnU-Net spreads them evenly, and are blended with weights centred half a "
    "voxel beside nnU-Net's; results are brought back to the volume's grid linearly along every "
    "axis, where nnU-Net takes the nearest of thick slices; nnU-Net's own postprocessing is not "
    "applied."
)


@dataclass(frozen=True)
class _Fold:
    name: str
    content: bytes
    weights: dict[str, Tensor]
    configuration: str
    mirrored: Sequence[int] | None


def import_nnunet(
    tree: FileTree,
    labels: LabelScheme | None = None,
    folds: Sequence[str] | None = None,
) -> Imported:
    """Turn a trained nnU-Net into one checkpoint; several folds become an ensemble.

    Parameters
    ----------
    tree : FileTree
        Holds ``plans.json``, ``dataset.json`` and ``fold_*/checkpoint_final.pth``.
    labels : LabelScheme, optional
        Instead of ``dataset.json``'s.
    folds : sequence of str, optional
        Which, such as ``"0"`` or ``"all"``; without it all numbered ones, or else ``"all"``.

    Raises
    ------
    ForeignFileError
        If the model is incomplete, or needs what we do not have: regions, a cascade, another
        network or preprocessing.
    """
    try:
        return _import(tree, labels, folds)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise ForeignFileError(
            f"{tree.path} has plans.json, dataset.json or checkpoints that nnU-Net v2 does not "
            f"write ({type(error).__name__}: {' '.join(str(error).split())[:200]}); copy the "
            "trained model's folder again."
        ) from error


def _import(tree: FileTree, labels: LabelScheme | None, wished: Sequence[str] | None) -> Imported:
    dataset, plans = tree.read_json("dataset.json"), tree.read_json("plans.json")
    scheme = labels or _labels(dataset)
    folds = [_read_fold(tree, name) for name in _fold_names(tree, wished)]
    configuration = folds[0].configuration
    plan = _configuration(plans, configuration)
    member, settings = network_of_plan(plan)
    config = get_architecture(member).make_config(settings).model_dump(mode="json")
    tables = [convert_state_dict(fold.weights, member, settings) for fold in folds]
    classes = len(tables[0][_last_layer(tables[0])])
    check_labels(scheme, classes, str(tree.path))
    name = plans.get("dataset_name", dataset.get("name", tree.path.stem))
    card = ModelCard(
        name=card_name(f"{name}-{configuration}"),
        description=(
            f"nnU-Net v2, {configuration}, trained on {name}; "
            f"{'fold' if len(folds) == 1 else 'the mean of folds'} "
            f"{', '.join(fold.name for fold in folds)}."
        ),
        architecture=member if len(folds) == 1 else "ensemble",
        config=(
            config
            if len(folds) == 1
            else {"member": member, "members": len(folds), "settings": config}
        ),
        in_channels=len(_channel_names(dataset)),
        labels=scheme,
        modality=" ".join(dict.fromkeys(_channel_names(dataset))),
        preprocessing=preprocessing_of_plans(plans, plan),
        windows=windows_of_plan(plan, folds[0].mirrored),
        provenance=imported_provenance(
            "nnU-Net v2 trained model",
            {f"fold_{fold.name}": fold.content for fold in folds},
            configuration=configuration,
        ),
        licence=str(dataset.get("licence", "")),
        attribution=str(dataset.get("reference", "")),
        limitations=_LIMITATIONS,
    )
    imported = Imported(card, _weights(tables))
    check_fits(imported, str(tree.path))
    return imported


def _weights(tables: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    if len(tables) == 1:
        return tables[0]
    return {
        f"members.{index}.{key}": value
        for index, table in enumerate(tables)
        for key, value in table.items()
    }


def _fold_names(tree: FileTree, wished: Sequence[str] | None) -> list[str]:
    there = sorted(
        {found[1] for n in tree.names if (found := re.match(r"fold_(\d+|all)/checkpoint_", n))}
    )
    numbered = [name for name in there if name != "all"]
    chosen = list(dict.fromkeys(wished)) if wished else numbered or there
    missing = [name for name in chosen if name not in there]
    if missing or not chosen:
        have = ", ".join(there) or "none"
        raise ForeignFileError(
            f"{tree.path} has no checkpoint of fold {', '.join(missing) or '0'} "
            f"(there is: {have}); copy the whole folder, or choose another fold."
        )
    return chosen


def _read_fold(tree: FileTree, name: str) -> _Fold:
    there = [f"fold_{name}/{file}" for file in _CHECKPOINTS if f"fold_{name}/{file}" in tree.names]
    if not there:
        raise ForeignFileError(
            f"{tree.path} has neither {' nor '.join(_CHECKPOINTS)} in fold_{name}; its training "
            "has not ended."
        )
    content = tree.read(there[0])
    held = read_torch_file(content, f"{tree.path.name}/{there[0]}")
    if not isinstance(held, Mapping) or "network_weights" not in held:
        raise ForeignFileError(
            f"{there[0]} in {tree.path} is no nnU-Net v2 checkpoint; nnU-Net v1's cannot be "
            "imported."
        )
    weights = state_dict_of(held["network_weights"], there[0])
    return _Fold(
        name=name,
        content=content,
        weights={strip_wrapper_prefixes(key): value for key, value in weights.items()},
        configuration=str(held["init_args"]["configuration"]),
        mirrored=held.get("inference_allowed_mirroring_axes"),
    )


def _configuration(plans: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Look a configuration up and fill in what it inherits."""
    plan: dict[str, Any] = {}
    seen: list[str] = []
    wanted: str | None = name
    while wanted is not None and wanted not in seen:
        seen.append(wanted)
        plan = {**plans["configurations"][wanted], **plan}
        wanted = plans["configurations"][wanted].get("inherits_from")
    if plan.get("previous_stage"):
        raise ForeignFileError(
            f"This nnU-Net model ({name}) is the second stage of a cascade and needs the first "
            "stage's result, so it cannot be imported; import the 3d_fullres model instead."
        )
    return plan


def _labels(dataset: Mapping[str, Any]) -> LabelScheme:
    labels = dict(dataset["labels"])
    labels.pop("ignore", None)
    regions = [name for name, number in labels.items() if isinstance(number, (list, tuple))]
    if dataset.get("regions_class_order") or regions:
        raise ForeignFileError(
            "This nnU-Net model was trained on regions, which overlap "
            f"({', '.join(regions)}), so it cannot be imported; a model of plain labels can."
        )
    numbers = sorted(int(number) for number in labels.values())
    if numbers != list(range(len(numbers))):
        raise ForeignFileError(
            f"This nnU-Net model has the labels {numbers}, not 0, 1, 2 and so on, so what its "
            "outputs mean is not known."
        )
    names = {int(number): str(name) for name, number in labels.items()}
    return LabelScheme.from_names(names, str(dataset.get("name", "")))


def _channel_names(dataset: Mapping[str, Any]) -> list[str]:
    names = dataset.get("channel_names") or dataset["modality"]
    return [str(names[key]) for key in sorted(names, key=int)]


def _last_layer(weights: Mapping[str, Tensor]) -> str:
    heads = [key for key in weights if re.fullmatch(r"decoder\.seg_layers\.\d+\.weight", key)]
    return max(heads, key=lambda key: int(key.split(".")[2]))
