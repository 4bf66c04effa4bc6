"""The demo's view: what is known so far, how that compares to the truth, and how both are drawn in a terminal.

`Board` takes alerts and the worker's metrics as they come; `draw` makes the panel from it, `Board.verdict` compares it
with the truth, and `report` says the same as plain lines. Every text of the stream loses its control characters and
markup before it is drawn.
"""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from simulation.demo.stream import Stream
from streaming.schema.alert import AlertRecord, MemberRecord, PostRecord, read_alert
from streaming.schema.score import LlrRecord

RATE_S: Final = 3.0
"""Rates are over the last seconds: long enough to be calm, short enough to be now."""

FOUND_SHARE: Final = 0.5
"""A planted campaign counts as found where one alert holds at least this share of its accounts."""


class Caught(msgspec.Struct, frozen=True):
    """An alert about a group, and how many seconds after the start it first came."""

    alert: AlertRecord
    after_s: float


class CampaignResult(msgspec.Struct, frozen=True):
    """One planted campaign in the end: its accounts in the best alert, those of others in it, and its flagged ones."""

    name: str
    size: int
    members: int
    strangers: int
    flagged: int
    kind: str

    @property
    def found(self) -> bool:
        return self.members >= FOUND_SHARE * self.size


class Verdict(msgspec.Struct, frozen=True):
    """How the run compares to the truth: accounts flagged among planted ones and among people, and the campaigns.

    Of the fan club, which coordinates and is made of people, `club_coordinated` accounts are in an alert that says just
    that, and `club_accused` in one that calls them machine-driven.
    """

    machines: int
    caught: int
    lone: int
    lone_caught: int
    people: int
    false_flags: int
    people_in_campaigns: int
    club: int
    club_coordinated: int
    club_accused: int
    campaigns: tuple[CampaignResult, ...]


class Board:
    """Everything the panel shows."""

    def __init__(self) -> None:
        self._alerts: dict[str, AlertRecord] = {}
        self._first: dict[str, float] = {}
        self._numbers: dict[tuple[str, ...], float] = {}
        self._history: deque[tuple[float, float]] = deque()

    def alert(self, record: bytes, elapsed_s: float) -> None:
        """A record of the topic `alerts`."""
        alert = read_alert(record)
        self._alerts[alert.id] = alert
        if alert.kind != "account":
            self._first.setdefault(f"{alert.kind}/{alert.id}", elapsed_s)

    def numbers(self, exposition: str, elapsed_s: float) -> None:
        """The worker's `/metrics` page."""
        found: dict[tuple[str, ...], float] = {}
        for family in text_string_to_metric_families(exposition):
            for sample in family.samples:
                labels = tuple(value for _, value in sorted(sample.labels.items()))
                found[(sample.name.removeprefix("swarmlight_"), *labels)] = sample.value
        self._numbers = found
        self._history.append((elapsed_s, self.records()))
        while len(self._history) > 2 and self._history[0][0] < elapsed_s - RATE_S:
            self._history.popleft()

    def number(self, name: str, *labels: str) -> float:
        """One of the worker's numbers, 0 where it has not said it yet."""
        return self._numbers.get((name, *labels), 0.0)

    def records(self) -> float:
        """Records of posts the worker has accounted for, whatever became of them."""
        return sum(value for key, value in self._numbers.items() if key[0] == "records_total")

    def rate(self) -> float:
        """Records per second, lately."""
        if len(self._history) < 2:
            return 0.0
        (start, before), (end, after) = self._history[0], self._history[-1]
        return (after - before) / (end - start) if end > start else 0.0

    def open_alerts(self, kind: str) -> list[AlertRecord]:
        return [alert for alert in self._alerts.values() if alert.kind == kind and alert.status == "open"]

    def groups(self) -> list[Caught]:
        """Open alerts about groups, campaigns first, each in the order in which they came."""
        caught = [
            Caught(alert, self._first[f"{kind}/{alert.id}"])
            for kind in ("campaign", "coordination")
            for alert in self.open_alerts(kind)
        ]
        return sorted(caught, key=lambda one: (one.alert.kind, one.after_s))

    def flagged(self) -> set[str]:
        """Accounts with an open alert of their own."""
        return {member.account for alert in self.open_alerts("account") for member in alert.members}

    def verdict(self, stream: Stream) -> Verdict:
        machines, flagged = stream.machines(), self.flagged()
        planted = stream.campaigns()
        lone = machines.difference(*planted.values())
        in_campaigns, coordinated = (
            {member.account for alert in self.open_alerts(kind) for member in alert.members}
            for kind in ("campaign", "coordination")
        )
        return Verdict(
            machines=len(machines),
            caught=len(machines & flagged),
            lone=len(lone),
            lone_caught=len(lone & flagged),
            people=len(stream.truth) - len(machines),
            false_flags=len(flagged - machines),
            people_in_campaigns=len(in_campaigns - machines),
            club=len(stream.club()),
            club_coordinated=len(stream.club() & coordinated),
            club_accused=len(stream.club() & (in_campaigns | flagged)),
            campaigns=tuple(self._found(name, accounts, flagged) for name, accounts in planted.items()),
        )

    def _found(self, name: str, accounts: set[str], flagged: set[str]) -> CampaignResult:
        """The alert that holds most of a planted campaign; a campaign alert is preferred to one about coordination."""
        best = CampaignResult(name, len(accounts), 0, 0, len(accounts & flagged), "")
        for caught in self.groups():
            members = {member.account for member in caught.alert.members}
            here = len(members & accounts)
            if here > best.members:
                best = CampaignResult(
                    name, len(accounts), here, len(members - accounts), best.flagged, caught.alert.kind
                )
        return best


def report(verdict: Verdict) -> Iterator[str]:
    """The verdict in plain sentences. The demo knows the truth because it planted it; the worker does not."""
    yield (
        f"planted accounts flagged: {verdict.caught} of {verdict.machines} "
        f"(of the {verdict.lone} that act alone: {verdict.lone_caught})"
    )
    yield f"people flagged, which is wrong: {verdict.false_flags} of {verdict.people}"
    if verdict.people_in_campaigns:
        yield f"people named as members of a campaign, which is wrong: {verdict.people_in_campaigns}"
    yield (
        f"fan club of {verdict.club} people who act together: {verdict.club_coordinated} reported as coordination, "
        f"for information; called machines, which would be wrong: {verdict.club_accused}"
    )
    for one in verdict.campaigns:
        if not one.members:
            yield f"campaign {one.name}: not found; {one.flagged} of its {one.size} accounts flagged on their own"
            continue
        how = "as a campaign" if one.kind == "campaign" else "as coordination, not as machine-driven"
        word = "found" if one.found else "found in part"
        others = f" and {one.strangers} others" if one.strangers else ""
        yield (
            f"campaign {one.name}: {word} {how}, {one.members} of {one.size} accounts{others} in one alert; "
            f"{one.flagged} flagged on their own"
        )


def components(llr: LlrRecord) -> Iterator[tuple[str, float]]:
    """The components of an account's evidence in nats, in order, then the total."""
    for name in LlrRecord.__struct_fields__:
        yield name, getattr(llr, name)


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
        board: what is known.
        elapsed_s: since the start, seconds.
        sent, total: events that were played, and of the whole stream.
        clock_ms: time in the stream.
        note: below the panel.
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
        room -= 3 + min(MEMBERS_SHOWN, len(alert.members)) + 2 * min(WHY_SHOWN, len(alert.why)) + 2 * POSTS_SHOWN
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
    why = plain(alert.why[0], 200) if alert.why else ""
    names = ", ".join(plain(member.account, 40) for member in alert.members[:MEMBERS_SHOWN])
    return f"{caught.after_s:6.1f} s  {alert.kind} of {len(alert.members)}: {names}. {why}"


def _status(board: Board, elapsed_s: float, sent: int, total: int, clock_ms: int) -> Table:
    table = Table.grid(padding=(0, 2))
    clock = datetime.fromtimestamp(clock_ms / 1000, UTC).strftime("%a %H:%M")
    outcomes = "  ".join(
        f"{name} {board.number('records_total', name):,.0f}" for name in ("accepted", "duplicate", "late", "dead")
    )
    behind = max(0.0, sent - board.records())
    table.add_row("played", f"{sent:,} of {total:,} events in {elapsed_s:.0f} s, stream time {clock}")
    table.add_row("worker", f"{board.rate():,.0f} events/s, {behind:,.0f} behind   {outcomes}")
    texts = [f"{stage} {board.number('texts_scored_total', stage):,.0f}" for stage in ("first", "second")]
    transactions = board.number("transactions_total", "committed")
    table.add_row("texts read", f"{'  '.join(texts)}   transactions {transactions:,.0f}")
    return table


def _campaign(caught: Caught) -> Panel:
    alert = caught.alert
    machine = alert.kind == "campaign"
    head = "campaign" if machine else "coordinated, not shown to be machine-driven"
    title = f"{head}: {len(alert.members)} accounts, first seen after {caught.after_s:.0f} s"
    rows: list[RenderableType] = [_members(alert.members)]
    rows += [Text(f"- {plain(sentence, 240)}") for sentence in alert.why[:WHY_SHOWN]]
    rows += [_quoted(post) for post in _different(alert.posts)]
    return Panel(Group(*rows), title=Text(title, style="bold"), border_style="red" if machine else "yellow")


def _members(members: Sequence[MemberRecord]) -> Table:
    """The strongest members with their evidence components in nats."""
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column("account")
    for name, _ in components(LlrRecord()):
        table.add_column(f"{name} (nats)" if name == "text" else name, justify="right")
    table.add_column("posterior", justify="right")
    for member in members[:MEMBERS_SHOWN]:
        values = [f"{value:+.1f}" for _, value in components(member.llr)]
        table.add_row(Text(plain(member.account, 28)), *values, f"{member.posterior:.3f}")
    return table


def _quoted(post: PostRecord) -> Text:
    quote = Text("  ")
    quote.append(plain(post.account, 24), style="cyan")
    quote.append(f" {plain(post.text)} ")
    return quote.append(f"{post.llr:+.1f}", style="dim")


def _different(posts: Iterable[PostRecord]) -> list[PostRecord]:
    """The first posts of different accounts: a campaign shows in several voices."""
    chosen: dict[str, PostRecord] = {}
    for post in posts:
        chosen.setdefault(post.account, post)
    return list(chosen.values())[:POSTS_SHOWN]


def _accounts(board: Board) -> Text:
    names = sorted(plain(name, 24) for name in board.flagged())
    line = Text(f"accounts flagged on their own: {len(names)}  ", style="bold")
    return line.append(", ".join(names[:12]) + (" ..." if len(names) > 12 else ""), style="not bold")
