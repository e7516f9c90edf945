"""The engines convert real networks and agree with them."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from napari_hybridseg.inference import engines as engines_module
from napari_hybridseg.inference.backend_store import BackendStore
from napari_hybridseg.inference.engines import ENGINES, EngineError, Recipe
from napari_hybridseg.networks.deformable_transformer import DeformableTransformer
from napari_hybridseg.networks.uxnet import UxBlock

PACKAGES = {"winograd": "numba", "torch": "torch", "openvino": "openvino", "onnx": "onnxruntime"}


class Looks(nn.Module):
    """What is hard to convert: deformable attention over two maps, and UX-Net's block."""

    def __init__(self) -> None:
        super().__init__()
        self.block = UxBlock(6, kernel=3, layer_scale=1.0)
        self.transformer = DeformableTransformer(
            width=6,
            heads=2,
            layers=1,
            points=2,
            ffn=8,
            dropout=0.0,
            axis_order="corrected",
            sampler="gather",
        )
        self.norm = nn.InstanceNorm3d(6)
        self.up = nn.ConvTranspose3d(6, 2, 2, 2)

    def forward(self, features: Tensor) -> Tensor:
        fine = self.norm(self.block(features))
        coarse = nn.functional.avg_pool3d(fine, 2)
        fine, _ = self.transformer((fine, coarse))
        logits: Tensor = self.up(fine)
        return logits


class Fickle(nn.Module):
    """A network whose path depends on its input: no engine may take it as it was once."""

    def forward(self, image: Tensor) -> Tensor:
        raise RuntimeError("no path")


def recipe(network: nn.Module, folder: Path, precision: str = "float32") -> Recipe:
    example = torch.randn(1, 6, 4, 6, 4, generator=torch.Generator().manual_seed(1))
    key = {"network": type(network).__name__}
    return Recipe(network.eval(), example, key, BackendStore(folder), 1, precision)


def made(name: str, given: Recipe) -> Tensor:
    if name == "onnx":
        pytest.importorskip("onnx")
    pytest.importorskip(PACKAGES[name])
    with torch.inference_mode():
        return ENGINES[name](given).compute(given.example)


@pytest.fixture(scope="module")
def network() -> Looks:
    torch.manual_seed(0)
    network = Looks().eval()
    for layer in network.transformer.layers:
        nn.init.normal_(layer.attention.offsets.weight, std=0.3)
        nn.init.normal_(layer.attention.logits.weight, std=0.3)
    return network


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_computes_what_the_network_computes(
    name: str, network: Looks, tmp_path: Path
) -> None:
    given = recipe(network, tmp_path)
    with torch.inference_mode():
        expected = network(given.example)
    torch.testing.assert_close(made(name, given), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["openvino", "onnx"])
def test_a_converted_network_is_kept(
    name: str, network: Looks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = recipe(network, tmp_path)
    first = made(name, given)
    monkeypatch.setattr(Looks, "forward", Fickle.forward)  # nothing may look at it again
    torch.testing.assert_close(made(name, given), first)


@pytest.mark.parametrize("name", ["winograd", "openvino", "onnx"])
def test_results_do_not_share_memory(name: str, network: Looks, tmp_path: Path) -> None:
    pytest.importorskip(PACKAGES[name])
    pytest.importorskip("onnx")
    given = recipe(network, tmp_path)
    with torch.inference_mode():
        compute = ENGINES[name](given).compute
        first = compute(given.example)
        before = first.clone()
        compute(given.example * 2)
    assert torch.equal(first, before)


@pytest.mark.parametrize("name", ENGINES)
def test_a_network_that_cannot_be_converted_is_refused_in_words(name: str, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no path"):
        made(name, recipe(Fickle(), tmp_path))


@pytest.mark.parametrize("name", ["winograd", "torch", "onnx"])
def test_only_openvino_knows_bfloat16(name: str, network: Looks, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="float32 only"):
        made(name, recipe(network, tmp_path, "bfloat16"))


@pytest.mark.parametrize(("name", "module"), [("openvino", "openvino"), ("onnx", "onnxruntime")])
def test_a_missing_package_is_named(
    name: str, module: str, network: Looks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(EngineError, match=module):
        ENGINES[name](recipe(network, tmp_path))


class Unwritable(ModuleType):
    """What importing a module of loops raises there."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError("cannot cache function 'scale': no locator available for file")


def test_a_folder_that_numba_cannot_write_to_is_a_reason(
    network: Looks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "napari_hybridseg.inference.winograd.compute"
    monkeypatch.setitem(sys.modules, name, Unwritable(name))
    with pytest.raises(EngineError, match="no locator available"):
        ENGINES["winograd"](recipe(network, tmp_path))


class Twofold(nn.Module):
    """Has numbers that cannot be kept."""

    def forward(self, image: Tensor) -> Tensor:
        return (image * torch.ones(1, dtype=torch.complex128)).real.float()


@pytest.mark.parametrize("error", [MemoryError, ZeroDivisionError, OSError, None])
def test_whatever_fails_in_our_kernels_is_a_reason(
    error: type[Exception] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_hybridseg.inference.winograd import compute

    if error is not None:

        def fail(*given: object) -> None:
            raise error

        monkeypatch.setattr(compute, "Compute", fail)
    with pytest.raises(EngineError):
        ENGINES["winograd"](recipe(nn.Identity() if error else Twofold(), tmp_path))


def test_compiling_is_not_counted_as_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is done once for a machine."""
    from numba.core import event

    from napari_hybridseg.inference.winograd import compute

    class Compiles:
        def __init__(self, *given: object) -> None:
            for _ in range(2):
                with event.trigger_event("numba:compile"):
                    time.sleep(0.2)
            time.sleep(0.1)

    monkeypatch.setattr(compute, "Compute", Compiles)
    assert 0.1 <= ENGINES["winograd"](recipe(nn.Identity(), tmp_path)).load_s < 0.3


def test_a_failed_export_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Standard output belongs to the command line's and the worker's JSON."""
    network = nn.Sequential(nn.Unflatten(1, (2, 3)), nn.Flatten(1, 2), UnknownToOnnx())
    with pytest.raises(EngineError):
        made("onnx", recipe(network, tmp_path))
    assert capfd.readouterr().out == ""


class UnknownToOnnx(nn.Module):
    """Uses an operator that ONNX does not have."""

    def forward(self, image: Tensor) -> Tensor:
        return torch.special.bessel_j0(image)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("No such operator. [Caused by the value '%3 defined in (", "No such operator"),
        ("short\n  and  plain", "short and plain"),
        ("many words " * 40, "…"),
        ("", "RuntimeError"),
    ],
)
def test_a_reason_is_short_and_whole(said: str, shown: str) -> None:
    reason = engines_module._one_line(RuntimeError(said))
    assert reason == shown or (shown == "…" and reason.endswith("words …"))
    assert len(reason) <= 200
