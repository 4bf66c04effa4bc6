"""What people decide, per alert and per account, and how it is taken back. Every decision also goes to the outbox.

The same for many alerts at once: first a preview that says what would happen to each, then exactly that.

The preview is signed. Applying it does what was shown to those alerts that are still as they were shown, and leaves the
others alone.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import Connection, insert, or_, select, update

from detector.errors import FeedError
from moderation import audit, outbox, queue
from moderation.audit import key, pseudonym
from moderation.db import Alert, Decision, Member, User
from moderation.queue import refused, unheld
from moderation.records import LARGEST_ACCOUNT
from moderation.roles import Actor
from streaming.assess.alert_store import account_alert_id

Verdict = Literal["llm_campaign", "human_coordination", "permitted_automation", "not_a_campaign", "needs_more"]

VERDICTS: Final[tuple[Verdict, ...]] = (
    "llm_campaign", "human_coordination", "permitted_automation", "not_a_campaign", "needs_more"
)  # fmt: skip

SETTLING: Final = frozenset(VERDICTS) - {"needs_more"}
"""Decisions that take an alert out of the queue for good; `needs_more` does so until its next revision."""


@dataclass(frozen=True)
class Wish:
    """What somebody wants decided.

    Args:
        alert_id, verdict: on what, and what.
        account: a member it is about alone; None for the alert as a whole.
        policy: reference to a rule, such as "community guidelines 4.2"; stays here.
        reason: a sentence that goes to the feedback topic; names nobody.
        note: for colleagues; stays here.
        revision: the one that was looked at; None for the latest.
        id: chosen by the caller so that asking twice decides once; None for a new one.
    """

    alert_id: str
    verdict: Verdict
    account: str | None = None
    policy: str = ""
    reason: str = ""
    note: str = ""
    revision: int | None = None
    id: str | None = None


def decide(connection: Connection, actor: Actor, wish: Wish, now: int) -> str:
    """Decide; the decision's id. An alert that somebody else has claimed is theirs to decide.

    Raises:
        FeedError: `forbidden`, `not_found`, `conflict`, `invalid`.
    """
    actor.require("work")
    if wish.verdict not in VERDICTS:
        raise FeedError("invalid", f"a decision is one of {', '.join(VERDICTS)}")
    again = _already(connection, actor, wish)
    if again is not None:
        return again
    number = wish.id or str(uuid.uuid4())
    if wish.account is not None:
        _check_member(connection, actor, wish, now)
    else:
        _settle(connection, actor, wish, number, now)
    revision = wish.revision or connection.scalar(select(Alert.revision).where(Alert.id == wish.alert_id)) or 0
    decision = Decision(
        id=number, alert_id=wish.alert_id, account=wish.account, verdict=wish.verdict, undoes=None, at=now,
        user_id=actor.user_id, policy=wish.policy, reason=wish.reason, note=wish.note, revision=revision,
    )  # fmt: skip
    _record(connection, actor, decision)
    return number


def report_missed(connection: Connection, actor: Actor, account: str, reason: str, note: str, now: int) -> str:
    """Report an account that no alert names; the decision's id. Its alert is the one the account would have.

    Raises:
        FeedError: `forbidden`, `invalid`.
    """
    actor.require("work")
    if not account or len(account) > LARGEST_ACCOUNT:
        raise FeedError("invalid", f"an account has a name of 1 to {LARGEST_ACCOUNT} characters")
    decision = Decision(
        id=str(uuid.uuid4()), alert_id=account_alert_id(account), account=account, verdict="missed", undoes=None,
        at=now, user_id=actor.user_id, policy="", reason=reason, note=note, revision=0,
    )  # fmt: skip
    _record(connection, actor, decision)
    return decision.id


def undo(connection: Connection, actor: Actor, decision_id: str, reason: str, now: int) -> str:
    """Take a decision back, one's own or, as a lead, anybody's; the id of the undoing.

    What holds then is the decision before it that was not taken back; where there is none, the alert waits again.

    Raises:
        FeedError: `forbidden`, `not_found`, `conflict`.
    """
    actor.require("work")
    found = connection.execute(select(Decision).where(Decision.id == decision_id)).one_or_none()
    if found is None:
        raise FeedError("not_found", "there is no such decision")
    if found.user_id != actor.user_id:
        actor.require("lead")
    if found.verdict == "undo":
        raise FeedError("conflict", "an undoing is not undone: decide again instead")
    number = str(uuid.uuid4())
    marked = connection.execute(
        update(Decision).where(Decision.id == decision_id, Decision.undone_by.is_(None)).values(undone_by=number)
    )
    if not marked.rowcount:
        raise FeedError("conflict", "this decision was taken back already")
    if found.account is None:
        _restore(connection, found.alert_id, now)
    decision = Decision(
        id=number, alert_id=found.alert_id, account=found.account, verdict="undo", undoes=decision_id, at=now,
        user_id=actor.user_id, policy="", reason=reason, note="", revision=found.revision,
    )  # fmt: skip
    _record(connection, actor, decision)
    return number


def history(
    connection: Connection,
    *,
    alert_ids: Sequence[str] | None = None,
    account: str | None = None,
    user_id: str | None = None,
    before: tuple[int, str] | None = None,
    limit: int = 100,
) -> list[Any]:
    """Decisions, the newest first, with the name of who made them (`by_name`, `by`).

    Args:
        before: (time, id) of the last one seen.
    """
    asked = select(Decision.__table__, User.name.label("by_name"), User.pseudonym.label("by")).join(
        User, User.id == Decision.user_id, isouter=True
    )
    if alert_ids is not None:
        asked = asked.where(Decision.alert_id.in_(alert_ids))
    if account is not None:
        asked = asked.where(Decision.account == account)
    if user_id is not None:
        asked = asked.where(Decision.user_id == user_id)
    if before is not None:
        at, number = before
        asked = asked.where(or_(Decision.at < at, (Decision.at == at) & (Decision.id > number)))
    return list(connection.execute(asked.order_by(Decision.at.desc(), Decision.id).limit(limit)))


def holding_on_accounts(connection: Connection, alert_id: str) -> dict[str, Any]:
    """The decision that holds on each member of an alert that was decided on singly."""
    asked = (
        select(Decision)
        .where(
            Decision.alert_id == alert_id,
            Decision.account.is_not(None),
            Decision.undone_by.is_(None),
            Decision.verdict.in_(VERDICTS),
        )
        .order_by(Decision.at, Decision.id)
    )
    return {row.account: row for row in connection.execute(asked)}


def _already(connection: Connection, actor: Actor, wish: Wish) -> str | None:
    """The decision made under the caller's own id, if it is this one."""
    if wish.id is None:
        return None
    found = connection.execute(select(Decision).where(Decision.id == wish.id)).one_or_none()
    if found is None:
        return None
    same = (found.user_id, found.alert_id, found.account, found.verdict)
    if same != (actor.user_id, wish.alert_id, wish.account, wish.verdict):
        raise FeedError("conflict", "another decision has this id: choose a new one")
    return wish.id


def _check_member(connection: Connection, actor: Actor, wish: Wish, now: int) -> None:
    """The account is in the alert, and the alert is not somebody else's at the moment."""
    member = connection.scalar(
        select(Member.account).where(Member.alert_id == wish.alert_id, Member.account == wish.account)
    )
    # The row is held until the decision is in, so that a claim made meanwhile waits for it.
    free = connection.execute(
        update(Alert)
        .where(Alert.id == wish.alert_id, _mine_to_decide(actor, now), Alert.status != "merged")
        .values(changed=now)
    )
    if not free.rowcount:
        raise _why_not(connection, actor, wish.alert_id, now)
    if member is None:
        raise FeedError("not_found", "the account is no member of this alert")


def _settle(connection: Connection, actor: Actor, wish: Wish, number: str, now: int) -> None:
    """Take the alert out of the queue, if it is there to be decided by this person."""
    values: dict[str, Any] = {"claimed_by": None, "claimed_until": 0, "escalated": 0, "returned": 0, "changed": now}
    if wish.verdict in SETTLING:
        values |= {"decision": wish.verdict, "decision_id": number, "decided": now}
    else:
        values |= {"waits_revision": Alert.revision}
    done = connection.execute(
        update(Alert)
        .where(
            Alert.id == wish.alert_id,
            Alert.status == "open",
            Alert.decision.is_(None),
            _mine_to_decide(actor, now),
        )
        .values(**values)
    )
    if not done.rowcount:
        raise _why_not(connection, actor, wish.alert_id, now)


def _mine_to_decide(actor: Actor, now: int) -> Any:
    free = or_(unheld(now), Alert.claimed_by == actor.user_id)
    return free if actor.may("lead") else free & (Alert.escalated == 0)


def _why_not(connection: Connection, actor: Actor, alert_id: str, now: int) -> FeedError:
    escalated = connection.scalar(select(Alert.escalated).where(Alert.id == alert_id))
    if escalated and not actor.may("lead"):
        return FeedError("conflict", "this alert was escalated: a lead decides on it")
    return refused(connection, alert_id, now)


def _restore(connection: Connection, alert_id: str, now: int) -> None:
    """Let the newest decision on the alert that was not taken back hold."""
    standing = connection.execute(
        select(Decision)
        .where(
            Decision.alert_id == alert_id,
            Decision.account.is_(None),
            Decision.undone_by.is_(None),
            Decision.verdict.in_(VERDICTS),
        )
        .order_by(Decision.at.desc(), Decision.id.desc())
        .limit(1)
    ).one_or_none()
    values: dict[str, Any] = {"decision": None, "decision_id": None, "decided": 0, "waits_revision": 0}
    if standing is not None and standing.verdict in SETTLING:
        values |= {"decision": standing.verdict, "decision_id": standing.id, "decided": standing.at}
    elif standing is not None:
        values |= {"waits_revision": standing.revision}
    connection.execute(update(Alert).where(Alert.id == alert_id).values(**values, changed=now))


def _record(connection: Connection, actor: Actor, decision: Decision) -> None:
    """Keep the decision, queue its record, and put it into the audit log."""
    row = {column.name: getattr(decision, column.name) for column in Decision.__table__.columns}
    connection.execute(insert(Decision).values(**row))
    outbox.put(connection, decision, actor.pseudonym)
    facts: dict[str, audit.Fact] = {"decision": decision.id, "verdict": decision.verdict}
    if decision.account is not None:
        facts["account"] = pseudonym(key(connection), decision.account)
    if decision.undoes is not None:
        facts["undoes"] = decision.undoes
    audit.append(connection, decision.at, actor, "decide" if decision.verdict != "undo" else "undo",
                 decision.alert_id, facts)  # fmt: skip


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
    if order.action == "decide" and order.verdict not in VERDICTS:
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
        verdict = next(each for each in VERDICTS if each == order.verdict)
        wish = Wish(name, verdict, policy=order.policy, reason=order.reason, note=order.note)
        decide(connection, actor, wish, now)
    elif order.action == "snooze":
        queue.snooze(connection, actor, name, order.until, now)
    elif order.action == "claim":
        queue.claim(connection, actor, name, now)
    elif order.action == "release":
        queue.release(connection, actor, name, now)
    else:
        queue.escalate(connection, actor, name, now)


def _proof(connection: Connection, actor: Actor, order: Order, revisions: dict[str, int], made: int) -> str:
    shown: Sequence[object] = [
        actor.user_id, order.action, sorted(set(order.ids)), order.verdict, order.policy, order.reason, order.note,
        order.until, sorted(revisions.items()), made,
    ]  # fmt: skip
    body = json.dumps(shown, separators=(",", ":"))
    return hmac.new(key(connection), b"bulk\0" + body.encode(), hashlib.sha256).hexdigest()
