"""The board counts what came, and compares it honestly with the truth."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from simulation.demo.panel import Board, announce, draw, draw_verdict, plain, report
from simulation.demo.stream import Stream
from streaming.schema.alert import AlertKind, AlertRecord, AlertStatus, MemberRecord, PostRecord, encode
from streaming.schema.score import LlrRecord

LLR = LlrRecord(text=3.0, behaviour=0.5, coordination=2.0, graph=0.0, total=5.5)


def alert(kind: AlertKind, *members: str, id: str = "", revision: int = 1, status: AlertStatus = "open") -> AlertRecord:
    return AlertRecord(
        id=id or f"{kind}-{members}",
        kind=kind,
        revision=revision,
        status=status,
        at="2025-06-02T00:00:00Z",
        members=[MemberRecord(name, 0.9, LLR, 1.0) for name in members],
        posts=[PostRecord("1", name, "2025-06-02T00:00:00Z", "hello", 1.0) for name in members],
        why=["They shared pages."],
    )


def record(kind: AlertKind, *members: str, **more: Any) -> bytes:
    return encode(alert(kind, *members, **more))


def stream(**campaigns: list[str]) -> Stream:
    truth: list[dict[str, Any]] = [{"account": f"p{i}", "label": 0, "campaign": None, "slice": "x"} for i in range(5)]
    truth += [{"account": "lone", "label": 1, "campaign": None, "slice": "x"}]
    for name, members in campaigns.items():
        truth += [{"account": member, "label": 1, "campaign": name, "slice": "x"} for member in members]
    return Stream([], truth)


def lines(drawn: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=140, force_terminal=False)
    console.print(drawn)
    out = console.file
    assert isinstance(out, io.StringIO)
    return out.getvalue()


def test_the_last_revision_counts_and_a_withdrawn_alert_does_not() -> None:
    board = Board()
    board.alert(record("account", "a", id="1"), 1.0)
    board.alert(record("account", "b", id="2"), 1.0)
    board.alert(record("account", "b", id="2", revision=2, status="withdrawn"), 2.0)
    assert board.flagged() == {"a"}


def test_a_group_keeps_the_moment_at_which_it_was_first_seen() -> None:
    board = Board()
    board.alert(record("coordination", "a", "b", id="g"), 5.0)
    board.alert(record("campaign", "c", "d", id="h"), 9.0)
    board.alert(record("coordination", "a", "b", "e", id="g", revision=2), 11.0)
    assert [(one.alert.id, one.after_s) for one in board.groups()] == [("h", 9.0), ("g", 5.0)]
    assert "campaign of 2: c, d. They shared pages." in announce(board.groups()[0])


def test_the_verdict_names_what_was_missed_and_what_was_wrong() -> None:
    board = Board()
    board.alert(record("account", "a"), 1.0)
    board.alert(record("account", "p1"), 1.0)
    board.alert(record("campaign", "a", "b", "p2"), 2.0)
    board.alert(record("coordination", "x"), 2.0)
    verdict = board.verdict(stream(one=["a", "b", "c", "d"], two=["x", "y", "z"], three=["q"]))
    assert (verdict.machines, verdict.caught, verdict.people, verdict.false_flags) == (9, 1, 5, 1)
    assert (verdict.lone, verdict.lone_caught, verdict.people_in_campaigns) == (1, 0, 1)
    one, two, three = verdict.campaigns
    assert (one.members, one.strangers, one.found, one.kind) == (2, 1, True, "campaign")
    assert (two.members, two.found, two.kind) == (1, False, "coordination")
    assert (three.members, three.found) == (0, False)
    told = "\n".join(report(verdict))
    assert "people flagged, which is wrong: 1 of 5" in told
    assert "campaign one: found as a campaign, 2 of 4 accounts and 1 others" in told
    assert "campaign two: found in part as coordination" in told
    assert "campaign three: not found" in told
    assert "campaign three" in lines(draw_verdict(verdict))


def test_rates_come_from_the_workers_own_counts() -> None:
    board = Board()
    for second in range(6):
        board.numbers(
            "# TYPE swarmlight_records_total counter\n"
            f'swarmlight_records_total{{outcome="accepted"}} {90 * second}\n'
            f'swarmlight_records_total{{outcome="dead"}} {10 * second}\n',
            float(second),
        )
    assert board.records() == 500
    assert board.rate() == pytest.approx(100)
    assert board.number("records_total", "dead") == 50
    assert board.number("no_such") == 0


def test_an_empty_board_has_a_panel() -> None:
    drawn = lines(draw(Board(), elapsed_s=0, sent=0, total=9, clock_ms=0, note="Ctrl-C"))
    assert "no group yet" in drawn
    assert "0 of 9 events" in drawn


def test_the_panel_shows_members_parts_reasons_and_posts() -> None:
    board = Board()
    board.alert(record("campaign", "alice", "bob"), 3.0)
    drawn = lines(draw(board, elapsed_s=4, sent=5, total=9, clock_ms=0, note="Ctrl-C"))
    parts = ("campaign: 2 accounts, first seen after 3 s", "alice", "+3.0", "+5.5", "They shared pages.", "hello")
    assert [part for part in parts if part not in drawn] == []


def test_a_small_terminal_shows_the_latest_group_in_full_and_the_others_on_a_line() -> None:
    board = Board()
    board.alert(record("campaign", "alice", "ann"), 3.0)
    board.alert(record("campaign", "bob", "ben"), 9.0)
    for rows, boxes in ((20, 0), (30, 1), (200, 2)):
        drawn = lines(draw(board, elapsed_s=9, sent=5, total=9, clock_ms=0, note="", rows=rows))
        assert drawn.count("first seen after") == boxes
        assert "alice" in drawn
        assert "bob" in drawn
    assert "first seen after 9 s" in lines(draw(board, elapsed_s=9, sent=5, total=9, clock_ms=0, note="", rows=30))


@given(st.text())
def test_a_strangers_text_is_plain(text: str) -> None:
    shown = plain(text, 50)
    assert len(shown) <= 50
    assert shown.isprintable()
    assert not set(shown) & set("\u200f\u202e\u2066\x1b\x07")


def test_markup_and_escapes_in_a_text_are_only_text() -> None:
    board = Board()
    post = PostRecord("1", "[red]a", "", "\x1b[2J[bold]x[/bold]", 1.0)
    hostile = msgspec.structs.replace(alert("campaign", "[link=file://x]a"), posts=[post], why=["[blink]why"])
    board.alert(encode(hostile), 1.0)
    drawn = lines(draw(board, elapsed_s=1, sent=1, total=1, clock_ms=0, note="[red]"))
    for part in ("[link=file://x]a", "[red]a", "[2J[bold]x[/bold]", "[blink]why"):
        assert part in drawn
    assert "\x1b" not in drawn
