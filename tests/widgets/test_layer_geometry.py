from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Image, Labels

from napari_hybridseg.geometry import Reorientation
from napari_hybridseg.widgets.layer_data import volume_layers, volume_of_layer
from napari_hybridseg.widgets.layer_geometry import LayerError, grid_of_layer

FLIPPED = Reorientation(order=(0, 1, 2), flips=(True, True, False))
AXIS_ORDERS = [
    np.eye(3)[:, list(order)] * signs
    for order in permutations(range(3))
    for signs in product((1, -1), repeat=3)
]


def shown(volume: Any) -> Image:
    data, attributes, _ = volume_layers(volume)[0]
    return Image(data, **attributes)


def rotation(angles: tuple[float, float, float]) -> np.ndarray:
    a, b, c = angles
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(z @ y @ x)


@pytest.mark.parametrize("direction", AXIS_ORDERS, ids=str)
def test_world_is_inferior_posterior_left_whatever_the_file_order(make_volume, direction):
    volume = make_volume(direction)
    layer = shown(volume)
    for index in [(0, 0, 0), (3, 1, 2), tuple(n - 1 for n in layer.data.shape)]:
        inferior, posterior, left = layer.data_to_world(index)
        patient = grid_of_layer(layer).shown.world(np.asarray(index, dtype=float))
        assert np.allclose([left, posterior, -inferior], patient)
        value = layer.data[index]
        nearest = np.rint(volume.geometry.index(patient)).astype(int)
        assert value == volume.array[0][tuple(nearest)]


def test_patient_right_is_at_screen_left(make_volume):
    layer = shown(make_volume())
    assert layer.scale[2] > 0
    assert (np.diff(layer.data, axis=2) > 0).all()  # brighter to the patient's left


def test_three_dimensional_view_is_no_mirror_image(make_volume):
    """napari takes its world axes, first to last, as a right-handed set."""
    layer = shown(make_volume())
    directions = grid_of_layer(layer).shown.direction_matrix
    columns = [directions[:, axis] * np.sign(layer.scale[2 - axis]) for axis in (2, 1, 0)]
    assert np.allclose(np.cross(columns[0], columns[1]), columns[2])


@pytest.mark.parametrize("direction", AXIS_ORDERS, ids=str)
def test_layer_gives_back_the_volume_it_shows(make_volume, direction):
    volume = make_volume(direction)
    again = volume_of_layer(shown(volume))
    assert again.geometry == volume.geometry
    assert again.source == volume.source
    assert np.array_equal(again.array, volume.array)
    assert again.modality == "CT"


@settings(max_examples=60, deadline=None)
@given(
    angles=st.tuples(*[st.floats(-3.1, 3.1)] * 3),
    spacing=st.tuples(*[st.floats(0.2, 8)] * 3),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
)
def test_oblique_volumes_come_back_exactly(make_volume, angles, spacing, origin):
    volume = make_volume(rotation(angles), spacing, origin)
    layer = shown(volume)
    again = volume_of_layer(layer)
    assert again.source == volume.source
    assert np.array_equal(again.array, volume.array)
    assert np.allclose(layer.scale, volume.geometry.spacing_zyx)


def test_two_volumes_of_one_oblique_scanner_lie_right_on_each_other(make_volume):
    tilt = rotation((0.2, -0.1, 0.3))
    first = make_volume(tilt, (1, 1, 1), (0, 0, 0))
    second = make_volume(tilt, (2, 2, 2), tuple(tilt @ [3.0, 4.0, 5.0]))
    a, b = shown(first), shown(second)
    point = second.geometry.world(np.array([1.0, 1.0, 1.0]))
    in_a = a.data_to_world(grid_of_layer(a).shown.index(point))
    in_b = b.data_to_world(grid_of_layer(b).shown.index(point))
    assert np.allclose(in_a, in_b)


def test_bare_layer_is_taken_from_feet_to_head_with_its_scale_as_spacing():
    layer = Image(np.zeros((4, 5, 6)), scale=(3, 2, 1), units=("mm",) * 3)
    grid = grid_of_layer(layer)
    assert grid.shown.axis_codes == "LPS"
    assert grid.shown.spacing == (1, 2, 3)
    assert not grid.is_known
    assert "does not say" in grid.notes[0]


def test_units_become_millimetres_and_missing_ones_are_said():
    micro = Image(np.zeros((4, 5, 6)), scale=(500, 500, 500), units=("um",) * 3)
    assert np.allclose(grid_of_layer(micro).shown.spacing, 0.5)
    pixels = Image(np.zeros((4, 5, 6)), scale=(3, 2, 1), units=("pixel",) * 3)
    grid = grid_of_layer(pixels)
    assert grid.shown.spacing == (1, 2, 3)
    assert "no unit" in grid.notes[0]


def test_layer_with_negative_scales_runs_the_other_way():
    """As napari-nifti shows a SAR+ array."""
    layer = Image(np.zeros((4, 5, 6)), scale=(-3, -2, -1), units=("mm",) * 3)
    assert grid_of_layer(layer).shown.axis_codes == "RAS"


def test_sheared_and_flat_layers_are_refused():
    sheared = Image(np.zeros((4, 5, 6)), shear=(0, 0.5, 0), units=("mm",) * 3)
    with pytest.raises(LayerError, match="right angles"):
        grid_of_layer(sheared)
    with pytest.raises(LayerError, match="flat"):
        grid_of_layer(Labels(np.zeros((5, 6), dtype=np.uint8)))


def test_cropped_layer_keeps_its_place_in_the_patient(make_volume):
    volume = make_volume(rotation((0.3, 0.1, -0.2)))
    whole = shown(volume)
    start = np.array([1, 2, 1])
    part = Image(
        whole.data[1:3, 2:5, 1:4],
        scale=whole.scale,
        translate=whole.data_to_world(start),
        units=whole.units,
        metadata=whole.metadata,
    )
    cropped, grid = grid_of_layer(part), grid_of_layer(whole)
    assert np.allclose(
        cropped.shown.world(np.zeros(3)), grid.shown.world(start.astype(float)), atol=1e-6
    )
    assert np.allclose(cropped.shown.direction, grid.shown.direction)
    assert "cropped" in cropped.notes[0]


def test_layer_drawn_over_a_volume_takes_its_geometry(make_volume):
    volume = shown(make_volume(rotation((0.3, 0.1, -0.2))))
    drawn = Labels(
        np.zeros(volume.data.shape, dtype=np.uint8),
        scale=volume.scale,
        translate=volume.translate,
        units=volume.units,
    )
    assert grid_of_layer(drawn, [volume, drawn]) == grid_of_layer(volume)
    elsewhere = Labels(drawn.data, scale=volume.scale, units=volume.units)
    assert not grid_of_layer(elsewhere, [volume, elsewhere]).is_known


def drawn_on(layer: Any, **changes: Any) -> Labels:
    place = {name: getattr(layer, name) for name in ("scale", "translate", "rotate", "affine")}
    place["units"] = layer.units
    return Labels(np.zeros(layer.data.shape, dtype=np.uint8), **(place | changes))


@pytest.mark.parametrize(
    "change",
    [
        {"rotate": (0, 0, 90)},
        {"affine": np.diag([1.0, 1.0, -1.0, 1.0])},
        {"units": ("um",) * 3},
        {"translate": (0, 0, 0)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_layer_elsewhere_takes_nobodys_geometry(make_volume, change):
    volume = shown(make_volume())
    assert grid_of_layer(drawn_on(volume), [volume]).is_known
    assert not grid_of_layer(drawn_on(volume, **change), [volume]).is_known


def test_the_same_place_said_in_other_units_is_the_same_place(make_volume):
    volume = shown(make_volume())
    micro = drawn_on(
        volume, scale=volume.scale * 1000, translate=volume.translate * 1000, units=("um",) * 3
    )
    assert grid_of_layer(micro, [volume]) == grid_of_layer(volume)


def test_neighbours_that_disagree_are_not_chosen_from(make_volume):
    upright = shown(make_volume(origin=(0, 0, 0), spacing=(1, 1, 1)))
    tilted = shown(make_volume(rotation((0.3, 0, 0)), origin=(0, 0, 0), spacing=(1, 1, 1)))
    drawn = drawn_on(upright)
    with pytest.raises(LayerError, match="which is its own"):
        grid_of_layer(drawn, [upright, tilted])
    assert grid_of_layer(drawn, [tilted]) == grid_of_layer(tilted)


def test_neighbours_from_files_of_other_axis_order_are_told(make_volume):
    volume = make_volume()
    first = shown(volume)
    second = shown(replace(volume, source=volume.geometry.reoriented(FLIPPED)))
    grid = grid_of_layer(drawn_on(first), [first, second])
    assert grid.source == volume.source
    assert "different grids" in grid.notes[0]


def test_metadata_is_plain_json(make_volume):
    import json

    metadata = shown(make_volume()).metadata["hybridseg"]
    assert json.loads(json.dumps(metadata)) == metadata
