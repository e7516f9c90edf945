"""Writing arrays for the engine a piece at a time, so that the GUI stays free."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hybridseg.engine.scratch import ScratchError

PIECE_BYTES = 16 * 2**20


class Handover:
    """Arrays on their way into a folder, as .npy files.

    Parameters
    ----------
    folder : Path
    stem : str
        What the files' names begin with.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        self._folder = Path(folder)
        self._stem = stem
        self._arrays: list[tuple[str, NDArray[Any]]] = []

    def put(self, array: NDArray[Any]) -> str:
        """Take an array, and give the name that its file will have."""
        name = f"{self._stem}-{len(self._arrays)}.npy"
        self._arrays.append((name, np.asarray(array)))
        return name

    def steps(self) -> Iterator[None]:
        """Write everything, at most 16 MB (or one plane) between two yields.

        Raises
        ------
        ScratchError
            If the disk is full or the folder gone.
        """
        for name, array in self._arrays:
            try:
                yield from self._write(self._folder / name, array)
            except OSError as error:
                (self._folder / name).unlink(missing_ok=True)
                raise ScratchError(
                    f"{array.nbytes / 1e6:.0f} MB could not be written to the temporary folder "
                    f"{self._folder} ({error.strerror or error}); free some space there or set "
                    "TMPDIR."
                ) from error

    @staticmethod
    def _write(path: Path, array: NDArray[Any]) -> Iterator[None]:
        header = {
            "descr": np.lib.format.dtype_to_descr(array.dtype),
            "fortran_order": False,
            "shape": array.shape,
        }
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for piece in _pieces(array):
                file.write(np.ascontiguousarray(piece).data)
                yield


def _pieces(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Cut an array along its first axes, in C order."""
    if array.nbytes <= PIECE_BYTES or array.ndim < 2:
        yield array
        return
    per_row = array.nbytes // len(array)
    if per_row > PIECE_BYTES:
        for row in array:
            yield from _pieces(row)
        return
    rows = max(1, PIECE_BYTES // per_row)
    for start in range(0, len(array), rows):
        yield array[start : start + rows]
