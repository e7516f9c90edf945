"""Volumes and label maps as napari layers, and layers as volumes and label maps."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.older_python import zip
from napari_hybridseg.volume import LabelMap, Volume, smallest_label_type
from napari_hybridseg.widgets.label_appearance import label_look
from napari_hybridseg.widgets.layer_geometry import (
    METADATA_KEY,
    LayerError,
    LayerGrid,
    grid_of_layer,
    is_coloured,
    is_flat,
    plain_metadata,
    voxels_of,
)
from napari_hybridseg.widgets.time_series import TIME, is_time_series, shown_time_point

LayerData = tuple[NDArray[np.generic], dict[str, Any], Literal["image", "labels"]]

GOES_WITH = "goes_with"  # in a sample's metadata: the name of the checkpoint that it goes with
_CT_WINDOW = (-160.0, 240.0)  # HU; the abdominal soft tissue window
_SAMPLES_FOR_CONTRAST = 200_000
_ONE_SLICE = "A flat image: it is taken as one slice, and its scale as mm."
_COLOURS = ("red", "green", "blue")


def volume_layers(volume: Volume, origin: Mapping[str, Any] | None = None) -> list[LayerData]:
    """Show a volume: one image layer for each channel, or one for a time series.

    ``origin`` says in plain JSON types where it came from; it goes into the metadata.
    """
    grid = LayerGrid.of_canonical(volume.geometry, volume.source)
    about = grid.as_metadata() | {"modality": volume.modality, "notes": list(volume.notes)}
    about |= origin or {}
    if len(volume.array) > 1 and volume.channel_axis.kind == "time":
        return [_time_series_layer(volume, grid, about)]
    layers: list[LayerData] = []
    for channel, look in zip(volume.array, _channel_looks(volume), strict=True):
        attributes = grid.placement() | look | {"metadata": {METADATA_KEY: dict(about)}}
        layers.append((grid.to_layer(channel), attributes, "image"))
    return layers


def _channel_looks(volume: Volume) -> list[dict[str, Any]]:
    """Give each channel's name, colour map and window; colours add up to the coloured image."""
    array, kind = volume.array, volume.channel_axis.kind
    if kind == "colours" and len(array) in (3, 4):
        window = display_window(array[:3].reshape(-1, *array.shape[2:]))
        if array.dtype == np.uint8:
            window = (0.0, 255.0)
        look: dict[str, Any] = {"contrast_limits": window, "blending": "additive"}
        looks = [look | {"name": f"{volume.name} [{c}]", "colormap": c} for c in _COLOURS]
        opacity: dict[str, Any] = {
            "name": f"{volume.name} [opacity]",
            "colormap": "gray",
            "visible": False,
        }
        return [*looks, opacity][: len(array)]
    names = (
        [volume.name] if len(array) == 1 else [f"{volume.name} [{n}]" for n in range(len(array))]
    )
    return [
        {
            "name": name,
            "colormap": "gray",
            "contrast_limits": display_window(channel, volume.modality),
        }
        for name, channel in zip(names, array, strict=True)
    ]


def _time_series_layer(volume: Volume, grid: LayerGrid, about: dict[str, Any]) -> LayerData:
    place = grid.placement()
    attributes = {
        "scale": (volume.channel_axis.step_s or 1.0, *place["scale"]),
        "translate": (0.0, *place["translate"]),
        "units": ("s", *place["units"]),
        "axis_labels": (TIME, *place["axis_labels"]),
        "name": volume.name,
        "colormap": "gray",
        "contrast_limits": display_window(volume.array[0], volume.modality),
        "metadata": {METADATA_KEY: about},
    }
    return grid.to_layer(volume.array), attributes, "image"


def label_map_layer(label_map: LabelMap, name: str | None = None) -> LayerData:
    """Show a label map that was read from a file."""
    grid = LayerGrid.of_canonical(label_map.geometry, label_map.source)
    about = grid.as_metadata() | _about_labels(label_map)
    attributes = grid.placement() | label_look(label_map.scheme)
    attributes |= {"name": name or label_map.name, "metadata": {METADATA_KEY: about}}
    return np.ascontiguousarray(grid.to_layer(label_map.array)), attributes, "labels"


def result_layer(
    label_map: LabelMap,
    grid: LayerGrid,
    placement: Mapping[str, Any],
    name: str,
    made_from: Mapping[str, Any],
) -> LayerData:
    """Show a result on the very place of the layer that it was made from.

    Parameters
    ----------
    label_map : LabelMap
        On the grid of the volume.
    grid, placement
        Where the volume's layer lies, and its layer arguments (`layer_geometry.placement_of`),
        both taken when the run began.
    made_from : mapping
        What the result was made from, in plain JSON types; kept in the metadata.
    """
    data = np.ascontiguousarray(grid.to_layer(label_map.array))
    about = _about_labels(label_map) | dict(made_from) | {"voxels_crc32": voxels_crc32(data)}
    if grid.is_known:
        about |= grid.as_metadata()
    attributes = dict(placement) | label_look(label_map.scheme)
    return data, attributes | {"name": name, "metadata": {METADATA_KEY: about}}, "labels"


def volume_of_layer(layer: Any, neighbours: Iterable[Any] = ()) -> Volume:
    """Take an image layer as a volume; the array is a view of the layer's where it can be.

    Of a time series it is the time point that the viewer shows. A photograph is one slice, and
    red, green and blue are three channels.

    Raises
    ------
    LayerError
        If the layer is no image of two or three axes, nor has channels in front of three.
    """
    if layer.multiscale:
        raise LayerError(f"{layer.name} is a pyramid; open its full resolution as one image.")
    if len(voxels_of(layer)) not in (3, 4):
        raise LayerError(f"{layer.name} has {layer.ndim} axes; a volume has three.")
    grid = grid_of_layer(layer, neighbours)
    about = plain_metadata({"metadata": layer.metadata})
    notes = (*about.get("notes", ()), *((_ONE_SLICE,) if is_flat(layer) else grid.notes))
    data = _channels_first(layer)
    if not is_coloured(layer) and data.ndim == 4 and is_time_series(layer):
        notes += (f"Of its {len(data)} time points the one that the viewer shows is used.",)
        data = data[shown_time_point(layer)]
    array = np.asarray(data)
    return Volume(
        geometry=grid.geometry,
        source=grid.source,
        array=grid.to_canonical(array if array.ndim == 4 else array[None]),
        name=layer.name,
        modality=about.get("modality", ""),
        notes=notes,
    )


def _channels_first(layer: Any) -> Any:
    """Give a layer's (Z, Y, X) or (C, Z, Y, X) array; opacity is no colour."""
    if not is_coloured(layer):
        return layer.data[None] if is_flat(layer) else layer.data
    colours = np.moveaxis(np.asarray(layer.data)[..., : len(_COLOURS)], -1, 0)
    return colours[:, None] if is_flat(layer) else colours


def label_map_of_layer(layer: Any, neighbours: Iterable[Any] = ()) -> LabelMap:
    """Take a Labels layer as a label map; the array is a copy, safe to read while one paints.

    Raises
    ------
    LayerError
        If the layer is not 3D, or holds numbers that no label has.
    """
    grid = grid_of_layer(layer, neighbours)
    return _label_map(np.asarray(layer.data), grid, {"metadata": layer.metadata}, layer.name)


def label_map_of_attributes(
    data: NDArray[np.generic], attributes: Mapping[str, Any], grid: LayerGrid
) -> LabelMap:
    """Take what napari hands to a writer as a label map on the grid that it lies on.

    Raises
    ------
    LayerError
        As :func:`label_map_of_layer`.
    """
    return _label_map(np.asarray(data), grid, attributes, attributes.get("name", "labels"))


def _label_map(
    data: NDArray[np.generic], grid: LayerGrid, attributes: Mapping[str, Any], name: str
) -> LabelMap:
    if data.ndim != 3:
        raise LayerError(f"{name} has {data.ndim} axes; a label map has three.")
    low, high = int(data.min()), int(data.max())
    if low < 0 or high > 65535:
        raise LayerError(f"{name} has labels from {low} to {high}; 0 to 65535 are possible.")
    array = np.ascontiguousarray(grid.to_canonical(data)).astype(smallest_label_type(high))
    return LabelMap(
        geometry=grid.geometry,
        source=grid.source,
        array=array,
        scheme=scheme_of(attributes) or LabelScheme.for_labels(np.unique(array)[1:]),
        name=name,
        notes=(*plain_metadata(attributes).get("notes", ()), *grid.notes),
    )


def scheme_of(attributes: Mapping[str, Any]) -> LabelScheme | None:
    """Give the label scheme that travels in a layer's metadata, if any."""
    recorded = plain_metadata(attributes).get("scheme")
    try:
        return LabelScheme.model_validate(recorded) if recorded else None
    except ValidationError:
        return None


def voxels_crc32(data: NDArray[np.generic]) -> int:
    """Give a checksum by which an edited result is told from an untouched one."""
    return zlib.crc32(np.ascontiguousarray(data).data)


def is_untouched(layer: Any) -> bool:
    """Say whether a result layer still holds what the network put there."""
    recorded = plain_metadata({"metadata": layer.metadata}).get("voxels_crc32")
    return recorded is not None and recorded == voxels_crc32(np.asarray(layer.data))


def display_window(channel: NDArray[np.generic], modality: str = "") -> tuple[float, float]:
    """Choose the grey window in which a (Z, Y, X) channel is first shown.

    CT, or what has the values of CT, gets a soft tissue window; all else its 1st to 99.5th
    percentile.
    """
    step = max(1, round((channel.size / _SAMPLES_FOR_CONTRAST) ** (1 / 3)))
    sample = channel[::step, ::step, ::step].astype(np.float32)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return 0.0, 1.0
    if modality == "CT" or (not modality and sample.min() < -500 and sample.max() < 5000):
        return _CT_WINDOW
    low, high = np.percentile(sample, (1.0, 99.5))
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1.0)


def _about_labels(label_map: LabelMap) -> dict[str, Any]:
    return {
        "scheme": label_map.scheme.model_dump(mode="json"),
        "notes": list(label_map.notes),
    }
