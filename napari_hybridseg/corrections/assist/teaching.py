"""Teach here: a few gradient steps on the strokes, and the region is looked at again.

Only the last layers learn. The strokes say what must be; everywhere else in the windows that hold
them the network is asked to say what it said before, so that it does not forget for one stroke.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from napari_hybridseg.corrections.assist.options import TeachOptions
from napari_hybridseg.corrections.assist.region import RegionPredictor, oriented_box
from napari_hybridseg.corrections.assist.strokes import Strokes
from napari_hybridseg.corrections.boxes import Box, Change, Labels, change_between, start_of
from napari_hybridseg.corrections.errors import CorrectionError
from napari_hybridseg.events import Progress
from napari_hybridseg.inference.devices import cpu_threads
from napari_hybridseg.older_python import zip

_MOST_WINDOWS = 8
_SMALLEST = 1e-4


@dataclass(frozen=True, eq=False)
class Taught:
    """What came of it.

    Attributes
    ----------
    change : Change
        New labels: where the taught network says something else than before, and the strokes.
    probabilities : ndarray
        Shape (K, dz, dy, dx) in the region, of the taught network.
    delta : dict
        By name of the parameter, what was added to the checkpoint's: keep it with
        `delta.save_delta`, or drop it.
    loss : tuple of float
        Of the first and of the last step.
    """

    change: Change
    probabilities: NDArray[np.float32]
    delta: dict[str, NDArray[np.float32]]
    loss: tuple[float, float]


def teach(
    predictor: RegionPredictor,
    labels: Labels,
    strokes: Strokes,
    box: Box,
    options: TeachOptions | None = None,
) -> Generator[Progress, None, Taught]:
    """Teach a copy of the predictor's network, which itself stays as it is.

    Parameters
    ----------
    predictor : RegionPredictor
        The volume and the checkpoint.
    labels : ndarray
        The working correction in the box, shape (dz, dy, dx).
    strokes : Strokes
        What the user said, all of it.
    box : tuple of slice
        What is looked at again and may change.
    options : TeachOptions, optional
        How it learns.

    Raises
    ------
    CorrectionError
        If there is no stroke, or one names an organ that the network does not know.
    """
    options = options or TeachOptions()
    said = strokes.latest()
    said.box(predictor.shape)
    channels = _channels(predictor, said)
    with cpu_threads(options.threads):
        before = yield from predictor.probabilities(box)
        pupil = copy.deepcopy(predictor.network).to(predictor.device).eval()
        lessons = _lessons(predictor, said, channels)
        yield Progress("Teaching", 0, options.steps)
        learning = _last_parameters(
            pupil, _run(pupil, lessons[0].window, predictor), options.layers
        )
        loss = yield from _learn(pupil, learning, lessons, predictor, options)
        after = yield from predictor.probabilities(box, pupil)
    start = dict(predictor.network.named_parameters())
    delta = {
        name: (value.detach() - start[name].detach().to(value.device)).cpu().numpy()
        for name, value in learning.items()
    }
    change = _change(predictor, labels, said, box, before, after)
    yield Progress("Teaching", options.steps, options.steps)
    return Taught(change, after, delta, loss)


@dataclass(frozen=True)
class _Lesson:
    """A window (1, C, *window), and the statements in it: voxels (N, 3), channels, is-not."""

    window: Tensor
    voxels: NDArray[np.int64]
    channels: NDArray[np.int64]
    is_not: NDArray[np.bool_]


def _channels(predictor: RegionPredictor, said: Strokes) -> NDArray[np.int64]:
    ids = [0, *predictor.card.labels.ids]
    unknown = sorted({int(label) for label in said.labels} - set(ids))
    if unknown:
        raise CorrectionError(
            f"{predictor.card.name} does not know the labels {unknown}; strokes can only teach "
            "its own organs, and fine-tuning adds new ones."
        )
    return np.array([ids.index(int(label)) for label in said.labels], np.int64)


def _lessons(
    predictor: RegionPredictor, said: Strokes, channels: NDArray[np.int64]
) -> list[_Lesson]:
    """Cut windows that hold strokes, each stroke voxel in the window nearest around it."""
    plan = predictor.plan
    places = _working_places(predictor, said.voxels) + np.array(plan.before)
    middles = np.array(plan.starts) + (np.array(plan.window) - 1) / 2
    nearest = np.array([_nearest(place, middles, plan.window) for place in places])
    lessons = []
    counts = np.bincount(nearest, minlength=len(plan.starts))
    for which in np.argsort(-counts)[:_MOST_WINDOWS]:
        mine = nearest == which
        if mine.any():
            start = plan.starts[which]
            window = predictor.window(start)[None].to(predictor.device)
            voxels = places[mine] - np.array(start)
            lessons.append(_Lesson(window, voxels, channels[mine], said.is_not[mine]))
    return lessons


def _nearest(place: NDArray[np.int64], middles: NDArray[np.float64], size: tuple[int, ...]) -> int:
    return int((np.abs(middles - place) / np.array(size)).max(axis=1).argmin())


def _working_places(predictor: RegionPredictor, voxels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Bring voxels of the volume to the nearest ones of the network's grid."""
    prepared = predictor.prepared
    places = np.empty((len(voxels), 3), np.int64)
    for row, (z, y, x) in enumerate(voxels):
        box = (slice(z, z + 1), slice(y, y + 1), slice(x, x + 1))
        places[row] = [first for first, _ in oriented_box(box, prepared.change, predictor.shape)]
    for axis, (part, length, working) in enumerate(
        zip(prepared.box, prepared.oriented.shape, prepared.working.shape, strict=True)
    ):
        first, last, _ = part.indices(length)
        scaled = (places[:, axis] - first + 0.5) * (working / (last - first))
        places[:, axis] = np.clip(scaled.astype(np.int64), 0, working - 1)
    return places


def _run(network: nn.Module, window: Tensor, predictor: RegionPredictor) -> Tensor:
    axis = predictor.card.windows.slice_axis
    if axis is None:
        answer: Tensor = network(window)
        return answer
    flat: Tensor = network(window.squeeze(axis + 2))
    return flat.unsqueeze(axis + 2)


def _last_parameters(pupil: nn.Module, logits: Tensor, layers: int) -> dict[str, nn.Parameter]:
    """Give the parameters of the layers nearest to the answer, by the way back from it."""
    names = {id(value): name for name, value in pupil.named_parameters()}
    owners = {
        f"{module}.{name}" if module else name: module
        for module, child in pupil.named_modules()
        for name, _ in child.named_parameters(recurse=False)
    }
    found: dict[str, nn.Parameter] = {}
    seen: set[object] = set()
    queue = [logits.grad_fn]
    known: list[str] = []
    while queue:
        step = queue.pop(0)
        if step is None or step in seen:
            continue
        seen.add(step)
        value = getattr(step, "variable", None)
        if value is not None and id(value) in names:
            owner = owners[names[id(value)]]
            if owner not in known:
                known.append(owner)
            if known.index(owner) < layers:
                found[names[id(value)]] = value
        queue += [following for following, _ in step.next_functions]
    return found


def _learn(
    pupil: nn.Module,
    learning: dict[str, nn.Parameter],
    lessons: list[_Lesson],
    predictor: RegionPredictor,
    options: TeachOptions,
) -> Generator[Progress, None, tuple[float, float]]:
    for name, value in pupil.named_parameters():
        value.requires_grad_(name in learning)
    with torch.no_grad():
        earlier = [_run(pupil, lesson.window, predictor).softmax(dim=1) for lesson in lessons]
    optimiser = torch.optim.Adam(learning.values(), lr=options.learning_rate)
    first = last = 0.0
    end = time.monotonic() + options.seconds
    for step in range(options.steps):
        total = 0.0
        optimiser.zero_grad()
        for lesson, said_before in zip(lessons, earlier, strict=True):
            loss = _loss(_run(pupil, lesson.window, predictor), lesson, said_before, options)
            (loss / len(lessons)).backward()
            total += float(loss.detach()) / len(lessons)
        if not np.isfinite(total):
            raise CorrectionError("Teaching went astray; try a smaller learning rate.")
        optimiser.step()
        first, last = (total if step == 0 else first), total
        yield Progress("Teaching", step + 1, options.steps)
        if time.monotonic() > end:
            break
    return first, last


def _loss(logits: Tensor, lesson: _Lesson, earlier: Tensor, options: TeachOptions) -> Tensor:
    z, y, x = (torch.from_numpy(v).to(logits.device) for v in lesson.voxels.T)
    told = logits[0, :, z, y, x].T.log_softmax(dim=1)
    channel = torch.from_numpy(lesson.channels).to(logits.device)
    chosen = told.gather(1, channel[:, None])[:, 0]
    is_not = torch.from_numpy(lesson.is_not).to(logits.device)
    against = torch.log1p(-chosen.exp().clamp(max=1 - _SMALLEST))
    strokes = -torch.where(is_not, against, chosen).mean()
    elsewhere = torch.ones_like(earlier[:, 0])
    elsewhere[0, z, y, x] = 0
    divergence = functional.kl_div(logits.log_softmax(dim=1), earlier, reduction="none").sum(dim=1)
    # summed over the voxels that matter: most of a window is background that nobody doubts
    doubted = (1 - earlier[:, 0]).sum().clamp(min=1.0)
    return strokes + options.consistency * (divergence * elsewhere).sum() / doubted


def _change(
    predictor: RegionPredictor,
    labels: Labels,
    said: Strokes,
    box: Box,
    before: NDArray[np.float32],
    after: NDArray[np.float32],
) -> Change:
    """Write the network's new mind only where it changed it: a hand's work elsewhere stays."""
    own = np.ascontiguousarray(labels)
    ids = np.array([0, *predictor.card.labels.ids]).astype(own.dtype)
    mind = after.argmax(axis=0)
    result = np.where(mind != before.argmax(axis=0), ids[mind], own).astype(own.dtype)
    here = said.inside(box)
    at = tuple(here.voxels.T)
    obeyed = here.labels.astype(own.dtype)
    result[at] = np.where(here.is_not, result[at], obeyed)
    for z, y, x, label, is_not in zip(*at, obeyed, here.is_not, strict=True):
        if is_not and result[z, y, x] == label:
            chances = np.where(ids == label, -1.0, after[:, z, y, x])
            result[z, y, x] = ids[int(chances.argmax())]
    return change_between(own, result, start_of(box))
