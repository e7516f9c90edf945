from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from explain_support import noise, run, voxel_mm

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.explain import ExplainError
from napari_hybridseg.explain.gradients import cam_plus_plus
from napari_hybridseg.inference.preprocess import prepare
from napari_hybridseg.model_card import Preprocessing


def test_the_receptive_field_is_the_gradient(small: Callable[[str], Checkpoint]) -> None:
    """Compare with finite differences of the network's own answer."""
    volume, checkpoint = noise((8, 8, 8), order=5), small("unet")
    found = run(volume, checkpoint, "receptive-field", point=voxel_mm(volume, (3, 4, 5)), organ=3)
    (heat,) = found.products
    assert heat.array.sum() == pytest.approx(1, abs=1e-4)
    network = checkpoint.build_network().double()
    image = torch.from_numpy(prepare(volume, Preprocessing()).array)[None].double()
    sizes = []
    places = [(3, 4, 5), (2, 4, 5), (5, 1, 7), (0, 0, 0)]
    with torch.inference_mode():
        for z, y, x in places:
            nudge = torch.zeros_like(image)
            nudge[0, 0, z, y, x] = 1e-5
            change = network(image + nudge) - network(image - nudge)
            sizes.append(abs(float(change[0, 2, 3, 4, 5])))
    ours = [heat.array[place] for place in places]
    np.testing.assert_allclose(np.array(ours) / ours[0], np.array(sizes) / sizes[0], rtol=1e-3)
    half, most, outside = found.facts.values()
    assert 0 <= half <= most
    assert outside == 0


def test_the_clicked_voxel_does_not_outshine_its_receptive_field(
    small: Callable[[str], Checkpoint],
) -> None:
    volume = noise((8, 8, 8), order=5)
    found = run(volume, small("unet"), "receptive-field", point=voxel_mm(volume, (3, 4, 5)))
    (heat,) = found.products
    assert heat.limits is not None
    assert heat.limits[0] == 0
    assert heat.array.mean() < heat.limits[1] < heat.array.max()


def test_what_part_of_the_receptive_field_is_padding_is_told(
    small: Callable[[str], Checkpoint],
) -> None:
    volume, checkpoint = noise((5, 8, 6)), small("unet")
    found = run(volume, checkpoint, "receptive-field", point=voxel_mm(volume, (1, 4, 5)))
    (heat,) = found.products
    outside = found.facts["part of the gradient outside the volume"]
    assert 0.01 < outside < 0.99
    assert heat.array.sum() + outside == pytest.approx(1, abs=1e-4)


OBLIQUE = {"order": 17, "angles": (12, -25, 40), "spacing": (0.8, 1.3, 2.9)}


@pytest.mark.parametrize("voxel", [(3, 2, 1), (9, 11, 13), (6, 0, 17)])
def test_the_receptive_field_lies_around_the_click_in_millimetres(
    small: Callable[[str], Checkpoint], voxel: tuple[int, int, int]
) -> None:
    """Compare with the gradient of the window by hand, placed by its box in millimetres."""
    volume, checkpoint = noise((12, 14, 18), **OBLIQUE), small("unet")
    assert volume.geometry.is_oblique
    clicked = voxel_mm(volume, voxel)
    found = run(volume, checkpoint, "receptive-field", point=clicked, organ=3, overlap=0.5)
    (heat,) = found.products
    assert found.window is not None

    working = prepare(volume, Preprocessing())
    corner = working.working.index(found.window.corners_mm).min(axis=0) + 0.5
    first = np.rint(corner).astype(int)
    np.testing.assert_allclose(corner, first, atol=1e-6)
    inside = tuple(slice(n, n + 8) for n in first)
    window = torch.from_numpy(working.array[(slice(None), *inside)].copy())[None]
    window.requires_grad_()
    z, y, x = np.rint(working.working.index(np.array(clicked))).astype(int) - first
    checkpoint.build_network()(window)[0, 2, z, y, x].backward()
    assert window.grad is not None
    size = window.grad[0].abs().sum(dim=0).numpy()
    expected = np.zeros(working.working.shape, np.float32)
    expected[inside] = size / size.sum()
    np.testing.assert_allclose(working.change.apply(heat.array), expected, rtol=1e-4, atol=1e-8)
    assert not np.allclose(size, size[::-1], rtol=0.1), "a flipped axis would not be seen"

    strongest = np.unravel_index(int(heat.array.argmax()), heat.array.shape)
    away = np.array(voxel_mm(volume, strongest)) - clicked
    assert np.linalg.norm(away) <= np.linalg.norm(2 * np.array(OBLIQUE["spacing"]))


def test_cam_plus_plus_is_the_papers_formula() -> None:
    torch.manual_seed(0)
    features, gradient = torch.rand(3, 2, 2, 2), torch.randn(3, 2, 2, 2)
    expected = np.zeros((2, 2, 2))
    for a, g in zip(features.double().numpy(), gradient.double().numpy(), strict=True):
        alpha = g**2 / (2 * g**2 + (a * g**3).sum())
        expected += (alpha * np.maximum(g, 0)).sum() * a
    ours = cam_plus_plus(features.double(), gradient.double()).numpy()
    np.testing.assert_allclose(ours, np.maximum(expected, 0), rtol=1e-9)
    assert not cam_plus_plus(features, torch.zeros_like(gradient)).any()


def test_integrated_gradients_add_up_to_the_change(small: Callable[[str], Checkpoint]) -> None:
    pytest.importorskip("captum")
    found = run(
        noise((8, 8, 8)), small("unet"), "integrated-gradients", organ=_organ(small), steps=64
    )
    (heat,) = found.products
    assert heat.scale == "diverging"
    assert heat.array.min() < 0 < heat.array.max()
    (gap,) = found.facts.values()
    assert gap < 0.05


def test_a_missing_captum_is_said_in_a_sentence(
    small: Callable[[str], Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(ExplainError, match=r"need Captum; install it with: pip install 'napari"):
        run(noise((8, 8, 8)), small("unet"), "integrated-gradients", organ=1)


def test_grad_cam_looks_where_the_features_speak_for_the_organ(
    small: Callable[[str], Checkpoint],
) -> None:
    (heat,) = run(noise((8, 12, 8)), small("unet"), "grad-cam", organ=_organ(small)).products
    assert heat.array.max() == pytest.approx(1)
    assert heat.array.min() >= 0


def _organ(small: Callable[[str], Checkpoint]) -> int:
    image = torch.from_numpy(prepare(noise((8, 8, 8)), Preprocessing()).array)[None]
    with torch.inference_mode():
        answer = small("unet").build_network()(image).argmax(dim=1)
    return (1, 3, 300)[int(np.bincount(answer.flatten().numpy(), minlength=4)[1:].argmax())]
