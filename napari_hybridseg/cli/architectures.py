"""``hybridseg architectures``: what can be built."""

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


def architectures(as_json: JsonOption = False) -> None:
    """List the architectures with their sizes, papers, and what they can explain."""
    entries = [_describe(name) for name in architecture_names()]
    if as_json:
        write_json({"architectures": entries})
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
