"""The header of an NRRD file, attached (``.nrrd``) or detached (``.nhdr``).

Fields as in the NRRD format definition, http://teem.sourceforge.net/nrrd/format.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_hybridseg.formats.grids import Matrix, complete_slice_axis
from napari_hybridseg.formats.header_text import damaged, header_lines, numbers, sizes
from napari_hybridseg.formats.stored import FormatError

_TYPES = {
    "i1": "signed char|int8|int8_t",
    "u1": "uchar|unsigned char|uint8|uint8_t",
    "i2": "short|short int|signed short|signed short int|int16|int16_t",
    "u2": "ushort|unsigned short|unsigned short int|uint16|uint16_t",
    "i4": "int|signed int|int32|int32_t",
    "u4": "uint|unsigned int|uint32|uint32_t",
    "i8": "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t",
    "u8": "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t",
    "f4": "float",
    "f8": "double",
}
_TYPE_OF = {word: code for code, words in _TYPES.items() for word in words.split("|")}
_SPACES = {
    "right-anterior-superior": (-1.0, -1.0, 1.0),
    "ras": (-1.0, -1.0, 1.0),
    "left-anterior-superior": (1.0, -1.0, 1.0),
    "las": (1.0, -1.0, 1.0),
    "left-posterior-superior": (1.0, 1.0, 1.0),
    "lps": (1.0, 1.0, 1.0),
}
_SPATIAL_KINDS = {"domain", "space", "???", "none", ""}
_MILLIMETRES = {"mm": 1.0, "millimeter": 1.0, "millimeters": 1.0, "cm": 10.0, "m": 1000.0,
                "um": 1e-3, "µm": 1e-3, "μm": 1e-3, "micron": 1e-3, "microns": 1e-3,
                "nm": 1e-6}  # fmt: skip
_VECTOR = re.compile(r"none|\([^()]*\)")


@dataclass(frozen=True)
class NrrdHeader:
    """An NRRD header's fields, and what they mean.

    Attributes
    ----------
    path : Path
        The header's file.
    fields : dict
        Standard fields, names in lower case.
    keys : dict
        Other people's ``key:=value`` pairs.
    end : int
        Byte of the file after the header.
    """

    path: Path
    fields: dict[str, str]
    keys: dict[str, str]
    end: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Samples along each axis, fastest first."""
        dimension = sizes(self._needed("dimension"), 1, "dimension", self.path)[0]
        return sizes(self._needed("sizes"), dimension, "sizes", self.path)

    @property
    def dtype(self) -> np.dtype:
        """One sample, with its byte order."""
        stated = self._needed("type").lower()
        if stated not in _TYPE_OF:
            raise FormatError(
                f"{self.path} holds samples of type '{stated[:40]}', which are no image here; save "
                "it as ordinary numbers."
            )
        code = _TYPE_OF[stated]
        if code[1] == "1":
            return np.dtype(code)
        order = {"little": "<", "big": ">"}.get(self._needed("endian").lower())
        if order is None:
            raise damaged(self.path, "its byte order (endian) is neither little nor big")
        return np.dtype(order + code)

    @property
    def packed(self) -> bool:
        """Whether the samples are gzip-compressed."""
        encoding = self._needed("encoding").lower()
        if encoding in ("raw", "gzip", "gz"):
            return encoding != "raw"
        raise FormatError(
            f"{self.path} is encoded as '{encoding[:40]}', which is not read here; save it with "
            "raw or gzip encoding."
        )

    @property
    def spatial_axes(self) -> tuple[int, ...]:
        """Which axes run through space."""
        count = len(self.sizes)
        if "space directions" in self.fields:
            # Where a fourth axis of the world is time, what runs along it alone is not in space.
            axes = tuple(i for i, vector in enumerate(self._directions()) if vector is not None)
        else:
            kinds = self.fields.get("kinds", "").lower().split()
            kinds = kinds if len(kinds) == count else [""] * count
            axes = tuple(i for i, kind in enumerate(kinds) if kind in _SPATIAL_KINDS)
            axes = axes[:3] if len(axes) > 3 else axes
        if len(axes) not in (2, 3):
            raise FormatError(
                f"{self.path} has {len(axes)} axes in space where an image has two or three; save "
                "the image on its own."
            )
        return axes

    @property
    def volume_axis(self) -> int | None:
        """Which axis has several values and does not run through space; None if none does."""
        spatial = self.spatial_axes
        wide = (i for i, size in enumerate(self.sizes) if size > 1 and i not in spatial)
        return next(wide, None)

    @property
    def time_unit(self) -> str:
        """The unit of the world's fourth axis, empty where there is none."""
        if self.fields.get("space", "").lower().endswith("-time"):
            units = re.findall(r'"([^"]*)"', self.fields.get("space units", ""))
            return units[3].strip().lower() if len(units) == 4 else "s"
        return ""

    def step_of(self, axis: int) -> float:
        """Give the step along an axis that does not run through space, 0 where it is not stated."""
        if "spacings" in self.fields:
            step = float(
                numbers(self.fields["spacings"], None, "spacings", self.path)[axis:][:1].sum()
            )
        elif "space directions" in self.fields:
            vector = self._vectors()[axis]
            step = float(vector[3]) if vector is not None and len(vector) == 4 else 0.0
        else:
            step = 0.0
        return step if np.isfinite(step) else 0.0

    def position(self) -> tuple[Matrix, tuple[str, ...]]:
        """Give the 4x4 matrix from (x, y, z) index to LPS millimetres, and what was odd."""
        affine, notes = np.eye(4), []
        axes = self.spatial_axes
        if "space directions" in self.fields:
            vectors = self._directions()
            for column, axis in enumerate(axes):
                vector = vectors[axis]
                if vector is None or len(vector) > 3:
                    raise damaged(self.path, "its space directions are not three-dimensional")
                affine[:3, column] = np.pad(vector, (0, 3 - len(vector)))
        elif "spacings" in self.fields:
            spacings = numbers(self.fields["spacings"], len(self.sizes), "spacings", self.path)
            for column, axis in enumerate(axes):
                affine[column, column] = spacings[axis]
        else:
            notes.append("The file does not say how large a voxel is; 1 mm was assumed.")
        if len(axes) == 2:
            affine[:3, 2] = 0
            affine = complete_slice_axis(affine)
        origin = self.fields.get("space origin")
        if origin is not None:
            place = numbers(origin, None, "space origin", self.path)[:3]
            affine[: len(place), 3] = place
        else:
            notes.append("The file does not say where the volume lies: it begins at 0, 0, 0.")
        unit, unit_notes = self._unit()
        space = self.fields.get("space", "").lower().removesuffix("-time")
        if space not in _SPACES:
            notes.append("The file does not name its patient axes: left could be right.")
        signs = _SPACES.get(space, (1.0, 1.0, 1.0))
        return np.diag([*(unit * np.array(signs)), 1.0]) @ affine, (*notes, *unit_notes)

    def _needed(self, field: str) -> str:
        if field not in self.fields:
            raise damaged(self.path, f"its header does not state the {field}")
        return self.fields[field]

    def _directions(self) -> list[Matrix | None]:
        """Give the direction in space of each axis, None for one that does not run through it."""
        vectors = [None if v is None or np.isnan(v).all() else v for v in self._vectors()]
        return [self._in_space(v) if v is not None and len(v) == 4 else v for v in vectors]

    def _in_space(self, vector: Matrix) -> Matrix | None:
        """Take the direction in space from one in space and time."""
        if vector[3] == 0:
            return vector[:3]
        if vector[:3].any():
            raise damaged(self.path, "an axis of it runs through space and time at once")
        return None

    def _vectors(self) -> list[Matrix | None]:
        words = _VECTOR.findall(self.fields["space directions"].lower())
        if len(words) != len(self.sizes):
            raise damaged(self.path, "it has not one space direction for each axis")
        return [
            None if word == "none" else numbers(word, None, "space directions", self.path)
            for word in words
        ]

    def _unit(self) -> tuple[float, tuple[str, ...]]:
        units = self.fields.get("space units", "").split()[:3]
        stated = {unit.strip('"').lower() for unit in units}
        stated -= {"", "none", "???"}
        if not stated:
            return 1.0, ()
        lengths = {_MILLIMETRES.get(unit) for unit in stated}
        length = lengths.pop()
        if lengths or length is None:
            return 1.0, (f"The units of length {', '.join(sorted(stated))} were taken as mm.",)
        note = f"The file's lengths are in {stated.pop()}; they were converted to millimetres."
        return length, () if length == 1.0 else (note,)


def read_header(path: Path) -> NrrdHeader:
    """Read an NRRD header.

    Raises
    ------
    FormatError
        If the file is not NRRD or its header is damaged.
    """
    fields: dict[str, str] = {}
    keys: dict[str, str] = {}
    with path.open("rb") as file:
        if not re.fullmatch(rb"NRRD000[1-9]\r?\n", file.readline(16)):
            raise FormatError(
                f"{path} is not an NRRD file, whatever its name says; open the original or export "
                "it again."
            )
        for line in header_lines(file, path):
            if not line:
                break
            if line.startswith("#"):
                continue
            name, colon, value = line.partition(":")
            if not colon:
                raise damaged(path, "its header has a line that states nothing")
            if value.startswith("="):
                keys[name] = _unescaped(value[1:])
            else:
                fields[name.strip().lower()] = value.strip()
        return NrrdHeader(path, fields, keys, file.tell())


def _unescaped(text: str) -> str:
    return re.sub(r"\\(n|\\)", lambda m: "\n" if m[1] == "n" else "\\", text)
