"""``hybridseg info`` on damaged files of every kind: a description that is true, or one sentence.

No traceback, no hang of ten seconds, no more than 2 GB for a file of 100 kB, and never a
description of what was cut.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("nibabel", reason="nibabel writes some of the files")
pytest.importorskip("highdicom", reason="highdicom is not installed")
pytest.importorskip("resource", reason="memory is limited as on Unix")

from fuzz_cases import CASES

FUZZ = Path(__file__).with_name("fuzz_info.py")


def fuzz(count: int, seed: int, *kinds: str) -> None:
    ran = subprocess.run(
        [sys.executable, str(FUZZ), str(count), str(seed), *kinds],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    reports = {report.pop("kind"): report for report in map(json.loads, ran.stdout.splitlines())}
    assert set(reports) == set(kinds)
    assert {kind: report["wrong"] for kind, report in reports.items() if report["wrong"]} == {}
    for kind, report in reports.items():
        assert report["refused"] > 0, kind


def test_twenty_mutants_of_each_kind() -> None:
    fuzz(20, 1, *CASES)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CASES)
def test_two_thousand_mutants(kind: str) -> None:
    fuzz(2000, 2, kind)
