"""Which file the label map of each image goes to."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import typer

from napari_hybridseg.atomic import WriteError
from napari_hybridseg.cli.console import remark
from napari_hybridseg.formats import image_name, is_image_path, writable_extensions
from napari_hybridseg.older_python import zip

ENDING = "_labels.nii.gz"
_MOST_SPLITS = 2000


def targets_for(images: Sequence[Path], out: Path) -> list[Path]:
    """Give the file that each image's label map is written to; make the folder.

    Raises
    ------
    typer.BadParameter
        If two label maps would be one file, or one would replace an image.
    WriteError
        If the folder cannot be made.
    """
    if out.name.lower().endswith(tuple(writable_extensions())):
        if len(images) > 1:
            raise typer.BadParameter(f"{out} is one file; give a folder for {len(images)} images")
        return [out]
    if is_image_path(out) and not out.is_dir():
        raise typer.BadParameter(
            f"{out} cannot be written; choose a name that ends in "
            f"{', '.join(writable_extensions())}, or a folder"
        )
    targets = [out / name for name in _names([_Named.of(image) for image in images], out)]
    inputs = {image.resolve() for image in images}
    clashing = [target for target in targets if target.resolve() in inputs]
    if clashing:
        raise typer.BadParameter(
            f"the label map {clashing[0]} would replace an image that is to be segmented; choose "
            "another folder"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"The folder {out} cannot be made: {error.strerror}.") from error
    return targets


@dataclass(frozen=True)
class _Named:
    """An image, its own name, and the names of the folders it lies in, from the nearest up."""

    path: Path
    own: str
    folders: tuple[str, ...]

    @classmethod
    def of(cls, image: Path) -> _Named:
        # a folder's name, for series of two patients may share a description
        own = image.resolve().name if image.is_dir() else image_name(image)
        path = Path(os.path.abspath(image))
        return cls(path, own, tuple(parent.name for parent in path.parents if parent.name))

    def target(self, folders: int) -> str:
        """Give the label map's name, with so many folders' names before it."""
        return "_".join((*reversed(self.folders[:folders]), self.own)) + ENDING


def _names(images: Sequence[_Named], out: Path) -> list[str]:
    for path, times in Counter(image.path for image in images).items():
        if times > 1:
            raise typer.BadParameter(f"{path} was given {times} times; give every image once")
    deepest = max((len(image.folders) for image in images), default=0)
    needed = next((n for n in range(deepest + 1) if not _twins(images, n)), None)
    if needed is None:
        one, other = _twins(images, deepest)
        raise typer.BadParameter(
            f"the label maps of {one.path} and {other.path} would have the same name, with the "
            "names of their folders too; give them one by one, each with a file's name as --out"
        )
    folders = max(needed, _in_use(images, out, needed))
    names = [image.target(folders) for image in images]
    if folders:
        why = (
            "Images of several folders share a name"
            if needed
            else "The label maps there have their images' folders in their names"
        )
        remark(f"Note: {why}: the names of folders go before it, as in {names[0]}.")
    return names


def _twins(images: Sequence[_Named], folders: int) -> tuple[_Named, ...]:
    """Give two images whose label maps would be one file, or nothing."""
    seen: dict[str, _Named] = {}
    for image in images:
        # most disks of Windows and macOS take A and a for the same
        other = seen.setdefault(image.target(folders).casefold(), image)
        if other is not image:
            return other, image
    return ()


def _in_use(images: Sequence[_Named], out: Path, needed: int) -> int:
    """Say how many folders' names an earlier run put before label maps of such images.

    So an image has the same name when it is given without the others.
    """
    found = {path.name for path in out.glob(f"*{ENDING}")} if out.is_dir() else set()
    deepest = max((len(image.folders) for image in images), default=0) if found else 0
    for folders in range(deepest, max(needed, 1) - 1, -1):
        if any(i.target(folders) in found for i in images if len(i.folders) >= folders):
            return folders
    for folders in range(deepest, needed, -1):
        deep = [image for image in images if len(image.folders) >= folders]
        # thousands of patients in one folder are looked for once
        for top, own, file in {(i.path.parents[folders], i.own, i.path.name) for i in deep}:
            ending = f"_{own}{ENDING}"
            prefixes = (name[: -len(ending)] for name in found if name.endswith(ending))
            splits = (names for prefix in prefixes for names in _split(prefix, folders))
            if any(top.joinpath(*names, file).exists() for names in splits):
                return folders
    return needed


def _split(prefix: str, parts: int) -> Iterator[list[str]]:
    """Give the ways in which a text can be so many names that were joined by underscores."""
    joints = [place for place, letter in enumerate(prefix) if letter == "_"]
    for count, chosen in enumerate(combinations(joints, parts - 1)):
        if count == _MOST_SPLITS:
            return
        starts = [0, *(place + 1 for place in chosen)]
        names = [prefix[a:b] for a, b in zip(starts, [*chosen, len(prefix)], strict=True)]
        if all(names):
            yield names
