from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from explain_support import ONE_WINDOW, direct, noise, run, voxel_mm
from parity_support import GoldenCase
from parity_utnetv2 import build

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.explain import HeatMap, find_view
from napari_hybridseg.explain.bmha_attention import attention_wish
from napari_hybridseg.explain.capture import captured
from napari_hybridseg.inference.preprocess import prepare
from napari_hybridseg.interop import convert_state_dict
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import ModelCard, Preprocessing, WindowDefaults
from napari_hybridseg.networks import create_network
from napari_hybridseg.networks.registry import get_architecture
from napari_hybridseg.volume import LabelMap


@pytest.mark.parametrize("case_name", ["utnetv2_3d_small", "medformer_3d_small"])
def test_what_is_captured_is_the_authors_attention(golden: Path, case_name: str) -> None:
    case = GoldenCase(golden / f"{case_name}.npz")
    name, config = build(case.meta)
    full = get_architecture(name).make_config(config).model_dump(mode="json")
    card = ModelCard(
        name="golden",
        architecture=name,
        config=full,
        labels=LabelScheme.for_labels((1, 2, 3)),
        windows=WindowDefaults(size=tuple(case.image.shape[2:])),
    )
    network = create_network(name, 1, case.outputs[0].shape[1], **config).eval()
    network.load_state_dict(convert_state_dict(case.state, name, config))
    compared = 0
    for place in find_view(card, "token-map").places:
        stage, block = place.name.split(".")
        for direction, theirs in (("token-to-map", "feat_map"), ("map-to-token", "map_feat")):
            if block == "pooling":
                expected = case.intermediates[f"{stage}.map_gen.weights"][0].T
                direction = "map-to-token"
            else:
                key = f"{stage}.trans_blocks.blocks.{block}.attn.{theirs}_attn"
                expected = case.intermediates[key][0, 1]
            module, keep = attention_wish(place, direction, None if block == "pooling" else 1)
            with captured(network, {module: keep}) as seen, torch.inference_mode():
                network(case.image)
            assert float((seen[module] - expected).abs().max()) <= 1e-4, (place.name, direction)
            assert seen[module].shape[0] == np.prod(
                [n // s for n, s in zip(case.image.shape[2:], place.stride, strict=True)]
            )
            compared += 1
    assert compared >= 12


@pytest.mark.parametrize("direction", ["map-to-token", "token-to-map"])
def test_a_token_map_of_one_window_is_the_networks_own_cell_by_cell(
    small: Callable[[str], Checkpoint], direction: str
) -> None:
    volume = noise(ONE_WINDOW, order=29, angles=(10, 20, 30))
    expected = direct(volume, small("medformer"), "down2.0", direction)[..., 2]
    (heat,) = run(
        volume, small("medformer"), "token-map", place="down2.0", token=2, direction=direction
    ).products
    assert isinstance(heat, HeatMap)
    back = prepare(volume, Preprocessing()).change
    blocks = np.kron(expected, np.ones((4, 4, 4), np.float32))
    np.testing.assert_allclose(back.apply(heat.array), blocks, rtol=1e-5, atol=1e-7)


def test_shares_of_a_voxel_sum_to_one_and_are_those_of_its_cell(
    small: Callable[[str], Checkpoint],
) -> None:
    volume = noise(ONE_WINDOW)
    found = run(
        volume, small("utnetv2"), "voxel-tokens", place="up2.0", point=voxel_mm(volume, (5, 9, 14))
    )
    (bars,) = found.products
    assert abs(bars.values.sum() - 1) < 1e-5
    expected = direct(volume, small("utnetv2"), "up2.0", "token-to-map")[1, 2, 3]
    np.testing.assert_allclose(bars.values, expected, rtol=1e-5)
    assert found.window is not None
    np.testing.assert_allclose(found.window.low, (-0.5, -0.5, -0.5), atol=1e-9)
    np.testing.assert_allclose(found.window.high, np.array(ONE_WINDOW) - 0.5, atol=1e-9)


@pytest.mark.parametrize(
    ("order", "angles", "changes"),
    [
        (0, (0, 0, 0), {}),
        (13, (10, 20, 30), {"orientation": "RAS"}),
        (47, (-25, 5, 140), {"orientation": "as-stored", "spacing": (1.3, 1.7, 1.1)}),
    ],
)
def test_the_winning_token_is_the_largest_of_the_token_maps(
    small: Callable[[str], Checkpoint],
    order: int,
    angles: tuple[float, float, float],
    changes: dict[str, Any],
) -> None:
    """The largest is taken of cells; here it is taken of voxels."""
    volume = noise((11, 22, 19), order=order, angles=angles)
    checkpoint = small("medformer")
    card = checkpoint.card.model_copy(update={"preprocessing": Preprocessing(**changes)})
    checkpoint = type(checkpoint)(path=checkpoint.path, card=card)
    (labels,) = run(volume, checkpoint, "winning-token", place="down2.0").products
    assert isinstance(labels, LabelMap)
    maps = [
        run(
            volume,
            checkpoint,
            "token-map",
            place="down2.0",
            token=token,
            direction="token-to-map",
        )
        .products[0]
        .array
        for token in range(4)
    ]
    np.testing.assert_array_equal(labels.array, np.argmax(maps, axis=0) + 1)
    assert labels.array.dtype == np.uint8
    assert len(labels.present) > 1
    np.testing.assert_allclose(np.sum(maps, axis=0), 1, atol=1e-5)
    assert labels.scheme.names[1] == "token 0"
