"""What is kept of what accounts talk about: bounds, order, deletion, and the way through arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from graph.narratives import FEWEST, KEY_BYTES, VECTOR_DIM, VECTORS_KEPT, Narratives


def key(number: int) -> bytes:
    return number.to_bytes(KEY_BYTES, "big")


def vector(number: int) -> NDArray[np.int8]:
    made = np.zeros(VECTOR_DIM, np.int8)
    made[number % VECTOR_DIM] = number % 127 + 1
    return made


def filled(*events: tuple[int, int, int]) -> Narratives:
    """Narratives after (row, time, number of the event) were put in this order."""
    made = Narratives()
    for row, at, number in events:
        made.put(row, at, key(number), vector(number))
    return made


def picture(narratives: Narratives) -> dict[str, Any]:
    return {name: (each.shape, each.tobytes()) for name, each in narratives.arrays().items()}  # type: ignore[union-attr]


def test_the_newest_sixteen_are_kept_whatever_the_order() -> None:
    events = [(3, 1000 * number, number) for number in range(40)]
    made = filled(*events)
    assert made.count(3) == len(made) == VECTORS_KEPT
    assert made.newest_ms(3) == 39_000
    assert [made.has(3, key(number)) for number in (23, 24, 39)] == [False, True, True]
    assert picture(filled(*reversed(events))) == picture(made)
    assert not made.put(3, 5, key(99), vector(99))


def test_gathering_goes_by_the_rows_given_and_then_by_time() -> None:
    made = filled((5, 30, 1), (2, 20, 2), (5, 10, 3), (9, 1, 4), (5, 10, 0))
    found = made.gather([5, 7, 2])
    assert found.owner.tolist() == [5, 5, 5, 2]
    assert found.at_ms.tolist() == [10, 10, 30, 20]
    assert found.keys == [key(0), key(3), key(1), key(2)]
    assert (found.matrix == np.array([vector(number) for number in (0, 3, 1, 2)])).all()
    assert made.rows().tolist() == [2, 5, 9]
    nobody = made.gather([7])
    assert (nobody.owner.shape, nobody.matrix.shape) == ((0,), (0, VECTOR_DIM))


def test_a_text_that_was_not_read_leaves_nothing() -> None:
    made = Narratives()
    assert not made.put(1, 5, key(1), np.zeros(VECTOR_DIM, np.int8))
    assert len(made) == 0
    assert made.rows().tolist() == []


def test_an_event_put_again_is_kept_once() -> None:
    made = filled((1, 5, 1))
    assert made.put(1, 5, key(1), vector(8))
    assert len(made) == 1
    assert (made.gather([1]).matrix[0] == vector(8)).all()


@pytest.mark.parametrize(("name", "one"), [(b"short", vector(1)), (key(1), vector(1)[:9]), (key(1), vector(1) * 1.0)])
def test_a_key_or_vector_of_another_size_is_refused(name: bytes, one: NDArray[np.int8]) -> None:
    made = Narratives()
    with pytest.raises(ValueError, match="a key of"):
        made.put(1, 5, name, one)
    assert len(made) == 0


def test_events_accounts_and_what_is_old_leave() -> None:
    made = filled(*((row, row * 10 + number, number) for row in range(4) for number in range(3)))
    made.forget_event(0, key(1))
    made.forget_event(0, key(1))
    made.forget_event(8, key(1))
    made.drop([1, 8])
    made.expire(22)
    assert [made.count(row) for row in range(4)] == [0, 0, 1, 3]
    assert made.rows().tolist() == [2, 3]
    made.sweep([3])
    assert len(made) == made.swept == 1
    assert picture(made)["row"] == picture(filled((2, 22, 2)))["row"]


def test_there_is_room_for_more_than_at_first() -> None:
    rows = FEWEST // VECTORS_KEPT + 9
    made = filled(*((row, number, row * 16 + number) for row in range(rows) for number in range(VECTORS_KEPT)))
    assert len(made) == rows * VECTORS_KEPT > FEWEST
    found = made.gather(range(rows))
    assert (found.matrix == np.array([vector(number) for number in range(len(made))])).all()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30), st.integers(0, 60)), max_size=80), st.integers(0, 40))
@settings(max_examples=30, deadline=None)
def test_narratives_go_through_arrays_unchanged_and_go_on_alike(
    events: list[tuple[int, int, int]], expired: int
) -> None:
    made = filled(*events)
    made.expire(expired)
    again = Narratives.from_arrays(made.arrays())
    assert picture(again) == picture(made)
    for row, at, number in [(0, 50, 90), (1, 3, 91), (7, 9, 92)]:
        assert made.put(row, at, key(number), vector(number)) == again.put(row, at, key(number), vector(number))
    assert picture(again) == picture(made)
    assert max((made.count(row) for row in range(8)), default=0) <= VECTORS_KEPT


@pytest.mark.parametrize("broken", ["row", "key", "vector"])
def test_arrays_that_do_not_fit_are_refused(broken: str) -> None:
    arrays: dict[str, Any] = dict(filled((1, 5, 1), (1, 6, 2)).arrays())
    with pytest.raises(ValueError, match="narratives"):
        Narratives.from_arrays(arrays | {broken: arrays[broken][:1]})
    with pytest.raises(ValueError, match="twice"):
        Narratives.from_arrays(arrays | {"key": arrays["key"][[0, 0]]})
