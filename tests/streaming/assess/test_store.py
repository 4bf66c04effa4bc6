"""The parts of the state, each for itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import UsageError
from detector.thresholds import Thresholds
from detector.times import rfc3339
from graph.traces import DOMAIN, KIND_TABLE, LINK
from streaming.assess.alert_store import AlertStore, account_alert_id
from streaming.assess.groups import FEWEST, GroupJudge, observed_traces
from streaming.assess.ordering import RecentKeys, event_key
from streaming.assess.settings import AssessSettings
from streaming.assess.store import EVENTS_KEPT as KEPT_EVENTS
from streaming.assess.store import (
    NEAR_DUPLICATE_MS,
    NEVER,
    NEWEST,
    TEXTS_KEPT,
    TEXTS_KEPT_OF_PEOPLE,
    TRACES_MS,
    Accounts,
    Kept,
    NearDuplicates,
    Texts,
    Timeline,
)
from streaming.config import Config
from streaming.schema.observation import Kind
from tests.streaming import builders
from tests.streaming.assess.fakes import PEOPLE, WordCounter
from tests.streaming.builders import T0, observation


def test_settings_come_from_the_configuration() -> None:
    settings = AssessSettings.from_config(Config(prior=0.2, given=frozenset({"target_fpr"})), ["text", "graph"])
    assert (settings.prior, settings.explicit_fpr) == (0.2, True)
    assert settings.without == frozenset({"text", "graph"})
    with pytest.raises(UsageError, match="luck"):
        AssessSettings.from_config(Config(), ["luck"])


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (T0 + 1, "2026-01-01T00:00:00.001Z"),
        (253_402_300_800_000, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_written_as_rfc_3339(at: int, text: str) -> None:
    assert rfc3339(at) == text


def test_event_keys_keep_account_and_id_apart() -> None:
    assert len({event_key("a", "bc"), event_key("ab", "c"), event_key("abc", ""), event_key("", "abc")}) == 4


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50)), max_size=40), st.integers(0, 60))
def test_keys_are_remembered_exactly_for_the_window(steps: list[tuple[int, int]], window: int) -> None:
    memory, truth, now = RecentKeys(window), dict[bytes, int](), 0
    for name, pause in steps:
        now += pause
        key = event_key("a", str(name))
        expected = truth.get(key)
        assert memory.get(key, now) == (expected if expected is not None and now - expected <= window else None)
        memory.put(key, now)
        truth[key] = now
        again = RecentKeys(window)
        again.restore(memory.state())
        memory = again
    assert len(memory) <= 8


def test_rows_are_used_again_lowest_first_and_blank() -> None:
    accounts = Accounts()
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
    accounts = Accounts()
    old = accounts.row("a")
    accounts.give_up("a")
    new = accounts.row("a")
    accounts.free([old])
    assert (accounts.find("a"), accounts.name(new), accounts.row("b")) == (new, "a", old)


def test_accounts_survive_a_snapshot_in_the_middle_of_growth() -> None:
    accounts = Accounts()
    for number in range(3000):
        row = accounts.row(f"n{number}")
        accounts.total[row] = number
    fresh = Accounts()
    fresh.restore(accounts.state())
    assert (fresh.capacity, fresh.find("n2999"), fresh.total[2999]) == (4096, 2999, 2999.0)


def kept(number: int, llr: int) -> Kept:
    return Kept(number, str(number), "text", "en", llr, llr)


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=30))
def test_of_a_suspect_the_strongest_and_the_newest_texts_are_kept(llrs: list[int]) -> None:
    texts = Texts()
    for number, llr in enumerate(llrs):
        texts.add(7, kept(number, llr))
        texts.settle(7, suspect=True)
    left = texts.of(7)
    assert len(left) == min(len(llrs), TEXTS_KEPT)
    assert [text.at for text in left] == sorted(text.at for text in left)
    assert [text.at for text in left[-NEWEST:]] == list(range(len(llrs)))[-NEWEST:]
    assert max(llrs) in [text.llr for text in left]


def test_of_people_only_the_newest_texts_are_kept_and_not_for_long() -> None:
    texts = Texts()
    for number in range(9):
        texts.add(7, kept(number, 1))
    texts.settle(7, suspect=False)
    assert [text.at for text in texts.of(7)] == [7, 8]
    assert len(texts.of(7)) == TEXTS_KEPT_OF_PEOPLE
    texts.forget_event(7, "7")
    texts.expire(9)
    assert texts.of(7) == []
    assert list(texts) == []


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 200_000_000)), max_size=300), st.integers(0, 3))
def test_a_timeline_keeps_the_last_events_of_each_account(steps: list[tuple[int, int]], asked: int) -> None:
    timeline, truth, now = Timeline(), [], 0
    for row, pause in steps:
        now += pause // 100
        truth.append((row, now))
        one = np.array([row])
        timeline.add(one, np.array([now]), np.array([0], np.int8), np.array([now % 97], np.uint32))
    timeline._compact(now)
    rows, times, _ = timeline.last(np.array([asked]))
    week = [at for row, at in truth if row == asked and at >= now - 7 * 86_400_000]
    assert times.tolist()[-len(week[-KEPT_EVENTS:]) :] == week[-KEPT_EVENTS:] or not week
    assert set(rows.tolist()) <= {asked}
    recent = [(row, at) for row, at in truth if row == asked and at >= now - TRACES_MS]
    found = timeline.find([(asked, at % 97) for _, at in recent])
    assert set(recent) <= set(found)


def test_a_timeline_forgets_accounts_and_stays_small() -> None:
    timeline = Timeline()
    for step in range(60):
        rows = np.arange(5000) % 50
        timeline.add(rows, np.full(5000, step * TRACES_MS), np.zeros(5000, np.int8), np.zeros(5000, np.uint32))
    assert timeline._limit < 100_000
    timeline.forget([3])
    assert len(timeline.last(np.array([3]))[0]) == 0
    assert len(timeline.last(np.array([4]))[0]) == KEPT_EVENTS


def reading(text: str) -> bytes:
    return bytes(WordCounter().read([text], ["en"]).tobytes())


def test_nearly_equal_texts_share_a_cluster_and_others_do_not() -> None:
    near = NearDuplicates()
    first = near.key(reading("the quick brown fox jumps over the lazy dog by the river at dawn today"), 0)
    again = near.key(reading("the quick brown fox jumps over the lazy dog by the river at dawn tomorrow"), 1000)
    other = near.key(reading("an entirely different sentence about trains and weather in the north of spain"), 2000)
    assert first == again is not None
    assert other not in (None, first)
    assert near.key(reading("happy birthday to you dear"), 3000) is None


def test_clusters_are_forgotten_after_two_windows_and_survive_a_snapshot() -> None:
    text = reading("the quick brown fox jumps over the lazy dog by the river at dawn today")
    near = NearDuplicates()
    near.key(text, 0)
    fresh = NearDuplicates()
    fresh.restore(near.state())
    assert fresh.state() == near.state()
    assert fresh.key(text, NEAR_DUPLICATE_MS) == near.key(text, NEAR_DUPLICATE_MS)
    near.key(
        reading("an entirely different sentence about trains and weather in the north of spain"), 5 * NEAR_DUPLICATE_MS
    )
    assert len(near._now) + len(near._before) == 6


def test_an_event_gives_its_touches_next_to_each_other() -> None:
    accounts = Accounts()
    for name in ("ann", "bob"):
        accounts.row(name)
    seen = observation(
        0,
        "ann",
        at=5,
        kind=Kind.QUOTE,
        target="e1",
        target_account="bob",
        urls=("https://a.example/x", "https://a.example/y"),
        hashtags=("b", "a"),
        mentions=("cid", "ann"),
    )
    touches = list(observed_traces(seen, 0, accounts, "cluster"))
    assert [(KIND_TABLE[t.kind].name.upper(), t.key, t.other) for t in touches] == [
        ("QUOTE", "bob\ne1", 1),
        ("LINK", "https://a.example/x", -1),
        ("LINK", "https://a.example/y", -1),
        ("DOMAIN", "a.example", -1),
        ("HASHTAGS", "a b", -1),
        ("MENTION", "cid", -1),
        ("NEAR_DUPLICATE", "cluster", -1),
    ]
    assert {(t.at_ms, t.account) for t in touches} == {(T0 + 5, 0)}


def test_a_flood_of_links_is_cut() -> None:
    seen = observation(0, "ann", urls=tuple(f"https://{i}.example/" for i in range(32)))
    kinds = [touch.kind for touch in observed_traces(seen, 0, Accounts(), None)]
    assert kinds.count(LINK) == kinds.count(DOMAIN) == 8


def test_a_group_needs_more_than_its_loudest_members() -> None:
    judge = GroupJudge(Thresholds.of({"people": PEOPLE}, 100, frozenset({"en"}), "1"), 0.05)
    machines = judge.judge(np.full(8, 3.5))
    assert machines.machine
    assert not judge.judge(np.array([9.0, 9.0, 9.0, -0.1, -0.1, -0.1, -0.1])).machine
    assert not judge.judge(np.full(FEWEST - 1, 9.0)).machine
    assert not judge.judge(np.full(200, 1.0)).machine
    assert judge.threshold(3) > judge.threshold(30) > judge.threshold(3000) > PEOPLE.mean()


def test_the_mean_of_a_group_does_not_depend_on_the_order_of_its_members() -> None:
    judge = GroupJudge(Thresholds.of({"people": PEOPLE}, 100, frozenset({"en"}), "1"), 0.05)
    values = np.random.default_rng(0).normal(size=50)
    assert judge.judge(values) == judge.judge(values[::-1])


def test_a_new_day_brings_new_alerts() -> None:
    store, day = AlertStore(), 86_400_000
    assert [store.admit(at, 2) for at in (day, day, day, day + 1)] == [True, True, False, True]
    unlimited = AlertStore()
    assert [unlimited.admit(day, 0) for _ in range(50)] == [True] * 50


def test_an_account_s_alert_is_named_by_its_hash() -> None:
    assert account_alert_id("ann") == account_alert_id("ann") != account_alert_id("bob")
    assert "ann" not in account_alert_id("ann")
    assert builders.T0 % 60_000 == 0
