"""Which case next: the scans from which a correction would teach the most.

A scan's benefit is how unsure the network is about its organs: the entropy of its probabilities
and, where the checkpoint allows mirrored copies, how much their answers differ, both in relation to
the organs' size. Scans that look alike to the network teach the same, so they are taken in turn by
benefit times novelty, the distance to those already taken (greedy k-centre; Sener and Savarese,
ICLR 2018). Half the distance that is usual between neighbours counts as wholly new: what a scanner
has changed in several scans makes them a little alike, and all of them are still wanted first; only
what is nearly a copy is put off.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_hybridseg.checkpoint import Checkpoint
from napari_hybridseg.corrections.assist.options import RankOptions
from napari_hybridseg.corrections.assist.region import RegionPredictor
from napari_hybridseg.corrections.assist.reports import Ranked, Ranking
from napari_hybridseg.corrections.errors import CorrectionError
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.events import Event, Note, Progress, Result
from napari_hybridseg.formats import is_image_path, is_photograph
from napari_hybridseg.inference.backends import TorchBackend, choose_precision, mirrored_mean
from napari_hybridseg.inference.devices import cpu_threads
from napari_hybridseg.inference.options import SegmentOptions
from napari_hybridseg.inference.windows import plan_windows
from napari_hybridseg.volume import load_volume

_SMALLEST = 1e-6


def scans_in(folder: Path) -> tuple[Path, ...]:
    """List the image files of a folder, by name; not those in its folders.

    Raises
    ------
    CorrectionError
        If the folder cannot be read or holds none.
    """
    try:
        found = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    except OSError as error:
        raise CorrectionError(f"{folder} cannot be read: {error.strerror}.") from error
    images = [path for path in found if path.is_file() and is_image_path(path)]
    # a picture among volumes is no scan, but something that somebody wrote down
    scans = tuple(path for path in images if not is_photograph(path)) or tuple(images)
    if not scans:
        raise CorrectionError(f"{folder} holds no image file to rank.")
    return scans


def rank(
    paths: Sequence[Path],
    checkpoint: Checkpoint,
    options: RankOptions | None = None,
    *,
    network: nn.Module | None = None,
) -> Iterator[Event]:
    """Order scans by what correcting them would teach.

    Yields
    ------
    Event
        ``Progress``, ``Note`` for a scan that cannot be read, last ``Result`` with a
        :class:`Ranking`.
    """
    options = options or RankOptions()
    network = network if network is not None else checkpoint.build_network()
    looks: list[tuple[Path, _Look]] = []
    failed: list[str] = []
    with cpu_threads(options.threads):
        for done, path in enumerate(paths):
            yield Progress("Ranking", done, len(paths))
            try:
                looks.append((path, (yield from _look_at(path, checkpoint, network, options))))
            except HybridSegError as error:
                failed.append(str(error))
                yield Note(failed[-1])
    yield Progress("Ranking", len(paths), len(paths))
    yield Result(Ranking(tuple(_ordered(looks, options.diversity)), tuple(failed)))


@dataclass(frozen=True)
class _Look:
    entropy: float
    disagreement: float
    features: NDArray[np.float64]


def _look_at(
    path: Path, checkpoint: Checkpoint, network: nn.Module, options: RankOptions
) -> Generator[Event, None, _Look]:
    seen = SegmentOptions(device=options.device, overlap=0.0)
    predictor = RegionPredictor(load_volume(path), checkpoint, network, seen)
    card = checkpoint.card
    plan = plan_windows(predictor.prepared.working.shape, card.windows.size, 0.0)
    chosen = np.unique(np.linspace(0, len(plan) - 1, options.windows).round().astype(int))
    precision = choose_precision("auto", predictor.device)
    backend = TorchBackend(network, predictor.device, precision, card.windows.slice_axis)
    axes = card.windows.mirror_axes if options.tta else ()
    doubt = differing = organs = 0.0
    pooled = []
    for index in chosen:
        yield Progress("Looking", 0, 1)
        window = predictor.window(plan.starts[index])[None].to(predictor.device)
        plain = backend(window).float().softmax(dim=1)
        soft = plain
        if axes:
            soft = mirrored_mean(backend, window, axes).float().softmax(dim=1)
            differing += float((soft - plain).abs().sum()) / 2
        doubt += float(-(soft * soft.clamp(min=_SMALLEST).log()).sum())
        organs += float((1 - soft[:, 0]).sum())
        pooled.append(_pooled(soft[0], window[0]))
    size = max(organs, 1.0)
    if not math.isfinite(doubt):
        raise CorrectionError(f"{path} gives the network no answer in numbers.")
    return _Look(doubt / size, differing / size, np.mean(pooled, axis=0))


def _pooled(soft: torch.Tensor, image: torch.Tensor) -> NDArray[np.float64]:
    """Describe a window: each organ's share and spread, and the grey values where organs are."""
    inside = 1 - soft[0]
    weight = inside / inside.sum().clamp(min=1.0)
    grey = image.float()
    mean = (grey * weight).sum(dim=(1, 2, 3))
    spread = ((grey - mean[:, None, None, None]) ** 2 * weight).sum(dim=(1, 2, 3)).sqrt()
    values = torch.cat(
        [soft.mean(dim=(1, 2, 3)), soft.std(dim=(1, 2, 3)), mean, spread, grey.std(dim=(1, 2, 3))]
    )
    return values.double().cpu().numpy()


def _ordered(looks: list[tuple[Path, _Look]], diversity: float) -> Iterator[Ranked]:
    if not looks:
        return
    features = np.array([look.features for _, look in looks])
    spread = features.std(axis=0)
    features = features / np.where(spread > _SMALLEST, spread, 1.0)
    away = np.linalg.norm(features[:, None] - features[None], axis=-1)
    far = _far_enough(away)
    benefit = np.array([look.entropy + look.disagreement for _, look in looks])
    novelty = np.ones(len(looks))
    left = list(range(len(looks)))
    while left:
        best = max(left, key=lambda n: (benefit[n] * novelty[n] ** diversity, -n))
        left.remove(best)
        path, look = looks[best]
        yield Ranked(
            path, float(benefit[best]), look.entropy, look.disagreement, float(novelty[best])
        )
        novelty = np.minimum(novelty, np.clip(away[best] / far, 0.0, 1.0))


def _far_enough(away: NDArray[np.float64]) -> float:
    """Give from which distance on a scan is no copy, of the distances between all of them.

    Where every scan has a copy the nearest neighbours say nothing, and a part of the usual distance
    between any two counts.
    """
    count = len(away)
    if count < 2:
        return 1.0
    nearest = np.where(np.eye(count, dtype=bool), np.inf, away).min(axis=1)
    between = away[np.triu_indices(count, 1)]
    return max(0.5 * float(np.median(nearest)), 0.25 * float(np.median(between)), _SMALLEST)
