from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_hybridseg.training.schedule import rate_factor

SHARES = st.floats(0, 0.9)


@given(warm_up=SHARES)
def test_it_begins_low_peaks_after_the_warm_up_and_ends_low(warm_up: float) -> None:
    assert rate_factor(warm_up, warm_up) == pytest.approx(1)
    assert rate_factor(1, warm_up) == pytest.approx(1e-3)
    assert rate_factor(1.5, warm_up) == pytest.approx(1e-3)
    if warm_up > 0.01:
        assert rate_factor(0, warm_up) == pytest.approx(1e-3)
        assert rate_factor(warm_up / 2, warm_up) == pytest.approx(0.5)


def test_the_fall_is_a_half_cosine() -> None:
    assert rate_factor(0.6, 0.2) == pytest.approx(0.5)
    assert rate_factor(0.4, 0.2) == pytest.approx(0.853553, abs=1e-6)


@given(progress=st.floats(0, 2), warm_up=SHARES)
def test_it_never_is_zero_nor_above_the_peak(progress: float, warm_up: float) -> None:
    assert 1e-3 <= rate_factor(progress, warm_up) <= 1
