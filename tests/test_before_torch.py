from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from napari_hybridseg.before_torch import LARGE_PAGES, ask_for_large_pages
from napari_hybridseg.cli import app
from napari_hybridseg.engine import __main__ as engine


def test_large_pages_are_asked_for() -> None:
    environment: dict[str, str] = {}
    ask_for_large_pages(environment)
    assert environment == {LARGE_PAGES: "1"}


def test_what_the_user_said_holds() -> None:
    environment = {LARGE_PAGES: "0"}
    ask_for_large_pages(environment)
    assert environment == {LARGE_PAGES: "0"}


def test_the_command_line_and_the_engine_ask_before_they_do_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []
    monkeypatch.setattr(app, "app", lambda: seen.append(os.environ.get(LARGE_PAGES)))
    monkeypatch.setattr(engine, "serve", lambda _: seen.append(os.environ.get(LARGE_PAGES)))
    monkeypatch.setattr(sys, "argv", ["hybridseg"])
    for main in (app.main, engine.main):
        monkeypatch.setenv(LARGE_PAGES, "")
        monkeypatch.delenv(LARGE_PAGES)
        main()
    assert seen == ["1", "1"]


@pytest.mark.skipif(not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="not Linux")
def test_torch_then_takes_large_pages() -> None:
    code = (
        "from napari_hybridseg.before_torch import ask_for_large_pages\n"
        "ask_for_large_pages()\n"
        "import torch\n"
        "x = torch.ones(2**24)\n"
        "at = x.data_ptr()\n"
        "flags = ''\n"
        "for line in open('/proc/self/smaps'):\n"
        "    words = line.split()\n"
        "    if '-' in words[0] and not words[0].endswith(':'):\n"
        "        low, high = (int(n, 16) for n in words[0].split('-'))\n"
        "    elif words[0] == 'VmFlags:' and low <= at < high:\n"
        "        flags = words\n"
        "print('hg' in flags)\n"
    )
    for value, advised in (("1", "True"), ("0", "False")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, LARGE_PAGES: value},
        )
        assert done.stdout.strip() == advised
