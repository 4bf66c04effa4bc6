"""Actions on their way to receivers: an outbox of deliveries, filled in the decision's own transaction.

What a receiver is told lies in table `deliveries` before the decision is committed, and is sent from there
(`action_loop`) until the receiver has taken it: nothing is lost, and each delivery keeps its id, so that a receiver
that takes an id once does nothing twice. Deliveries about one alert go to a receiver in their order. What a receiver
refuses, or does not take for days, is kept in the dead-letter list until somebody sends it again.

Receivers are told of what holds: that a decision was taken back, that a member was decided on otherwise than its group,
and that such an exception was taken back in its turn.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from typing import Any, Final, Literal, cast

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.orm import aliased

from detector.errors import FeedError
from detector.times import format_time
from moderation import audit, console_config
from moderation.console_config import ConsoleConfig, Receiver
from moderation.database_tables import AlertRow, DecisionRow, Delivery, OutcomeRow, User
from moderation.permissions import Actor
from moderation.topic_records import LARGEST_ACCOUNT, json_text, names, read_alert
from streaming.schema.action import ActionAccount, ActionPolicy, ActionRecord, encode_action, read_action
from streaming.schema.feedback import DecisionKind

DeliveryState = Literal["waiting", "delivered", "dead", "dropped"]
"""`dropped`: it was taken back before it was sent, or there was nothing in it for this receiver."""

Outcome = Literal["removed", "suspended", "limited", "labelled", "no_action", "restored", "other"]

"""What a platform can say that it did with an account, or with all accounts of a decision."""

MAX_LISTED: Final = 200
"""Deliveries on one page."""

TAKEN_BACK: Final = "taken back before it was sent"

_WITHOUT_RULING: Final = ("undo", "missed", "needs_more")
"""Verdicts on a member that are no exception to what was decided on its group."""


def enqueue(connection: Connection, decision: DecisionRow, by: str) -> None:
    """Add what receivers are to be told of a decision, in the decision's transaction.

    Args:
        connection: in a write transaction, in which the decision was recorded.
        decision: what was decided.
        by: pseudonym of who decided.
    """
    config = console_config.current(connection)
    if not config.receiver:
        return
    if decision.verdict == "undo":
        _take_back(connection, config, decision, by)
        return
    record = _record_of(connection, config, decision, by)
    for receiver in config.receiver:
        if receiver.wants(decision.verdict, decision.policy):
            _add(connection, receiver, decision, record)
    if decision.account is not None and decision.verdict not in _WITHOUT_RULING:
        _except_from_group(connection, config, decision, by)


def _add(connection: Connection, receiver: Receiver, caused_by: DecisionRow, record: ActionRecord) -> None:
    """Queue a record for a receiver; the same decision never queues two for it."""
    number = str(uuid.uuid5(uuid.UUID(caused_by.id), receiver.name))
    body = msgspec.structs.replace(record, id=number)
    connection.execute(
        insert(Delivery).values(
            id=number, receiver=receiver.name, decision_id=caused_by.id, about=record.about, alert_id=record.alert,
            kind=record.type, body=encode_action(body).decode(), made=caused_by.at, state="waiting",
            next_at=caused_by.at + 1000 * (receiver.delay_s if record.type == "decision" else 0),
        )
    )  # fmt: skip


def _record_of(connection: Connection, config: ConsoleConfig, decision: Any, by: str) -> ActionRecord:
    """What happened, for all receivers alike; its `id` is that of no delivery yet."""
    row = connection.execute(
        select(AlertRow.kind, AlertRow.members, AlertRow.body).where(AlertRow.id == decision.alert_id)
    ).one_or_none()
    odds = {} if row is None else {each.account: each.posterior or None for each in read_alert(row.body).members}
    if decision.account is not None:
        accounts = [ActionAccount(decision.account, odds.get(decision.account))]
        complete = True
    else:
        excepted = {
            account
            for account, verdict in _rulings(connection, decision.alert_id).items()
            if verdict != decision.verdict
        }
        accounts = [ActionAccount(account, share) for account, share in odds.items() if account not in excepted]
        complete = row is not None and len(odds) == row.members
    policy = config.policy_of(decision.policy)
    return ActionRecord(
        id=decision.id, type="decision", about=decision.id, decision=cast(DecisionKind, decision.verdict),
        at=format_time(decision.at), alert=decision.alert_id, kind="" if row is None else row.kind,
        revision=decision.revision,
        policy=ActionPolicy(policy.code, policy.text, policy.severity) if policy
        else ActionPolicy(decision.policy) if decision.policy else None,
        reason=decision.reason, by=by, accounts=accounts, complete=complete, part_of=decision.part_of,
    )  # fmt: skip


def _rulings(connection: Connection, alert_id: str) -> dict[str, str]:
    """Member -> what was decided on it alone and holds."""
    query = (
        select(DecisionRow.account, DecisionRow.verdict)
        .where(
            DecisionRow.alert_id == alert_id,
            DecisionRow.account.is_not(None),
            DecisionRow.undone_by.is_(None),
            DecisionRow.verdict.not_in(_WITHOUT_RULING),
        )
        .order_by(DecisionRow.at, DecisionRow.id)
    )
    return {str(row.account): row.verdict for row in connection.execute(query)}


def _told(connection: Connection, about: str) -> list[Any]:
    """Deliveries that told, or are to tell, receivers of a decision: the first one to each."""
    query = select(Delivery).where(
        Delivery.about == about, Delivery.decision_id == about, Delivery.kind == "decision", Delivery.state != "dropped"
    )
    return list(connection.execute(query.order_by(Delivery.seq)))


def _take_back(connection: Connection, config: ConsoleConfig, undoing: DecisionRow, by: str) -> None:
    """Tell those who were told of a decision that it does not hold; stop what was not sent yet."""
    undone = connection.execute(select(DecisionRow).where(DecisionRow.id == undoing.undoes)).one()
    receivers = {each.name: each for each in config.receiver}
    for row in _told(connection, undone.id):
        stopped = connection.execute(
            update(Delivery)
            .where(Delivery.seq == row.seq, Delivery.state == "waiting", Delivery.attempts == 0)
            .values(state="dropped", problem=TAKEN_BACK, at=undoing.at, body="")
        )
        if stopped.rowcount:
            continue
        # One that was not taken is not to be sent again; whether it arrived is not known, so it is taken back too.
        connection.execute(
            update(Delivery)
            .where(Delivery.seq == row.seq, Delivery.state == "dead")
            .values(state="dropped", problem="its decision was taken back", body="")
        )
        if row.receiver not in receivers:
            continue
        record = msgspec.structs.replace(
            _record_of(connection, config, undone, by), type="undo", at=format_time(undoing.at), reason=undoing.reason
        )
        _add(connection, receivers[row.receiver], undoing, record)
    if undone.account is not None and undone.verdict not in _WITHOUT_RULING:
        _return_to_group(connection, config, undoing, undone, by)


def _group_decision(connection: Connection, alert_id: str) -> Any:
    """The decision in force on an alert as a whole; None where there is none."""
    query = select(DecisionRow).join(AlertRow, AlertRow.decision_id == DecisionRow.id).where(AlertRow.id == alert_id)
    return connection.execute(query).one_or_none()


def _except_from_group(connection: Connection, config: ConsoleConfig, decision: DecisionRow, by: str) -> None:
    """Tell those who were told of a group that its decision does not hold for a member that was decided on alone."""
    group = _group_decision(connection, decision.alert_id)
    if group is None or group.verdict == decision.verdict:
        return
    receivers = {each.name: each for each in config.receiver if not each.wants(decision.verdict, decision.policy)}
    whole = _record_of(connection, config, group, by)
    record = msgspec.structs.replace(
        whole, type="undo", at=format_time(decision.at), reason=decision.reason, part_of=None, complete=True,
        accounts=_record_of(connection, config, decision, by).accounts,
    )  # fmt: skip
    for row in _told(connection, group.id):
        if row.receiver in receivers:
            _add(connection, receivers[row.receiver], decision, record)


def _return_to_group(connection: Connection, config: ConsoleConfig, undoing: DecisionRow, undone: Any, by: str) -> None:
    """Tell those who were told of a group that its decision holds again for a member."""
    group = _group_decision(connection, undone.alert_id)
    if group is None or group.verdict == undone.verdict:
        return
    if _rulings(connection, undone.alert_id).get(undone.account, group.verdict) != group.verdict:
        return
    receivers = {each.name: each for each in config.receiver if not each.wants(undone.verdict, undone.policy)}
    record = msgspec.structs.replace(
        _record_of(connection, config, group, by), at=format_time(undoing.at), part_of=None, complete=True,
        accounts=_record_of(connection, config, undone, by).accounts,
    )  # fmt: skip
    for row in _told(connection, group.id):
        if row.receiver in receivers:
            _add(connection, receivers[row.receiver], undoing, record)


def of_alerts(connection: Connection, alert_ids: Sequence[str]) -> list[Any]:
    """Deliveries about alerts, the newest first, at most `MAX_LISTED`: rows of `deliveries`.

    Args:
        connection: to read with.
        alert_ids: an alert, and those merged into it.
    """
    query = select(Delivery).where(Delivery.alert_id.in_(alert_ids)).order_by(Delivery.seq.desc()).limit(MAX_LISTED)
    return list(connection.execute(query))


def listed(
    connection: Connection, actor: Actor, *, state: str = "", receiver: str = "", before: int | None = None
) -> list[Any]:
    """Deliveries, the newest first, at most `MAX_LISTED`: rows of `deliveries` with the alert's `title`.

    Args:
        connection: to read with.
        actor: needs the right "lead".
        state: a `DeliveryState`; "" for all.
        receiver: name of a receiver; "" for all.
        before: `seq` of the last one of the page before; None for the first page.

    Raises:
        FeedError: `forbidden`.
    """
    actor.require("lead")
    query = select(Delivery.__table__, AlertRow.title).join(AlertRow, AlertRow.id == Delivery.alert_id, isouter=True)
    if state:
        query = query.where(Delivery.state == state)
    if receiver:
        query = query.where(Delivery.receiver == receiver)
    if before is not None:
        query = query.where(Delivery.seq < before)
    return list(connection.execute(query.order_by(Delivery.seq.desc()).limit(MAX_LISTED)))


def counts(connection: Connection) -> dict[tuple[str, str], int]:
    """How many deliveries there are: (receiver, state) -> number."""
    query = select(Delivery.receiver, Delivery.state, func.count().label("number")).group_by(
        Delivery.receiver, Delivery.state
    )
    return {(row.receiver, row.state): row.number for row in connection.execute(query)}


def send_again(connection: Connection, actor: Actor, ids: Collection[str], now: int) -> int:
    """Put dead deliveries back, with the ids they had; those whose decision was taken back since stay.

    Args:
        connection: in a write transaction.
        actor: needs the right "lead".
        ids: of deliveries.
        now: ms since 1970.

    Returns:
        How many are sent again.

    Raises:
        FeedError: `forbidden`; `conflict`: none of them can be sent again.
    """
    actor.require("lead")
    caused = aliased(DecisionRow)
    dead = connection.execute(
        select(Delivery.seq, Delivery.alert_id, Delivery.receiver)
        .join(caused, caused.id == Delivery.decision_id)
        .where(Delivery.id.in_(ids), Delivery.state == "dead", caused.undone_by.is_(None))
        .order_by(Delivery.seq)
    ).all()
    if not dead:
        raise FeedError("conflict", "none of these can be sent again: load the page again")
    connection.execute(
        update(Delivery)
        .where(Delivery.seq.in_([row.seq for row in dead]))
        # Their days of attempts begin anew.
        .values(state="waiting", next_at=now, made=now, problem="")
    )
    for row in dead:
        audit.append(connection, now, actor, "resend", row.alert_id, {"receiver": row.receiver})
    return len(dead)


def dead_of(connection: Connection, receiver: str) -> list[str]:
    """Ids of a receiver's dead deliveries, the oldest first, at most 1,000."""
    query = select(Delivery.id).where(Delivery.receiver == receiver, Delivery.state == "dead").order_by(Delivery.seq)
    return list(connection.scalars(query.limit(1000)))


def note_outcome(
    connection: Connection,
    actor: Actor,
    *,
    delivery: str,
    outcome: Outcome,
    account: str | None,
    words: str,
    id: str | None,
    now: int,
) -> str:
    """Note what a receiver says it did. The same `id` twice is one outcome.

    Args:
        connection: in a write transaction.
        actor: needs the right "report".
        delivery: id of the delivery, as the receiver was told it.
        outcome: what was done.
        account: with which account; None for all of the delivery's.
        words: more about it, for moderators; stays in this database.
        id: a UUID of the receiver's; None for a new one.
        now: ms since 1970.

    Returns:
        The outcome's id.

    Raises:
        FeedError: `forbidden`, `not_found`, `invalid`; `conflict`: another outcome has this id.
    """
    actor.require("report")
    row = connection.execute(select(Delivery).where(Delivery.id == delivery)).one_or_none()
    if row is None:
        raise FeedError("not_found", "there is no delivery with this id: send back the id of the webhook")
    if account is not None and not 0 < len(account) <= LARGEST_ACCOUNT:
        raise FeedError("invalid", f"an account has 1 to {LARGEST_ACCOUNT} characters")
    number = id or str(uuid.uuid4())
    found = connection.execute(select(OutcomeRow).where(OutcomeRow.id == number)).one_or_none()
    if found is not None:
        if (found.delivery_id, found.outcome, found.account) != (delivery, outcome, account):
            raise FeedError("conflict", "another outcome has this id: choose a new one")
        return number
    connection.execute(
        insert(OutcomeRow).values(
            id=number, delivery_id=delivery, alert_id=row.alert_id, account=account, outcome=outcome, words=words,
            at=now, user_id=actor.user_id,
        )
    )  # fmt: skip
    audit.append(connection, now, actor, "outcome", row.alert_id, {"outcome": outcome, "receiver": row.receiver})
    return number


def outcomes(connection: Connection, alert_ids: Sequence[str]) -> list[Any]:
    """What receivers did about alerts, the newest first: rows of `outcomes` with `receiver` and `by_name`.

    Args:
        connection: to read with.
        alert_ids: an alert, and those merged into it.
    """
    query = (
        select(OutcomeRow.__table__, Delivery.receiver, User.name.label("by_name"))
        .join(Delivery, Delivery.id == OutcomeRow.delivery_id, isouter=True)
        .join(User, User.id == OutcomeRow.user_id, isouter=True)
        .where(OutcomeRow.alert_id.in_(alert_ids))
        .order_by(OutcomeRow.at.desc(), OutcomeRow.id)
        .limit(MAX_LISTED)
    )
    return list(connection.execute(query))


def forget_account(connection: Connection, account: str) -> None:
    """Take an account out of what was not taken by its receiver yet, and out of outcomes.

    Args:
        connection: in a write transaction.
        account: its name.
    """
    kept = select(Delivery.seq, Delivery.body).where(Delivery.body.contains(json_text(account), autoescape=True))
    for row in connection.execute(kept).all():
        record = read_action(row.body)
        left = [each for each in record.accounts if each.account != account]
        reason = "" if names(record.reason, account) else record.reason
        if left:
            complete = record.complete and len(left) == len(record.accounts)
            cut = msgspec.structs.replace(record, accounts=left, complete=complete, reason=reason)
            values: dict[str, Any] = {"body": encode_action(cut).decode()}
        else:
            values = {"body": "", "state": "dropped", "problem": "its account was forgotten"}
        connection.execute(update(Delivery).where(Delivery.seq == row.seq).values(**values))
    connection.execute(delete(OutcomeRow).where(OutcomeRow.account == account))
    said = select(OutcomeRow.id, OutcomeRow.words).where(OutcomeRow.words.contains(account, autoescape=True))
    for noted in connection.execute(said).all():
        if names(noted.words, account):
            connection.execute(update(OutcomeRow).where(OutcomeRow.id == noted.id).values(words=""))
