"""The same for many alerts at once: first a preview that says what would happen to each, then exactly that.

The preview is signed. Applying it does what was shown to those alerts that are still as they were shown, and leaves the
others alone.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import Connection, select

from detector.errors import FeedError
from moderation import claims, decisions
from moderation.pseudonyms import key
from moderation.roles import Actor
from moderation.schema import Alert

Action = Literal["decide", "snooze", "claim", "release", "escalate"]

MOST: Final = 200
"""Alerts at once: what a person can look over in a preview."""

GOOD_FOR_MS: Final = 10 * 60_000
"""A preview older than this shows a queue of the past."""


@dataclass(frozen=True)
class Order:
    """What is to be done with each of `ids`."""

    action: Action
    ids: tuple[str, ...]
    verdict: str = ""
    policy: str = ""
    reason: str = ""
    note: str = ""
    until: int = 0


@dataclass(frozen=True)
class Fate:
    """What would happen, or happened, to one alert; `problem` says why nothing."""

    id: str
    title: str
    kind: str
    members: int
    revision: int
    problem: str | None


@dataclass(frozen=True)
class Preview:
    """What an order would do, and the proof that it was shown."""

    fates: list[Fate]
    made: int
    proof: str


def preview(connection: Connection, actor: Actor, order: Order, now: int) -> Preview:
    """Try the order out, in a transaction that is to be rolled back by the caller.

    Raises:
        FeedError: `forbidden`, `invalid`.
    """
    _check(actor, order)
    fates = _run(connection, actor, order, None, now)
    return Preview(fates, now, _proof(connection, actor, order, {each.id: each.revision for each in fates}, now))


def apply(
    connection: Connection, actor: Actor, order: Order, revisions: dict[str, int], made: int, proof: str, now: int
) -> list[Fate]:
    """Do what the preview showed.

    Args:
        revisions: alert -> revision, as the preview had them.
        made, proof: of the preview.

    Raises:
        FeedError: `forbidden`, `invalid`; `conflict` where this is not what was shown, or too long ago.
    """
    _check(actor, order)
    good = hmac.compare_digest(proof.encode(), _proof(connection, actor, order, revisions, made).encode())
    if not good or not made <= now <= made + GOOD_FOR_MS:
        raise FeedError("conflict", "this is not what the preview showed, or it is too old: look at a new preview")
    return _run(connection, actor, order, revisions, now)


def _check(actor: Actor, order: Order) -> None:
    actor.require("work")
    if not 1 <= len(order.ids) <= MOST:
        raise FeedError("invalid", f"choose 1 to {MOST} alerts")
    if order.action == "decide" and order.verdict not in decisions.VERDICTS:
        raise FeedError("invalid", "choose what to decide")


def _run(connection: Connection, actor: Actor, order: Order, revisions: dict[str, int] | None, now: int) -> list[Fate]:
    # All are locked first, in order, so that two people's orders never wait for each other in a circle.
    rows = {
        row.id: row
        for row in connection.execute(
            select(Alert.id, Alert.title, Alert.kind, Alert.members, Alert.revision)
            .where(Alert.id.in_(order.ids))
            .order_by(Alert.id)
            .with_for_update()
        )
    }
    fates = []
    for name in sorted(set(order.ids)):
        row = rows.get(name)
        if row is None:
            fates.append(Fate(name, "", "", 0, 0, "there is no such alert"))
            continue
        problem: str | None = None
        if revisions is not None and revisions.get(name) != row.revision:
            problem = "it was revised since the preview"
        else:
            try:
                with connection.begin_nested():
                    _one(connection, actor, order, name, now)
            except FeedError as error:
                problem = str(error)
        fates.append(Fate(name, row.title, row.kind, row.members, row.revision, problem))
    return fates


def _one(connection: Connection, actor: Actor, order: Order, name: str, now: int) -> None:
    if order.action == "decide":
        verdict = next(each for each in decisions.VERDICTS if each == order.verdict)
        wish = decisions.Wish(name, verdict, policy=order.policy, reason=order.reason, note=order.note)
        decisions.decide(connection, actor, wish, now)
    elif order.action == "snooze":
        claims.snooze(connection, actor, name, order.until, now)
    elif order.action == "claim":
        claims.claim(connection, actor, name, now)
    elif order.action == "release":
        claims.release(connection, actor, name, now)
    else:
        claims.escalate(connection, actor, name, now)


def _proof(connection: Connection, actor: Actor, order: Order, revisions: dict[str, int], made: int) -> str:
    shown: Sequence[object] = [
        actor.user_id, order.action, sorted(set(order.ids)), order.verdict, order.policy, order.reason, order.note,
        order.until, sorted(revisions.items()), made,
    ]  # fmt: skip
    body = json.dumps(shown, separators=(",", ":"))
    return hmac.new(key(connection), b"bulk\0" + body.encode(), hashlib.sha256).hexdigest()
