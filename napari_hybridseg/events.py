"""What a job says while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar, Union

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes
    ----------
    stage : str
        What is being done, in words for the user, e.g. ``"Segmenting"``.
    done, total : int
        Steps of this stage.
    eta_s : float or None
        Seconds that the stage will still take, once there is something to go by.
    """

    stage: str
    done: int
    total: int
    eta_s: float | None = None


@dataclass(frozen=True)
class Note:
    """Something that the user should know, in one sentence."""

    message: str


@dataclass(frozen=True)
class Metric:
    """A number that a running job measured, e.g. the training loss at a step."""

    name: str
    value: float
    step: int


@dataclass(frozen=True)
class RegionDone:
    """A box of the result is final.

    Attributes
    ----------
    start : tuple of int
        Where the box begins in the label map's array (Z, Y, X).
    labels : ndarray
        Its labels, shape (dz, dy, dx).
    """

    start: tuple[int, int, int]
    labels: NDArray[np.unsignedinteger]


@dataclass(frozen=True)
class Result(Generic[T]):
    """The last event of a job that ended well."""

    value: T


Event = Union[Progress, Note, Metric, RegionDone, Result[Any]]
