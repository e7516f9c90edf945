"""The ways to prepare a network for a CPU: our kernels, PyTorch frozen, OpenVINO, ONNX Runtime.

An engine is a function from a :class:`Recipe` to something that computes. It raises
:class:`EngineError` with the reason where its package is missing or the network is not one
that it takes. OpenVINO's and ONNX Runtime's packages come with the extra ``[cpu]``.
"""

from __future__ import annotations

import io
import tempfile
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import TypeAlias

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.inference.backend_store import BackendStore, Key

Compute: TypeAlias = Callable[[Tensor], Tensor]

# TorchScript watches the first run and optimises in the second
_RUNS_UNTIL_FAST = 2
_LONGEST_REASON = 200  # characters
# what torch's tracer and exporters raise for code that they do not take
_FAILURES = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError)


class EngineError(HybridSegError):
    """A network that an engine cannot run here; the message is the reason."""


@dataclass(frozen=True)
class Recipe:
    """What an engine is given.

    Attributes
    ----------
    network : Module
        In evaluation mode, float32, on the CPU.
    example : Tensor
        One input (1, C, ...); the engine is made for this shape.
    key : mapping
        What a converted network is kept under: the network's hash, the shape, the versions.
    store : BackendStore
        Where it is kept.
    threads : int
        CPU threads to use.
    precision : {"float32", "bfloat16"}
        What to calculate with; only OpenVINO knows the second.
    """

    network: nn.Module
    example: Tensor
    key: Key
    store: BackendStore
    threads: int
    precision: str = "float32"


@dataclass(frozen=True)
class Engine:
    """A prepared network, and the seconds that preparing it takes when it was kept on disk."""

    compute: Compute
    load_s: float


def winograd_engine(recipe: Recipe) -> Engine:
    """Trace the network, and run its convolutions and norms by our own compiled loops."""
    _only_float32(recipe, TITLES["winograd"])
    try:
        from numba.core.event import install_timer

        from napari_hybridseg.inference.winograd.compute import Compute
        from napari_hybridseg.inference.winograd.program import Program
    except (ImportError, RuntimeError) as error:  # numba finds no folder to keep its loops in
        raise EngineError(_one_line(error)) from error
    compiling: list[float] = []  # seconds; the next time numba has the loops on disk
    with _quiet(), torch.no_grad():
        try:
            kept = _kept(recipe, "winograd", lambda: _winograd_program(recipe))
            began = time.perf_counter()
            with install_timer("numba:compile", compiling.append):
                compute = Compute(Program.from_bytes(kept), recipe.example, recipe.threads)
        except _winograd_failures() as error:
            raise EngineError(_one_line(error)) from error
    return Engine(compute, time.perf_counter() - began - sum(compiling))


def _winograd_failures() -> tuple[type[Exception], ...]:
    """Give what a rewritten network fails with, in tracing, keeping, compiling and running."""
    from numba.core.errors import NumbaError
    from safetensors import SafetensorError

    return (*_FAILURES, ArithmeticError, MemoryError, OSError, NumbaError, SafetensorError)


def _winograd_program(recipe: Recipe) -> bytes:
    # the tracer takes seconds to import
    from napari_hybridseg.inference.winograd.rewriting import rewritten

    return rewritten(recipe.network, recipe.example).to_bytes()


def torch_engine(recipe: Recipe) -> Engine:
    """Freeze the traced network: norms folded, weights laid out for the processor once."""
    _only_float32(recipe, "PyTorch's frozen form")
    began = time.perf_counter()
    with _quiet(), torch.no_grad():
        try:
            frozen = torch.jit.optimize_for_inference(torch.jit.freeze(_traced(recipe)))
        except _FAILURES as error:
            raise EngineError(_one_line(error)) from error
        for _ in range(_RUNS_UNTIL_FAST):
            frozen(recipe.example)
    return Engine(frozen, time.perf_counter() - began)


def openvino_engine(recipe: Recipe) -> Engine:
    """Convert the traced network with OpenVINO's own front end, and compile it."""
    try:
        import openvino
    except ImportError as error:
        raise EngineError("the package openvino is not installed") from error
    core = openvino.Core()
    kept = _kept(recipe, "openvino", lambda: _openvino_files(recipe))
    length = int.from_bytes(kept[:8], "little")
    began = time.perf_counter()
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if recipe.precision == "bfloat16" else "f32",
        "INFERENCE_NUM_THREADS": recipe.threads,
        "NUM_STREAMS": 1,
        # a core of its own is no gain on a machine that does other things, too
        "ENABLE_CPU_PINNING": False,
    }
    try:
        model = core.read_model(io.BytesIO(kept[8 : 8 + length]), io.BytesIO(kept[8 + length :]))
        request = core.compile_model(model, "CPU", settings).create_infer_request()
        request.infer([recipe.example.numpy()])
    except RuntimeError as error:
        raise EngineError(_one_line(error)) from error

    def compute(window: Tensor) -> Tensor:
        found = request.infer([window.numpy()], share_inputs=True)
        return torch.from_numpy(found[0].copy())

    return Engine(compute, time.perf_counter() - began)


def onnx_engine(recipe: Recipe) -> Engine:
    """Export the network to ONNX, and load it into ONNX Runtime."""
    _only_float32(recipe, "ONNX Runtime")
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineError("the package onnxruntime is not installed") from error
    kept = _kept(recipe, "onnx", lambda: _onnx_file(recipe))
    began = time.perf_counter()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = recipe.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(kept, options, providers=["CPUExecutionProvider"])
        (name,) = (one.name for one in session.get_inputs())
        session.run(None, {name: recipe.example.numpy()})
    except _onnxruntime_failures() as error:
        raise EngineError(_one_line(error)) from error

    def compute(window: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {name: window.numpy()})[0])

    return Engine(compute, time.perf_counter() - began)


ENGINES: Mapping[str, Callable[[Recipe], Engine]] = {
    "winograd": winograd_engine,
    "torch": torch_engine,
    "openvino": openvino_engine,
    "onnx": onnx_engine,
}
TITLES = {
    "winograd": "Winograd's engine",
    "torch": "PyTorch (frozen)",
    "openvino": "OpenVINO",
    "onnx": "ONNX Runtime",
}


def _kept(recipe: Recipe, kind: str, convert: Callable[[], bytes]) -> bytes:
    """Give the converted network from the store, or convert and keep it."""
    kept = recipe.store.read(kind, recipe.key)
    if kept is None:
        kept = convert()
        recipe.store.write(kind, recipe.key, kept)
    return kept


def _openvino_files(recipe: Recipe) -> bytes:
    """Give the length of the graph's XML, the XML, and the weights.

    The front end is called directly: ``convert_model`` would report its use over the network.
    """
    import openvino
    from openvino.frontend import FrontEndManager, OpConversionFailure
    from openvino.frontend.pytorch import ConversionExtension
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    front_end: Any = FrontEndManager().load_by_framework("pytorch")
    front_end.add_extension(ConversionExtension("aten::embedding_bag", _weighted_bag))
    with _quiet(), torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        try:
            traced = _traced(recipe)
            decoder = TorchScriptPythonDecoder(
                traced, graph_element=None, example_input=(recipe.example,)
            )
            model = front_end.convert(front_end.load(decoder))
            model.reshape({0: list(recipe.example.shape)})
        except (*_FAILURES, OpConversionFailure) as error:
            raise EngineError(_one_line(error)) from error
        file = Path(folder) / "network.xml"
        openvino.save_model(model, file, compress_to_fp16=False)
        graph = file.read_bytes()
        weights = file.with_suffix(".bin").read_bytes()
    return len(graph).to_bytes(8, "little") + graph + weights


def _weighted_bag(node: Any) -> Any:
    """Convert ``embedding_bag`` with weights, which the front end leaves out."""
    from openvino import opset8

    table, rows, starts, weights = (node.get_input(place) for place in (0, 1, 2, 6))
    rows, starts = (opset8.convert(numbers, "i32") for numbers in (rows, starts))
    nothing = opset8.constant(np.array(-1, np.int32))
    sums = opset8.embedding_bag_offsets_sum(table, rows, starts, nothing, weights)
    return [*sums.outputs(), *nothing.outputs() * 3]  # torch's other three, which nobody reads


def _onnxruntime_failures() -> tuple[type[Exception], ...]:
    """Give what ONNX Runtime raises: it has no common base below ``Exception``."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = ("Fail", "InvalidArgument", "InvalidGraph", "NotImplemented", "RuntimeException")
    return (RuntimeError, *(getattr(state, name) for name in names))


def _onnx_file(recipe: Recipe) -> bytes:
    with _quiet(), _no_graph_printed(), torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        try:
            torch.onnx.export(recipe.network, (recipe.example,), file, dynamo=False)
        except (*_FAILURES, ImportError) as error:
            raise EngineError(_one_line(error)) from error
        return file.read_bytes()


@contextmanager
def _no_graph_printed() -> Iterator[None]:
    """Keep torch from printing the whole network where an export fails.

    It asks whether that is wished by taking a function for its answer, and always finds yes.
    """
    original = torch._C._jit_onnx_log
    torch._C._jit_onnx_log = lambda *parts: None
    try:
        yield
    finally:
        torch._C._jit_onnx_log = original


def _traced(recipe: Recipe) -> Any:
    return torch.jit.trace(recipe.network, recipe.example, check_trace=False)


def _only_float32(recipe: Recipe, who: str) -> None:
    if recipe.precision != "float32":
        raise EngineError(f"{who} calculates in float32 only")


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what the tracer remarks on shapes that are plain numbers to it, as they should."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    summary = text.partition("Summary: -- ")[2]  # OpenVINO's last word
    # what torch's exporter adds is a piece of its graph
    reason = (summary or text).partition("[Caused by")[0].rstrip(" .")
    shown = textwrap.shorten(reason, _LONGEST_REASON, placeholder=" …")
    return shown or type(error).__name__
