"""The window of traces against a list of traces."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from graph.trace_window import TraceWindow
from graph.traces import DOMAIN, LINK, Trace

ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 5), st.sampled_from("abcd"), st.integers(0, 3)),
        st.tuples(st.just("expire"), st.integers(0, 8), st.just(""), st.just(0)),
        st.tuples(st.just("forget"), st.integers(0, 5), st.just(""), st.just(0)),
        st.tuples(st.just("snapshot"), st.just(0), st.just(""), st.just(0)),
    ),
    max_size=40,
)


def listed(window: TraceWindow) -> list[tuple[int, int, str]]:
    at, row, slot = window.view()
    return [(int(a), int(r), window.key(int(s))) for a, r, s in zip(at, row, slot, strict=True) if r >= 0]


@settings(max_examples=60, deadline=None)
@given(ACTIONS)
def test_window_holds_what_a_list_would(actions: list[tuple[str, int, str, int]]) -> None:
    window, model, now = TraceWindow(), list[tuple[int, int, str]](), 0
    assert listed(window) == []
    for action, number, key, step in actions:
        if action == "add":
            now += step
            window.add([Trace(now, number, LINK, key)])
            model.append((now, number, key))
        elif action == "expire":
            window.expire(now - number)
            model = [t for t in model if t[0] >= now - number]
        elif action == "forget":
            window.forget(number)
            model = [t for t in model if t[1] != number]
        else:
            window = TraceWindow.from_arrays(window.arrays())
        assert listed(window) == model
        for name in "abcd":
            traces = [(at, row) for at, row, key in model if key == name]
            slot = window.slot_of(LINK, name)
            if slot is None:
                assert not traces
            else:
                assert [(at, row) for _, at, row in window.chain(slot)] == traces[::-1]
                assert window.count[slot] == len(traces)


def test_uid_outlives_no_object() -> None:
    window = TraceWindow()
    window.add([Trace(0, 1, LINK, "old")])
    slot = window.slot_of(LINK, "old")
    assert slot is not None
    uid = window.uid(slot)
    window.expire(1)
    assert not window.alive(uid)
    window.add([Trace(2, 1, LINK, "new")])
    assert window.slot_of(LINK, "new") == slot
    assert window.uid(slot) != uid
    assert not window.alive(uid)


def test_forgetting_an_event_keeps_what_others_touched() -> None:
    window = TraceWindow()
    window.add([Trace(5, 1, LINK, "only"), Trace(5, 1, DOMAIN, "shared")])
    window.add([Trace(6, 2, DOMAIN, "shared"), Trace(7, 1, LINK, "later", other=2)])
    window.forget(1, at_ms=5)
    assert listed(window) == [(6, 2, "shared"), (7, 1, "later")]
    assert window.slot_of(LINK, "only") is None
    assert window.direct.tolist() == [[7, 1, 2]]
    window.forget(2)
    assert window.direct.tolist() == []
