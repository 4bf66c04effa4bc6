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
    _bands,
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
    first = near.key(features(f"{FOX} today"), 0, 1)
    again = near.key(features(f"{FOX} tomorrow"), 1000, 2)
    other = near.key(features(TRAINS), 2000, 3)
    assert first == again is not None
    assert other not in (None, first)
    assert near.key(features("happy birthday to you dear"), 3000, 4) is None


def test_clusters_are_forgotten_after_two_windows_and_survive_a_snapshot() -> None:
    text = features(f"{FOX} today")
    near = NearDuplicates()
    near.key(text, 0, 1)
    fresh = msgspec.msgpack.decode(msgspec.msgpack.encode(near), type=NearDuplicates)
    assert fresh == near
    assert fresh.key(text, NEAR_DUPLICATE_MS, 2) == near.key(text, NEAR_DUPLICATE_MS, 2)
    near.key(features(TRAINS), 5 * NEAR_DUPLICATE_MS, 3)
    assert len(near.current.bands) + len(near.previous.bands) == 6


def test_a_cluster_goes_on_under_its_name_while_somebody_writes_nearly_the_same_every_day() -> None:
    near = NearDuplicates()
    keys = [near.key(features(f"{FOX} today"), day * NEAR_DUPLICATE_MS, day) for day in range(5)]
    assert keys[0] is not None
    assert keys == [keys[0]] * 5
    assert len(near.current.firsts) == 1


def sketches(near: NearDuplicates) -> set[bytes]:
    """Every MinHash, whole or in bands, that is kept."""
    kept: set[bytes] = set()
    for generation in (near.current, near.previous):
        kept |= {*generation.firsts, *generation.of_event.values()}
        kept |= {band[1:] for band in generation.bands}
    return kept - {b""}


def test_nothing_of_a_deleted_text_is_kept() -> None:
    near = NearDuplicates()
    before = sketches(near)
    near.key(features(f"{FOX} today"), 0, 1)
    near.forget([1, 99])
    assert sketches(near) == before
    assert near.key(features(TRAINS), NEAR_DUPLICATE_MS - 1, 2) is not None
    only = sketches(near)
    near.key(features(f"{FOX} today"), NEAR_DUPLICATE_MS - 1, 3)
    near.key(features(f"{FOX} tomorrow"), NEAR_DUPLICATE_MS, 4)
    near.forget([3, 4])
    assert sketches(near) == only, "also what lasts beyond its day"


def test_a_deletion_takes_no_text_along_that_is_still_there() -> None:
    near = NearDuplicates()
    first = near.key(features(FOX), 0, 1)
    assert near.key(features(FOX), 1, 2) == first
    near.forget([1])
    assert near.key(features(f"{FOX} today"), 2, 3) == first, "another has the same text"
    near.forget([3])
    assert near.key(features(f"{FOX} today"), 3, 4) == first


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.booleans()), max_size=40))
def test_what_is_kept_is_never_of_deleted_texts_alone(steps: list[tuple[int, int, bool]]) -> None:
    texts = [features(text) for text in (FOX, f"{FOX} today", f"{FOX} tomorrow", TRAINS, f"{TRAINS} and of france")]
    near, now, there = NearDuplicates(), 0, dict[int, int]()
    assert sketches(near) == set()
    for number, (days, text, deletes) in enumerate(steps):
        now += days * NEAR_DUPLICATE_MS // 2
        if deletes and there:
            near.forget([gone := min(there)])
            del there[gone]
        else:
            near.key(texts[text], now, number)
            there[number] = text
        allowed = NearDuplicates()
        for event, kept in there.items():
            allowed.key(texts[kept], now, event)
        bands = {band for event in there for band in _bands(allowed.current.of_event[event])}
        for generation in (near.current, near.previous):
            assert {*generation.of_event.values(), *generation.firsts, b""} <= {*allowed.current.of_event.values(), b""}
            assert generation.bands.keys() <= bands
