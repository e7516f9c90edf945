from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from explain_support import noise, run, voxel_mm
from parity_support import GoldenCase
from parity_transfuse import build

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.explain.capture import as_is, captured
from napari_hybridseg.explain.places import fusions, gates
from napari_hybridseg.explain.transfuse_views import rollout
from napari_hybridseg.inference.preprocess import prepare
from napari_hybridseg.model_card import Preprocessing
from napari_hybridseg.networks import create_network
from napari_hybridseg.networks.registry import get_architecture
from napari_hybridseg.networks.transfuse import convert_authors_state_dict

THEIRS = {"fuse_16": "up_c", "fuse_8": "up_c_1_1", "fuse_4": "up_c_2_1"}
THEIR_GATES = {"merge_8": "up_c_1_2", "merge_4": "up_c_2_2"}


def test_what_is_captured_is_the_authors_fusion(golden: Path) -> None:
    case = GoldenCase(golden / "transfuse_small.npz")
    name, config = build(case.meta)
    checked = get_architecture(name).make_config(config)
    network = create_network(name, 3, case.meta["num_classes"], **config).eval()
    network.load_state_dict(convert_authors_state_dict(case.state, checked))
    expected = {}
    for place in fusions():
        for ours, theirs in (("spatial", "spatial_attn"), ("channel", "channel_attn")):
            key = f"{THEIRS[place.name]}.{theirs}"
            expected[f"{place.module}.{ours}_attention"] = case.intermediates[key]
    for place in gates():
        key = f"{THEIR_GATES[place.name]}.attn_block.psi"
        expected[place.module] = case.intermediates[key]
    with captured(network, dict.fromkeys(expected, as_is)) as seen, torch.inference_mode():
        network(case.image)
    for name, value in expected.items():
        assert float((seen[name] - value).abs().max()) <= 1e-4, name


def by_slice(volume: object, checkpoint: Checkpoint, module: str) -> torch.Tensor:
    """Run the network slice by slice by hand; give a module's outputs, stacked."""
    network, seen = checkpoint.build_network(), []
    network.get_submodule(module).register_forward_hook(lambda _m, _i, out: seen.append(out[0]))
    image = torch.from_numpy(prepare(volume, Preprocessing()).array)  # type: ignore[arg-type]
    with torch.inference_mode():
        for z in range(image.shape[1]):
            network(image[None, :, z])
    return torch.stack(seen)


@pytest.mark.parametrize(
    ("view", "place", "module"),
    [
        ("spatial-attention", "fuse_8", "fuse_8.spatial_attention"),
        ("attention-gate", "merge_4", "merge_4.gate.attention"),
    ],
)
def test_slices_are_stitched_cell_by_cell(
    small: Callable[[str], Checkpoint], view: str, place: str, module: str
) -> None:
    volume = noise((3, 32, 32), order=40)
    cells = by_slice(volume, small("transfuse"), module)[:, 0].numpy()
    size = 32 // cells.shape[-1]
    (heat,) = run(volume, small("transfuse"), view, place=place).products
    np.testing.assert_allclose(heat.array, np.kron(cells, np.ones((1, size, size))), atol=1e-5)
    assert heat.limits == (0.0, 1.0)


def test_channels_of_a_slice_and_of_all(small: Callable[[str], Checkpoint]) -> None:
    volume = noise((3, 32, 32))
    found = by_slice(volume, small("transfuse"), "fuse_16.channel_attention")[..., 0, 0].numpy()
    point = voxel_mm(volume, (1, 9, 9))
    (bars,) = run(volume, small("transfuse"), "channel-attention", point=point).products
    np.testing.assert_allclose(bars.values, found[1], atol=1e-5)
    mean, every = run(volume, small("transfuse"), "channel-attention").products
    np.testing.assert_allclose(every.values, found, atol=1e-5)
    np.testing.assert_allclose(mean.values, found.mean(axis=0), atol=1e-5)


def test_rollout_multiplies_blocks_with_their_residuals() -> None:
    first, second = (torch.rand(4, 4).softmax(dim=-1) for _ in range(2))
    one = torch.eye(4)
    expected = (second + one) / 2 @ ((first + one) / 2)
    torch.testing.assert_close(rollout([first, second]), expected)


def test_a_patchs_attention_lies_on_its_slice_alone(small: Callable[[str], Checkpoint]) -> None:
    volume = noise((3, 32, 32))
    seen = by_slice(volume, small("transfuse"), "transformer.blocks.1.attn.attention")
    patch = 1 * 2 + 0
    expected = seen[2, 1, patch].reshape(2, 2).numpy()
    point = voxel_mm(volume, (2, 20, 3))
    (heat,) = run(
        volume, small("transfuse"), "patch-attention", place="block1", head=1, point=point
    ).products
    assert not heat.array[:2].any()
    np.testing.assert_allclose(heat.array[2], np.kron(expected, np.ones((16, 16))), atol=1e-6)
    blocks = [
        by_slice(volume, small("transfuse"), f"transformer.blocks.{b}.attn.attention")[2].mean(0)
        for b in range(2)
    ]
    (heat,) = run(volume, small("transfuse"), "attention-rollout", point=point).products
    row = rollout(blocks)[patch].reshape(2, 2).numpy()
    np.testing.assert_allclose(heat.array[2], np.kron(row, np.ones((16, 16))), atol=1e-6)
