"""``hybridseg architectures``: what can be built, and the papers' protocols for it."""

from __future__ import annotations

from typing import Any

from napari_hybridseg.cli.console import JsonOption, write_json, write_table
from napari_hybridseg.networks import (
    Architecture,
    ArchitectureError,
    NetworkConfig,
    architecture_names,
    get_architecture,
)
from napari_hybridseg.presets import PRESETS, Preset


def architectures(as_json: JsonOption = False) -> None:
    """List the architectures with their sizes, papers, what they can explain, and presets."""
    entries = [_describe(name) for name in architecture_names()]
    presets = [_describe_preset(preset) for preset in PRESETS]
    if as_json:
        write_json({"architectures": entries, "presets": presets})
        return
    write_table(
        "Parameters at the paper's size, with the paper's numbers of channels and classes",
        ("name", "dims", "parameters", "paper says", "explains", "paper", "note"),
        (
            (
                e["name"],
                e["dims"],
                f"{e['parameters'] / 1e6:.2f} M" if e["parameters"] else None,
                f"{e['paper_parameters_m']} M" if e["paper_parameters_m"] else None,
                ", ".join(e["explains"]),
                e["paper"],
                e["note"],
            )
            for e in entries
        ),
    )
    write_table(
        "Presets: for --preset of 'train' and of 'checkpoints import'",
        ("name", "architectures", "modality", "organs"),
        (
            (
                p["name"],
                ", ".join(p["architectures"]),
                p["modality"],
                ", ".join(p["organs"]),
            )
            for p in presets
        ),
    )


def _describe_preset(preset: Preset) -> dict[str, Any]:
    return {
        "name": preset.dataset,
        "full_name": preset.name,
        "architectures": [preset.architecture, *preset.also_for],
        "modality": preset.modality,
        "organs": [organ.name for organ in preset.labels.organs],
        "source": preset.source,
    }


def _describe(name: str) -> dict[str, Any]:
    try:
        architecture = get_architecture(name)
        config = architecture.make_config()
        count = _parameters(architecture, config)
    except ArchitectureError as error:
        return _unavailable(name, str(error))
    return {
        "name": name,
        "title": architecture.title,
        "dims": architecture.spatial_dims,
        "parameters": count,
        "paper_parameters_m": architecture.paper_parameters,
        "explains": list(architecture.explains),
        "paper": architecture.paper,
        "note": architecture.note,
        "config": config.model_dump(mode="json"),
    }


def _parameters(architecture: Architecture, config: NetworkConfig) -> int:
    import torch

    try:
        with torch.device("meta"):
            network = architecture.build(*architecture.paper_channels, config)
    except (RuntimeError, ArchitectureError):  # some read numbers while they are built
        network = architecture.build(*architecture.paper_channels, config)
    return sum(p.numel() for p in network.parameters())


def _unavailable(name: str, reason: str) -> dict[str, Any]:
    return {
        "name": name,
        "title": name,
        "dims": None,
        "parameters": None,
        "paper_parameters_m": None,
        "explains": [],
        "paper": "",
        "note": reason,
        "config": None,
    }
