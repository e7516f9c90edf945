from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from explain_support import make, noise, run, volume_of, voxel_mm
from parity_support import GoldenCase
from parity_utnetv2 import build

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.explain import ExplainError, HeatMap, find_view
from napari_hybridseg.explain.bmha_views import attention_wish
from napari_hybridseg.explain.capture import captured, summing_to_one
from napari_hybridseg.explain.products import Matrix
from napari_hybridseg.inference.preprocess import prepare
from napari_hybridseg.interop import convert_state_dict
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import ModelCard, Preprocessing, WindowDefaults, ZScore
from napari_hybridseg.networks import create_network
from napari_hybridseg.networks.registry import get_architecture
from napari_hybridseg.volume import LabelMap

ONE_WINDOW = (8, 16, 16)
_THEIR_PLACE = {"encoder": "down", "decoder": "up"}


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


def direct(volume: object, checkpoint: Checkpoint, place: str, direction: str) -> np.ndarray:
    """Give a block's attention averaged over heads, by running the network by hand."""
    found = find_view(checkpoint.card, "token-map")
    where = next(p for p in found.places if p.name == place)
    image = torch.from_numpy(prepare(volume, checkpoint.card.preprocessing).array)[None]  # type: ignore[arg-type]
    network = checkpoint.build_network()
    kept = {}
    module = network.get_submodule(f"{where.module}.attention.{direction.replace('-', '_')}")
    module.register_forward_hook(lambda _m, _i, output: kept.update(a=output))
    with torch.inference_mode():
        network(image)
    cells = [n // s for n, s in zip(image.shape[2:], where.stride, strict=True)]
    return kept["a"][0].mean(dim=0).reshape(*cells, -1).numpy()


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


@pytest.mark.parametrize("family", ["medformer", "cotr"])
def test_a_volume_moved_by_whole_steps_moves_its_maps(
    small: Callable[[str], Checkpoint], family: str
) -> None:
    checkpoint = small(family)
    z, y, x = checkpoint.card.windows.size
    big = np.random.default_rng(1).normal(size=(2 * z, 2 * y, 2 * x)).astype(np.float32)
    moved = np.roll(big, (z // 2, y // 2, x // 2), axis=(0, 1, 2))
    as_is = make_as_is(checkpoint)
    views = [("margin", {})]
    if family == "medformer":
        views.append(("token-map", {"place": "down2.0", "token": 1}))
    for view, options in views:
        first, second = (
            run(volume_of(array), as_is, view, overlap=0.5, **options).products[0].array
            for array in (big, moved)
        )
        # what only windows inside both volumes cover
        inside = tuple(slice(n, -n) for n in (z // 2, y // 2, x // 2))
        back = np.roll(second, (-(z // 2), -(y // 2), -(x // 2)), axis=(0, 1, 2))
        deep = tuple(slice(n // 2, n) for n in (z, y, x))
        assert first[inside].shape == (z, y, x)
        np.testing.assert_allclose(back[deep], first[deep], rtol=1e-4, atol=1e-6)
        assert np.abs(second[deep] - first[deep]).max() > 1e-4, "nothing would move"


def make_as_is(checkpoint: Checkpoint) -> Checkpoint:
    """Give a checkpoint whose volume is not normalised: moving it would change its mean."""
    card = checkpoint.card.model_copy(
        update={"preprocessing": Preprocessing(intensity={"kind": "as-is"})}  # type: ignore[arg-type]
    )
    return type(checkpoint)(path=checkpoint.path, card=card)


def test_attention_that_does_not_sum_to_one_is_refused() -> None:
    good = torch.rand(5, 7).softmax(dim=-1)
    assert summing_to_one(good, -1) is good
    with pytest.raises(ExplainError, match="do not sum to 1"):
        summing_to_one(good * 1.0001, -1)
    with pytest.raises(ExplainError, match="do not sum to 1"):
        summing_to_one(good * float("nan"), -1)


def test_what_rounding_leaves_of_a_long_softmax_is_put_right() -> None:
    torch.manual_seed(0)
    long = (4 * torch.randn(1, 65536, 3)).softmax(dim=-2)
    given = summing_to_one(long * 1.0005, -2)
    np.testing.assert_allclose(given.double().sum(dim=-2), 1, atol=1e-6)
    np.testing.assert_allclose(given / long, 1, atol=1e-3)
    with pytest.raises(ExplainError, match="do not sum to 1"):
        summing_to_one(long * 1.01, -2)


def test_organ_shares_are_those_of_a_plain_count(small: Callable[[str], Checkpoint]) -> None:
    volume, checkpoint = noise(ONE_WINDOW), small("medformer")
    image = torch.from_numpy(prepare(volume, Preprocessing()).array)[None]
    with torch.inference_mode():
        answer = checkpoint.build_network()(image)[0].argmax(dim=0).numpy()
    fine = np.kron(direct(volume, checkpoint, "down2.0", "map-to-token"), np.ones((4, 4, 4, 1)))
    relative, share = run(volume, checkpoint, "token-organs", place="down2.0").products
    assert isinstance(share, Matrix)
    names = ("background", "spleen", "liver", "aorta")
    assert len(share.columns) > 1
    for column, organ in enumerate(share.columns):
        inside = answer == names.index(organ)
        expected = fine[inside].sum(axis=0) / fine.sum(axis=(0, 1, 2))
        np.testing.assert_allclose(share.values[:, column], expected, rtol=1e-4)
        np.testing.assert_allclose(relative.values[:, column], expected / inside.mean(), rtol=1e-4)
    np.testing.assert_allclose(share.values.sum(axis=1), 1, atol=1e-5)


def test_a_bright_organ_lights_up_under_its_tokens(tmp_path: Path) -> None:
    """Train a small network for seconds on bright boxes; its tokens must follow the box."""
    scheme = LabelScheme.from_names({1: "bright box"})
    fresh = make(tmp_path, "medformer", scheme, name="boxes", preprocessing=_plain())
    network = fresh.build_network().train()
    best = torch.optim.AdamW(network.parameters(), lr=4e-3)
    random = np.random.default_rng(0)
    for _ in range(60):
        image, truth = _box(random)
        logits = network(torch.from_numpy(image)[None, None])
        loss = torch.nn.functional.cross_entropy(
            logits, torch.from_numpy(truth)[None], weight=torch.tensor([1.0, 4.0])
        )
        best.zero_grad()
        loss.backward()
        best.step()
    from napari_hybridseg.checkpoint import save_checkpoint

    taught = save_checkpoint(fresh.path, network.state_dict(), fresh.card, overwrite=True)
    image, truth = _box(np.random.default_rng(99))
    volume = volume_of(image)
    relative, _ = run(volume, taught, "token-organs", place="up2.0").products
    assert relative.columns == ("background", "bright box"), "the network learned nothing"
    box = relative.values[:, 1]
    token = int(box.argmax())
    assert box[token] > 1.5, box
    heat = run(volume, taught, "token-map", place="up2.0", token=token).products[0].array
    assert heat[truth == 1].mean() > 1.5 * heat[truth == 0].mean()


def _plain() -> Preprocessing:
    return Preprocessing(intensity=ZScore())


def _box(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    truth = np.zeros(ONE_WINDOW, dtype=np.int64)
    z, y, x = random.integers(0, (4, 8, 8))
    truth[z : z + 4, y : y + 8, x : x + 8] = 1
    image = truth * 3.0 + random.normal(size=ONE_WINDOW)
    return ((image - image.mean()) / image.std()).astype(np.float32), truth


def test_similarity_is_a_cosine_and_fusion_rows_sum_to_one(
    small: Callable[[str], Checkpoint],
) -> None:
    volume = noise((8, 24, 20))
    (cosine,) = run(volume, small("utnetv2"), "token-similarity").products
    np.testing.assert_allclose(np.diag(cosine.values), 1, atol=1e-5)
    np.testing.assert_allclose(cosine.values, cosine.values.T, atol=1e-6)
    assert np.abs(cosine.values).max() <= 1 + 1e-5
    tokens, scales = run(volume, small("utnetv2"), "fusion-attention", head=1).products
    assert tokens.values.shape == (12, 12)
    np.testing.assert_allclose(tokens.values.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(scales.values.sum(axis=1), 1, atol=1e-5)
    expected = tokens.values[:4, 4:8].sum(axis=1).mean()
    np.testing.assert_allclose(scales.values[0, 1], expected, rtol=1e-5)
