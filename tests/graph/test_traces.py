"""The table of trace kinds: what is in it, how an event's traces are taken, and how packages add to it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from detector.errors import ConfigError
from graph.trace_kind import HOUR_MS, TracedEvent, TraceKind, object_key
from graph.traces import (
    BUILT_IN,
    CONTACT,
    COPIED,
    DIRECT_KINDS,
    DOMAIN,
    FOLLOW,
    GIVEN_NAMES,
    HASHTAG,
    KIND_NAMES,
    KIND_TABLE,
    KIND_WORDS,
    KINDS,
    LIKE,
    LINK,
    MENTION,
    MINUTES,
    NEAR_DUPLICATE,
    QUOTE,
    REPLY_TARGET,
    REPOST,
    WINDOW_MS,
    given_kind,
    kind_table,
    traces_of,
)
from streaming.schema.observation import Kind

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "coordination.md"

EMOJI = TraceKind("emoji", "the same emoji", "the same emojis", "same emoji", lambda event: ())


def test_places_of_the_built_in_kinds_are_those_that_snapshots_and_weights_know() -> None:
    assert [kind.name for kind in BUILT_IN] == [
        "link", "domain", "hashtag", "repost", "reply_target", "quote", "mention", "near_duplicate", "like", "follow",
        "copied", "contact", "minutes",
    ]  # fmt: skip
    places = (
        LINK, DOMAIN, HASHTAG, REPOST, REPLY_TARGET, QUOTE, MENTION, NEAR_DUPLICATE, LIKE, FOLLOW, COPIED, CONTACT,
        MINUTES,
    )  # fmt: skip
    assert places == tuple(range(len(BUILT_IN)))
    assert KIND_TABLE[: len(BUILT_IN)] == BUILT_IN
    assert KINDS == len(KIND_NAMES) == len(WINDOW_MS) == len(KIND_TABLE)
    assert {KIND_NAMES[place] for place in DIRECT_KINDS} == {"repost", "reply_target", "quote", "like", "follow"}


def test_names_of_kinds_are_read_in_any_case_and_derived_ones_are_not_given() -> None:
    assert given_kind("Reply_Target") == REPLY_TARGET
    assert given_kind("telepathy") is None
    derived = {"copied", "contact", "minutes"}
    assert [given_kind(name) for name in derived] == [None] * 3
    assert set(GIVEN_NAMES) == set(KIND_NAMES) - derived


def test_further_kinds_come_after_the_built_in_ones_by_name() -> None:
    table = kind_table([replace(EMOJI, name="song"), EMOJI])
    assert [kind.name for kind in table[len(BUILT_IN) :]] == ["emoji", "song"]


@pytest.mark.parametrize(
    "changes",
    [{"name": "link"}, {"name": "minutes"}, {"name": "Emoji"}, {"name": ""}, {"name": "e" * 33}, {"name": "emoji\n"},
     {"take": None}, {"window_ms": 0}, {"window_ms": -1}],
)  # fmt: skip
def test_a_kind_that_cannot_be_is_refused_with_its_name(changes: dict[str, object]) -> None:
    kind = replace(EMOJI, **changes)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=re.escape(repr(kind.name))):
        kind_table([kind])


def test_two_kinds_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two packages"):
        kind_table([EMOJI, EMOJI])


def test_a_kind_has_a_window_of_a_day_where_it_says_nothing() -> None:
    assert EMOJI.window_ms == 24 * HOUR_MS
    assert not EMOJI.direct
    assert kind_table([EMOJI])[-1] is EMOJI


def test_every_kind_says_what_it_is() -> None:
    css = (ROOT / "moderation" / "web" / "static" / "pages.css").read_text()
    assert KIND_TABLE
    for kind in KIND_TABLE:
        assert all((kind.singular, kind.plural, kind.title)), kind.name
        assert KIND_WORDS[kind.name] == (kind.singular, kind.plural)
        assert kind.window_ms > 0
        assert f".tie-{kind.look} " in css


def test_an_event_leaves_a_trace_on_each_of_its_objects() -> None:
    event = TracedEvent(
        "ann", "quote", "17", "bob", ("https://a.example/1", "https://a.example/2"), ("a.example",),
        ("sea", "air", "sea"), ("bob", "ann"), "words", "c5",
    )  # fmt: skip
    found = [(KIND_NAMES[t.kind], t.key, t.other) for t in traces_of(event, 5, 1, 2)]
    assert found == [
        ("link", "https://a.example/1", -1),
        ("link", "https://a.example/2", -1),
        ("domain", "a.example", -1),
        ("hashtag", "sea", -1),
        ("hashtag", "air", -1),
        ("quote", "bob\n17", 2),
        ("mention", "bob", -1),
        ("near_duplicate", "c5", -1),
    ]


@pytest.mark.parametrize(
    ("action", "target", "expected"),
    [("repost", "17", [("repost", "bob\n17", 2)]), ("reply", "17", [("reply_target", "bob\n17", 2)]),
     ("quote", "17", [("quote", "bob\n17", 2)]), ("like", "17", [("like", "bob\n17", 2)]),
     ("follow", "", [("follow", "bob", 2)]), ("like", "", []), ("post", "17", [])],
)  # fmt: skip
def test_actions_on_others_are_traces_of_their_own_kinds(
    action: str, target: str, expected: list[tuple[str, str, int]]
) -> None:
    event = TracedEvent("ann", action, target, "bob")
    assert [(KIND_NAMES[t.kind], t.key, t.other) for t in traces_of(event, 0, 1, 2)] == expected


def test_a_post_of_an_unknown_account_is_an_object_and_nobodys() -> None:
    (trace,) = traces_of(TracedEvent("ann", "repost", "17"), 0, 1)
    assert (trace.key, trace.other) == ("17", -1)
    read = KIND_TABLE[REPOST].acted_upon
    assert read is not None
    assert read(trace.key) is None


@pytest.mark.parametrize(
    ("action", "acted"),
    [("repost", ("repost", "bob")), ("reply", ("reply", "bob")), ("quote", ("quote", "bob")), ("like", ("like", "bob")),
     ("follow", ("follow", "bob"))],
)  # fmt: skip
def test_the_key_of_a_trace_says_whose_the_object_is(action: str, acted: tuple[str, str]) -> None:
    (trace,) = traces_of(TracedEvent("ann", action, "" if action == "follow" else "1\n7", "bob"), 0, 1, 2)
    read = KIND_TABLE[trace.kind].acted_upon
    assert read is not None
    assert read(trace.key) == acted


def test_only_built_in_kinds_on_somebodys_objects_say_whose_they_are() -> None:
    known = {kind.name for kind in KIND_TABLE if kind.acted_upon is not None}
    assert known == {"repost", "reply_target", "quote", "mention", "like", "follow"}
    assert object_key("", "17") == "17"


def test_actions_of_events_are_those_of_the_schema() -> None:
    """The names that `TracedEvent.action` may have are the schema's."""
    assert {"post", "reply", "repost", "quote", "like", "follow"} <= {kind.name.lower() for kind in Kind}


PLAY = """
import json, sys
from graph.coincidences import coincidences
from graph.search import among_all
from graph.ties import edges_within
from graph.trace_kind import TracedEvent
from graph.trace_memory import TraceMemory
from graph.traces import HOUR_MS, KIND_NAMES, KIND_TABLE, Trace, traces_of
import numpy as np

emoji = KIND_NAMES.index("emoji")
assert KIND_NAMES[-2:] == ("emoji", "zeta"), KIND_NAMES
event = TracedEvent("ann", "post", text="so \\U0001f600 and \\U0001f680")
assert [t.key for t in traces_of(event, 0, 1) if t.kind == emoji] == ["\\U0001f600", "\\U0001f680"]
rng = np.random.default_rng(1)
uses = [(int(at), int(row), f"e{int(rng.pareto(0.8) * 9)}") for at, row in
        zip(rng.integers(0, 240 * HOUR_MS, 1500), rng.integers(0, 90, 1500))]
uses += [(n * 24 * HOUR_MS + int(rng.integers(HOUR_MS)), row, f"own {n}") for n in range(9) for row in range(90, 98)]
memory = TraceMemory()
for at, row, key in sorted(uses):
    memory.add([Trace(at, row, emoji, key)])
now = 240 * HOUR_MS
view = TraceMemory.from_arrays(memory.arrays()).view("n{:02d}".format, now)
found = among_all(view, now, 1)
assert found.q[0] <= 0.05, found
members = np.zeros(len(view.names), bool)
members[found.groups[0].members] = True
assert set(range(90, 98)) <= set(view.rows[members].tolist()), found
edges = edges_within(view, coincidences(view, now), members, 99)
assert {edge.kind for edge in edges} == {"emoji"} and edges[0].objects[0].startswith("own"), edges
print("found")
"""


def test_a_kind_that_a_package_adds_takes_part_in_coordination(tmp_path: Path) -> None:
    example = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    (tmp_path / "emoji_trace.py").write_text(example.group(1), encoding="utf-8")
    (tmp_path / "zeta_trace.py").write_text("from dataclasses import replace\nfrom emoji_trace import EMOJI\n"
                                            "ZETA = replace(EMOJI, name='zeta', take=lambda event: ())\n")  # fmt: skip
    folder = tmp_path / "emoji_trace-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: emoji-trace\nVersion: 1\n")
    (folder / "entry_points.txt").write_text("[swarmlight.traces]\na = zeta_trace:ZETA\nb = emoji_trace:EMOJI\n")
    paths = os.pathsep.join((str(tmp_path), str(ROOT)))
    done = subprocess.run(
        [sys.executable, "-c", PLAY], cwd=ROOT, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert done.stdout == "found\n", done.stderr
