"""Two deployments beside each other on one log: whom the shadow would add and remove, and which decides on whom.

`Comparison` follows the alerts of both, and compares them at ticks that both have come past, so that it depends on the
log alone and not on which of them is ahead. `Choice` puts one sequence of alerts together from both: an account is the
shadow's or the live deployment's by a hash of its name, so no account is ever decided by both at once, and when a
share changes, revisions go on where they were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

import msgspec

from detector.reason_sentences import explain
from detector.reasons import WITHDRAWN_MODEL, Reason
from detector.times import parse_time
from graph.traces import KIND_WORDS
from streaming.assess.alert_store import account_alert_id
from streaming.logs import shown
from streaming.schema.alert import AlertRecord, PageRecord, encode
from streaming.schema.shadow_comparison import Change, ComparisonRecord

LISTING: Final = frozenset({"account", "campaign"})
"""Kinds of alert that say of their members that a machine drives them."""


class Side(IntEnum):
    """Of a pair of deployments."""

    LIVE = 0
    SHADOW = 1


class Tally(NamedTuple):
    """How many accounts are in open alerts of which side."""

    both: int
    added: int
    removed: int


class Comparison:
    """Whom one of two deployments lists and the other does not.

    Args:
        told: what was said before, so that nothing is said twice: account -> its record.
    """

    def __init__(self, told: dict[str, ComparisonRecord] | None = None) -> None:
        self._told = dict(told or {})
        self._waiting: tuple[list[AlertRecord], list[AlertRecord]] = ([], [])
        self._members: tuple[dict[str, list[str]], dict[str, list[str]]] = ({}, {})
        self._listed: tuple[dict[str, set[str]], dict[str, set[str]]] = ({}, {})

    def feed(self, side: Side, alert: AlertRecord) -> None:
        """Take the next revision of an alert of one side."""
        self._waiting[side].append(alert)

    def advance(self, tick_ms: int) -> list[tuple[str, ComparisonRecord | None]]:
        """What has changed by a tick that both sides have committed: (account, its record or None), in order.

        Args:
            tick_ms: time of the tick, ms since 1970; all alerts of either side up to it were fed.
        """
        due: dict[str, list[tuple[Side, AlertRecord]]] = {}
        for side in Side:
            later: list[AlertRecord] = []
            for alert in self._waiting[side]:
                if (parse_time(alert.at) or 0) <= tick_ms:
                    due.setdefault(alert.at, []).append((side, alert))
                else:
                    later.append(alert)
            self._waiting[side][:] = later
        return [change for at in sorted(due) for change in self._changes(at, due[at])]

    def settle(self, tick_ms: int) -> list[tuple[str, ComparisonRecord | None]]:
        """As `advance`, for a beginning: what was told before and no longer holds is taken back, nothing told twice.

        Args:
            tick_ms: as there.
        """
        told, self._told = self._told, {}
        self.advance(tick_ms)
        found = self._told
        same = [name for name in found if name in told and told[name].change == found[name].change]
        found.update((name, told[name]) for name in same)
        gone: list[tuple[str, ComparisonRecord | None]] = [(name, None) for name in sorted(told.keys() - found.keys())]
        return gone + [(name, found[name]) for name in sorted(found.keys() - set(same))]

    def _changes(
        self, at: str, alerts: list[tuple[Side, AlertRecord]]
    ) -> Iterator[tuple[str, ComparisonRecord | None]]:
        """What the revisions of one tick change."""
        for account in sorted(set().union(*(self._apply(side, alert) for side, alert in alerts))):
            found, before = self._record(account, at), self._told.pop(account, None)
            if found is not None and before is not None and before.change == found.change:
                found = before
            if found is not None:
                self._told[account] = found
            if found is not before:
                yield account, found

    def _apply(self, side: Side, alert: AlertRecord) -> set[str]:
        """Let a revision take effect; the accounts it touches."""
        members, listed = self._members[side], self._listed[side]
        before = members.pop(alert.id, [])
        for account in before:
            listed[account].discard(alert.id)
            if not listed[account]:
                del listed[account]
        now = [each.account for each in alert.members] if alert.status == "open" and alert.kind in LISTING else []
        if now:
            members[alert.id] = now
            for account in now:
                listed.setdefault(account, set()).add(alert.id)
        return {*before, *now}

    def _record(self, account: str, at: str) -> ComparisonRecord | None:
        live, shadow = (listed.get(account) for listed in self._listed)
        if bool(live) == bool(shadow):
            return None
        change: Change = "added" if shadow else "removed"
        return ComparisonRecord(account, change, at, sorted(shadow or live or ()))

    def differences(self) -> Iterator[ComparisonRecord]:
        """All accounts that one side lists and the other does not, by name."""
        for account in sorted(self._told):
            yield self._told[account]

    @property
    def tally(self) -> Tally:
        """How many accounts both list, and how many either alone."""
        live, shadow = self._listed
        both = len(live.keys() & shadow.keys())
        return Tally(both, len(shadow) - both, len(live) - both)


NAMES_PRINTED: Final = 10
"""Of accounts that move, on a line; files have all of them."""


def moved_lines(added: Sequence[str], removed: Sequence[str]) -> Iterator[str]:
    """How many would be added and removed, and who, as far as lines hold them; terminals get names escaped."""
    for words, names in (("added", added), ("removed", removed)):
        more = f" and {len(names) - NAMES_PRINTED} more" if len(names) > NAMES_PRINTED else ""
        yield f"{len(names)} would be {words}: {', '.join(shown(name) for name in names[:NAMES_PRINTED])}{more}"


def in_canary(alert_id: str, share: float) -> bool:
    """Whether an account, given by the id of its alert, is among this share of all accounts.

    The id is a hash of the account's name (`account_alert_id`); whoever is in at one share is in at every larger one.
    """
    number = int.from_bytes(hashlib.sha256(b"canary\0" + alert_id.encode()).digest()[:8], "big")
    return number < share * 2.0**64


class Told(NamedTuple):
    """The newest revision of an alert that was put out.

    Args:
        side: whose it was.
        revision: its number there.
        published: its number here.
        open: whether it was open.
    """

    side: Side
    revision: int
    published: int
    open: bool


class Chosen(NamedTuple):
    """A revision to put out.

    Args:
        id: of the alert.
        body: its JSON.
        told: where it comes from.
    """

    id: str
    body: bytes
    told: Told


class Choice:
    """Puts one sequence of alerts together from those of two deployments.

    Args:
        share: of the accounts whose alerts are the shadow's; from 1 on those of groups are, too.
        told: what was put out before.
    """

    def __init__(self, share: float, told: dict[str, Told] | None = None) -> None:
        self._share = share
        self.told = dict(told or {})
        self._begun = {alert_id: each.published for alert_id, each in self.told.items()}
        self._changed: set[str] = set()

    def side(self, alert_id: str, kind: str) -> Side:
        """Whose alert it is, by its id and kind."""
        if kind == "account":
            return Side.SHADOW if in_canary(alert_id, self._share) else Side.LIVE
        return Side.SHADOW if self._share >= 1.0 else Side.LIVE

    def side_of_account(self, account: str) -> Side:
        """Whose decisions on an account count."""
        return self.side(account_alert_id(account), "account")

    def catch_up(self, live: dict[str, AlertRecord], shadow: dict[str, AlertRecord]) -> Iterator[Chosen]:
        """What brings that which was put out in line with the share: for a beginning, and after the share changed.

        Args:
            live: the newest revision of each alert of the live deployment, by id.
            shadow: of the shadow.
        """
        sides = (live, shadow)
        for alert_id in sorted({*live, *shadow}):
            kind = next(side[alert_id].kind for side in sides if alert_id in side)
            chosen = self.side(alert_id, kind)
            newest, told = sides[chosen].get(alert_id), self.told.get(alert_id)
            if told is None and chosen is Side.SHADOW and alert_id in live:
                # Readers have had the live deployment's own alerts so far, and go on from there.
                number = live[alert_id].revision
                told = self.told[alert_id] = Told(Side.LIVE, number, number, live[alert_id].status == "open")
            if newest is not None:
                if (made := self.take(chosen, newest)) is not None:
                    yield made
            elif told is not None and told.open and told.side is not chosen:
                yield self._withdrawn(sides[told.side][alert_id], chosen, told)

    def take(self, side: Side, alert: AlertRecord) -> Chosen | None:
        """The next revision of an alert of one side: what to put out, None where it is the other's or was told."""
        if self.side(alert.id, alert.kind) is not side:
            return None
        told = self.told.get(alert.id)
        if told is not None and told.side is side and told.revision >= alert.revision:
            return None
        if told is None:
            number = alert.revision
        elif told.side is side:
            number = told.published + alert.revision - told.revision
        else:
            number = told.published + 1
            self._changed.add(alert.id)
        return self._chosen(alert, Told(side, alert.revision, number, alert.status == "open"))

    def _withdrawn(self, last: AlertRecord, chosen: Side, told: Told) -> Chosen:
        """The last word on an alert that its new side has none of."""
        reason = Reason(WITHDRAWN_MODEL)
        closed = msgspec.structs.replace(
            last,
            status="withdrawn",
            posts=[],
            edges=[],
            talking_points=[],
            targets=[],
            near=[],
            reasons=[reason],
            why=[str(sentence) for sentence in explain([reason], 0, 0, KIND_WORDS)],
        )
        self._changed.add(last.id)
        return self._chosen(closed, Told(chosen, 0, told.published + 1, False))

    def _chosen(self, alert: AlertRecord, told: Told) -> Chosen:
        self.told[alert.id] = told
        body = encode(msgspec.structs.replace(alert, revision=told.published))
        return Chosen(alert.id, body, told)

    @property
    def changed(self) -> frozenset[str]:
        """Alerts that went from one side to the other: their pages of before are to be removed."""
        return frozenset(self._changed)

    def page(self, side: Side, page: PageRecord) -> bytes | None:
        """A page of details as it is put out; None where it is the other side's, or was put out before.

        Raises:
            LookupError: its revision of the alert is still to come.
        """
        told = self.told.get(page.id)
        if told is None or (told.side is side and page.revision > told.revision):
            raise LookupError(page.id)
        if told.side is not side:
            return None
        number = told.published + page.revision - told.revision
        if number <= self._begun.get(page.id, 0):
            return None
        return encode(msgspec.structs.replace(page, revision=number))
