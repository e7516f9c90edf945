"""A folder, or a zip archive of one, read without ever writing anything to disk."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from napari_hybridseg.interop.foreign_files import ForeignFileError

_LARGEST_JSON = 50_000_000
_LARGEST_MEMBER = 8_000_000_000


@dataclass(frozen=True)
class FileTree:
    """Files by name, wherever they are kept.

    Attributes
    ----------
    path : Path
        The folder or archive.
    names : tuple of str
        Every file below it, with ``/`` between the parts.
    """

    path: Path
    names: tuple[str, ...]
    _read: Callable[[str], bytes]

    def read(self, name: str) -> bytes:
        """Give a file's content.

        Raises
        ------
        ForeignFileError
            If it is not there or is damaged.
        """
        if name not in self.names:
            raise ForeignFileError(f"{self.path} has no {name}; it is not complete.")
        try:
            return self._read(name)
        except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, EOFError) as error:
            raise ForeignFileError(
                f"{name} in {self.path} cannot be read ({error}); copy or download it again."
            ) from error

    def read_json(self, name: str) -> dict[str, Any]:
        """Give a JSON file's table.

        Raises
        ------
        ForeignFileError
            If it is not there, or is no JSON table.
        """
        text = self.read(name)
        try:
            content = json.loads(text) if len(text) <= _LARGEST_JSON else None
        except (ValueError, RecursionError) as error:
            raise ForeignFileError(
                f"{name} in {self.path} is no JSON ({error}); copy or download it again."
            ) from error
        if not isinstance(content, dict):
            raise ForeignFileError(f"{name} in {self.path} holds no table; it is of another kind.")
        return content

    def below(self, folder: str) -> FileTree:
        """Give the files below a folder, by their names from there."""
        prefix = f"{folder}/" if folder else ""
        names = tuple(n.removeprefix(prefix) for n in self.names if n.startswith(prefix))
        return FileTree(self.path, names, lambda name: self._read(prefix + name))

    def folder_of(self, name: str) -> str | None:
        """Give the one folder that holds a file called ``name``; None if there is none.

        One below another does not count: nnU-Net copies its plans into the folder of its
        cross-validation's results.

        Raises
        ------
        ForeignFileError
            If several do.
        """
        holding = [n.removesuffix(name) for n in self.names if f"/{n}".endswith(f"/{name}")]
        found = [
            inner
            for inner in holding
            if not any(inner != outer and inner.startswith(outer) for outer in holding)
        ]
        if len(found) > 1:
            raise ForeignFileError(
                f"{self.path} holds several models ({', '.join(sorted(found))}); give the folder "
                "of one."
            )
        return found[0].removesuffix("/") if found else None


def open_tree(path: Path) -> FileTree | None:
    """Open a folder or a zip archive of files; None for a file of another kind.

    A PyTorch file, which is a zip archive too, is no archive of files.

    Raises
    ------
    ForeignFileError
        If a name in the archive leads out of it.
    """
    if path.is_dir():
        found = (file for file in path.rglob("*") if file.is_file())
        names = tuple(sorted(file.relative_to(path).as_posix() for file in found))
        return FileTree(path, names, lambda name: (path / name).read_bytes())
    if not zipfile.is_zipfile(path):
        return None
    names = _names_in_archive(path)
    if any(PurePosixPath(name).name == "data.pkl" for name in names):
        return None
    return FileTree(path, names, lambda name: _read_member(path, name))


def _names_in_archive(path: Path) -> tuple[str, ...]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [member.filename for member in archive.infolist() if not member.is_dir()]
    except (OSError, zipfile.BadZipFile) as error:
        raise ForeignFileError(
            f"{path} is a damaged zip archive ({error}); copy or download it again."
        ) from error
    _refuse_escapes(path, names)
    return tuple(names)


def _refuse_escapes(path: Path, names: Iterable[str]) -> None:
    for name in names:
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if ".." in parts or name.startswith(("/", "\\")) or ":" in parts[0]:
            raise ForeignFileError(
                f"{path} holds a file called {name!r}, which leads out of the archive, so it was "
                "not opened; get the archive from somebody you trust."
            )


def _read_member(path: Path, name: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo(name).file_size > _LARGEST_MEMBER:
            raise zipfile.BadZipFile("it unpacks to more than 8 GB")
        return archive.read(name)
