"""Draws the board in a terminal. Every text of the stream is made plain first: it may hold escapes or markup."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from streaming.demo.board import Board, Caught, Verdict, parts, report

POSTS_SHOWN: Final = 3

WHY_SHOWN: Final = 4

MEMBERS_SHOWN: Final = 10

AROUND_ROWS: Final = 9
"""Rows of a terminal that the frame, the status and the flagged accounts take."""

TEXT_SHOWN: Final = 150
"""Characters of a post: two lines of a terminal."""


def plain(text: object, limit: int = TEXT_SHOWN) -> str:
    """A stranger's text without what a terminal would obey: control, format and bidirectional characters."""
    kept = "".join(
        char if char.isprintable() and unicodedata.category(char) not in ("Cf", "Cc", "Cs", "Co") else " "
        for char in str(text)
    )
    kept = " ".join(kept.split())
    return kept if len(kept) <= limit else kept[: limit - 3] + "..."


def draw(
    board: Board, *, elapsed_s: float, sent: int, total: int, clock_ms: int, note: str, rows: int | None = None
) -> RenderableType:
    """The whole panel: progress and rates on top, then each group that was found, then single accounts.

    Args:
        rows: height of the terminal; of groups for which there is no room only one line is drawn, the latest group
            first in full. None: all in full.
    """
    groups = board.groups()
    body: list[RenderableType] = [_status(board, elapsed_s, sent, total, clock_ms)]
    full = _with_room(groups, rows)
    body += [_campaign(caught) if caught in full else Text(announce(caught), no_wrap=True) for caught in groups]
    if not groups:
        body.append(Text("no group yet: what accounts share is held against what was to be expected", style="dim"))
    body.append(_accounts(board))
    return Panel(Group(*body), title="Swarmlight", subtitle=Text(note))


def _with_room(groups: Sequence[Caught], rows: int | None) -> list[Caught]:
    """The groups that can be drawn in full on so many rows, latest first."""
    if rows is None:
        return list(groups)
    room = rows - AROUND_ROWS - len(groups)
    full = []
    for caught in sorted(groups, key=lambda one: -one.after_s):
        alert = caught.alert
        # Borders and heading, members, and reasons and posts, of which each may take two rows.
        room -= 3 + min(MEMBERS_SHOWN, len(alert["members"])) + 2 * min(WHY_SHOWN, len(alert["why"])) + 2 * POSTS_SHOWN
        if room < 0:
            break
        full.append(caught)
    return full


def draw_verdict(verdict: Verdict) -> RenderableType:
    """The end: what was caught and what not."""
    lines = [Text(line) for line in report(verdict)]
    return Panel(Group(*lines), title="against the truth, which only the demo knows")


def announce(caught: Caught) -> str:
    """One line for a log or a pipe when a group is first seen."""
    alert = caught.alert
    why = plain(alert["why"][0], 200) if alert["why"] else ""
    names = ", ".join(plain(member["account"], 40) for member in alert["members"][:MEMBERS_SHOWN])
    return f"{caught.after_s:6.1f} s  {alert['kind']} of {len(alert['members'])}: {names}. {why}"


def _status(board: Board, elapsed_s: float, sent: int, total: int, clock_ms: int) -> Table:
    table = Table.grid(padding=(0, 2))
    clock = datetime.fromtimestamp(clock_ms / 1000, UTC).strftime("%a %H:%M")
    outcomes = "  ".join(
        f"{name} {board.number('records_total', name):,.0f}" for name in ("accepted", "duplicate", "late", "dead")
    )
    behind = max(0.0, sent - board.records())
    table.add_row("played", f"{sent:,} of {total:,} events in {elapsed_s:.0f} s, stream time {clock}")
    table.add_row("worker", f"{board.rate():,.0f} events/s, {behind:,.0f} behind   {outcomes}")
    texts = [f"{stage} {board.number('texts_scored_total', stage):,.0f}" for stage in ("cheap", "expert")]
    transactions = board.number("transactions_total", "committed")
    table.add_row("texts read", f"{'  '.join(texts)}   transactions {transactions:,.0f}")
    return table


def _campaign(caught: Caught) -> Panel:
    alert = caught.alert
    machine = alert["kind"] == "campaign"
    head = "campaign" if machine else "coordinated, not shown to be machine-driven"
    title = f"{head}: {len(alert['members'])} accounts, first seen after {caught.after_s:.0f} s"
    rows: list[RenderableType] = [_members(alert["members"])]
    rows += [Text(f"- {plain(sentence, 240)}") for sentence in alert["why"][:WHY_SHOWN]]
    rows += [_quoted(post) for post in _different(alert["posts"])]
    return Panel(Group(*rows), title=Text(title, style="bold"), border_style="red" if machine else "yellow")


def _members(members: Sequence[dict[str, Any]]) -> Table:
    """The strongest members with their parts in nats."""
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column("account")
    for name, _ in parts({}):
        table.add_column(f"{name} (nats)" if name == "text" else name, justify="right")
    table.add_column("posterior", justify="right")
    for member in members[:MEMBERS_SHOWN]:
        values = [f"{value:+.1f}" for _, value in parts(member["llr"])]
        table.add_row(Text(plain(member["account"], 28)), *values, f"{member['posterior']:.3f}")
    return table


def _quoted(post: dict[str, Any]) -> Text:
    quote = Text("  ")
    quote.append(plain(post["account"], 24), style="cyan")
    quote.append(f" {plain(post['text'])} ")
    return quote.append(f"{post['llr']:+.1f}", style="dim")


def _different(posts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first posts of different accounts: a campaign shows in several voices."""
    chosen: dict[str, dict[str, Any]] = {}
    for post in posts:
        chosen.setdefault(post["account"], post)
    return list(chosen.values())[:POSTS_SHOWN]


def _accounts(board: Board) -> Text:
    names = sorted(plain(name, 24) for name in board.flagged())
    line = Text(f"accounts flagged on their own: {len(names)}  ", style="bold")
    return line.append(", ".join(names[:12]) + (" ..." if len(names) > 12 else ""), style="not bold")
