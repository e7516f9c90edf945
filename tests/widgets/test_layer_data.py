from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.volume import LabelMap
from napari_hybridseg.widgets.layer_data import (
    display_window,
    is_untouched,
    label_map_layer,
    label_map_of_layer,
    result_layer,
    volume_layers,
    volume_of_layer,
)
from napari_hybridseg.widgets.layer_geometry import (
    LayerError,
    grid_of_layer,
    place_under,
    placement_of,
    world_at,
)

SCHEME = LabelScheme.from_names({1: "liver", 7: "spleen"})


@pytest.fixture
def label_map(make_volume) -> LabelMap:
    volume = make_volume(np.diag([-1.0, 1.0, -1.0]))
    array = np.arange(volume.array[0].size).reshape(volume.geometry.shape) % 2 * 7
    return LabelMap(volume.geometry, volume.source, array.astype(np.uint8), SCHEME, "truth")


def test_labels_come_back_with_their_names_and_grid(label_map):
    data, attributes, kind = label_map_layer(label_map)
    layer = Labels(data, **attributes)
    again = label_map_of_layer(layer)
    assert kind == "labels"
    assert again.scheme == label_map.scheme
    assert again.source == label_map.source
    assert np.array_equal(again.array, label_map.array)


def test_hovering_says_the_organ(label_map):
    data, attributes, _ = label_map_layer(label_map)
    viewer = ViewerModel()
    layer = viewer.add_labels(data, **attributes)
    spleen = np.argwhere(layer.data == 7)[-1]
    viewer.dims.point = layer.data_to_world(spleen)
    status = layer.get_status(layer.data_to_world(spleen), dims_displayed=[1, 2], world=True)
    assert status["value"] == "7; organ: spleen"


def test_organs_have_their_colours_and_strangers_are_visible(label_map):
    data, attributes, _ = label_map_layer(label_map)
    colormap = Labels(data, **attributes).colormap
    expected = np.array(SCHEME.organ(7).rgb) / 255
    assert np.allclose(colormap.map(7)[:3], expected, atol=0.01)
    assert colormap.map(99)[3] == 1
    assert colormap.map(0)[3] == 0


def test_label_map_of_a_layer_is_a_snapshot(label_map):
    data, attributes, _ = label_map_layer(label_map)
    layer = Labels(data, **attributes)
    snapshot = label_map_of_layer(layer)
    before = snapshot.array.copy()
    layer.data[:] = 1
    assert np.array_equal(snapshot.array, before)


def test_result_lies_on_its_volume_and_knows_whether_it_was_edited(make_volume):
    volume = make_volume()
    data, attributes, _ = volume_layers(volume)[0]
    image = Image(data, **attributes)
    result = LabelMap(
        volume.geometry, volume.source, (volume.array[0] > 0).astype(np.uint8), SCHEME
    )
    data, attributes, _ = result_layer(
        result, grid_of_layer(image), placement_of(image), "result", {"volume": "v"}
    )
    layer = Labels(data, **attributes)
    for name in ("scale", "translate", "units", "axis_labels"):
        assert np.array_equal(getattr(layer, name), getattr(image, name))
    assert np.array_equal(layer.data > 0, image.data > 0)
    assert is_untouched(layer)
    first = tuple(np.array([0]) for _ in range(3))
    layer.data_setitem(first, 1 - layer.data[0, 0, 0])
    assert not is_untouched(layer)
    layer.undo()
    assert is_untouched(layer)


def test_result_on_a_bare_layer_lies_on_it_too():
    bare = Image(
        np.random.default_rng(0).normal(size=(4, 5, 6)), scale=(-3, 2, 1), units=("mm",) * 3
    )
    volume = volume_of_layer(bare)
    result = LabelMap(volume.geometry, volume.source, (volume.array[0] > 0).astype(np.uint8))
    data, attributes, _ = result_layer(result, grid_of_layer(bare), placement_of(bare), "r", {})
    assert np.array_equal(data > 0, bare.data > 0)
    assert np.array_equal(Labels(data, **attributes).scale, bare.scale)


def test_channels_become_layers(make_volume):
    from dataclasses import replace

    volume = make_volume()
    two = replace(volume, array=np.concatenate([volume.array, -volume.array]))
    names = [attributes["name"] for _, attributes, _ in volume_layers(two)]
    assert names == ["scan [0]", "scan [1]"]


@pytest.mark.parametrize("colours", [3, 4])
def test_colours_become_channels_and_opacity_is_none(colours):
    data = np.random.default_rng(0).integers(0, 256, (4, 5, 6, colours), dtype=np.uint8)
    volume = volume_of_layer(Image(data, rgb=True))
    assert np.array_equal(volume.array, np.moveaxis(data[..., :3], -1, 0))


def test_a_photograph_is_one_slice_where_it_lies():
    data = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    photograph = Image(data, rgb=True, scale=(0.5, 0.25), translate=(10, 20), rotate=30)
    volume = volume_of_layer(photograph)
    assert np.array_equal(volume.array, np.moveaxis(data, -1, 0)[:, None])
    assert volume.geometry.spacing == pytest.approx((0.25, 0.5, 1))

    raised = Labels(np.zeros((1, 5, 6), dtype=np.uint8), **placement_of(photograph))
    for place in ((0, 0), (4, 5), (2, 3)):
        assert raised.data_to_world((0, *place))[1:] == pytest.approx(
            photograph.data_to_world(place)
        )
        back = place_under(photograph, photograph.data_to_world(place))
        assert back == pytest.approx((0, *place))
        assert world_at(photograph, np.array([0, *place]))[1:] == pytest.approx(
            photograph.data_to_world(place)
        )


def test_a_flat_grey_image_is_one_slice_of_one_channel():
    data = np.arange(30, dtype=np.uint16).reshape(5, 6)
    volume = volume_of_layer(Image(data))
    assert np.array_equal(volume.array, data[None, None])


def test_images_of_many_axes_and_large_labels_are_refused():
    with pytest.raises(LayerError, match="has 5 axes; a volume has three"):
        volume_of_layer(Image(np.zeros((2, 2, 4, 5, 6), dtype=np.uint8)))
    with pytest.raises(LayerError, match="65535"):
        label_map_of_layer(Labels(np.full((2, 2, 2), 70000)))


def test_ct_is_shown_in_a_soft_tissue_window_and_mr_in_its_own_range():
    rng = np.random.default_rng(0)
    assert display_window(rng.uniform(-1000, 1500, (20, 20, 20))) == (-160, 240)
    low, high = display_window(rng.uniform(0, 900, (20, 20, 20)), "MR")
    assert 0 <= low < 30
    assert 850 < high <= 900
    assert display_window(np.full((3, 3, 3), 5)) == (5, 6)
