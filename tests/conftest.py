"""What all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# the machines that run this are shared: a slow example is no failure, nor is a slow draw
settings.register_profile(
    "shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("shared machine")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Give the folder of real data beside the checkout, or skip."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("the shared data folder is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def golden() -> Path:
    """Give the folder of the authors' numerical cases, or skip."""
    folder = SHARED / "golden"
    if not folder.is_dir():
        pytest.skip("the golden parity cases are not beside this checkout")
    return folder
