"""Scribble repair: a region is solved anew from the strokes, the image and the network.

A stroke says that the network is wrong there, and by how much: its log odds under the stroke. Near
by, along the image (`geodesic_reach`), the log odds are shifted in the same way, fading with the
distance.

A thin stroke inside an error says only where that is. There the border moves to where the network
was about as unsure as beyond the stroke; in a thick error the stroke reaches farther, by its way to
the nearest voxel that already is what it says. A stroke that is painted up to the border says how
wide the error is: its own slice stays as it was painted, and the slices beside it follow where the
network was less wrong than under the stroke.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.corrections.assist.options import RepairOptions
from napari_hybridseg.corrections.assist.spreading import spread
from napari_hybridseg.corrections.assist.strokes import Strokes
from napari_hybridseg.corrections.boxes import Box, Change, Labels, change_between
from napari_hybridseg.corrections.errors import CorrectionError
from napari_hybridseg.labels import LabelScheme
from napari_hybridseg.older_python import zip

Spacing = tuple[float, float, float]
Probabilities = NDArray[np.float32]

_SURE = 0.99  # what a label map without probabilities counts for
_FAINTEST = 1e-3
_SATURATED = 2.5  # log odds of a voxel deep inside an organ of a label map


def repair(
    labels: Labels,
    image: NDArray[np.generic],
    strokes: Strokes,
    spacing: Spacing,
    scheme: LabelScheme,
    *,
    start: tuple[int, int, int],
    fresh: Strokes | None = None,
    probabilities: NDArray[np.floating] | None = None,
    organs: tuple[int, ...] = (),
    options: RepairOptions | None = None,
) -> Change:
    """Solve a region of a label map anew from strokes.

    Parameters
    ----------
    labels : ndarray
        The region of the working correction, shape (dz, dy, dx); it is never written.
    image : ndarray
        The same region of the image's first channel.
    strokes : Strokes
        What the user said, also earlier, in the whole volume's voxels: all of it is obeyed.
    spacing : tuple of float
        Millimetres (Z, Y, X).
    scheme : LabelScheme
        The organs.
    start : tuple of int
        Where the region begins in the volume (Z, Y, X); see `RepairOptions.region`.
    fresh : Strokes, optional
        Those that are new and spread now; all of them by default. The others spread before, and
        only keep their own voxels.
    probabilities : ndarray, optional
        Shape (K, dz, dy, dx) in the region: the network's, channel 0 background, then ``organs``.
        Where the working correction differs from the largest of them, the correction counts.
    organs : tuple of int
        The label numbers of channels 1, 2, ...
    options : RepairOptions, optional
        How strokes spread.

    Returns
    -------
    Change
        New labels for a part of the region.

    Raises
    ------
    CorrectionError
        If there is no stroke in the region, a stroke names an unknown organ, or shapes disagree.
    """
    options = options or RepairOptions()
    before = np.ascontiguousarray(labels)
    if image.shape != before.shape:
        raise CorrectionError(
            f"The image's region has {image.shape} voxels and the label map's {before.shape}."
        )
    z, y, x = (slice(s, s + n) for s, n in zip(start, before.shape, strict=True))
    box: Box = (z, y, x)
    said = strokes.inside(box).latest()
    if not len(said):
        raise CorrectionError("There is no stroke in the region; draw on what is wrong first.")
    known = {0, *scheme.ids}
    unknown = sorted({int(n) for n in said.labels} - known)
    if unknown:
        raise CorrectionError(f"The strokes name the labels {unknown}, which are no organs here.")
    spreading = said if fresh is None else fresh.inside(box).latest()
    channels = _channels(before, said, organs, probabilities)
    belief = _belief(before, channels, organs, probabilities, spacing)
    grey = _edges_at_one(image)
    freed: list[tuple[int, NDArray[np.float32]]] = []
    for channel, label in enumerate(channels):
        denied = bool((spreading.is_not & (spreading.labels == label)).any())
        left = 1 - belief[channel] if denied else None
        _follow(belief[channel], label, before, grey, spreading, spacing, options)
        if left is not None:
            freed.append((channel, (1 - belief[channel]) / left))
    for channel, more in freed:  # what an organ loses goes to the others, in proportion
        belief[np.arange(len(channels)) != channel] *= more
    after = np.asarray(channels, before.dtype)[_winner(belief, said, channels)]
    return change_between(before, after, start)


def _channels(
    before: Labels, said: Strokes, organs: tuple[int, ...], given: NDArray[np.floating] | None
) -> list[int]:
    """List the labels that may stand in the box: background, what is there, what is said."""
    if given is not None and given.shape != (len(organs) + 1, *before.shape):
        raise CorrectionError(
            f"The network's probabilities have the shape {given.shape}, and the region needs "
            f"{(len(organs) + 1, *before.shape)}."
        )
    there = np.flatnonzero(np.bincount(before.ravel(), minlength=1))
    likely = [
        organ
        for channel, organ in enumerate(organs, 1)
        if given is not None and float(given[channel].max(initial=0)) > 0.05
    ]
    return sorted({0, *map(int, there), *map(int, said.labels), *likely})


def _belief(
    before: Labels,
    channels: list[int],
    organs: tuple[int, ...],
    given: NDArray[np.floating] | None,
    spacing: Spacing,
) -> Probabilities:
    """Give a probability for every channel, the largest of which is the working label."""
    rest = (1 - _SURE) / max(len(channels) - 1, 1)
    belief = np.full((len(channels), *before.shape), rest, np.float32)
    place = {label: channel for channel, label in enumerate(channels)}
    own = np.zeros(max(channels) + 1, np.intp)
    for label, channel in place.items():
        own[label] = channel
    index = own[before]
    if given is None:
        return _softened(index, len(channels), spacing)
    belief[:] = _FAINTEST
    for channel, organ in enumerate((0, *organs)):
        if organ in place:
            np.clip(
                given[channel], _FAINTEST, 1 - _FAINTEST, out=belief[place[organ]], casting="unsafe"
            )
    # what a person painted, or an earlier repair gave, is believed over the network
    corrected = _largest(belief) != index
    if corrected.any():
        for channel in range(len(channels)):
            belief[channel][corrected] = np.where(index[corrected] == channel, _SURE, rest)
    return belief


def _softened(index: NDArray[np.intp], count: int, spacing: Spacing) -> Probabilities:
    """Give what a label map without a network is believed: the surer the farther from a border."""
    from napari_hybridseg.corrections.assist.nearness import border_nearness

    voxel = min(spacing)
    odds = border_nearness(index, count, spacing, _SATURATED * voxel) / np.float32(voxel)
    return np.asarray(1 / (1 + np.exp(-odds)), np.float32)


def _edges_at_one(image: NDArray[np.generic]) -> NDArray[np.float32]:
    """Scale an image so that the spread within the region is 1, and no outlier rules it."""
    grey = np.nan_to_num(np.asarray(image, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = np.percentile(grey[:: max(grey.shape[0] // 32, 1)], [2, 98])
    return np.clip((grey - low) / max(float(high - low), 1e-6), -0.25, 1.25).astype(np.float32)


def _follow(
    prior: Probabilities,
    label: int,
    before: Labels,
    grey: NDArray[np.float32],
    said: Strokes,
    spacing: Spacing,
    options: RepairOptions,
) -> None:
    """Let the belief in one organ follow what was said of it, for and against."""
    is_it = (said.labels == label) & ~said.is_not
    is_not_it = ((said.labels == label) & said.is_not) | ((said.labels != label) & ~said.is_not)
    own = before == label
    if not (is_it.any() or (is_not_it.any() and own.any())):
        return
    logit = np.log(prior / (1 - prior))
    pull = spread(said.voxels[is_it], own, logit, grey, spacing, options)
    push = spread(said.voxels[is_not_it], ~own, -logit, grey, spacing, options)
    felt = (pull != 0) | (push != 0)  # elsewhere the belief stays to the last bit
    total = logit[felt] + (pull - push)[felt]
    prior[felt] = 1 / (1 + np.exp(-total))


def _winner(belief: Probabilities, said: Strokes, channels: list[int]) -> NDArray[np.intp]:
    """Take the most probable channel of every voxel, and what strokes say whatever it is."""
    at = tuple(said.voxels.T)
    column = np.searchsorted(channels, said.labels)
    for z, y, x, channel, negative in zip(*at, column, said.is_not, strict=True):
        if negative:
            belief[channel, z, y, x] = -1.0
        else:
            belief[:, z, y, x] = -1.0
            belief[channel, z, y, x] = 1.0
    return _largest(belief)


def _largest(belief: Probabilities) -> NDArray[np.intp]:
    """Give the first channel with the largest number; argmax turns the whole array around first."""
    largest, which = belief[0].copy(), np.zeros(belief.shape[1:], np.intp)
    for channel in range(1, len(belief)):
        np.putmask(which, belief[channel] > largest, channel)
        np.maximum(largest, belief[channel], out=largest)
    return which
