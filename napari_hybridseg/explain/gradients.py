"""What an answer depends on: receptive field, Grad-CAM++ and integrated gradients.

Effective receptive field: Luo et al., NeurIPS 2016 (arXiv 1701.04128). Grad-CAM++: Chattopadhay
et al., WACV 2018 (arXiv 1710.11063), for segmentation as in Vinogradova et al., AAAI 2020 (arXiv
2002.11434): the score of an organ is its mean logit over the voxels that the network takes for
it. Integrated gradients: Sundararajan et al., ICML 2017 (arXiv 1703.01365), by Captum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.nn import functional

from napari_hybridseg.events import Progress
from napari_hybridseg.explain.capture import Seen
from napari_hybridseg.explain.cells import ONE, Windows
from napari_hybridseg.explain.findings import Findings, Run, fill, organ_names, paste, predicted
from napari_hybridseg.explain.products import HeatMap
from napari_hybridseg.explain.session import Session
from napari_hybridseg.explain.streaming import Layer, stream
from napari_hybridseg.explain.views import ExplainError
from napari_hybridseg.inference.windows import Shape
from napari_hybridseg.labels import Organ
from napari_hybridseg.older_python import zip

_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_TINY = 1e-12
_BLUR_VOXELS = 4.0
# the clicked voxel's own gradient is often a hundred times that of all around it
_SHOWN_PERCENT = 99.5


def receptive_field(session: Session) -> Run:
    """Show the size of the gradient of a voxel's logit in every voxel of its window."""
    cells = session.cells()
    plan = cells.voxels
    start = session.nearest_window(plan)
    z, y, x = session.voxel_in_window(plan, start)
    yield Progress("Following the gradient", 0, 1)
    with torch.enable_grad():
        window = session.window(session.image(plan), start, plan).clone().requires_grad_()
        logits = session.run(window)
        channel = int(logits[0, :, z, y, x].argmax())
        if session.options.organ:
            channel, _ = session.organ()
        (gradient,) = torch.autograd.grad(logits[0, channel, z, y, x], window)
    size = gradient.abs().sum(dim=1)[0]
    size = size / size.sum().clamp(min=_TINY)
    array = paste(session, cells, start, size, stride=ONE, linear=True)
    yield Progress("Following the gradient", 1, 1)
    title = session.title("effective receptive field", organ_names(session)[channel])
    unit = "share of the gradient, per voxel"
    brightest = float(np.percentile(array, _SHOWN_PERCENT))
    limits = (0.0, brightest) if brightest > 0 else None
    return Findings(
        (session.heat_map(array, title, unit, limits=limits),),
        session.box(plan, start),
        facts={
            **_radii(session, size.cpu().numpy(), (z, y, x)),
            "part of the gradient outside the volume": _outside(session, plan, start, size),
        },
        notes=(predicted(session, cells, start, logits.detach()),),
    )


def grad_cam(session: Session) -> Run:
    """Show which features speak for an organ."""
    channel, organ = session.organ()
    cells = session.cells()
    window_shape = cells.voxels.window
    deepest = session.here.module
    module = session.network.get_submodule(deepest) if deepest else _last_features(session)
    found = 0

    def extract(window: Tensor, seen: Seen) -> Sequence[Tensor]:
        nonlocal found
        with _held(module, takes_input=not deepest) as held:
            logits = session.run(window.requires_grad_())
        score, count = _score(logits, channel)
        found += count
        if count == 0:
            return (torch.zeros((1, *window_shape), device=window.device),)
        (features,) = held
        (gradient,) = torch.autograd.grad(score, features)
        cam = cam_plus_plus(features.detach()[0], gradient[0])
        return (_to_window(session, cam, window_shape),)

    blended = stream(
        session, cells, {}, [Layer(1)], extract, stage="Following the gradient", gradients=True
    )
    array = yield from fill(session, cells, blended)
    _refuse_missing(session, organ, found)
    array /= max(float(array.max()), _TINY)
    title = session.title(f"Grad-CAM++ of {organ.name}")
    unit = "relative to the strongest voxel"
    return Findings((session.heat_map(array, title, unit, limits=(0.0, 1.0)),))


def integrated_gradients(session: Session) -> Run:
    """Show which voxels speak for an organ and against it."""
    method = _captum()
    channel, organ = session.organ()
    cells = session.cells()
    found = 0
    gaps: list[tuple[float, float]] = []

    def extract(window: Tensor, seen: Seen) -> Sequence[Tensor]:
        nonlocal found
        with torch.no_grad():
            mask = session.run(window).argmax(dim=1, keepdim=True) == channel
        count = int(mask.sum())
        found += count
        if count == 0:
            return (torch.zeros((1, *window.shape[2:]), device=window.device),)

        def score(batch: Tensor) -> Tensor:
            logits = session.run(batch)[:, channel : channel + 1]
            return (logits * mask).flatten(1).sum(dim=1) / count

        given, gap = method(score).attribute(
            window,
            baselines=_blurred(window),
            n_steps=session.options.steps,
            internal_batch_size=1,
            return_convergence_delta=True,
        )
        gaps.append((float(gap.abs().sum()), float(abs(given.sum() - gap.sum()))))
        return (given.sum(dim=1).float(),)

    blended = stream(
        session, cells, {}, [Layer(1)], extract, stage="Integrating gradients", gradients=True
    )
    array = yield from fill(session, cells, blended)
    _refuse_missing(session, organ, found)
    heat: HeatMap = session.heat_map(
        array,
        session.title(f"integrated gradients of {organ.name}"),
        "logit, per voxel",
        scale="diverging",
    )
    return Findings(
        (heat,),
        facts={"unexplained part of the change": max(gap / max(all_, _TINY) for gap, all_ in gaps)},
        notes=("The path starts at the blurred image, so this is about what blurring takes away.",),
    )


def cam_plus_plus(features: Tensor, gradient: Tensor) -> Tensor:
    """Weigh feature maps (C, ...) by how their gradient speaks for a score; (...), not negative."""
    axes = tuple(range(1, features.ndim))
    square = gradient**2
    below = 2 * square + (features * gradient**3).sum(dim=axes, keepdim=True)
    alpha = torch.where(below.abs() > _TINY, square / below, torch.zeros_like(below))
    weight = (alpha * gradient.relu()).sum(dim=axes, keepdim=True)
    return (weight * features).sum(dim=0).relu()


def _score(logits: Tensor, channel: int) -> tuple[Tensor, int]:
    mask = logits.detach().argmax(dim=1) == channel
    count = int(mask.sum())
    return logits[:, channel][mask].sum() / max(count, 1), count


@contextmanager
def _held(module: nn.Module, takes_input: bool) -> Iterator[list[Tensor]]:
    """Hold a module's input, or its (first) output, with its place in the graph."""
    held: list[Tensor] = []

    def hook(_module: nn.Module, inputs: Any, output: Any) -> None:
        out = output[0] if isinstance(output, tuple) else output
        held[:] = [inputs[0] if takes_input else out]

    handle = module.register_forward_hook(hook)
    try:
        yield held
    finally:
        handle.remove()


def _last_features(session: Session) -> nn.Module:
    """Find the convolution that turns the last features into classes, by running one window.

    Among those that give as many channels as there are classes it is the last to run; one that
    gives the logits' own size goes before others, and one that only mixes classes comes last.
    """
    plan = session.cells().voxels
    called: list[tuple[bool, bool, int, nn.Module]] = []

    def remember(module: nn.Module, _inputs: Any, output: Tensor) -> None:
        assert isinstance(module, _CONVOLUTIONS)
        is_full = prod(output.shape[2:]) == prod(plan.window)
        mixes = module.in_channels == module.out_channels
        called.append((is_full, not mixes, len(called), module))

    handles = [
        module.register_forward_hook(remember)
        for module in session.network.modules()
        if isinstance(module, _CONVOLUTIONS) and module.out_channels == session.card.num_classes
    ]
    try:
        with torch.inference_mode():
            session.run(session.window(session.image(plan), plan.starts[0], plan))
    finally:
        for handle in handles:
            handle.remove()
    if not called:
        raise ExplainError(
            f"{session.card.architecture} has no last convolution to look before; choose another "
            "view."
        )
    return max(called, key=lambda one: one[:3])[3]


def _to_window(session: Session, cam: Tensor, shape: tuple[int, int, int]) -> Tensor:
    axis = session.card.windows.slice_axis
    if axis is not None:
        cam = cam.unsqueeze(axis)
    return functional.interpolate(cam[None, None], size=shape, mode="nearest")[0]


def _radii(
    session: Session, size: NDArray[np.float32], voxel: tuple[int, int, int]
) -> dict[str, float]:
    """Give the millimetres around the voxel within which half and 95 % of the gradient lie."""
    spacing = session.prepared.working.spacing_zyx
    along = [(np.arange(n) - v) * s for n, v, s in zip(size.shape, voxel, spacing, strict=True)]
    away = np.sqrt(sum(axis**2 for axis in np.meshgrid(*along, indexing="ij", sparse=True)))
    order = np.argsort(away, axis=None)
    within = np.cumsum(size.ravel()[order], dtype=np.float64)
    radius = away.ravel()[order]
    half, most = (float(radius[np.searchsorted(within, p * within[-1])]) for p in (0.5, 0.95))
    return {"radius of half the gradient, mm": half, "radius of 95 % of the gradient, mm": most}


def _outside(session: Session, plan: Windows, start: Shape, size: Tensor) -> float:
    """Give the part of a window's gradient that lies where the window is padded."""
    inside = tuple(
        slice(max(before - first, 0), max(before + length - first, 0))
        for before, length, first in zip(
            plan.before, session.prepared.working.shape, start, strict=True
        )
    )
    return float((size.sum() - size[inside].sum()).clamp(min=0))


def _blurred(window: Tensor) -> Tensor:
    """Give the start of the path.

    A start of zero would tell nothing: instance norm takes the brightness of a scaled image out
    again, and all change happens in the path's first step (measured: 2 % of it was explained).
    """
    blurred = gaussian_filter(window.detach().cpu().numpy(), (0, 0, *(_BLUR_VOXELS,) * 3))
    return torch.from_numpy(blurred).to(window.device)


def _refuse_missing(session: Session, organ: Organ, found: int) -> None:
    if found == 0:
        raise ExplainError(
            f"The network finds no {organ.name} in {session.volume.name}, so nothing speaks for "
            "it; choose another organ."
        )


def _captum() -> Any:
    try:
        from captum.attr import IntegratedGradients
    except ImportError as error:
        raise ExplainError(
            "Integrated gradients need Captum; install it with: pip install "
            "'napari-hybridseg[explain]'."
        ) from error
    return IntegratedGradients
