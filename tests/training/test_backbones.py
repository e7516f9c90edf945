"""Training from other people's image classifiers."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from helpers import TINY_TRANSFUSE as SMALL
from helpers import write_dataset
from safetensors.torch import save_file

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.events import Event, Metric
from napari_hybridseg.networks import create_network, get_architecture
from napari_hybridseg.networks.transfuse_backbones import BackboneWeightsError
from napari_hybridseg.training import TrainOptions
from napari_hybridseg.training.backbones import BackboneError, find_backbones
from napari_hybridseg.training.state import StateError
from napari_hybridseg.training.train import train

# a rate of next to nothing: the weights stay what they began with
STILL: dict[str, Any] = {
    "architecture": "transfuse-s",
    "config": SMALL,
    "patch_size": (1, 32, 32),
    "steps": 2,
    "save_every": 1,
    "log_every": 1,
    "learning_rate": 1e-12,
    "weight_decay": 0,
    "ema_decay": 0,
    "accelerator": "cpu",
    "half_weights": False,
}


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("boxes"), train=2, heldout=0, shape=(10, 32, 32))


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a file of the CNN branch's shapes, as torchvision writes them."""
    torch.manual_seed(5)
    cnn = create_network("transfuse-s", 3, 2, **SMALL).cnn.state_dict()
    path = tmp_path_factory.mktemp("weights") / "resnet.safetensors"
    save_file(
        {k: torch.rand_like(v) + 0.5 if v.is_floating_point() else v for k, v in cnn.items()}, path
    )
    return path


def last(events: list[Event]) -> Checkpoint:
    return events[-1].value  # type: ignore[union-attr,no-any-return]


def test_a_run_starts_from_the_file_and_says_so(boxes: Path, resnet: Path, tmp_path: Path) -> None:
    options = TrainOptions(**STILL, backbone_weights=(str(resnet),))
    checkpoint = last(list(train(boxes, tmp_path / "x.safetensors", options)))
    from safetensors.torch import load_file

    given = load_file(resnet)["layer1.0.conv1.weight"]
    torch.testing.assert_close(checkpoint.weights()["cnn.layer1.0.conv1.weight"], given)
    (source,) = checkpoint.card.provenance.backbones
    assert source.name == "resnet.safetensors"
    assert source.sha256 == hashlib.sha256(resnet.read_bytes()).hexdigest()
    fresh = last(list(train(boxes, tmp_path / "y.safetensors", TrainOptions(**STILL))))
    assert not torch.equal(fresh.weights()["cnn.layer1.0.conv1.weight"], given)
    assert fresh.card.provenance.backbones == ()


def test_a_run_does_not_go_on_from_other_backbone_weights(
    boxes: Path, resnet: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.safetensors"
    events = train(boxes, out, TrainOptions(**STILL, backbone_weights=(str(resnet),)))
    next(event for event in events if isinstance(event, Metric))
    events.close()  # type: ignore[attr-defined]
    with pytest.raises(StateError, match="other options"):
        list(train(boxes, out, TrainOptions(**STILL)))
    moved = tmp_path / "elsewhere.safetensors"
    moved.write_bytes(resnet.read_bytes())
    assert last(list(train(boxes, out, TrainOptions(**STILL, backbone_weights=(str(moved),)))))


def test_weights_that_fit_nowhere_are_refused(boxes: Path, tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(BackboneWeightsError, match=r"odd\.safetensors"):
        list(
            train(
                boxes,
                tmp_path / "x.safetensors",
                TrainOptions(**STILL, backbone_weights=(str(path),)),
            )
        )


def test_a_network_without_such_branches_says_which_have_them() -> None:
    with pytest.raises(BackboneError, match=r"unet starts from no .*transfuse-s, transfuse-l"):
        find_backbones("unet", ("resnet.pth",))
    assert find_backbones("unet", ()) == ()
    assert get_architecture("unet").load_backbone is None


def test_a_missing_file_gets_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"gone\.pth cannot be read: No such file"):
        find_backbones("transfuse-s", (str(tmp_path / "gone.pth"),))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Put a hub of our own in the library's place."""
    module, errors = ModuleType("huggingface_hub"), ModuleType("huggingface_hub.errors")
    errors.HfHubHTTPError = type("HfHubHTTPError", (OSError,), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", errors)
    return module


def test_a_name_on_the_hub_is_downloaded_as_safetensors(hub: ModuleType, resnet: Path) -> None:
    asked: list[tuple[str, str]] = []

    def download(repository: str, file: str) -> str:
        asked.append((repository, file))
        return str(resnet)

    hub.hf_hub_download = download  # type: ignore[attr-defined]
    (backbone,) = find_backbones("transfuse-s", ("hf://timm/resnet34.a1_in1k",))
    assert asked == [("timm/resnet34.a1_in1k", "model.safetensors")]
    assert backbone.source.name == "hf://timm/resnet34.a1_in1k"
    assert backbone.load_into(create_network("transfuse-s", 1, 2, **SMALL)) == "cnn"


def test_offline_is_said(hub: ModuleType) -> None:
    def download(repository: str, file: str) -> str:
        raise ConnectionError("no route to host\nTraceback ...")

    hub.hf_hub_download = download  # type: ignore[attr-defined]
    with pytest.raises(BackboneError, match="hf://timm/resnet34 cannot be downloaded") as caught:
        find_backbones("transfuse-s", ("hf://timm/resnet34",))
    assert "\n" not in str(caught.value)


def test_a_missing_hub_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(BackboneError, match="pip install huggingface_hub"):
        find_backbones("transfuse-s", ("hf://timm/resnet34",))
