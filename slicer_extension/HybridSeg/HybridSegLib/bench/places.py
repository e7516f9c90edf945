"""Where in the world to look: at an organ, or at its worst error."""

from __future__ import annotations

from typing import Any

from HybridSegLib.bench.label_maps import grid_of
from HybridSegLib.bench.tasks import compared_maps
from HybridSegLib.bench.worst_error import middle_of, worst_error
from HybridSegLib.slices import world_of_voxel

Place = tuple[float, float, float]


def place_of_organ(label_map: Any, reference: Any, label: int) -> Place | None:
    """Give the world place (RAS) of an organ's middle; None if neither side has it.

    It is taken in the label map, or in the reference where the organ was missed.
    """
    with grid_of(reference) as grid:
        ours, theirs = compared_maps(label_map, reference, grid)
        # a label map keeps its own grid, a segmentation was brought onto the reference's
        where = grid if ours.source.same_grid(theirs.source) else label_map
        for found, node in ((ours, where), (theirs, grid)):
            voxel = middle_of(found.to_source(found.array) == label)
            if voxel is not None:
                return world_of_voxel(node, voxel)
    return None


def place_of_worst_error(label_map: Any, reference: Any, label: int) -> Place | None:
    """Give the world place (RAS) of the middle of an organ's thickest error; None without one.

    Maps on different grids have none: they cannot be compared voxel by voxel.
    """
    with grid_of(reference) as grid:
        ours, theirs = compared_maps(label_map, reference, grid)
        if not ours.source.same_grid(theirs.source):
            return None
        masks = (found.to_source(found.array) == label for found in (ours, theirs))
        voxel = worst_error(*masks, theirs.source.spacing_zyx)
        return None if voxel is None else world_of_voxel(grid, voxel)
