"""What the memory of traces keeps, for how long, and what leaves it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import LogError
from graph.trace_memory import MAX_AGE_MS, TRACES_PER_ACCOUNT, TraceMemory, TraceView
from graph.traces import DAY_MS, HOUR_MS, KIND_NAMES, LIKE, LINK, MINUTE_MS, REPOST, WINDOW_MS, Trace

NOW = 100 * DAY_MS


def name(row: int) -> str:
    """A name whose order is not that of the rows."""
    return f"n{row * 7919 % 10007:05d}"


def filled(*traces: Trace) -> TraceMemory:
    memory = TraceMemory()
    for trace in traces:
        memory.add([trace])
    return memory


def shown(view: TraceView) -> list[tuple[int, str, str, str, str]]:
    """What a view says, by name: (time, account, kind, object, account acted upon)."""
    columns = (view.at, view.account, view.kind, view.item, view.other)
    return [
        (at, view.names[account], KIND_NAMES[kind], view.keys[item], view.names[other] if other >= 0 else "")
        for at, account, kind, item, other in zip(*(column.tolist() for column in columns), strict=True)
    ]


def seen(memory: TraceMemory, now_ms: int = NOW) -> list[tuple[int, str, str, str, str]]:
    return shown(memory.view(name, now_ms))


def test_a_view_names_accounts_and_objects_in_order() -> None:
    memory = filled(Trace(1, 2, LINK, "b"), Trace(2, 1, REPOST, "a", 2), Trace(3, 1, LINK, "b"))
    view = memory.view(["", "zoe", "ann"].__getitem__, 10)
    assert (view.names, view.rows.tolist(), view.keys) == (["ann", "zoe"], [2, 1], ["b", "a"])
    assert shown(view) == [
        (1, "ann", "link", "b", ""), (2, "zoe", "repost", "a", "ann"), (3, "zoe", "link", "b", ""),
    ]  # fmt: skip


def test_a_view_of_some_rows_has_everybody_on_their_objects_and_nothing_else() -> None:
    memory = filled(Trace(1, 0, LINK, "x"), Trace(2, 1, LINK, "x"), Trace(3, 1, LINK, "y"), Trace(4, 2, LINK, "y"))
    view = memory.view(name, 10, np.array([0, 5]))
    assert sorted(view.names) == sorted(name(row) for row in (0, 1, 5))
    assert shown(view) == [(1, name(0), "link", "x", ""), (2, name(1), "link", "x", "")]


def test_the_future_is_not_in_a_view() -> None:
    assert seen(filled(Trace(5, 0, LINK, "x"), Trace(6, 1, LINK, "x")), now_ms=5) == [(5, name(0), "link", "x", "")]


def test_of_a_busy_account_the_newest_traces_are_kept_and_the_rest_counted() -> None:
    memory = TraceMemory()
    more = 44
    for n in range(TRACES_PER_ACCOUNT + more):
        memory.add([Trace(NOW + n, row, LINK, f"x{n}") for row in (0, 1 + n % 2)])
    assert memory.dropped == 0
    memory.tidy(NOW + HOUR_MS)
    mine = [at for at, who, *_ in seen(memory, NOW + HOUR_MS) if who == name(0)]
    assert mine == [NOW + n for n in range(more, TRACES_PER_ACCOUNT + more)]
    assert memory.dropped == more
    assert len(memory) == 2 * TRACES_PER_ACCOUNT + more
    assert memory.added == 2 * (TRACES_PER_ACCOUNT + more)


def test_old_traces_are_out_of_the_view_at_once_and_leave_uncounted() -> None:
    memory = filled(Trace(NOW, 0, LINK, "x"), Trace(NOW + 1, 1, LINK, "x"))
    later = NOW + MAX_AGE_MS + 1
    assert [at for at, *_ in seen(memory, later)] == [NOW + 1]
    assert memory.rows(later).tolist() == [1]
    memory.tidy(NOW + MAX_AGE_MS + 2)
    assert (len(memory), memory.dropped) == (0, 0)


def test_an_object_of_one_account_alone_goes_after_its_window_and_a_contact_stays() -> None:
    memory = filled(
        Trace(NOW, 0, LINK, "alone"), Trace(NOW, 0, LINK, "shared"), Trace(NOW, 0, REPOST, "b\n1", 1),
        Trace(NOW, 0, REPOST, "unknown"), Trace(NOW + 1, 1, LINK, "shared"),
    )  # fmt: skip
    memory.tidy(NOW + WINDOW_MS[LINK])
    assert {key for _, _, _, key, _ in seen(memory, NOW + WINDOW_MS[LINK])} == {"alone", "shared", "b\n1"}
    memory.tidy(NOW + WINDOW_MS[LINK] + 2)
    left = [key for _, _, _, key, _ in seen(memory, NOW + WINDOW_MS[LINK] + 2)]
    assert sorted(left) == ["b\n1", "shared", "shared"]
    assert memory.dropped == 0


def test_the_place_of_an_object_that_left_is_used_again_under_its_new_name() -> None:
    memory = filled(Trace(NOW, 0, LINK, "old"))
    memory.tidy(NOW + 3 * DAY_MS)
    memory.add([Trace(NOW + 3 * DAY_MS, 0, REPOST, "new"), Trace(NOW + 3 * DAY_MS, 0, LINK, "old")])
    assert [(kind, key) for _, _, kind, key, _ in seen(memory, NOW + 4 * DAY_MS)] == [
        ("link", "old"), ("repost", "new"),
    ]  # fmt: skip
    _, keys, *_ = msgspec.msgpack.decode(bytes(memory.arrays()["objects"]))
    assert sorted(keys) == ["new", "old"]


def test_acting_upon_oneself_is_no_contact() -> None:
    assert seen(filled(Trace(NOW, 0, REPOST, "a\n1", 0))) == [(NOW, name(0), "repost", "a\n1", "")]


@dataclass
class Effort(TraceMemory):
    """A memory that says how much it moved."""

    moved: int = 0
    times: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def tidy(self, now_ms: int) -> None:
        self.moved += len(self)
        self.times.append(len(self))
        super().tidy(now_ms)


def test_appending_costs_the_same_whatever_is_held() -> None:
    memory = Effort()
    added = 80_000
    for start in range(0, added, 10):
        memory.add([Trace(NOW + n, n % 2000, LINK, f"x{n % 7000}") for n in range(start, start + 10)])
    assert memory.times, "so many are tidied"
    assert memory.moved <= 2 * added
    assert len(memory) == added


def test_forgetting_an_event_takes_its_traces_and_no_others() -> None:
    memory = filled(
        Trace(NOW, 0, LINK, "x"), Trace(NOW, 0, REPOST, "b\n1", 1), Trace(NOW, 1, LINK, "x"),
        Trace(NOW + 1, 0, LINK, "y"),
    )  # fmt: skip
    memory.forget_moments([(0, NOW)])
    assert seen(memory, NOW + 1) == [(NOW, name(1), "link", "x", ""), (NOW + 1, name(0), "link", "y", "")]


def test_forgetting_an_account_takes_what_it_did_and_that_others_acted_on_it() -> None:
    memory = filled(
        Trace(NOW, 0, LINK, "x"), Trace(NOW, 1, LIKE, "post", 0), Trace(NOW, 1, LIKE, "another", 2),
        Trace(NOW, 2, LINK, "x"),
    )  # fmt: skip
    memory.forget([0])
    left = [(who, key, other) for _, who, _, key, other in seen(memory)]
    assert sorted(left) == sorted([(name(1), "post", ""), (name(1), "another", name(2)), (name(2), "x", "")])
    assert memory.rows(NOW).tolist() == [1, 2]
    memory.add([Trace(NOW, 0, LINK, "z")])  # the row is somebody else's now
    memory.tidy(NOW)
    assert {(who, other) for _, who, _, key, other in seen(memory) if key in {"post", "z"}} == {
        (name(0), ""), (name(1), ""),
    }  # fmt: skip


TRACES = st.lists(
    st.builds(
        lambda minute, row, kind, thing, other: Trace(
            NOW + minute * MINUTE_MS, row, kind, f"{thing}", (row + other) % 6 if kind == REPOST and other else -1
        ),
        st.integers(0, 300), st.integers(0, 5), st.sampled_from((LINK, REPOST)), st.integers(0, 8), st.integers(0, 5),
    ),
    max_size=60,
    unique_by=lambda trace: trace[:4],
).map(lambda traces: sorted(traces, key=lambda trace: trace.at_ms))  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(TRACES, st.sets(st.integers(0, 60), max_size=6))
def test_where_no_bound_is_reached_tidying_changes_nothing(traces: list[Trace], tidied: set[int]) -> None:
    plain, tidy = filled(*traces), TraceMemory()
    for n, trace in enumerate(traces):
        tidy.add([trace])
        if n in tidied:
            tidy.tidy(trace.at_ms)
    assert seen(tidy, NOW + DAY_MS) == seen(plain, NOW + DAY_MS)
    assert tidy.dropped == 0


@settings(max_examples=60, deadline=None)
@given(TRACES, st.randoms(use_true_random=False))
def test_numbers_of_rows_and_the_order_within_one_time_do_not_matter(
    traces: list[Trace], chance: random.Random
) -> None:
    rows = list(range(6))
    chance.shuffle(rows)
    back = {row: n for n, row in enumerate(rows)}
    other = [
        trace._replace(account=rows[trace.account], other=rows[trace.other] if trace.other >= 0 else -1)
        for trace in sorted(traces, key=lambda trace: (trace.at_ms, chance.random()))
    ]
    one = filled(*traces).view(name, NOW + DAY_MS)
    two = filled(*other).view(lambda row: name(back[row]), NOW + DAY_MS)
    assert (one.names, one.keys) == (two.names, two.keys)
    for field_name in ("at", "account", "kind", "item", "other"):
        assert getattr(one, field_name).tolist() == getattr(two, field_name).tolist(), field_name


@settings(max_examples=40, deadline=None)
@given(TRACES, st.integers(0, 60))
def test_a_snapshot_goes_on_as_if_it_had_not_been_taken(traces: list[Trace], taken: int) -> None:
    whole = filled(*traces[:taken])
    whole.forget([2])
    whole.tidy(NOW)
    again = TraceMemory.from_arrays(whole.arrays())
    for trace in traces[taken:]:
        whole.add([trace])
        again.add([trace])
    ours, theirs = whole.arrays(), again.arrays()
    assert ours["objects"] == theirs["objects"]
    assert all(np.array_equal(ours[column], theirs[column]) for column in ("at", "row", "slot", "other"))
    assert seen(again, NOW + DAY_MS) == seen(whole, NOW + DAY_MS)


def test_arrays_are_copies() -> None:
    memory = filled(Trace(NOW, 0, LINK, "x"))
    taken = memory.arrays()
    memory.forget([0])
    assert TraceMemory.from_arrays(taken).rows(NOW).tolist() == [0]


def test_a_snapshot_with_other_kinds_of_traces_is_refused() -> None:
    arrays = filled(Trace(NOW, 0, LINK, "x")).arrays()
    known, *rest = msgspec.msgpack.decode(bytes(arrays["objects"]))
    arrays["objects"] = msgspec.msgpack.encode(([*known, "emoji"], *rest))
    with pytest.raises(LogError, match="emoji"):
        TraceMemory.from_arrays(arrays)
