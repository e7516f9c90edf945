"""Networks of the four papers and the baselines they compare with."""

from napari_hybridseg.networks.registry import (
    Architecture,
    ArchitectureError,
    Constraints,
    NetworkConfig,
    architecture_names,
    create_network,
    get_architecture,
)

__all__ = [
    "Architecture",
    "ArchitectureError",
    "Constraints",
    "NetworkConfig",
    "architecture_names",
    "create_network",
    "get_architecture",
]
