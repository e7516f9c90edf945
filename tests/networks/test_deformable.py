from __future__ import annotations

import numpy as np
import pytest
import torch
from parity_support import recorded
from scipy.ndimage import map_coordinates

from napari_hybridseg.networks import deformable
from napari_hybridseg.networks.deformable import (
    DeformableAttention3d,
    sample_by_gather,
    sample_by_level,
    sampling_grid,
)

SHAPES = [(4, 6, 5), (2, 3, 7)]
TOKENS = 4 * 6 * 5 + 2 * 3 * 7
SAMPLERS = (sample_by_gather, sample_by_level)


def random_case(dtype=torch.float64, batch=2, queries=9, heads=3, points=4, channels=5):
    """Values, locations on and around the maps, and weights, all with gradients."""
    generator = torch.Generator().manual_seed(0)

    def rand(*size):
        return torch.rand(*size, generator=generator, dtype=dtype)

    value = rand(batch, TOKENS, heads, channels) - 0.5
    locations = rand(batch, queries, heads, len(SHAPES), points, 3) * 1.6 - 0.3
    weights = rand(batch, queries, heads, len(SHAPES), points)
    return [tensor.requires_grad_() for tensor in (value, locations, weights)]


def sampled_by_scipy(value, locations, weights):
    """The same sum from scipy's interpolation, one sampled channel at a time."""
    batch, queries, heads = locations.shape[:3]
    total = np.zeros((batch, queries, heads, value.shape[-1]))
    start = 0
    for level, shape in enumerate(SHAPES):
        tokens = value[:, start : start + np.prod(shape)]
        start += np.prod(shape)
        for n, head, channel in np.ndindex(batch, heads, value.shape[-1]):
            image = tokens[n, :, head, channel].reshape(shape)
            zyx = locations[n, :, head, level, :, ::-1] * np.array(shape) - 0.5
            sampled = map_coordinates(
                image, np.moveaxis(zyx, -1, 0), order=1, mode="grid-constant", cval=0.0
            )
            total[n, :, head, channel] += (sampled * weights[n, :, head, level]).sum(axis=-1)
    return total.reshape(batch, queries, -1)


@pytest.mark.parametrize("sample", SAMPLERS)
def test_samples_are_trilinear_and_zero_outside(sample):
    value, locations, weights = (tensor.detach() for tensor in random_case())
    expected = sampled_by_scipy(value.numpy(), locations.numpy(), weights.numpy())
    np.testing.assert_allclose(sample(value, SHAPES, locations, weights), expected, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_gather_equals_grid_sample_forward_and_backward(dtype, tolerance):
    results = []
    for sample in SAMPLERS:
        inputs = random_case(dtype)
        output = sample(inputs[0], SHAPES, *inputs[1:])
        (
            output * torch.linspace(-1, 1, output.numel(), dtype=dtype).view_as(output)
        ).sum().backward()
        results.append((output.detach(), *(tensor.grad for tensor in inputs)))
    for gathered, reference in zip(*results, strict=True):
        torch.testing.assert_close(gathered, reference, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("rows", [1, 2000, 5000])
def test_parts_of_the_queries_give_the_same(rows, monkeypatch):
    results = []
    for at_once in (1 << 30, rows):
        monkeypatch.setattr(deformable, "_ROWS_AT_ONCE", at_once)
        inputs = random_case()
        output = sample_by_gather(inputs[0], SHAPES, *inputs[1:])
        output.square().sum().backward()
        results.append((output.detach(), *(tensor.grad for tensor in inputs)))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1e30])
def test_gather_survives_locations_that_are_no_place(bad):
    value, locations, weights = (tensor.detach().clone() for tensor in random_case())
    locations[0, 0, 0, 0, 0, 1] = bad
    others = sample_by_gather(value, SHAPES, locations, weights)[:, 1:]
    torch.testing.assert_close(others, sample_by_level(value, SHAPES, locations, weights)[:, 1:])


def attention_that_reads_places(axis_order, shape, offset=(0.0, 0.0, 0.0), sampler="gather"):
    """Attention with one point whose output is the (z, y, x) fraction of where it looked."""
    attention = DeformableAttention3d(3, heads=1, levels=1, points=1, sampler=sampler)
    with torch.no_grad():
        for linear in (attention.value, attention.output):
            linear.weight.copy_(torch.eye(3))
        attention.offsets.bias.copy_(torch.tensor(offset))
    centres = [(np.arange(n) + 0.5) / n for n in shape]
    places = np.stack(np.meshgrid(*centres, indexing="ij"), axis=-1).reshape(-1, 3)
    tokens = torch.tensor(places, dtype=torch.float32)[None]
    grid = sampling_grid([shape], axis_order, torch.device("cpu"), torch.float32)
    with torch.no_grad():
        seen = attention(tokens, tokens, grid)
    return places.reshape(*shape, 3), seen[0].numpy().reshape(*shape, 3)


@pytest.mark.parametrize("sampler", ["gather", "grid_sample"])
def test_corrected_query_reads_its_own_voxel(sampler):
    places, seen = attention_that_reads_places("corrected", (3, 5, 8), sampler=sampler)
    np.testing.assert_allclose(seen, places, atol=1e-6)


@pytest.mark.parametrize(("offset", "axis"), [((1, 0, 0), 2), ((0, 1, 0), 1), ((0, 0, 1), 0)])
def test_corrected_offset_moves_by_one_voxel_along_its_axis(offset, axis):
    places, seen = attention_that_reads_places("corrected", (3, 5, 8), offset)
    inner = np.arange(places.shape[axis] - 1)
    moved = np.take(places, inner + 1, axis)
    np.testing.assert_allclose(np.take(seen, inner, axis), moved, atol=1e-6)


def test_legacy_query_at_z_y_x_reads_at_y_x_z():
    shape = (4, 4, 4)
    places, seen = attention_that_reads_places("legacy", shape)
    for z, y, x in np.ndindex(shape):
        np.testing.assert_allclose(seen[z, y, x], places[y, x, z], atol=1e-6)


def test_legacy_offset_is_divided_by_another_axis():
    # component 0 moves X, but by 1/Z of the map: half a step is 2 of 8 voxels here
    _, still = attention_that_reads_places("legacy", (2, 8, 8))
    _, moved = attention_that_reads_places("legacy", (2, 8, 8), (0.5, 0, 0))
    step = moved[0, 2:6, :] - still[0, 2:6, :]
    np.testing.assert_allclose(step[..., 2], 2 / 8, atol=1e-6)


def test_corrected_locations_follow_the_paper():
    """phi_l(p) + offset, worked out in numpy for every query, head, level and point."""
    heads, points = 2, 3
    attention = DeformableAttention3d(8, heads, len(SHAPES), points)
    torch.nn.init.normal_(attention.offsets.weight, std=0.3)
    grid = sampling_grid(SHAPES, "corrected", torch.device("cpu"), torch.float32)
    tokens = torch.randn(1, TOKENS, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), recorded({"at": attention.sampling_locations}) as seen:
        attention(tokens, tokens, grid)
        offsets = attention.offsets(tokens)[0].numpy()
    query = 0
    for shape in SHAPES:
        for z, y, x in np.ndindex(shape):
            own = np.array([(x + 0.5) / shape[2], (y + 0.5) / shape[1], (z + 0.5) / shape[0]])
            chosen = offsets[query].reshape(heads, len(SHAPES), points, 3)
            for level, (depth, height, width) in enumerate(SHAPES):
                expected = own + chosen[:, level] / np.array([width, height, depth])
                found = seen["at"][0, query, :, level]
                np.testing.assert_allclose(found, expected, atol=1e-5)
            query += 1


def test_hooks_see_locations_and_weights():
    attention = DeformableAttention3d(12, heads=2, levels=2, points=3)
    grid = sampling_grid(SHAPES, "corrected", torch.device("cpu"), torch.float32)
    tokens = torch.randn(2, TOKENS, 12)
    modules = {"at": attention.sampling_locations, "by": attention.attention_weights}
    with torch.no_grad(), recorded(modules) as seen:
        attention(tokens, tokens, grid)
    assert seen["at"].shape == (2, TOKENS, 2, 2, 3, 3)
    assert seen["by"].shape == (2, TOKENS, 2, 6)
    torch.testing.assert_close(seen["by"].sum(-1), torch.ones(2, TOKENS, 2))
