"""Volumes and label maps: arrays in canonical orientation that know their way back.

An array here always runs from the patient's right to left, front to back and feet to head
(axis codes LPS, array order Z, Y, X), as near as whole flips and swaps of axes bring it; an
oblique grid stays oblique. ``source`` is the grid of the file, number for number, and
``to_source`` puts an array back onto it without touching a voxel.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg import formats
from napari_hybridseg.errors import HybridSegError
from napari_hybridseg.formats.stored import UNSTATED, ChannelAxis, StoredImage
from napari_hybridseg.geometry import ArrayType, Geometry, Reorientation
from napari_hybridseg.labels import LabelScheme, LabelSchemeError

CANONICAL = "LPS"
_WHITE = 255


class VolumeError(HybridSegError):
    """A volume or label map that cannot be used as it is."""


@dataclass(frozen=True, eq=False)
class OnGrid:
    """What lies on a canonical grid and knows the file's; it equals only itself."""

    geometry: Geometry
    source: Geometry

    @property
    def way_back(self) -> Reorientation:
        """The flips and swaps that turn a canonical array into the file's."""
        return self.source.to_axis_codes(CANONICAL).inverse()

    def to_source(self, array: ArrayType) -> ArrayType:
        """Put a canonical (..., Z, Y, X) array into the order of the file it came from."""
        if array.shape[-3:] != self.geometry.shape:
            raise VolumeError(
                f"An array of {array.shape[-3:]} voxels does not lie on a grid of "
                f"{self.geometry.shape}."
            )
        return self.way_back.apply(array)


@dataclass(frozen=True, eq=False)
class Volume(OnGrid):
    """An image of a patient.

    Attributes
    ----------
    array : ndarray
        Shape (C, Z, Y, X), canonical orientation.
    geometry : Geometry
        The grid of ``array``.
    source : Geometry
        The grid of the file.
    name, modality : str
        For people; the modality may be empty.
    notes : tuple of str
        What was noticed when reading.
    channel_axis : ChannelAxis
        What the channels are.
    """

    array: NDArray[np.generic]
    name: str = "volume"
    modality: str = ""
    notes: tuple[str, ...] = ()
    channel_axis: ChannelAxis = UNSTATED

    @classmethod
    def from_stored(cls, stored: StoredImage, name: str = "volume") -> Volume:
        """Turn an image as stored into canonical orientation."""
        change = stored.geometry.to_axis_codes(CANONICAL)
        return cls(
            geometry=stored.geometry.reoriented(change),
            source=stored.geometry,
            array=np.ascontiguousarray(change.apply(stored.array)),
            name=name,
            modality=stored.modality,
            notes=stored.notes,
            channel_axis=stored.channel_axis,
        )

    def only(self, number: int) -> Volume:
        """Take one of several volumes, such as a time point, counted from 1.

        Raises
        ------
        VolumeError
            If there are not so many.
        """
        count = len(self.array)
        if not 1 <= number <= count:
            raise VolumeError(f"{self.name} has no volume {number}; choose one from 1 to {count}.")
        note = f"Of its {count} volumes number {number} is used."
        array = self.array[number - 1 : number]
        return replace(self, array=array, notes=(*self.notes, note), channel_axis=UNSTATED)


@dataclass(frozen=True, eq=False)
class LabelMap(OnGrid):
    """A number for every voxel, and what the numbers mean.

    Attributes
    ----------
    array : ndarray
        Shape (Z, Y, X), unsigned integers, canonical orientation; 0 is background.
    geometry, source : Geometry
        The grid of ``array``, and of the file or volume it belongs to.
    scheme : LabelScheme
        The organs.
    """

    array: NDArray[np.unsignedinteger]
    scheme: LabelScheme = field(default_factory=LabelScheme)
    name: str = "labels"
    notes: tuple[str, ...] = ()

    @classmethod
    def from_stored(
        cls, stored: StoredImage, name: str = "labels", scheme: LabelScheme | None = None
    ) -> LabelMap:
        """Turn an image of whole numbers into a label map in canonical orientation.

        Raises
        ------
        VolumeError
            If it has several channels, or values that are no label numbers.
        """
        labels, notes = _as_labels(stored.array, name)
        change = stored.geometry.to_axis_codes(CANONICAL)
        known = scheme or stored.scheme or LabelScheme.for_labels(_present(labels))
        return cls(
            geometry=stored.geometry.reoriented(change),
            source=stored.geometry,
            array=np.ascontiguousarray(change.apply(labels)),
            scheme=known,
            name=name,
            notes=(*stored.notes, *notes),
        )

    @property
    def present(self) -> tuple[int, ...]:
        """The label numbers that occur, without background."""
        return _present(self.array)


def load_volume(path: str | Path, *, resample: bool = False) -> Volume:
    """Read an image file, or the DICOM series in a folder.

    Parameters
    ----------
    path : path
        A file, or a folder that holds one DICOM series.
    resample : bool
        Whether a sheared or unevenly spaced scan is brought onto an even grid instead of refused;
        a note says so.

    Raises
    ------
    FormatError
        If it cannot be read truly; the message says why.
    """
    stored = formats.read_image(Path(path), sheared="resample" if resample else "refuse")
    return Volume.from_stored(stored, formats.image_name(Path(path)))


def load_label_map(
    path: str | Path, scheme: LabelScheme | None = None, *, resample: bool = False
) -> LabelMap:
    """Read a label map; names come from ``scheme``, the file, or a JSON file beside it.

    The JSON file has the label map's name (``liver.json`` for ``liver.nii.gz``) or is called
    ``labels.json``. ``resample`` is as for `load_volume`, but takes the nearest voxels. Of a PNG
    with a palette the numbers are read, and white is taken for the only organ of ``scheme`` or of
    the JSON file as `white_as_organ` says.

    Raises
    ------
    FormatError, VolumeError
        If it cannot be read truly, or is no label map.
    """
    path = Path(path)
    how: formats.Sheared = "resample-nearest" if resample else "refuse"
    stored = formats.read_image(path, sheared=how, as_labels=True)
    if scheme is None and stored.scheme is None:
        scheme, notes = scheme_beside(path)
        stored = replace(stored, notes=stored.notes + notes)
    labels = LabelMap.from_stored(stored, formats.image_name(path), scheme)
    return labels if scheme is None else white_as_organ(labels, scheme)


def white_as_organ(labels: LabelMap, scheme: LabelScheme) -> LabelMap:
    """Take the white of a mask of black and white for the only organ of a scheme.

    Many programs write the voxels of an organ as 255. So where a label map has no other number,
    does not call it something else, and the scheme has one organ, of another number, that is what
    is meant; a note says so. Any other label map is given back as it is.
    """
    if len(scheme.organs) != 1 or labels.array.max(initial=0) != _WHITE:
        return labels
    (organ,) = scheme.organs
    names = {f"label {_WHITE}", organ.name.casefold()}
    if organ.id == _WHITE or labels.scheme.organ(_WHITE).name.casefold() not in names:
        return labels
    if labels.present != (_WHITE,):
        return labels
    array = np.where(labels.array == _WHITE, organ.id, 0).astype(smallest_label_type(organ.id))
    note = f"Its only number is {_WHITE}, white, which is taken for label {organ.id}, {organ.name}."
    return replace(labels, array=array, scheme=scheme, notes=(*labels.notes, note))


def scheme_beside(path: Path) -> tuple[LabelScheme | None, tuple[str, ...]]:
    """Find the names of a label map in a JSON file beside it, as `load_label_map` does.

    Returns
    -------
    scheme : LabelScheme or None
        None where there is no such file.
    notes : tuple of str
        That a file was there but could not be understood.
    """
    notes: tuple[str, ...] = ()
    for candidate in (names_file(path), path.parent / "labels.json"):
        if candidate.is_file():
            try:
                return LabelScheme.from_json(candidate), ()
            except LabelSchemeError as error:
                notes += (f"Label names were not read: {error}",)
    return None, notes


def names_file(path: Path) -> Path:
    """Give where the names of one label map are looked for: ``liver.json`` for ``liver.nii.gz``."""
    return path.parent / f"{formats.image_name(path)}.json"


def save_label_map(label_map: LabelMap, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a label map onto the exact grid of the file that its volume came from.

    Raises
    ------
    FormatError, WriteError
        If it cannot be written, or exists already and ``overwrite`` is not given.
    """
    array = np.ascontiguousarray(label_map.to_source(label_map.array))
    formats.write_image(
        Path(path), array, label_map.source, overwrite=overwrite, scheme=label_map.scheme
    )


def smallest_label_type(largest: int) -> np.dtype[np.unsignedinteger]:
    """Give the smallest unsigned type that holds a label number."""
    return np.dtype(np.uint8 if largest < 256 else np.uint16)


def _as_labels(
    array: NDArray[np.generic], name: str
) -> tuple[NDArray[np.unsignedinteger], tuple[str, ...]]:
    if array.shape[0] != 1:
        raise VolumeError(
            f"{name} has {array.shape[0]} channels and is no label map; one number a voxel is "
            "needed."
        )
    values = array[0]
    notes: tuple[str, ...] = ()
    if values.dtype.kind == "f":
        rounded = np.rint(values)
        if not np.isfinite(values).all() or np.abs(rounded - values).max(initial=0) > 1e-3:
            raise VolumeError(
                f"{name} holds fractions, so it is an image and no label map; pick a label map."
            )
        values, notes = rounded, (f"{name} stores its labels as decimal numbers; they are whole.",)
    low, high = values.min(initial=0), values.max(initial=0)
    if low < 0 or high > 65535:
        raise VolumeError(
            f"{name} has label numbers from {low:.0f} to {high:.0f}; 0 to 65535 are possible."
        )
    return values.astype(smallest_label_type(int(high))), notes


def _present(labels: NDArray[np.unsignedinteger]) -> tuple[int, ...]:
    seen = np.zeros(65536, dtype=bool)
    for plane in labels:  # whole volumes at once would need eight bytes a voxel
        seen[plane] = True
    return tuple(int(label) for label in np.flatnonzero(seen) if label != 0)
