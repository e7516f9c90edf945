from __future__ import annotations

import pytest
from cli_support import hybridseg, hybridseg_process

from napari_hybridseg import __version__

COMMANDS = ["info", "architectures", "checkpoints", "segment", "score", "train"]


def test_it_says_its_version() -> None:
    assert hybridseg("--version").out.strip() == __version__


def test_help_lists_every_command() -> None:
    ran = hybridseg_process("-h")
    assert ran.code == 0
    for command in COMMANDS:
        assert command in ran.out
    assert "worker" not in ran.out


@pytest.mark.parametrize("command", [c for c in COMMANDS if c != "checkpoints"])
def test_every_command_explains_itself(command: str) -> None:
    ran = hybridseg(command, "--help")
    assert ran.code == 0
    assert "--json" in ran.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["info"],
        ["info", "--loud", "x"],
        ["segment", "x.nii"],
        ["score", "x.nii"],
        ["train", "x.json"],
        ["checkpoints", "fly"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    ran = hybridseg(*arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err
