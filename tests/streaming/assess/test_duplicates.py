"""What was seen before: keys for a window of event time, and clusters of nearly equal texts."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streaming.assess.duplicates import (
    MARKS,
    NEAR_DUPLICATE_MS,
    DeduplicationSet,
    NearDuplicates,
    event_key,
    text_mark,
)
from tests.streaming.assess.fakes import WordCounter

FOX = "the quick brown fox jumps over the lazy dog by the river at dawn"
TRAINS = "an entirely different sentence about trains and weather in the north of spain"


def test_event_keys_keep_account_and_id_apart() -> None:
    assert len({event_key("a", "bc"), event_key("ab", "c"), event_key("abc", ""), event_key("", "abc")}) == 4


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50)), max_size=40), st.integers(0, 60))
def test_keys_are_remembered_exactly_for_the_window(steps: list[tuple[int, int]], window: int) -> None:
    memory, truth, now = DeduplicationSet(window), dict[bytes, int](), 0
    for name, pause in steps:
        now += pause
        key = event_key("a", str(name))
        expected = truth.get(key)
        assert memory.get(key, now) == (expected if expected is not None and now - expected <= window else None)
        memory.put(key, now, pause)
        truth[key] = now
        assert memory.mark(key) == pause
        memory = msgspec.msgpack.decode(msgspec.msgpack.encode(memory), type=DeduplicationSet)
    assert len(memory) <= 8


@given(st.text(max_size=20))
def test_a_mark_fits_and_nothing_has_the_mark_of_nothing(text: str) -> None:
    assert 0 <= text_mark(text) < MARKS
    assert (text_mark(text) == 0) == (text == "")


def features(text: str) -> bytes:
    return bytes(WordCounter().read([text], ["en"]).tobytes())


def test_nearly_equal_texts_share_a_cluster_and_others_do_not() -> None:
    near = NearDuplicates()
    first = near.key(features(f"{FOX} today"), 0)
    again = near.key(features(f"{FOX} tomorrow"), 1000)
    other = near.key(features(TRAINS), 2000)
    assert first == again is not None
    assert other not in (None, first)
    assert near.key(features("happy birthday to you dear"), 3000) is None


def test_clusters_are_forgotten_after_two_windows_and_survive_a_snapshot() -> None:
    text = features(f"{FOX} today")
    near = NearDuplicates()
    near.key(text, 0)
    fresh = msgspec.msgpack.decode(msgspec.msgpack.encode(near), type=NearDuplicates)
    assert fresh == near
    assert fresh.key(text, NEAR_DUPLICATE_MS) == near.key(text, NEAR_DUPLICATE_MS)
    near.key(features(TRAINS), 5 * NEAR_DUPLICATE_MS)
    assert len(near.current.bands) + len(near.previous.bands) == 6


def test_a_cluster_goes_on_under_its_name_while_somebody_writes_nearly_the_same_every_day() -> None:
    near = NearDuplicates()
    keys = [near.key(features(f"{FOX} today"), day * NEAR_DUPLICATE_MS) for day in range(5)]
    assert keys[0] is not None
    assert keys == [keys[0]] * 5
    assert len(near.current.firsts) == 1
