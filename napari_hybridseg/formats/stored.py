"""An image just as a file stores it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.geometry import Geometry
from napari_hybridseg.labels import LabelScheme

_UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"


class FormatError(HybridSegError):
    """A file that cannot be read or written truly; the message names the file and the reason.

    What a damaged header or an odd file name brings into the message stays on one line.
    """

    def __init__(self, message: str) -> None:
        super().__init__(_printable(message))


class IrregularGridError(FormatError):
    """A file whose voxels lie on no even, right-angled grid: it opens only by resampling.

    Parameters
    ----------
    problem : str
        The sentence without its full stop and without what to do; kept as an attribute, for a
        face that offers the resampling itself.
    otherwise : str
        What to do instead of resampling.
    """

    def __init__(self, problem: str, otherwise: str = "export it again") -> None:
        super().__init__(
            f"{problem}; open it with resampling (--resample on the command line), or {otherwise}."
        )
        self.problem = _printable(problem)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else _UNPRINTABLE for c in text)


@dataclass(frozen=True)
class ChannelAxis:
    """What runs along an image's first axis.

    Attributes
    ----------
    kind : {"unstated", "channels", "time", "colours"}
        Several measurements of one moment, time points, or red, green, blue (and opacity);
        ``"unstated"`` where the file does not say.
    step_s : float
        Seconds between time points, 0 where the file does not say.
    """

    kind: Literal["unstated", "channels", "time", "colours"] = "unstated"
    step_s: float = 0.0


UNSTATED = ChannelAxis()


def volumes_note(count: int, axis: ChannelAxis) -> str:
    """Say what several volumes in one file are, for its notes."""
    if axis.kind == "unstated":
        return f"The file does not say whether its {count} volumes are channels or time points."
    if axis.kind != "time":
        return f"Its {count} volumes are {axis.kind}."
    step = f", {axis.step_s:g} s apart" if axis.step_s else ""
    return f"Its {count} volumes are time points{step}."


@dataclass(frozen=True)
class StoredImage:
    """Voxels in the order of the file, and where they lie.

    Attributes
    ----------
    array : ndarray
        Shape (C, Z, Y, X), in the file's own axis directions and the type that its values need
        (slope and intercept applied).
    geometry : Geometry
        The file's grid, number for number.
    scheme : LabelScheme or None
        Names and colours, where the file carries them.
    modality : str
        ``"CT"``, ``"MR"``, ... where the file says so, else empty.
    notes : tuple of str
        What a careful reader should know: conflicts, replaced values, guesses.
    channel_axis : ChannelAxis
        What the channels are.
    """

    array: NDArray[np.generic]
    geometry: Geometry
    scheme: LabelScheme | None = None
    modality: str = ""
    notes: tuple[str, ...] = ()
    channel_axis: ChannelAxis = UNSTATED
