"""Memory whose pages are handed on."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hybridseg.inference import page_pool
from napari_hybridseg.inference.page_pool import PagePool
from napari_hybridseg.inference.pages import HUGE_BYTES

HUGE = HUGE_BYTES // 4  # numbers in a huge page


def can_move() -> bool:
    pool = PagePool()
    one = pool.take((HUGE,))
    other = pool.take((HUGE,))
    one[:] = 7
    return page_pool._moved(one.ctypes.data, other.ctypes.data) and bool((other == 7).all())


@pytest.fixture
def moves() -> None:
    if not can_move():
        pytest.skip("the system moves no pages")


@settings(max_examples=60, deadline=None)
@given(data=st.data(), works=st.sampled_from(["as here", "absent", "refused"]))
def test_no_array_is_changed_through_another(data: st.DataObject, works: str) -> None:
    pool, live = PagePool(), {}
    with pytest.MonkeyPatch.context() as patch:
        if works != "as here":
            function = None if works == "absent" else (lambda *_: page_pool._FAILED)
            patch.setattr(page_pool, "_mremap", lambda: function)
        for number in range(data.draw(st.integers(1, 14))):
            if live and data.draw(st.booleans()):
                pool.give_back(live.pop(data.draw(st.sampled_from(sorted(live)))))
            size = data.draw(st.integers(1, 4 * HUGE) | st.sampled_from([HUGE, 2 * HUGE]))
            shape = (2, size // 2) if data.draw(st.booleans()) and size > 1 else (size,)
            array = pool.take(shape)
            assert array.shape == shape
            assert array.dtype == np.float32
            array[...] = number
            live[number] = array
            for n, each in live.items():
                assert (each == n).all()


@pytest.mark.usefixtures("moves")
def test_a_larger_array_gets_the_pages_of_smaller_ones() -> None:
    pool = PagePool()
    small = [pool.take((HUGE,)) for _ in range(3)]
    for number, array in enumerate(small, 1):
        array[:] = number
    for array in small:
        pool.give_back(array)

    large = pool.take((4, HUGE))

    assert sorted(np.unique(large)) == [0, 1, 2, 3]  # nothing was cleared, one page is new


@pytest.mark.usefixtures("moves")
def test_a_smaller_array_gets_some_pages_and_leaves_the_others() -> None:
    pool = PagePool()
    large = pool.take((5, HUGE))
    large[:] = 9
    pool.give_back(large)

    found = [pool.take((HUGE,)), pool.take((3, HUGE)), pool.take((HUGE,)), pool.take((HUGE,))]

    assert [float(array.min()) for array in found] == [9, 9, 9, 0]


@pytest.mark.usefixtures("moves")
def test_so_many_pages_are_not_moved_that_the_system_has_no_more_mappings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(page_pool, "_MOST_PAGES", 2)
    pool = PagePool()
    kept, small = pool.take((3, HUGE)), pool.take((HUGE,))
    small[:] = 1
    kept[:] = 2
    pool.give_back(small)

    assert not pool.take((2, HUGE)).any()
    assert (kept == 2).all()


@pytest.mark.usefixtures("moves")
def test_what_was_given_back_may_be_looked_at_by_mistake() -> None:
    pool = PagePool()
    array = pool.take((2, HUGE))
    array[:] = 1
    pool.give_back(array)
    pool.take((3, HUGE))[:] = 2

    assert not array.any()


def test_of_one_size_the_same_memory_serves_again() -> None:
    pool = PagePool()
    first = pool.take((3, 1000, 100))
    place = first.ctypes.data
    pool.give_back(first)
    assert pool.take((3, 1000, 95)).ctypes.data == place


@pytest.mark.parametrize("works", [True, False])
def test_no_more_is_held_than_was_in_use_at_once(
    works: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not works:
        monkeypatch.setattr(page_pool, "_mremap", lambda: None)
    pool, random = PagePool(), np.random.default_rng(0)
    live: list[np.ndarray] = []
    most = 0
    for _ in range(200):
        if len(live) > 5:
            pool.give_back(live.pop(int(random.integers(len(live)))))
        live.append(pool.take((int(random.integers(1, 3 * HUGE)),)))
        most = max(most, sum(piece.held for piece in pool._given.values()))
        spare = sum(piece.held for piece in pool._spare)
        assert sum(piece.held for piece in pool._given.values()) + spare <= most


def test_what_came_from_elsewhere_is_left_alone() -> None:
    pool = PagePool()
    pool.give_back(np.ones(HUGE, dtype=np.float32))
    assert not pool.take((HUGE,)).any()
    assert prod(pool.take((2, 3)).shape) == 6
