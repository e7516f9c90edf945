from __future__ import annotations

import threading

import pytest

from napari_hybridseg.cli.batch import overlapped
from napari_hybridseg.errors import HybridSegError

WAIT_S = 10.0


def test_the_next_is_read_and_the_last_written_while_one_is_made() -> None:
    next_was_read, was_written = threading.Event(), threading.Event()
    seen = []

    def read(case: int) -> int:
        if case == 2:
            next_was_read.set()
        return case * 10

    def make(case: int, value: int) -> int:
        if case == 1:
            seen.append(next_was_read.wait(WAIT_S))
        if case == 3:
            seen.append(was_written.wait(WAIT_S))
        return value + 1

    def write(case: int, value: int) -> int:
        if case == 2:
            was_written.set()
        return value

    outcomes = list(overlapped([1, 2, 3], read, make, write))
    assert seen == [True, True]
    assert [(o.case, o.value, o.failure) for o in outcomes] == [
        (1, 11, None),
        (2, 21, None),
        (3, 31, None),
    ]


@pytest.mark.parametrize("stage", ["read", "make", "write"])
def test_a_failure_anywhere_stops_no_other_case(stage: str) -> None:
    def step(name: str, case: int) -> int:
        if name == stage and case == 2:
            raise HybridSegError(f"{name} failed")
        return case

    outcomes = list(
        overlapped(
            [1, 2, 3],
            lambda case: step("read", case),
            lambda case, _: step("make", case),
            lambda case, _: step("write", case),
        )
    )
    assert [o.value for o in outcomes] == [1, None, 3]
    assert str(outcomes[1].failure) == f"{stage} failed"


def test_memory_does_not_grow_with_the_number_of_cases() -> None:
    read: list[int] = []
    outcomes = overlapped(range(50), lambda c: read.append(c) or c, lambda c, _: c, lambda c, _: c)
    next(outcomes)
    assert len(read) <= 5
    assert len(list(outcomes)) == 49


def test_an_error_of_our_own_is_not_swallowed() -> None:
    def wrong(case: int) -> int:
        raise TypeError("a bug")

    with pytest.raises(TypeError):
        list(overlapped([1, 2], wrong, lambda c, _: c, lambda c, _: c))
