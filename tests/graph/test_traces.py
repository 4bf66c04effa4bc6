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
from graph.account_graph import INTERACTIONS
from graph.trace_kind import TracedEvent, TraceKind, object_key
from graph.traces import (
    BUILT_IN,
    GIVEN_NAMES,
    INTERACTION,
    KIND_NAMES,
    KIND_TABLE,
    MENTION,
    NEAR_DUPLICATE,
    REPOST,
    given_kind,
    kind_table,
    traces_of,
)
from streaming.schema.observation import Kind

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "coordination.md"

EMOJI = TraceKind("emoji", "the same emoji", "the same emojis", "same emoji", lambda event: ())


def test_places_of_the_built_in_kinds_are_those_that_the_shipped_weights_know() -> None:
    assert [kind.name for kind in BUILT_IN] == [
        "link", "domain", "hashtags", "repost", "reply_target", "quote", "mention", "near_duplicate", "interaction",
        "fast_repost",
    ]  # fmt: skip
    assert KIND_TABLE[: len(BUILT_IN)] == BUILT_IN
    assert (KIND_NAMES[REPOST], KIND_NAMES[MENTION], KIND_NAMES[NEAR_DUPLICATE]) == (
        "repost",
        "mention",
        "near_duplicate",
    )


def test_names_of_kinds_are_read_in_any_case_and_derived_ones_are_not_given() -> None:
    assert given_kind("Reply_Target") == KIND_NAMES.index("reply_target")
    assert given_kind("fast_repost") is None
    assert given_kind("telepathy") is None
    assert "fast_repost" not in GIVEN_NAMES


def test_further_kinds_come_after_the_built_in_ones_by_name() -> None:
    table = kind_table([replace(EMOJI, name="song"), EMOJI])
    assert [kind.name for kind in table[len(BUILT_IN) :]] == ["emoji", "song"]


@pytest.mark.parametrize(
    "changes",
    [{"name": "link"}, {"name": "Emoji"}, {"name": ""}, {"take": None}, {"bet_window_ms": 0}, {"weight": 0.0},
     {"bet_window_ms": 3_600_000, "edge_window_ms": 60_000}],
)  # fmt: skip
def test_a_kind_that_cannot_be_is_refused_with_its_name(changes: dict[str, object]) -> None:
    kind = replace(EMOJI, **changes)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=re.escape(repr(kind.name))):
        kind_table([kind])


def test_two_kinds_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two packages"):
        kind_table([EMOJI, EMOJI])


def test_every_kind_says_what_it_is() -> None:
    assert KIND_TABLE
    for kind in KIND_TABLE:
        assert all((kind.singular, kind.plural, kind.title)), kind.name
        css = (ROOT / "moderation" / "web" / "static" / "pages.css").read_text()
        assert f".tie-{kind.look} " in css


def test_an_event_leaves_a_trace_on_each_of_its_objects() -> None:
    event = TracedEvent(
        "ann", "quote", "17", "bob", ("https://a.example/1", "https://a.example/2"), ("a.example",),
        ("sea", "air", "sea"), ("bob", "ann"), "words", "c5",
    )  # fmt: skip
    found = [(KIND_NAMES[t.kind], t.key, t.other) for t in traces_of(event, 5, 1, 2)]
    assert found == [
        ("quote", "bob\n17", 2),
        ("link", "https://a.example/1", -1),
        ("link", "https://a.example/2", -1),
        ("domain", "a.example", -1),
        ("hashtags", "air sea", -1),
        ("mention", "bob", -1),
        ("near_duplicate", "c5", -1),
    ]


@pytest.mark.parametrize(
    ("action", "target", "expected"),
    [("repost", "17", [("repost", "bob\n17")]), ("reply", "17", [("reply_target", "bob\n17")]),
     ("like", "17", [("interaction", "bob\n17")]), ("follow", "", [("interaction", "bob\n")]),
     ("like", "", []), ("post", "17", [])],
)  # fmt: skip
def test_actions_on_others_are_traces_of_their_own_kinds(
    action: str, target: str, expected: list[tuple[str, str]]
) -> None:
    event = TracedEvent("ann", action, target, "bob")
    assert [(KIND_NAMES[t.kind], t.key) for t in traces_of(event, 0, 1)] == expected


def test_whom_an_object_belongs_to_is_an_interaction_that_the_account_graph_knows() -> None:
    known = [kind.acted_upon for kind in KIND_TABLE if kind.acted_upon is not None]
    assert len(known) >= 5
    for read in known:
        act = read(object_key("bob", "17"))
        assert act is not None
        assert act[0] in INTERACTIONS
    like = KIND_TABLE[INTERACTION].acted_upon
    assert like is not None
    assert like(object_key("bob", "17")) == ("like", "bob")
    assert like(object_key("bob", "")) == ("follow", "bob")


def test_actions_of_events_are_those_of_the_schema() -> None:
    """The names that `TracedEvent.action` may have are the schema's."""
    assert {"post", "reply", "repost", "quote", "like", "follow"} <= {kind.name.lower() for kind in Kind}


PLAY = """
from graph.traces import KIND_NAMES, traces_of
from graph.trace_kind import TracedEvent
from graph.coordination import Coordination
from tests.graph.society import feed, in_order, with_group, society

kind = KIND_NAMES.index("emoji")
assert KIND_NAMES[-2:] == ("emoji", "zeta"), KIND_NAMES
event = TracedEvent("ann", "post", text="so \\U0001f600 and \\U0001f680")
assert [t.key for t in traces_of(event, 0, 1) if t.kind == kind] == ["\\U0001f600", "\\U0001f680"]
rows = range(100, 108)
traces = with_group(society(1, [150], 0.0, per_day=6), rows, 10, 2)
found = feed(Coordination(), in_order(trace._replace(kind=kind) for trace in traces))
accepted = [group for group in found.groups() if group.accepted_among_all]
members = set(accepted[0].members)
assert len(members & set(rows)) >= 6, members
restored = Coordination.from_arrays(found.arrays())
assert {edge.kind for edge in restored.edges_within(sorted(members))} == {"emoji"}
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
