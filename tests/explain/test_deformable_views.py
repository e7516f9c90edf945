from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from explain_support import noise, run, voxel_mm
from parity_cotr import build
from parity_support import GoldenCase

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.explain import HeatMap, SamplingPoints
from napari_hybridseg.explain.capture import captured
from napari_hybridseg.explain.deformable_views import splat
from napari_hybridseg.inference.preprocess import prepare
from napari_hybridseg.interop import convert_state_dict
from napari_hybridseg.networks import create_network
from napari_hybridseg.networks.deformable import sample_by_level

OBLIQUE = {"order": 17, "angles": (12, -25, 40), "spacing": (0.8, 1.3, 2.9)}


def test_what_is_captured_is_the_authors_sampling(golden: Path) -> None:
    case = GoldenCase(golden / "cotr_small.npz")
    name, config = build(case.meta)
    network = create_network(name, 1, case.outputs[0].shape[1], **config).eval()
    network.load_state_dict(convert_state_dict(case.state, name, config))
    for layer in range(config["layers"]):
        module = f"transformer.layers.{layer}.attention"
        wishes = {
            f"{module}.sampling_locations": lambda output: output,
            f"{module}.attention_weights": lambda output: output,
        }
        with captured(network, wishes) as seen, torch.inference_mode():
            network(case.image)
        theirs = case.intermediates[f"layer{layer}.sampling_locations"]
        assert float((seen[f"{module}.sampling_locations"] - theirs).abs().max()) <= 1e-4
        theirs = case.intermediates[f"layer{layer}.attention_weights"].flatten(-2)
        assert float((seen[f"{module}.attention_weights"] - theirs).abs().max()) <= 1e-4


@pytest.mark.parametrize("family", ["cotr", "cotr-legacy"])
@pytest.mark.parametrize("level", [0, 1])
def test_points_lie_where_numpy_puts_them_from_the_weights(
    small: Callable[[str], Checkpoint], family: str, level: int
) -> None:
    """Work the first layer's points out by hand, from the linear layers' numbers alone."""
    checkpoint = small(family)
    volume = noise((8, 32, 32), **OBLIQUE)
    assert volume.geometry.is_oblique
    voxel = (6, 5, 27)
    found = run(
        volume,
        checkpoint,
        "sampling-points",
        place="layer0",
        level=level,
        point=voxel_mm(volume, voxel),
    )
    (points,) = found.products
    assert isinstance(points, SamplingPoints)

    # what the first layer is given, from a network that is looked at in another way
    network = checkpoint.build_network()
    given: list[torch.Tensor] = []
    attention = network.get_submodule("transformer.layers.0.attention")
    attention.register_forward_pre_hook(lambda _m, inputs: given.append(inputs[0][0]))
    prepared = prepare(volume, checkpoint.card.preprocessing)
    with torch.inference_mode():
        network(torch.from_numpy(prepared.array)[None])
    shapes = [(2, 4, 4), (1, 2, 2)]
    strides = [(4, 8, 8), (8, 16, 16)]
    inside = prepared.working.index(np.array(voxel_mm(volume, voxel)))
    cell = [round(v) // s for v, s in zip(inside, strides[level], strict=True)]
    query = (32 if level else 0) + int(np.ravel_multi_index(cell, shapes[level]))
    state = {k: v.double().numpy() for k, v in attention.state_dict().items()}
    token = given[0][query].double().numpy()
    offsets = (state["offsets.weight"] @ token + state["offsets.bias"]).reshape(2, 2, 3, 3)
    logits = (state["logits.weight"] @ token + state["logits.bias"]).reshape(2, 6)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    centre = [(c + 0.5) / n for c, n in zip(cell, shapes[level], strict=True)]
    z, y, x = centre
    legacy = family == "cotr-legacy"
    reference = np.array([z, x, y] if legacy else [x, y, z])
    expected_mm = []
    for head in range(2):
        for to in range(2):
            depth, height, width = shapes[to]
            unit = np.array([depth, width, height] if legacy else [width, height, depth])
            for point in range(3):
                fx, fy, fz = reference + offsets[head, to, point] / unit
                voxels = np.array([fz * 8 - 0.5, fy * 32 - 0.5, fx * 32 - 0.5])
                expected_mm.append(_by_hand(prepared.working, voxels))
    np.testing.assert_allclose(points.points_mm, expected_mm, atol=2e-3)
    np.testing.assert_allclose(points.weights, weights.ravel(), atol=1e-5)
    np.testing.assert_allclose(points.weights.reshape(2, 6).sum(axis=1), 1, atol=1e-5)
    middle = [c * s + (s - 1) / 2 for c, s in zip(cell, strides[level], strict=True)]
    np.testing.assert_allclose(points.query_mm, _by_hand(prepared.working, np.array(middle)))
    back = volume.geometry.world(points.points_voxel)
    np.testing.assert_allclose(back, points.points_mm, atol=1e-9)
    np.testing.assert_array_equal(points.head, np.repeat([0, 1], 6))
    np.testing.assert_array_equal(points.level, np.tile(np.repeat([0, 1], 3), 2))
    assert bool(found.notes[1:]) == legacy


def _by_hand(grid: object, zyx: np.ndarray) -> np.ndarray:
    """Give LPS millimetres from origin, spacing and direction."""
    direction = np.array(grid.direction).reshape(3, 3)  # type: ignore[attr-defined]
    return np.array(grid.origin) + direction @ (np.array(grid.spacing) * zyx[::-1])  # type: ignore[attr-defined]


def test_splatting_is_what_sampling_reads() -> None:
    """The weight on a cell is how much the sampled sum changes with the cell's value."""
    torch.manual_seed(0)
    shape = (2, 3, 4)
    locations = torch.rand(1, 5, 1, 1, 3, 3, dtype=torch.float64) * 1.4 - 0.2
    weights = torch.rand(1, 5, 1, 1, 3, dtype=torch.float64)
    value = torch.zeros(1, 24, 1, 1, dtype=torch.float64, requires_grad=True)
    sample_by_level(value, [shape], locations, weights).sum().backward()
    assert value.grad is not None
    ours = splat(locations[0, :, 0, 0], weights[0, :, 0, 0], shape)
    torch.testing.assert_close(ours.flatten(), value.grad.flatten())


def test_influence_sums_to_one_and_lies_near_where_the_organ_samples(
    small: Callable[[str], Checkpoint],
) -> None:
    checkpoint = small("cotr")
    volume = noise((8, 32, 32))
    image = torch.from_numpy(prepare(volume, checkpoint.card.preprocessing).array)[None]
    network = checkpoint.build_network()
    wishes = {
        f"transformer.layers.1.attention.{name}": lambda output: output[0].double()
        for name in ("sampling_locations", "attention_weights")
    }
    with captured(network, wishes) as seen, torch.inference_mode():
        answer = network(image)[0].argmax(dim=0)
    channel = int(np.bincount(answer.flatten().numpy(), minlength=4)[1:].argmax()) + 1
    organ = (1, 3, 300)[channel - 1]
    places, weights = seen.values()
    counts = [
        (answer == channel).double().reshape(2, 4, 4, 8, 4, 8).sum(dim=(1, 3, 5)).flatten(),
        (answer == channel).double().reshape(1, 8, 2, 16, 2, 16).sum(dim=(1, 3, 5)).flatten(),
    ]
    share = weights.reshape(36, 2, 2, 3) * torch.cat(counts)[:, None, None, None]
    fine = splat(places[:, :, 0], share[:, :, 0], (2, 4, 4)).numpy() / 256
    coarse = splat(places[:, :, 1], share[:, :, 1], (1, 2, 2)).numpy() / 2048
    expected = np.kron(fine, np.ones((4, 8, 8))) + np.kron(coarse, np.ones((8, 16, 16)))
    (heat,) = run(volume, checkpoint, "influence", place="layer1", organ=organ).products
    assert isinstance(heat, HeatMap)
    assert abs(float(heat.array.sum(dtype=np.float64)) - 1) < 1e-5
    np.testing.assert_allclose(heat.array, expected / expected.sum(), rtol=1e-4, atol=1e-9)


def test_the_nearest_window_is_the_one_that_is_looked_at(
    small: Callable[[str], Checkpoint],
) -> None:
    volume = noise((8, 64, 32), **OBLIQUE)
    for y, low in ((3, 0), (25, 16), (33, 16), (60, 32)):
        mm = voxel_mm(volume, (4, y, 16))
        found = run(volume, small("cotr"), "sampling-points", point=mm, overlap=0.5)
        assert found.window is not None
        np.testing.assert_allclose(found.window.low, (-0.5, low - 0.5, -0.5), atol=1e-6)
        np.testing.assert_allclose(found.window.high, (7.5, low + 31.5, 31.5), atol=1e-6)
        corners = volume.geometry.index(found.window.corners_mm)
        np.testing.assert_allclose(corners.min(axis=0), found.window.low, atol=1e-6)
    assert json.dumps(found.facts)
