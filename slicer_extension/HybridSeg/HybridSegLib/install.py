"""Installing the engine's package into Slicer's Python, when the user asks for it."""

from __future__ import annotations

import contextlib
import importlib
import logging
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, distribution, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import slicer

PACKAGE = "napari-hybridseg"
MODULE = "napari_hybridseg"
TORCH = ">=2.6"
# Slicer brings its own build, or the PyTorch extension chooses the right one
NOT_BY_PIP = ("SimpleITK", "torch")
# other modules of this session have these loaded
KEPT = ("numpy", "scipy")

OLDEST_PYTHON = (3, 9)

QUESTION = (
    "HybridSeg needs its engine, a Python package with PyTorch. Up to 3 GB are downloaded from "
    "pypi.org and pytorch.org and installed into this Slicer. Install it now?"
)
DECLINED = "The engine was not installed: nothing was changed."
NO_PYTORCH_EXTENSION = (
    "The PyTorch extension is missing: install 'PyTorch' in the Extensions Manager, restart "
    "Slicer, and try again."
)
NO_TORCH = (
    "PyTorch was not installed; try again, or install it with the PyTorch Utils module, which "
    "shows why."
)
OFFLINE = (
    "The engine could not be downloaded: check the network connection (pypi.org must be "
    "reachable) and try again; Slicer's error log has the details."
)

FAILED = (
    "The engine could not be installed although pypi.org answers: Slicer's error log shows what "
    "pip said; free disk space or write access to Slicer's folder may be missing."
)
OLD_PYTHON = (
    "This Slicer is too old for the engine: it has Python {found}, and 3.9 is needed; install "
    "Slicer 5.8 or newer."
)
_ASKED = ("pypi.org", 443)
_SECONDS = 5.0

logger = logging.getLogger(__name__)


class InstallError(Exception):
    """Why the engine is not there, in one sentence."""


class SlicerInstallation:
    """Installs with Slicer's own helpers, torch through the PyTorch extension.

    Parameters
    ----------
    requirements : Path
        The module's requirements.txt.
    ask : callable or None
        Asks a yes-or-no question; None asks by Slicer's dialog.
    is_online : callable or None
        Whether packages can be reached; asked once an installation failed.
    """

    def __init__(
        self,
        requirements: Path,
        ask: Callable[[str], bool] | None = None,
        is_online: Callable[[], bool] | None = None,
    ) -> None:
        self._requirements = Path(requirements)
        self._ask = ask or slicer.util.confirmOkCancelDisplay
        self._is_online = is_online or can_reach_packages

    def obstacle(self) -> str:
        """Say in one sentence why the engine can never be installed here, or nothing."""
        if sys.version_info[:2] >= OLDEST_PYTHON:
            return ""
        return OLD_PYTHON.format(found="{}.{}".format(*sys.version_info))

    def is_complete(self) -> bool:
        """Whether package and torch are there with all that they need; loads none of it.

        A package that came with an earlier release of this module may be too old for it.
        """
        if self.obstacle():
            return False
        importlib.invalidate_caches()
        return find_spec("torch") is not None and self._package_is_complete()

    def install(self) -> None:
        """Ask, then install what is missing.

        Raises
        ------
        InstallError
            If the user declined, or it failed.
        """
        if self.obstacle():
            raise InstallError(self.obstacle())
        if not self._ask(QUESTION):
            raise InstallError(DECLINED)
        self._install_torch()
        if not self._package_is_complete():
            try:
                self._install_package()
            # CalledProcessError, and whatever a helper of Slicer raises when it is offline
            except Exception as error:
                logger.exception("pip failed")
                raise InstallError(FAILED if self._is_online() else OFFLINE) from error
        if not self.is_complete():
            raise InstallError(
                "The engine was installed, but Slicer does not find it; restart Slicer."
            )

    def _package_is_complete(self) -> bool:
        # pip may have been cut off between the package and what it needs
        return (
            find_spec(MODULE) is not None
            and all(map(is_met, self._wanted()))
            and not missing_requirements(PACKAGE)
        )

    def _wanted(self) -> list[str]:
        lines = [line.strip() for line in self._requirements.read_text().splitlines()]
        return [line for line in lines if line and not line.startswith("#")]

    def _install_torch(self) -> None:
        try:
            import PyTorchUtils
        except ImportError as error:
            if find_spec("torch") is not None:
                return
            raise InstallError(NO_PYTORCH_EXTENSION) from error
        logic = PyTorchUtils.PyTorchUtilsLogic()
        if logic.torchInstalled():
            return
        try:
            torch = logic.installTorch(askConfirmation=True, torchVersionRequirement=TORCH)
        except Exception as error:
            logger.exception("the PyTorch extension failed")
            raise InstallError(NO_TORCH) from error
        if torch is None:
            raise InstallError(NO_TORCH)

    def _install_package(self) -> None:
        packaging = slicer_packaging()
        with _constraints() as constraints:
            if packaging is not None:
                # it looks no deeper than at what it is asked for
                wanted = packaging.load_requirements(self._requirements)
                packaging.pip_ensure(
                    [*wanted, *missing_requirements(PACKAGE)],
                    constraints=constraints,
                    skip_packages=list(NOT_BY_PIP),
                    prompt_install=False,
                    requester="HybridSeg",
                )
            else:
                self._install_in_two_steps(constraints)

    def _install_in_two_steps(self, constraints: Path) -> None:
        """Install as Slicer 5.8 and 5.10 can: the package alone, then what it needs and lacks."""
        slicer.util.pip_install(["--no-deps", *self._wanted()])
        importlib.invalidate_caches()
        missing = missing_requirements(PACKAGE)
        if missing:
            slicer.util.pip_install(["-c", str(constraints), *missing])


def can_reach_packages() -> bool:
    """Whether pypi.org answers."""
    try:
        socket.create_connection(_ASKED, timeout=_SECONDS).close()
    except OSError:
        return False
    return True


def slicer_packaging() -> Any:
    """Give Slicer's module that installs packages (from 5.11 on), or None."""
    for name in ("slicer.packaging", "slicer.pydeps"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    return None


def is_met(line: str) -> bool:
    """Whether a line of requirements is met; what runs from its source has no version to ask."""
    needed = _requirement(line)
    try:
        return bool(needed.specifier.contains(version(needed.name), prereleases=True))
    except PackageNotFoundError:
        return True


def missing_requirements(package: str) -> list[str]:
    """List what an installed package needs, is not there, and pip may install.

    What its needs need counts as well. Of its own needs a version that does not fit is missing
    too; whether the others fit each other is theirs to know.
    """
    missing: list[str] = []
    seen = {package, *(_plain(name) for name in NOT_BY_PIP)}
    waiting = [package]
    while waiting:
        owner = waiting.pop()
        for needed in _needs(owner):
            name = _plain(needed.name)
            if name in seen:
                continue
            seen.add(name)
            try:
                found = distribution(name).version
            except PackageNotFoundError:
                missing.append(str(needed))
                continue
            if owner == package and not needed.specifier.contains(found, prereleases=True):
                missing.append(str(needed))
            waiting.append(name)
    return missing


def _needs(package: str) -> list[Any]:
    """Give what a package needs on this machine, without its extras; nothing if it is not there."""
    try:
        needed = [_requirement(line) for line in requires(package) or ()]
    except PackageNotFoundError:
        return []
    return [one for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]


def _requirement(line: str) -> Any:
    """Read a line of requirements; a Slicer without the package for it has pip's copy."""
    try:
        module = importlib.import_module("packaging.requirements")
    except ImportError:
        module = importlib.import_module("pip._vendor.packaging.requirements")
    return module.Requirement(line)


def _plain(name: str) -> str:
    """Write a package's name as all others are written."""
    return name.lower().replace("_", "-").replace(".", "-")


@contextlib.contextmanager
def _constraints() -> Iterator[Path]:
    """Write a constraints file that keeps the versions of what this session has loaded."""
    lines = []
    for name in KEPT:
        with contextlib.suppress(PackageNotFoundError):
            lines.append(f"{name}=={version(name)}\n")
    with tempfile.TemporaryDirectory(prefix="hybridseg-") as folder:
        path = Path(folder) / "constraints.txt"
        path.write_text("".join(lines))
        yield path
