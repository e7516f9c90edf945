from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from explain_support import ONE_WINDOW, direct, make, noise, run, volume_of

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.explain.products import Matrix
from napari_hybridseg.inference.preprocess import prepare
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.model_card import Preprocessing, ZScore


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
