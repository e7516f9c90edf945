"""Which checkpoint fits a volume, from what the two say of themselves.

Every card gets a grade; of two grades the one that is better in the first point in which they
differ wins. Points are coarse on purpose, for a scan and a card say little that is finer,
and where no point tells checkpoints apart whoever asks keeps an order of his own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.geometry import Triple
from napari_hybridseg.model_card import ClipRescale, ClipStandardise, ModelCard
from napari_hybridseg.older_python import zip
from napari_hybridseg.volume import Volume

_SAMPLED = 60_000  # voxels, which say as much of a range of values as all
_OUTSIDE_AIR_HU = -950.0  # lungs are above, what surrounds a patient is below
_CUT_OFF = 0.25  # of the body, which for scans of the trained region of the body stays below
_SMALLER, _LARGER, _COARSER = 0.5, 4.0, 2.0
_SHORTEST_WORD = 4
_SAY_NOTHING = frozenset(
    ("left", "right", "anterior", "posterior", "sample", "image", "scan", "volume", "case", "data")
)


@dataclass(frozen=True, eq=False)
class Traits:
    """What a volume says of itself.

    Attributes
    ----------
    shape : tuple of int
        Voxels (Z, Y, X).
    spacing : tuple of float
        Millimetres (Z, Y, X).
    channels : int
        How many values a voxel has.
    values : ndarray
        Some values of the first channel, shape (N,).
    modality : str
        ``"CT"``, ``"MR"``, ... where it is known.
    name : str
        What its file is called.
    organs : frozenset of str
        Names of the organs in its reference label map, where one is open.
    goes_with : str
        The name of a checkpoint, where whoever gives the volume out names one.
    """

    shape: tuple[int, int, int]
    spacing: Triple
    channels: int
    values: NDArray[np.floating]
    modality: str = ""
    name: str = ""
    organs: frozenset[str] = frozenset()
    goes_with: str = ""

    @classmethod
    def of(cls, volume: Volume, organs: Collection[str] = (), goes_with: str = "") -> Traits:
        """Take them from a volume; numbers for names, such as ``label 3``, say nothing."""
        channel = volume.array[0]
        step = max(1, round((channel.size / _SAMPLED) ** (1 / 3)))
        sample = channel[::step, ::step, ::step].astype(np.float32).ravel()
        named = {name.strip().lower() for name in organs}
        return cls(
            shape=volume.geometry.shape,
            spacing=volume.geometry.spacing_zyx,
            channels=len(volume.array),
            values=sample[np.isfinite(sample)],
            modality=volume.modality,
            name=volume.name,
            organs=frozenset(name for name in named if not re.fullmatch(r"label \d+", name)),
            goes_with=goes_with,
        )

    @property
    def is_ct(self) -> bool:
        """Whether its values are Hounsfield units, or look as if they were."""
        if self.modality or not self.values.size:
            return self.modality.strip().upper() == "CT"
        return bool(self.values.min() < -500 and self.values.max() < 5000)


class Grade(NamedTuple):
    """How well a checkpoint fits, the weightiest point first; 0 says nothing either way.

    Attributes
    ----------
    channels : int
        0 where the network takes as many as the volume has, else -1.
    stated : int
        1 where the volume names the checkpoint.
    organs : float
        How nearly the checkpoint's organs are those of the reference, 0 to 1 (the Dice
        coefficient of the two sets of names).
    modality : int
        1 where it is the volume's, -1 where it is another one.
    name : int
        1 where the volume's name has a word of the checkpoint's name or organs.
    values : int
        -1 where the checkpoint cuts off much of what is in the body.
    size : int
        -1 each where the volume is much smaller or larger than what the network was trained to
        look at, and where it is much coarser.
    """

    channels: int = 0
    stated: int = 0
    organs: float = 0.0
    modality: int = 0
    name: int = 0
    values: int = 0
    size: int = 0


def grade(traits: Traits, card: ModelCard) -> Grade:
    """Say how well a checkpoint fits a volume."""
    return Grade(
        channels=0 if card.in_channels == traits.channels else -1,
        stated=int(bool(traits.goes_with) and traits.goes_with == card.name),
        organs=_shared_organs(traits, card),
        modality=_same_modality(traits, card),
        name=int(bool(_words_of_name(traits) & _words_of_card(card))),
        values=-1 if _cut_off(traits, card) > _CUT_OFF else 0,
        size=-int(_has_other_extent(traits, card)) - int(_is_coarser(traits, card)),
    )


def best_fitting(traits: Traits, cards: Mapping[str, ModelCard]) -> tuple[str, ...]:
    """Give the keys of the cards that fit a volume best, in their order; several where they tie."""
    grades = {key: grade(traits, card) for key, card in cards.items()}
    best = max(grades.values(), default=None)
    return tuple(key for key, value in grades.items() if value == best)


def why_it_fits(traits: Traits, card: ModelCard) -> str:
    """Say what speaks most for a checkpoint, e.g. ``it was made for CT``."""
    points = grade(traits, card)
    if points.stated:
        return "this sample goes with it"
    if points.organs:
        return "its organs are those of the open reference"
    if points.name:
        return f"both are called after {_shared_word(traits, card)!r}"
    if points.modality > 0:
        return f"it was made for {card.modality}"
    return "less speaks against it than against the others"


def _shared_organs(traits: Traits, card: ModelCard) -> float:
    known = {organ.name.strip().lower() for organ in card.labels.organs}
    if not traits.organs or not known:
        return 0.0
    return round(2 * len(known & traits.organs) / (len(known) + len(traits.organs)), 2)


def _same_modality(traits: Traits, card: ModelCard) -> int:
    wanted = card.modality.strip().upper()
    if not wanted:
        return 0
    if traits.modality:
        return 1 if traits.modality.strip().upper() in wanted else -1
    if traits.is_ct:
        return 1 if "CT" in wanted else -1
    return -1 if wanted == "CT" else 0


def _words(text: str) -> set[str]:
    found = re.findall(r"[^\W\d_]+", text.lower())
    return {word for word in found if len(word) >= _SHORTEST_WORD} - _SAY_NOTHING


def _words_of_name(traits: Traits) -> set[str]:
    return _words(traits.name)


def _words_of_card(card: ModelCard) -> set[str]:
    own = _words(card.name) - _words(card.architecture)
    return own.union(*(_words(organ.name) for organ in card.labels.organs))


def _shared_word(traits: Traits, card: ModelCard) -> str:
    return min(_words_of_name(traits) & _words_of_card(card))


def _cut_off(traits: Traits, card: ModelCard) -> float:
    """Give the part of the body's values that the card's range of values makes all alike."""
    intensity = card.preprocessing.intensity
    if not isinstance(intensity, (ClipStandardise, ClipRescale)) or not traits.is_ct:
        return 0.0
    body = traits.values[traits.values > _OUTSIDE_AIR_HU]
    if not body.size:
        return 0.0
    return float(((body < intensity.low) | (body > intensity.high)).mean())


def _has_other_extent(traits: Traits, card: ModelCard) -> bool:
    """Whether the volume is much smaller or larger than a window, along two axes or more.

    Windows are what training cut out of its volumes, so they tell how large these were at least.
    """
    if card.preprocessing.shape is not None:  # all of any volume is brought to one size
        return False
    steps = _spacing_of(traits, card)
    order, windows = card.preprocessing.axes, card.windows
    ratios = [
        traits.shape[axis] * traits.spacing[axis] / (n * steps[axis])
        for number, (axis, n) in enumerate(zip(order, windows.size, strict=True))
        if number != windows.slice_axis
    ]
    odd = [ratio < _SMALLER or ratio > _LARGER for ratio in ratios]
    return sum(odd) >= 2


def _is_coarser(traits: Traits, card: ModelCard) -> bool:
    """Whether the volume has much larger voxels than the network sees, along two axes or more."""
    wanted = _spacing_of(traits, card)
    odd = [own > _COARSER * step for own, step in zip(traits.spacing, wanted, strict=True)]
    return sum(odd) >= 2


def _spacing_of(traits: Traits, card: ModelCard) -> Triple:
    """Give the millimetres (Z, Y, X) that the network sees."""
    wished = card.preprocessing.spacing or (None, None, None)
    z, y, x = (
        own if wish is None else wish
        for own, wish in zip(traits.spacing, wished[::-1], strict=True)
    )
    return z, y, x
