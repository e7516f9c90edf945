from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from explain_support import FAMILIES, TWO_D, noise, run, voxel_mm
from helpers import tiny_card

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.explain import ExplainError, find_place, find_view, views_of
from napari_hybridseg.explain.explaining import RUNS
from napari_hybridseg.networks import create_network
from napari_hybridseg.networks.registry import MODULE_OF, explanations_of, get_architecture

EVERY = ("entropy", "margin", "uncertain-regions", "receptive-field", "grad-cam")


def test_the_registry_says_the_same_with_and_without_torch() -> None:
    for name in MODULE_OF:
        assert explanations_of(name) == get_architecture(name).explains, name


@pytest.mark.parametrize("name", [n for n in MODULE_OF if explanations_of(n)])
def test_every_place_is_a_part_of_the_full_size_network(name: str) -> None:
    import torch

    architecture = get_architecture(name)
    config = architecture.make_config()
    windows = TWO_D if architecture.spatial_dims == 2 else FAMILIES["cotr"].windows
    card = tiny_card(architecture=name, config=config.model_dump(mode="json"), windows=windows)
    with torch.device("meta"):
        modules = dict(create_network(name).named_modules())
    for view in views_of(card):
        names = [place.name for place in view.places]
        assert len(set(names)) == len(names)
        assert not view.places or find_place(view, None) is not None
        for place in view.places:
            assert place.module in modules, (view.name, place.name)


def test_a_card_that_leaves_settings_out_offers_the_defaults(small: Callable) -> None:
    card = tiny_card(architecture="medformer-3d", config={}, windows=FAMILIES["cotr"].windows)
    tokens = {place.tokens for place in find_view(card, "token-map").places}
    assert tokens == {72}


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_view_that_is_offered_can_be_had(
    small: Callable[[str], Checkpoint], family: str
) -> None:
    checkpoint = small(family)
    _, y, x = checkpoint.card.windows.size
    volume = noise((9, max(y, 16) + 5, max(x, 16) + 1))  # a window and a little more
    offered = views_of(checkpoint.card)
    assert set(EVERY) <= {view.name for view in offered} <= set(RUNS)
    point = voxel_mm(volume, (4, 20, 11))
    organs = _organs_found(volume, checkpoint)
    for view in offered:
        if view.name == "integrated-gradients":
            pytest.importorskip("captum")
        organ = organs[0] if "organ" in view.needs else None
        found = run(
            volume,
            checkpoint,
            view.name,
            point=point if "point" in view.needs else None,
            organ=organ,
            steps=2,
        )
        assert found.view == view
        assert found.products
        assert (found.window is not None) == ("point" in view.needs)
        for product in found.products:
            if hasattr(product, "geometry"):
                assert product.geometry == volume.geometry
                assert product.source == volume.source


def _organs_found(volume: object, checkpoint: Checkpoint) -> list[int]:
    """Give the organs that the network finds somewhere."""
    import torch

    from napari_hybridseg.inference.preprocess import prepare

    image = torch.from_numpy(prepare(volume, checkpoint.card.preprocessing).array)  # type: ignore[arg-type]
    z, y, x = checkpoint.card.windows.size
    window = image[None, :, :z, :y, :x]
    network = checkpoint.build_network()
    with torch.inference_mode():
        logits = network(window[:, :, 0] if z == 1 else window)
    ids = (0, *checkpoint.card.labels.ids)
    return [ids[c] for c in logits.argmax(dim=1).unique().tolist() if c]


def test_what_is_not_offered_is_said_with_what_is(small: Callable[[str], Checkpoint]) -> None:
    volume, unet = noise((8, 8, 8)), small("unet")
    with pytest.raises(ExplainError, match=r"unet\) does not offer 'token-map'.*entropy, margin"):
        run(volume, unet, "token-map")
    with pytest.raises(ExplainError, match="needs a point in LPS millimetres"):
        run(volume, unet, "receptive-field")
    with pytest.raises(ExplainError, match=r"needs the number of an organ \(1 spleen, 3 liver"):
        run(volume, unet, "grad-cam")
    with pytest.raises(ExplainError, match="no organ with the number 2; choose one of: 1 spleen"):
        run(volume, unet, "grad-cam", organ=2)
    with pytest.raises(ExplainError, match="outside made-up"):
        run(volume, unet, "receptive-field", point=(1e4, 0, 0))


def test_a_wrong_place_head_or_token_is_said_with_the_right_ones(
    small: Callable[[str], Checkpoint],
) -> None:
    volume, medformer = noise((8, 16, 16)), small("medformer")
    with pytest.raises(ExplainError, match=r"no place 'down1.0'; choose one of: down2.0, down3"):
        run(volume, medformer, "token-map", place="down1.0")
    with pytest.raises(ExplainError, match="2 heads, numbered 0 to 1; there is no head 2"):
        run(volume, medformer, "token-map", head=2)
    with pytest.raises(ExplainError, match="4 tokens, numbered 0 to 3; there is no token 4"):
        run(volume, medformer, "token-map", token=4)
    with pytest.raises(ExplainError, match="only gathers"):
        run(volume, medformer, "token-map", place="down2.pooling", direction="token-to-map")
    with pytest.raises(ExplainError, match="no level 2"):
        run(noise((8, 32, 32)), small("cotr"), "sampling-points", point=(0, 30, 105), level=2)


def test_hooks_are_gone_when_a_job_is_closed_in_the_middle(
    small: Callable[[str], Checkpoint], tmp_path: Path
) -> None:
    from napari_hybridseg.events import Progress
    from napari_hybridseg.explain import ExplainOptions, explain

    network = small("medformer").build_network()
    job = explain(
        noise((8, 40, 40)),
        small("medformer"),
        ExplainOptions(view="token-map", device="cpu", threads=1),
        network=network,
    )
    for event in job:
        if isinstance(event, Progress) and event.done == 1:
            assert any(module._forward_hooks for module in network.modules())
            break
    job.close()  # type: ignore[attr-defined]
    assert not any(module._forward_hooks for module in network.modules())
