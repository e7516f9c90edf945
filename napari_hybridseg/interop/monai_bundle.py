"""Importing a MONAI bundle: a folder or a zip archive of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
from napari_hybridseg.interop.monai_config import resolved
from napari_hybridseg.interop.monai_networks import network_of_definition
from napari_hybridseg.interop.monai_preprocessing import (
    preprocessing_of_transforms,
    windows_of_inferer,
)
from napari_hybridseg.interop.state_dicts import convert_state_dict, strip_wrapper_prefixes
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import ModelCard
from napari_hybridseg.networks import get_architecture

INFERENCE = "configs/inference.json"
METADATA = "configs/metadata.json"
WEIGHTS = "models/model.pt"

_MAKE_A_LABEL_MAP = frozenset(
    ("Activations", "AsDiscrete", "Invert", "SaveImage", "EnsureType", "ToTensor", "CastToType")
)


def import_monai_bundle(tree: FileTree, labels: LabelScheme | None = None) -> Imported:
    """Turn a MONAI bundle into one of our checkpoints.

    Parameters
    ----------
    tree : FileTree
        Holds ``configs/inference.json``, ``configs/metadata.json`` and ``models/model.pt``.
    labels : LabelScheme, optional
        Instead of the bundle's.

    Raises
    ------
    ForeignFileError
        If it is incomplete, or its network, transforms or outputs are not what we have.
    """
    try:
        return _import(tree, labels)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise ForeignFileError(
            f"{tree.path} is no complete MONAI bundle ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}); download it again."
        ) from error


def _import(tree: FileTree, labels: LabelScheme | None) -> Imported:
    config, metadata = tree.read_json(INFERENCE), tree.read_json(METADATA)
    _refuse_overlapping(config)
    definition = resolved(config, config["network_def"])
    architecture, settings, inputs, classes = network_of_definition(definition)
    checked: Any = get_architecture(architecture).make_config(settings)
    content = tree.read(WEIGHTS)
    held = read_torch_file(content, f"{tree.path.name}/{WEIGHTS}")
    state = state_dict_of(held, WEIGHTS)
    weights = convert_state_dict(
        {strip_wrapper_prefixes(key): value for key, value in state.items()},
        architecture,
        settings,
    )
    scheme = labels or _labels(metadata)
    check_labels(scheme, classes, str(tree.path))
    transforms = [
        resolved(config, transform) for transform in config["preprocessing"]["transforms"]
    ]
    preprocessing, left_out = preprocessing_of_transforms(transforms, inputs)
    card = ModelCard(
        name=card_name(str(metadata.get("name", tree.path.stem))),
        description=str(metadata.get("description", "")),
        architecture=architecture,
        config=checked.model_dump(mode="json"),
        in_channels=inputs,
        labels=scheme,
        modality=_modality(metadata),
        preprocessing=preprocessing,
        windows=windows_of_inferer(
            resolved(config, _without_programs(config["inferer"])), checked.spatial_dims
        ),
        provenance=imported_provenance(
            "MONAI bundle", {WEIGHTS: content}, version=str(metadata.get("version", ""))
        ),
        licence=str(metadata.get("license", "")),
        attribution=str(metadata.get("authors", "")),
        intended_use=str(metadata.get("intended_use") or "Research only; not a medical device."),
        limitations=_limitations(left_out, _postprocessing_left_out(config)),
    )
    imported = Imported(card, weights)
    check_fits(imported, str(tree.path))
    return imported


def _refuse_overlapping(config: Mapping[str, Any]) -> None:
    """Refuse outputs that are not one class for each voxel."""
    for transform in config.get("postprocessing", {}).get("transforms", ()):
        if transform.get("sigmoid"):
            raise ForeignFileError(
                "This MONAI bundle's outputs may overlap (a sigmoid for each), so it cannot be "
                "imported; one with a softmax over classes can."
            )


def _without_programs(inferer: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out where the inferer runs, which bundles write as programs."""
    return {k: v for k, v in inferer.items() if k not in ("device", "sw_device", "progress")}


def _labels(metadata: Mapping[str, Any]) -> LabelScheme:
    outputs = metadata["network_data_format"]["outputs"]
    names = next(iter(outputs.values()))["channel_def"]
    numbered = {int(number): str(name) for number, name in names.items()}
    return LabelScheme.from_names(numbered, str(metadata.get("name", "")))


def _modality(metadata: Mapping[str, Any]) -> str:
    inputs = metadata.get("network_data_format", {}).get("inputs", {})
    return str(next(iter(inputs.values()))["modality"]) if inputs else ""


def _postprocessing_left_out(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the steps that change a label map after the network; those that make it one do not."""
    names = [
        str(transform["_target_"]).rsplit(".", 1)[-1].removesuffix("d")
        for transform in config.get("postprocessing", {}).get("transforms", ())
    ]
    return tuple(name for name in names if name not in _MAKE_A_LABEL_MAP)


def _limitations(left_out: tuple[str, ...], not_done: tuple[str, ...]) -> str:
    said = "Grids are resampled to the box of the volume, so voxels lie a little beside MONAI's."
    if left_out:
        said += f" Left out of its preprocessing: {', '.join(left_out)}."
    if not_done:
        said += f" Left out of its postprocessing: {', '.join(not_done)}."
    return said
