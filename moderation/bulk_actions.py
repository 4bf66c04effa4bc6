"""Bulk actions on many alerts: previewed, signed, applied.

A bulk action is first previewed: it is tried on each alert, and what would happen is shown. The preview is signed.
Applying it does what was shown to those alerts that are still as they were shown, and to no others.
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
from moderation import queue
from moderation.audit import pseudonym_key
from moderation.database_tables import AlertRow
from moderation.decisions import VERDICTS, DecisionRequest, decide
from moderation.permissions import Actor

Action = Literal["decide", "snooze", "claim", "release", "escalate"]

MAX_BULK_ALERTS: Final = 200
"""Alerts in one bulk action: what a person can look over in a preview."""

PREVIEW_VALID_MS: Final = 10 * 60_000
"""An older preview shows a queue of the past."""


@dataclass(frozen=True)
class BulkRequest:
    """One action on many alerts.

    Args:
        action: what is done with each of them.
        ids: the alerts, at most `MAX_BULK_ALERTS`.
        verdict: the decision, for action "decide".
        policy: as in `DecisionRequest`.
        reason: as in `DecisionRequest`.
        note: as in `DecisionRequest`.
        until: until when, ms since 1970, for action "snooze".
    """

    action: Action
    ids: tuple[str, ...]
    verdict: str = ""
    policy: str = ""
    reason: str = ""
    note: str = ""
    until: int = 0


@dataclass(frozen=True)
class AlertOutcome:
    """What a bulk action does, or did, to one alert.

    Args:
        id: of the alert.
        title: names of its first members; "" where there is no such alert.
        kind: of the alert.
        members: how many accounts it has.
        revision: the one that was looked at.
        problem: why nothing is done to it; None where something is.
    """

    id: str
    title: str
    kind: str
    members: int
    revision: int
    problem: str | None


@dataclass(frozen=True)
class Preview:
    """What a bulk action would do.

    Args:
        outcomes: to each alert.
        made: when the preview was made, ms since 1970.
        proof: its signature, 64 hexadecimal digits; `apply` wants it back, and `undo_batch` undoes what it named.
    """

    outcomes: list[AlertOutcome]
    made: int
    proof: str


def preview(connection: Connection, actor: Actor, bulk: BulkRequest, now: int) -> Preview:
    """Try a bulk action out, and undo it.

    Args:
        connection: in a write transaction.
        actor: needs the right "work".
        bulk: what is to be done.
        now: ms since 1970.

    Raises:
        FeedError: `forbidden`, `invalid`.
    """
    _check_bulk(actor, bulk)
    attempt = connection.begin_nested()
    try:
        outcomes = _try_each(connection, actor, bulk, None, now)
    finally:
        attempt.rollback()
    revisions = {each.id: each.revision for each in outcomes}
    return Preview(outcomes, now, _signature(connection, actor, bulk, revisions, now))


def apply(
    connection: Connection,
    actor: Actor,
    bulk: BulkRequest,
    revisions: dict[str, int],
    made: int,
    proof: str,
    now: int,
) -> list[AlertOutcome]:
    """Do what a preview showed.

    Args:
        connection: in a write transaction.
        actor: who asked for the preview.
        bulk: what was previewed.
        revisions: alert -> revision, as the preview had them.
        made: `Preview.made`.
        proof: `Preview.proof`.
        now: ms since 1970.

    Raises:
        FeedError: `forbidden`, `invalid`; `conflict` where this is not what was shown, or was shown too long ago.
    """
    _check_bulk(actor, bulk)
    good = hmac.compare_digest(proof.encode(), _signature(connection, actor, bulk, revisions, made).encode())
    if not good or not made <= now <= made + PREVIEW_VALID_MS:
        raise FeedError("conflict", "this is not what the preview showed, or it is too old: look at a new preview")
    return _try_each(connection, actor, bulk, revisions, now, proof)


def _check_bulk(actor: Actor, bulk: BulkRequest) -> None:
    actor.require("work")
    if not 1 <= len(bulk.ids) <= MAX_BULK_ALERTS:
        raise FeedError("invalid", f"{len(bulk.ids)} alerts are chosen: choose 1 to {MAX_BULK_ALERTS}")
    if bulk.action == "decide" and bulk.verdict not in VERDICTS:
        raise FeedError("invalid", f"choose what to decide: one of {', '.join(VERDICTS)}")


def _try_each(
    connection: Connection,
    actor: Actor,
    bulk: BulkRequest,
    revisions: dict[str, int] | None,
    now: int,
    batch: str | None = None,
) -> list[AlertOutcome]:
    # All rows are locked first, in the order of ids, so that two bulk actions cannot deadlock.
    rows = {
        row.id: row
        for row in connection.execute(
            select(AlertRow.id, AlertRow.title, AlertRow.kind, AlertRow.members, AlertRow.revision)
            .where(AlertRow.id.in_(bulk.ids))
            .order_by(AlertRow.id)
            .with_for_update()
        )
    }
    outcomes = []
    for name in sorted(set(bulk.ids)):
        row = rows.get(name)
        if row is None:
            outcomes.append(AlertOutcome(name, "", "", 0, 0, "there is no such alert"))
            continue
        problem: str | None = None
        if revisions is not None and revisions.get(name) != row.revision:
            problem = "it was revised since the preview"
        else:
            try:
                with connection.begin_nested():
                    _apply_to(connection, actor, bulk, name, now, batch)
            except FeedError as error:
                problem = str(error)
        outcomes.append(AlertOutcome(name, row.title, row.kind, row.members, row.revision, problem))
    return outcomes


def _apply_to(connection: Connection, actor: Actor, bulk: BulkRequest, name: str, now: int, batch: str | None) -> None:
    if bulk.action == "decide":
        verdict = next(each for each in VERDICTS if each == bulk.verdict)
        request = DecisionRequest(name, verdict, policy=bulk.policy, reason=bulk.reason, note=bulk.note, batch=batch)
        decide(connection, actor, request, now)
    elif bulk.action == "snooze":
        queue.snooze(connection, actor, name, bulk.until, now, bulk.reason)
    elif bulk.action == "claim":
        queue.claim(connection, actor, name, now)
    elif bulk.action == "release":
        queue.release(connection, actor, name, now)
    else:
        queue.escalate(connection, actor, name, now, reason=bulk.reason)


def _signature(connection: Connection, actor: Actor, bulk: BulkRequest, revisions: dict[str, int], made: int) -> str:
    shown: Sequence[object] = [
        actor.user_id, bulk.action, sorted(set(bulk.ids)), bulk.verdict, bulk.policy, bulk.reason, bulk.note,
        bulk.until, sorted(revisions.items()), made,
    ]  # fmt: skip
    body = json.dumps(shown, separators=(",", ":"))
    return hmac.new(pseudonym_key(connection), b"bulk\0" + body.encode(), hashlib.sha256).hexdigest()
