"""Rows of accounts, their recent events and the texts kept of them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streaming.assess.store import (
    EVENTS_KEPT,
    EVENTS_MS,
    NEVER,
    NEWEST,
    TEXTS_KEPT,
    TEXTS_KEPT_OF_PEOPLE,
    TRACES_MS,
    AccountTable,
    KeptText,
    KeptTexts,
    RecentEvents,
)


def test_rows_are_used_again_lowest_first_and_blank() -> None:
    accounts = AccountTable()
    rows = [accounts.row(name) for name in "abcd"]
    accounts.total[:4] = 1.0
    for name in "ca":
        accounts.give_up(name)
    accounts.free([2, 0])
    assert rows == [0, 1, 2, 3]
    assert [accounts.row("x"), accounts.row("y"), accounts.row("z")] == [0, 2, 4]
    assert accounts.total[:4].tolist() == [0.0, 1.0, 0.0, 1.0]
    assert accounts.last_at[0] == NEVER
    assert accounts.find("a") is None
    assert accounts.live().tolist() == [0, 1, 2, 3, 4]


def test_an_account_given_up_may_begin_again_before_its_row_is_free() -> None:
    accounts = AccountTable()
    old = accounts.row("a")
    accounts.give_up("a")
    new = accounts.row("a")
    accounts.free([old])
    assert (accounts.find("a"), accounts.name(new), accounts.row("b")) == (new, "a", old)


def test_rows_keep_their_values_and_new_ones_are_blank_whenever_the_table_grows() -> None:
    accounts = AccountTable()
    for number in range(3000):
        row = accounts.row(f"n{number}")
        accounts.total[row] = number
    assert (accounts.used, accounts.capacity, len(accounts.total)) == (3000, 4096, 4096)
    assert accounts.total[:3000].tolist() == list(range(3000))
    assert set(accounts.last_at.tolist()) == {NEVER}
    assert not accounts.total[3000:].any()


def test_a_table_made_of_the_entries_in_use_has_room_again() -> None:
    accounts = AccountTable()
    for number in range(1500):
        row = accounts.row(f"n{number}")
        accounts.total[row] = number
    in_use = {name: getattr(accounts, name)[: accounts.used] for name in AccountTable.columns()}
    again = AccountTable(accounts.used, accounts.capacity, accounts.names, **in_use)
    assert (again.capacity, len(again.total), again.find("n1499"), again.row("new")) == (2048, 2048, 1499, 1500)
    assert np.array_equal(again.total, accounts.total)


def kept(number: int, llr: int) -> KeptText:
    return KeptText(number, str(number), "text", "en", llr, llr)


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=30))
def test_of_a_suspect_the_strongest_and_the_newest_texts_are_kept(llrs: list[int]) -> None:
    texts = KeptTexts()
    for number, llr in enumerate(llrs):
        texts.add(7, kept(number, llr))
        texts.settle(7, suspect=True)
    left = texts.of(7)
    assert len(left) == min(len(llrs), TEXTS_KEPT)
    assert [text.at for text in left] == sorted(text.at for text in left)
    assert [text.at for text in left[-NEWEST:]] == list(range(len(llrs)))[-NEWEST:]
    assert max(llrs) in [text.llr for text in left]


def test_of_people_only_the_newest_texts_are_kept_and_not_for_long() -> None:
    texts = KeptTexts()
    for number in range(9):
        texts.add(7, kept(number, 1))
    texts.settle(7, suspect=False)
    assert [text.at for text in texts.of(7)] == [7, 8]
    assert len(texts.of(7)) == TEXTS_KEPT_OF_PEOPLE
    texts.forget_event(7, "7")
    texts.expire(9)
    assert texts.of(7) == []
    assert texts.of_row == {}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 200_000_000)), max_size=300), st.integers(0, 3))
def test_the_last_events_of_each_account_are_kept(steps: list[tuple[int, int]], asked: int) -> None:
    events, truth, now = RecentEvents(), [], 0
    for row, pause in steps:
        now += pause // 100
        truth.append((row, now))
        one = np.array([row])
        events.add(one, np.array([now]), np.array([0], np.int8), np.array([now % 97], np.uint32))
    events.compact(now)
    rows, times, _ = events.last(np.array([asked]))
    week = [at for row, at in truth if row == asked and at >= now - EVENTS_MS]
    assert times.tolist()[-len(week[-EVENTS_KEPT:]) :] == week[-EVENTS_KEPT:] or not week
    assert set(rows.tolist()) <= {asked}
    recent = [(row, at) for row, at in truth if row == asked and at >= now - TRACES_MS]
    found = events.find([(asked, at % 97) for _, at in recent])
    assert set(recent) <= set(found)


def test_recent_events_forget_accounts_and_stay_small() -> None:
    events = RecentEvents()
    for step in range(60):
        rows = np.arange(5000) % 50
        events.add(rows, np.full(5000, step * TRACES_MS), np.zeros(5000, np.int8), np.zeros(5000, np.uint32))
    assert events.capacity < 100_000
    events.forget([3])
    assert len(events.last(np.array([3]))[0]) == 0
    assert len(events.last(np.array([4]))[0]) == EVENTS_KEPT
