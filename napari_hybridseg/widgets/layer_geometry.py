"""From the patient to napari's world and back, without a mirror in between.

napari draws the first world axis of a 3D view towards the viewer, the second down and the third
to the right, and rows of a slice downwards. A volume is therefore shown along inferior,
posterior and left: an axial slice has anterior at the top and the patient's right at the left
of the screen, coronal and sagittal slices have the head at the top, and the 3D view is no mirror
image (inferior × posterior = left). A canonical array (Z, Y, X to superior, posterior, left) is
flipped along Z for that, as a view; its spacing is the layer's scale. An oblique volume is shown
along its own axes, and its true directions travel in ``layer.metadata["hybridseg"]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pint
from napari.layers import Image
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.geometry import ArrayType, Geometry, Reorientation
from napari_hybridseg.volume import CANONICAL

METADATA_KEY = "hybridseg"
AXIS_LABELS = ("inferior", "posterior", "left")
UNITS = ("mm", "mm", "mm")

_TO_SHOWN = Reorientation(order=(0, 1, 2), flips=(False, False, True))
_WORLD_TO_LPS = np.diag([1.0, 1.0, -1.0])
_UNKNOWN_DIRECTIONS = (
    "This layer does not say how the patient lies: slices are taken to run from feet to head, "
    "rows from front to back, columns from the patient's right to left."
)
_SEVERAL_SOURCES = (
    "Files on different grids show the same voxels here; the grid of the lowest layer's file is "
    "used."
)
_SAME_MM = 1e-5
_TRANSFORM_KEYS = ("scale", "translate", "rotate", "shear", "affine", "units", "metadata")


class LayerError(HybridSegError):
    """A layer that cannot be used as a volume or label map."""


@dataclass(frozen=True)
class LayerGrid:
    """Where the voxels of a layer lie in the patient.

    Attributes
    ----------
    shown : Geometry
        The grid of the layer's array, in the array's own order.
    source : Geometry
        The grid of the file that the layer came from; ``shown`` where there is none.
    is_known : bool
        Whether the directions come from a file, rather than being assumed.
    is_guessed : bool
        Whether even the way the axes run is only the most usual one.
    notes : tuple of str
        What had to be assumed.
    """

    shown: Geometry
    source: Geometry
    is_known: bool = True
    is_guessed: bool = False
    notes: tuple[str, ...] = ()

    @classmethod
    def of_canonical(cls, geometry: Geometry, source: Geometry) -> LayerGrid:
        """Describe how a canonical grid is shown."""
        return cls(shown=geometry.reoriented(_TO_SHOWN), source=source)

    @cached_property
    def _to_canonical(self) -> Reorientation:
        return self.shown.to_axis_codes(CANONICAL)

    @property
    def geometry(self) -> Geometry:
        """The canonical grid of the same voxels."""
        return self.shown.reoriented(self._to_canonical)

    def to_canonical(self, array: ArrayType) -> ArrayType:
        """Turn a layer's (..., Z, Y, X) array into canonical order; a view."""
        return self._to_canonical.apply(array)

    def to_layer(self, array: ArrayType) -> ArrayType:
        """Turn a canonical (..., Z, Y, X) array into the layer's order; a view."""
        return self._to_canonical.inverse().apply(array)

    def points_to_layer(self, voxels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Turn (..., 3) voxels (Z, Y, X) of the canonical grid into places in the layer's array."""
        return self.shown.index(self.geometry.world(voxels))

    def points_to_canonical(self, places: NDArray[np.floating]) -> NDArray[np.float64]:
        """Turn (..., 3) places in the layer's array into voxels (Z, Y, X) of the canonical grid."""
        return self.geometry.index(self.shown.world(places))

    @property
    def oblique_degrees(self) -> float:
        """The largest angle between an axis of the grid and the patient's nearest axis."""
        nearest = np.abs(self.shown.direction_matrix).max(axis=0).min()
        return float(np.degrees(np.arccos(min(1.0, nearest))))

    def placement(self) -> dict[str, Any]:
        """Give the layer arguments that put an array of this grid at its place in the world."""
        origin = self.shown.direction_matrix.T @ np.asarray(self.shown.origin)
        return {
            "scale": self.shown.spacing_zyx,
            "translate": tuple(float(v) for v in origin[::-1]),
            "units": UNITS,
            "axis_labels": AXIS_LABELS,
        }

    def as_metadata(self) -> dict[str, Any]:
        """Describe the grid in plain JSON types."""
        return {"geometry": _plain(self.geometry), "source": _plain(self.source)}


def grid_of_layer(layer: Any, neighbours: Iterable[Any] = ()) -> LayerGrid:
    """Find out where a layer's voxels lie.

    Parameters
    ----------
    layer : napari.layers.Layer
        At least 3D, leading axes are channels; or a flat image, which is taken as one slice.
    neighbours : iterable of layers
        Layers of the same viewer: a layer that knows nothing of itself, such as one that the user
        just drew, takes the geometry of one that has the same voxels.

    Raises
    ------
    LayerError
        If it is no regular grid of voxels in three dimensions, or its neighbours disagree.
    """
    return grid_of_attributes(voxels_of(layer), _attributes(layer), neighbours)


def voxels_of(layer: Any) -> tuple[int, ...]:
    """Give a layer's shape without its colours, (..., Z, Y, X); a flat image is one slice."""
    shape = layer.data.shape[:-1] if is_coloured(layer) else layer.data.shape
    return (1, *shape) if is_flat(layer) else tuple(shape)


def is_coloured(layer: Any) -> bool:
    """Say whether a layer's last axis is red, green and blue."""
    return isinstance(layer, Image) and layer.rgb


def is_flat(layer: Any) -> bool:
    """Say whether a layer is an image of two axes, such as a photograph."""
    return isinstance(layer, Image) and layer.ndim == 2


def place_under(layer: Any, world: Any) -> NDArray[np.float64]:
    """Give the place (Z, Y, X) in a layer's array of a point in napari's world."""
    if is_flat(layer):
        return np.asarray([0.0, *layer.world_to_data(np.asarray(world)[-2:])])
    return np.asarray(layer.world_to_data(world), dtype=np.float64)[-3:]


def world_at(layer: Any, place: NDArray[np.floating]) -> NDArray[np.float64]:
    """Give the last three axes of napari's world at a place (Z, Y, X) in a layer's array."""
    if is_flat(layer):
        return np.asarray([0.0, *layer.data_to_world(place[-2:])])
    every_axis = np.concatenate([np.zeros(layer.ndim - 3), place])
    return np.asarray(layer.data_to_world(every_axis), dtype=np.float64)[-3:]


def placement_of(layer: Any) -> dict[str, Any]:
    """Give the layer arguments that put a 3D layer exactly where this one is."""
    if is_flat(layer):
        return _raised(layer) | {"axis_labels": ("slice", *layer.axis_labels)}
    return {
        "axis_labels": tuple(layer.axis_labels[-3:]),
        "scale": tuple(layer.scale[-3:]),
        "translate": tuple(layer.translate[-3:]),
        "rotate": np.asarray(layer.rotate)[-3:, -3:],
        "shear": np.asarray(layer.shear)[-3:],
        "affine": np.asarray(layer.affine.affine_matrix)[-4:, -4:],
        "units": tuple(layer.units[-3:]),
    }


def grid_of_attributes(
    shape: Sequence[int], attributes: Mapping[str, Any], neighbours: Iterable[Any] = ()
) -> LayerGrid:
    """Find out where voxels lie from an array's shape and a layer's attributes.

    Raises
    ------
    LayerError
        As :func:`grid_of_layer`.
    """
    own = _own_grid(shape, attributes)
    if own.is_known:
        return own
    step, translate, _ = _world_millimetres(len(shape), attributes)
    grids = [
        grid_of_layer(other)
        for other in neighbours
        if knows_its_grid(other) and _lies_at(other, shape, step, translate)
    ]
    if not all(grid.shown.same_grid(grids[0].shown) for grid in grids):
        raise LayerError(
            "Scans of different directions lie in the same place, and this layer does not say "
            "which is its own; close all of them but that one."
        )
    if not all(grid.source.same_grid(grids[0].source) for grid in grids):
        return replace(grids[0], notes=(*grids[0].notes, _SEVERAL_SOURCES))
    return grids[0] if grids else own


def knows_its_grid(layer: Any) -> bool:
    """Say whether a layer's metadata tell the grid of the file that it came from."""
    return "geometry" in plain_metadata({"metadata": layer.metadata})


def _own_grid(shape: Sequence[int], attributes: Mapping[str, Any]) -> LayerGrid:
    if len(shape) < 3:
        raise LayerError("This layer is flat; a volume with three axes is needed.")
    recorded = plain_metadata(attributes)
    try:
        step, translate, notes = _world_millimetres(len(shape), attributes)
        if "geometry" not in recorded:
            return _assumed_grid(shape, step, translate, notes)
        known = LayerGrid.of_canonical(
            _geometry(recorded["geometry"]), _geometry(recorded["source"])
        )
        now = _in_frame(known.shown.direction_matrix, shape, step, translate)
    except HybridSegError as error:
        raise LayerError(f"This layer cannot be placed in the patient: {error}") from error
    if now.same_grid(known.shown):
        return known
    note = "The layer was cropped, moved or rescaled after it was opened; its place now is used."
    return LayerGrid(shown=now, source=now, notes=(note,))


def plain_metadata(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Give what this plugin wrote into the metadata of a layer's attributes; empty if nothing."""
    return dict((attributes.get("metadata") or {}).get(METADATA_KEY) or {})


def _assumed_grid(
    shape: Sequence[int],
    step: NDArray[np.float64],
    translate: NDArray[np.float64],
    notes: tuple[str, ...],
) -> LayerGrid:
    is_guessed = np.array_equal(step, np.diag(np.abs(np.diag(step))))
    if is_guessed:
        frame = np.eye(3)
        notes += (_UNKNOWN_DIRECTIONS,)
    else:
        frame = _WORLD_TO_LPS
    shown = _in_frame(frame, shape, step, translate)
    return LayerGrid(shown, source=shown, is_known=False, is_guessed=is_guessed, notes=notes)


def _in_frame(
    frame: NDArray[np.float64],
    shape: Sequence[int],
    step: NDArray[np.float64],
    translate: NDArray[np.float64],
) -> Geometry:
    """Give the grid whose napari world axes, from the last to the first, are frame's columns."""
    affine = np.eye(4)
    affine[:3, :3] = frame @ step[::-1, ::-1]
    affine[:3, 3] = frame @ translate[::-1]
    return Geometry.from_affine(tuple(shape[-3:]), affine)


def _world_millimetres(
    ndim: int, attributes: Mapping[str, Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[str, ...]]:
    """Give the last three axes' steps (as columns) and the first voxel, in world millimetres."""
    own = {
        key: attributes[key]
        for key in ("scale", "translate", "rotate", "shear")
        if attributes.get(key) is not None
    }
    data_to_physical = Affine(ndim=ndim, **own)
    extra = attributes.get("affine")
    matrix = data_to_physical.affine_matrix
    if extra is not None:
        matrix = np.asarray(getattr(extra, "affine_matrix", extra)) @ matrix
    factors, notes = _millimetres_per_unit(attributes.get("units"))
    step = factors[:, None] * matrix[-4:-1, -4:-1]
    return step, factors * matrix[-4:-1, -1], notes


def _millimetres_per_unit(
    units: Sequence[Any] | None,
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    registry = pint.get_application_registry()
    factors = []
    for unit in list(units or UNITS)[-3:]:
        try:
            factors.append(float(registry.Quantity(1, unit).to("mm").magnitude))
        except pint.DimensionalityError:
            return np.ones(3), ("The layer has no unit of length; its scale is taken as mm.",)
    return np.asarray(factors), ()


def _attributes(layer: Any) -> dict[str, Any]:
    if is_flat(layer):
        return _raised(layer) | {"metadata": layer.metadata}
    return {key: getattr(layer, key) for key in _TRANSFORM_KEYS}


def _raised(layer: Any) -> dict[str, Any]:
    """Give where a flat layer lies when it is one slice of a volume, in front of its axes."""
    keys = ("scale", "translate", "rotate", "shear")
    own = Affine(ndim=2, **{key: getattr(layer, key) for key in keys})
    affine = np.eye(4)
    affine[1:, 1:] = np.asarray(layer.affine.affine_matrix) @ own.affine_matrix
    return {"affine": affine, "units": (layer.units[0], *layer.units)}


def _lies_at(
    layer: Any,
    shape: Sequence[int],
    step: NDArray[np.float64],
    translate: NDArray[np.float64],
) -> bool:
    voxels = voxels_of(layer)
    if voxels[-3:] != tuple(shape[-3:]):
        return False
    its_step, its_translate, _ = _world_millimetres(len(voxels), _attributes(layer))
    return np.allclose(its_step, step, atol=_SAME_MM) and np.allclose(
        its_translate, translate, atol=_SAME_MM
    )


def _plain(geometry: Geometry) -> dict[str, list[float]]:
    return {
        "size": list(geometry.size),
        "spacing": list(geometry.spacing),
        "origin": list(geometry.origin),
        "direction": list(geometry.direction),
    }


def _geometry(plain: Mapping[str, Any]) -> Geometry:
    return Geometry(
        **{key: tuple(plain[key]) for key in ("size", "spacing", "origin", "direction")}
    )
