"""What the demo knows at a moment: alerts by id, the worker's own numbers, and how that compares to the truth.

Pure: told what came and when, and asked by the panel.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from streaming.demo.stream import Stream

RATE_S: Final = 3.0
"""Rates are over the last seconds: long enough to be calm, short enough to be now."""

FOUND_SHARE: Final = 0.5
"""A planted campaign counts as found where one alert holds at least this share of its accounts."""

Alert = dict[str, Any]


class Caught(msgspec.Struct, frozen=True):
    """An alert about a group, and how many seconds after the start it first came."""

    alert: Alert
    after_s: float


class Found(msgspec.Struct, frozen=True):
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
    campaigns: tuple[Found, ...]


class Board:
    """Everything the panel shows."""

    def __init__(self) -> None:
        self._alerts: dict[str, Alert] = {}
        self._first: dict[str, float] = {}
        self._numbers: dict[tuple[str, ...], float] = {}
        self._history: deque[tuple[float, float]] = deque()

    def alert(self, record: bytes, elapsed_s: float) -> None:
        """A record of the topic `alerts`."""
        alert = msgspec.json.decode(record, type=dict[str, Any])
        self._alerts[alert["id"]] = alert
        if alert["kind"] != "account":
            self._first.setdefault(f"{alert['kind']}/{alert['id']}", elapsed_s)

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

    def open_alerts(self, kind: str) -> list[Alert]:
        return [alert for alert in self._alerts.values() if alert["kind"] == kind and alert["status"] == "open"]

    def groups(self) -> list[Caught]:
        """Open alerts about groups, campaigns first, each in the order in which they came."""
        caught = [
            Caught(alert, self._first[f"{kind}/{alert['id']}"])
            for kind in ("campaign", "coordination")
            for alert in self.open_alerts(kind)
        ]
        return sorted(caught, key=lambda one: (one.alert["kind"], one.after_s))

    def flagged(self) -> set[str]:
        """Accounts with an open alert of their own."""
        return {member["account"] for alert in self.open_alerts("account") for member in alert["members"]}

    def verdict(self, stream: Stream) -> Verdict:
        machines, flagged = stream.machines(), self.flagged()
        planted = stream.campaigns()
        lone = machines.difference(*planted.values())
        in_campaigns, coordinated = (
            {member["account"] for alert in self.open_alerts(kind) for member in alert["members"]}
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

    def _found(self, name: str, accounts: set[str], flagged: set[str]) -> Found:
        """The alert that holds most of a planted campaign; a campaign alert is preferred to one about coordination."""
        best = Found(name, len(accounts), 0, 0, len(accounts & flagged), "")
        for caught in self.groups():
            members = {member["account"] for member in caught.alert["members"]}
            here = len(members & accounts)
            if here > best.members:
                best = Found(
                    name, len(accounts), here, len(members - accounts), best.flagged, str(caught.alert["kind"])
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


def parts(llr: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """The parts of an account's evidence, in order, then the total."""
    for name in ("text", "behaviour", "coordination", "graph", "total"):
        yield name, float(llr.get(name, 0.0))
