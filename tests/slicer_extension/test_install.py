"""Installing: asked first, by Slicer's own helpers, with clear sentences when it fails."""

from __future__ import annotations

import socket
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import HybridSegLib.install as install
import pytest
import slicer
from conftest import MODULE
from HybridSegLib.install import InstallError, SlicerInstallation, missing_requirements

REQUIREMENTS = MODULE / "Resources" / "requirements.txt"


class Machine:
    """A Slicer on which some packages are there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *present: str) -> None:
        self.present = set(present)
        self.calls: list[Any] = []
        self.questions: list[str] = []
        self.needs = ["monai>=1.4"]
        monkeypatch.setattr(
            install, "find_spec", lambda name: object() if name in self.present else None
        )
        monkeypatch.setattr(slicer.util, "pip_install", self.pip_install, raising=False)
        monkeypatch.setattr(install, "missing_requirements", self.missing_requirements)
        monkeypatch.setattr(install, "slicer_packaging", lambda: None)
        monkeypatch.delitem(sys.modules, "PyTorchUtils", raising=False)

    def ask(self, question: str) -> bool:
        self.questions.append(question)
        return True

    def missing_requirements(self, package: str) -> list[str]:
        is_there = "napari_hybridseg" in self.present
        return [line for line in self.needs if is_there and line not in self.present]

    def pip_install(self, what: list[str]) -> None:
        self.calls.append(what)
        self.present.add("napari_hybridseg")
        if "--no-deps" not in what:
            self.present |= set(what)

    def with_pytorch_extension(self, monkeypatch: pytest.MonkeyPatch, *, works: bool) -> None:
        machine = self

        class PyTorchUtilsLogic:
            def torchInstalled(self) -> bool:
                return "torch" in machine.present

            def installTorch(self, askConfirmation: bool, torchVersionRequirement: str) -> Any:
                machine.calls.append(("torch", askConfirmation, torchVersionRequirement))
                if not works:
                    return None
                machine.present.add("torch")
                return object()

        module = types.ModuleType("PyTorchUtils")
        module.PyTorchUtilsLogic = PyTorchUtilsLogic  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "PyTorchUtils", module)


def test_nothing_happens_if_the_user_declines(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    with pytest.raises(InstallError, match="nothing was changed"):
        SlicerInstallation(REQUIREMENTS, lambda question: False).install()
    assert not machine.calls


def test_a_slicer_with_an_old_python_is_told_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch)
    monkeypatch.setattr(sys, "version_info", (3, 8, 10, "final", 0))
    with pytest.raises(InstallError, match=r"Python 3\.8, and 3\.9 is needed; install Slicer 5\.8"):
        SlicerInstallation(REQUIREMENTS, machine.ask).install()
    assert not machine.questions
    assert not machine.calls
    machine.present |= {"napari_hybridseg", "torch"}  # of another Python, on the path by mistake
    assert not SlicerInstallation(REQUIREMENTS).is_complete()


def test_torch_comes_through_its_extension_and_the_package_bare(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch)
    machine.with_pytorch_extension(monkeypatch, works=True)
    installation = SlicerInstallation(REQUIREMENTS, machine.ask)
    assert not installation.is_complete()
    installation.install()
    assert installation.is_complete()
    assert "GB" in machine.questions[0]
    torch, package, rest = machine.calls
    assert torch == ("torch", True, ">=2.6")
    assert package == ["--no-deps", "napari-hybridseg>=0.1.0"]
    assert rest[0] == "-c"
    assert rest[2:] == ["monai>=1.4"]


def test_a_newer_slicer_installs_with_its_own_module(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, "torch")
    machine.with_pytorch_extension(monkeypatch, works=True)
    packaging = types.SimpleNamespace()
    packaging.load_requirements = lambda path: [path.read_text().split()[-1]]

    def pip_ensure(requirements: list[str], **options: Any) -> None:
        kept = Path(options["constraints"]).read_text()
        machine.calls.append((requirements, options, kept))
        machine.present |= {"napari_hybridseg", *machine.needs}

    packaging.pip_ensure = pip_ensure
    monkeypatch.setattr(install, "slicer_packaging", lambda: packaging)
    SlicerInstallation(REQUIREMENTS, machine.ask).install()
    ((requirements, options, kept),) = machine.calls
    assert requirements == ["napari-hybridseg>=0.1.0"]
    assert options["skip_packages"] == ["SimpleITK", "torch"]
    assert options["requester"] == "HybridSeg"
    assert "numpy==" in kept


def test_an_engine_that_came_by_half_is_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, "torch")

    def break_off(what: list[str]) -> None:
        if "--no-deps" not in what:
            raise subprocess.CalledProcessError(1, "pip")
        machine.pip_install(what)

    monkeypatch.setattr(slicer.util, "pip_install", break_off)
    installation = SlicerInstallation(REQUIREMENTS, machine.ask, lambda: False)
    with pytest.raises(InstallError, match="check the network connection"):
        installation.install()
    assert "napari_hybridseg" in machine.present
    assert not installation.is_complete()
    monkeypatch.setattr(slicer.util, "pip_install", machine.pip_install)
    installation.install()
    assert machine.calls[-1][-1] == "monai>=1.4"
    assert installation.is_complete()


def test_an_engine_that_an_earlier_extension_brought_is_renewed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine = Machine(monkeypatch, "torch", "napari_hybridseg", "monai>=1.4")
    installed = {"napari-hybridseg": "0.1.0"}
    monkeypatch.setattr(install, "version", lambda name: installed.get(name, "1.26.4"))
    later = tmp_path / "requirements.txt"
    later.write_text("# the engine\nnapari-hybridseg>=0.2.0\n")
    assert SlicerInstallation(REQUIREMENTS).is_complete()
    installation = SlicerInstallation(later, machine.ask)
    assert not installation.is_complete()

    def renew(what: list[str]) -> None:
        machine.pip_install(what)
        installed["napari-hybridseg"] = "0.2.1"

    monkeypatch.setattr(slicer.util, "pip_install", renew)
    installation.install()
    assert machine.calls == [["--no-deps", "napari-hybridseg>=0.2.0"]]
    assert installation.is_complete()


def test_a_newer_slicer_completes_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, "torch", "napari_hybridseg")
    packaging = types.SimpleNamespace(load_requirements=lambda path: ["napari-hybridseg>=0.1.0"])

    def pip_ensure(requirements: list[str], **options: Any) -> None:
        machine.present |= set(requirements)

    packaging.pip_ensure = pip_ensure
    monkeypatch.setattr(install, "slicer_packaging", lambda: packaging)
    installation = SlicerInstallation(REQUIREMENTS, machine.ask)
    assert not installation.is_complete()
    installation.install()
    assert "monai>=1.4" in machine.present


def test_without_the_pytorch_extension_it_says_where_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch)
    with pytest.raises(InstallError, match="Extensions Manager"):
        SlicerInstallation(REQUIREMENTS, machine.ask).install()


def test_a_torch_that_was_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    machine.with_pytorch_extension(monkeypatch, works=False)
    with pytest.raises(InstallError, match="PyTorch was not installed"):
        SlicerInstallation(REQUIREMENTS, machine.ask).install()
    assert len(machine.calls) == 1


@pytest.mark.parametrize(
    ("is_online", "sentence"),
    [(False, "check the network connection"), (True, "error log shows what pip said")],
)
def test_a_failure_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, is_online: bool, sentence: str
) -> None:
    machine = Machine(monkeypatch, "torch")

    def fail(what: list[str]) -> None:
        raise subprocess.CalledProcessError(1, "pip")

    monkeypatch.setattr(slicer.util, "pip_install", fail)
    with pytest.raises(InstallError, match=sentence):
        SlicerInstallation(REQUIREMENTS, machine.ask, lambda: is_online).install()


def test_a_port_that_nobody_listens_at_is_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(install, "_ASKED", server.getsockname())
        assert install.can_reach_packages()
    assert not install.can_reach_packages()


def test_what_slicer_brings_itself_is_not_asked_of_pip() -> None:
    missing = missing_requirements("jsonschema")
    assert missing == []
    names = [line.lower() for line in missing_requirements("matplotlib")]
    assert not any(name.startswith(("torch", "simpleitk")) for name in names)


@pytest.mark.parametrize(
    ("needed", "missing"),
    [
        (["no-such-package>=1"], ["no-such-package>=1"]),
        (["no-such-package; python_version < '3'"], []),
        (["no-such-package; extra == 'all'", "torch>=2", "SimpleITK"], []),
        (["NumPy>=99", "scipy>=1"], ["NumPy>=99"]),
    ],
)
def test_what_is_missing_is_told(
    monkeypatch: pytest.MonkeyPatch, needed: list[str], missing: list[str]
) -> None:
    found = {"napari-hybridseg": needed}
    monkeypatch.setattr(install, "requires", lambda package: found.get(package))
    assert missing_requirements("napari-hybridseg") == missing


def test_what_is_needed_by_what_is_needed_is_missed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"napari-hybridseg": ["scipy"], "scipy": ["no-such-package", "numpy>=99"]}
    monkeypatch.setattr(install, "requires", lambda package: found.get(package))
    assert missing_requirements("napari-hybridseg") == ["no-such-package"]


def test_pips_own_copy_reads_requirements_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    monkeypatch.setattr(install, "requires", lambda package: ["no-such-package>=1"])
    assert missing_requirements("napari-hybridseg") == ["no-such-package>=1"]


def test_a_package_that_is_not_there_needs_nothing() -> None:
    assert missing_requirements("no-such-package") == []


def test_nothing_is_installed_or_imported_at_start_up() -> None:
    code = (
        "import sys, os; sys.path.insert(0, sys.argv[1]); import conftest, HybridSeg; "
        "bad = {'torch', 'napari_hybridseg', 'pydantic'} & set(sys.modules); "
        "sys.exit(', '.join(bad) or 0)"
    )
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", code, here], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]
