"""What backends keep on disk between runs: converted networks, and which backend was fastest.

Every entry is one file: a line of JSON with the entry's whole key and the sha256 of what
follows, then the content. An entry that is torn, altered or about something else is as good as
absent. Entries are never needed: a folder that cannot be written to only costs time.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Union

from torch import nn
from typing_extensions import TypeAlias

from napari_hybridseg.atomic import WriteError, atomic_path
from napari_hybridseg.resources import cache_folder

Key: TypeAlias = Mapping[str, Union[str, int, list[int]]]

_FORMAT = 1
_LARGEST_TOTAL = 2 << 30
_PACKAGES = ("napari-hybridseg", "torch", "numba", "openvino", "onnxruntime")


class BackendStore:
    """The folder of entries; the ones that were not used for longest go when it is full.

    Parameters
    ----------
    folder : Path, optional
        By default ``backends`` in the user's cache folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "backends"

    def read(self, kind: str, key: Key) -> bytes | None:
        """Give the content that was kept for a key, or None."""
        path = self._path(kind, key)
        try:
            head, _, content = path.read_bytes().partition(b"\n")
            header = json.loads(head)
        except (OSError, ValueError, RecursionError):
            return None
        if header != _header(key, content):
            return None
        with suppress(OSError):
            os.utime(path)
        return content

    def write(self, kind: str, key: Key, content: bytes) -> None:
        """Keep content for a key, if the disk lets us."""
        path = self._path(kind, key)
        with suppress(OSError, WriteError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_path(path, overwrite=True) as temporary, temporary.open("wb") as file:
                file.write(json.dumps(_header(key, content)).encode() + b"\n")
                file.write(content)
            self._prune()

    def _path(self, kind: str, key: Key) -> Path:
        return self.folder / f"{kind}-{_sha256(_canonical(key))[:32]}.bin"

    def _prune(self) -> None:
        entries = [(path.stat(), path) for path in self.folder.glob("*.bin")]
        total = sum(status.st_size for status, _ in entries)
        for status, path in sorted(entries, key=lambda entry: entry[0].st_mtime_ns):
            if total <= _LARGEST_TOTAL:
                return
            path.unlink(missing_ok=True)
            total -= status.st_size


def network_sha256(network: nn.Module, description: str) -> str:
    """Hash a network's weights together with the words that say how it is built."""
    digest = hashlib.sha256(f"{type(network).__qualname__}\n{description}".encode())
    for name, value in network.state_dict().items():
        digest.update(f"\n{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


@lru_cache(maxsize=1)
def machine() -> dict[str, str]:
    """Name the processor and the versions of what runs networks."""
    names = {"cpu": f"{platform.machine()} {_cpu_name()} x{os.cpu_count()}"}
    for package in _PACKAGES:
        try:
            names[package] = version(package)
        except PackageNotFoundError:
            names[package] = ""
    return names


def _cpu_name() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _header(key: Key, content: bytes) -> dict[str, object]:
    return {"format": _FORMAT, "key": dict(key), "sha256": _sha256(content)}


def _canonical(key: Key) -> bytes:
    return json.dumps(dict(key), sort_keys=True).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
