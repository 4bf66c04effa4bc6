"""Decisions of moderators on alerts and on single accounts, and how they are undone.

Every decision is recorded for good, queued for topic `feedback` (`outbox`) and for receivers of actions (`actions`),
and entered into the audit log, in one transaction. Undoing a decision records another one; current is then the latest
decision that was not undone.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import Connection, insert, or_, select, update

from detector.errors import FeedError
from moderation import actions, audit, console_config, outbox, related, second_looks
from moderation.alert_lists import entitled, unclaimed
from moderation.audit import pseudonym, pseudonym_key
from moderation.database_tables import AlertRow, DecisionRow, Member
from moderation.permissions import Actor
from moderation.queue import NOT_ESCALATED, NOT_SNOOZED, why_unchanged
from moderation.topic_records import LARGEST_ACCOUNT
from streaming.assess.alert_store import account_alert_id

Verdict = Literal["llm_campaign", "human_coordination", "permitted_automation", "not_a_campaign", "needs_more"]

VERDICTS: Final[tuple[Verdict, ...]] = (
    "llm_campaign", "human_coordination", "permitted_automation", "not_a_campaign", "needs_more"
)  # fmt: skip

VERDICT_NAMES: Final[dict[str, str]] = {verdict: verdict.replace("_", " ") for verdict in VERDICTS}

MADE_ON: Final = (
    "kind",
    "odds",
    "members",
    "arrived",
    "text_nats",
    "behaviour_nats",
    "coordination_nats",
    "graph_nats",
)
"""Columns of an alert that a decision on it keeps as they were."""

CLOSING_VERDICTS: Final = frozenset(VERDICTS) - {"needs_more"}
"""Verdicts that take an alert out of the queue for good; `needs_more` does so until its next revision."""


@dataclass(frozen=True)
class DecisionRequest:
    """A decision that somebody asks for.

    Args:
        alert_id: on which alert.
        verdict: what is decided.
        account: a member, where the decision is on it alone; None for the alert as a whole.
        policy: code of a configured policy (`console_config`), or any reference to a rule where none are configured;
            receivers of actions are told, topic `feedback` is not.
        reason: a sentence that goes to topic `feedback`; names nobody.
        note: for colleagues; stays in this database.
        revision: the revision that was looked at; None for the latest.
        id: a UUID chosen by the caller, so that asking twice decides once; None for a new one.
        covers: members whose own alerts get the same decision; for the alert as a whole only.
        despite: whether it is made although it contradicts decisions in force elsewhere (`related.contradictions`).
        batch: the bulk action that makes it; None for none.
        on_appeal: whether an appeal that is granted makes it (`appeals`): policies' demands do not apply.
    """

    alert_id: str
    verdict: Verdict
    account: str | None = None
    policy: str = ""
    reason: str = ""
    note: str = ""
    revision: int | None = None
    id: str | None = None
    covers: tuple[str, ...] = ()
    despite: bool = False
    batch: str | None = None
    on_appeal: bool = False


def decide(connection: Connection, actor: Actor, request: DecisionRequest, now: int) -> str:
    """Decide on an alert, and on the alerts of members that it covers, or on one of its members.

    An alert that somebody else has claimed is theirs to decide on.

    Args:
        connection: in a write transaction.
        actor: needs the right "work"; "lead" for an escalated alert.
        request: what is to be decided.
        now: ms since 1970.

    Returns:
        The decision's id.

    Raises:
        FeedError: `forbidden`, `not_found`, `conflict`, `invalid`; `contradicts`: what it would contradict.
    """
    actor.require("work")
    if request.verdict not in VERDICTS:
        raise FeedError("invalid", f"{request.verdict!a} is no decision: choose one of {', '.join(VERDICTS)}")
    again = _made_before(connection, actor, request)
    if again is not None:
        return again
    if not request.on_appeal:
        configured = console_config.current(connection)
        console_config.check_decision(configured, request.verdict, request.policy, request.reason)
    number = request.id or str(uuid.uuid4())
    if request.covers and request.account is not None:
        raise FeedError("invalid", "a decision on one member covers no others: decide on the alert as a whole")
    if not request.despite:
        _check_contradictions(connection, request)
    if request.account is not None:
        _check_member(connection, actor, request, now)
    else:
        _close_alert(connection, actor, request, number, now)
    revision = (
        request.revision or connection.scalar(select(AlertRow.revision).where(AlertRow.id == request.alert_id)) or 0
    )
    decision = DecisionRow(
        id=number, alert_id=request.alert_id, account=request.account, verdict=request.verdict, undoes=None, at=now,
        user_id=actor.user_id, policy=request.policy, reason=request.reason, note=request.note, revision=revision,
        batch=request.batch,
    )  # fmt: skip
    _record(connection, actor, decision)
    if request.account is None and request.verdict in CLOSING_VERDICTS and not request.on_appeal:
        second_looks.draw(connection, decision)
    for account in sorted(set(request.covers)):
        _cover(connection, actor, request, account, number, now)
    return number


def _check_contradictions(connection: Connection, request: DecisionRequest) -> None:
    found = related.contradictions(connection, request.alert_id, request.account, request.verdict)
    # What is covered is decided anew, and contradicts nothing then.
    found = [
        each for each in found if each.account not in request.covers or each.alert_id != account_alert_id(each.account)
    ]
    if found:
        raise FeedError(
            "contradicts",
            f"this contradicts a decision in force: {related.in_words(found, VERDICT_NAMES)}; undo that one, choose "
            "another decision, or say that this one is meant nevertheless",
        )


def _cover(
    connection: Connection, actor: Actor, request: DecisionRequest, account: str, case_id: str, now: int
) -> None:
    """Decide on a member's own alert as on the alert it is a member of."""
    member = select(Member.account).where(Member.alert_id == request.alert_id, Member.account == account)
    if connection.scalar(member) is None:
        raise FeedError("not_found", "an account to cover is no member of this alert: choose from its members")
    own = DecisionRequest(
        account_alert_id(account), request.verdict, policy=request.policy, reason=request.reason, note=request.note
    )
    number = str(uuid.uuid4())
    try:
        _close_alert(connection, actor, own, number, now)
    except FeedError as error:
        raise FeedError(error.code, f"the alert of {account!a} cannot be covered: {error}") from None
    revision = connection.scalar(select(AlertRow.revision).where(AlertRow.id == own.alert_id)) or 0
    decision = DecisionRow(
        id=number, alert_id=own.alert_id, account=None, verdict=own.verdict, undoes=None, at=now,
        user_id=actor.user_id, policy=own.policy, reason=own.reason, note=own.note, revision=revision,
        part_of=case_id,
    )  # fmt: skip
    _record(connection, actor, decision)


def report_missed(connection: Connection, actor: Actor, account: str, reason: str, note: str, now: int) -> str:
    """Report an account that no alert names. The report is a decision on the alert that the account would have.

    Args:
        connection: in a write transaction.
        actor: needs the right "work".
        account: its name, as events have it.
        reason: a sentence that goes to topic `feedback`; names nobody.
        note: for colleagues; stays in this database.
        now: ms since 1970.

    Returns:
        The decision's id.

    Raises:
        FeedError: `forbidden`, `invalid`.
    """
    actor.require("work")
    if not account or len(account) > LARGEST_ACCOUNT:
        raise FeedError("invalid", f"name the account that was missed, with 1 to {LARGEST_ACCOUNT} characters")
    decision = DecisionRow(
        id=str(uuid.uuid4()), alert_id=account_alert_id(account), account=account, verdict="missed", undoes=None,
        at=now, user_id=actor.user_id, policy="", reason=reason, note=note, revision=0,
    )  # fmt: skip
    _record(connection, actor, decision)
    return decision.id


def undo(
    connection: Connection, actor: Actor, decision_id: str, reason: str, now: int, *, on_appeal: bool = False
) -> str:
    """Undo a decision, one's own or, as a lead, anybody's, and with it those on other alerts that it covered.

    Current is then the latest decision on the alert that was not undone; where there is none, the alert waits again.

    Args:
        connection: in a write transaction.
        actor: needs the right "work"; "lead" for other people's decisions.
        decision_id: which decision.
        reason: a sentence that goes to topic `feedback`; names nobody.
        now: ms since 1970.
        on_appeal: whether an appeal that is granted undoes it, which gives whoever decides appeals the right to.

    Returns:
        The id of the decision that records the undoing.

    Raises:
        FeedError: `forbidden`, `not_found`, `conflict`.
    """
    actor.require("work")
    found = connection.execute(select(DecisionRow).where(DecisionRow.id == decision_id)).one_or_none()
    if found is None:
        raise FeedError("not_found", "there is no decision with this id: load the list of decisions again")
    if found.user_id != actor.user_id and not on_appeal:
        actor.require("lead")
    if found.verdict == "undo":
        raise FeedError("conflict", "an undoing is not undone: decide again instead")
    number = str(uuid.uuid4())
    marked = connection.execute(
        update(DecisionRow)
        .where(DecisionRow.id == decision_id, DecisionRow.undone_by.is_(None))
        .values(undone_by=number)
    )
    if not marked.rowcount:
        raise FeedError("conflict", "this decision was taken back already: load the page again")
    if found.account is None:
        _restore(connection, found.alert_id, now)
    decision = DecisionRow(
        id=number, alert_id=found.alert_id, account=found.account, verdict="undo", undoes=decision_id, at=now,
        user_id=actor.user_id, policy="", reason=reason, note="", revision=found.revision,
    )  # fmt: skip
    _record(connection, actor, decision)
    covered = select(DecisionRow.id).where(DecisionRow.part_of == decision_id, DecisionRow.undone_by.is_(None))
    for each in sorted(connection.scalars(covered)):
        undo(connection, actor, each, reason, now, on_appeal=on_appeal)
    return number


MAX_BATCH: Final = 1000
"""Decisions undone at once: five bulk actions of the largest size."""


def undo_batch(connection: Connection, actor: Actor, batch: str, reason: str, now: int) -> int:
    """Undo what a bulk action decided, as far as it is in force and the actor may.

    Args:
        connection: in a write transaction.
        actor: needs the right "work"; "lead" for other people's decisions.
        batch: `DecisionRow.batch`.
        reason: a sentence that goes to topic `feedback`; names nobody.
        now: ms since 1970.

    Returns:
        How many decisions were undone.

    Raises:
        FeedError: `forbidden`; `conflict`: there is nothing of it to undo.
    """
    actor.require("work")
    query = select(DecisionRow.id, DecisionRow.user_id).where(
        DecisionRow.batch == batch, DecisionRow.undone_by.is_(None), DecisionRow.part_of.is_(None)
    )
    found = connection.execute(query.order_by(DecisionRow.alert_id).limit(MAX_BATCH)).all()
    if any(row.user_id != actor.user_id for row in found):
        actor.require("lead")
    if not found:
        raise FeedError("conflict", "all of this was taken back already: load the page again")
    for row in found:
        undo(connection, actor, row.id, reason, now)
    return len(found)


def current_on_accounts(connection: Connection, alert_id: str) -> dict[str, Any]:
    """The current decision on each member of an alert that was decided on alone: account -> row of `decisions`."""
    query = (
        select(DecisionRow)
        .where(
            DecisionRow.alert_id == alert_id,
            DecisionRow.account.is_not(None),
            DecisionRow.undone_by.is_(None),
            DecisionRow.verdict.in_(VERDICTS),
        )
        .order_by(DecisionRow.at, DecisionRow.id)
    )
    return {row.account: row for row in connection.execute(query)}


def _made_before(connection: Connection, actor: Actor, request: DecisionRequest) -> str | None:
    """The id of the decision that was made under the caller's own id before; None where there is none."""
    if request.id is None:
        return None
    found = connection.execute(select(DecisionRow).where(DecisionRow.id == request.id)).one_or_none()
    if found is None:
        return None
    same = (found.user_id, found.alert_id, found.account, found.verdict)
    if same != (actor.user_id, request.alert_id, request.account, request.verdict):
        raise FeedError("conflict", "another decision has this id: choose a new one")
    return request.id


def _check_member(connection: Connection, actor: Actor, request: DecisionRequest, now: int) -> None:
    """Check that the account is a member of the alert and that the actor may decide on the alert now."""
    member = connection.scalar(
        select(Member.account).where(Member.alert_id == request.alert_id, Member.account == request.account)
    )
    # This locks the row until the decision is recorded, so that a claim made meanwhile waits for it.
    free = connection.execute(
        update(AlertRow)
        .where(AlertRow.id == request.alert_id, _may_decide(actor, now), AlertRow.status != "merged")
        .values(changed=now)
    )
    if not free.rowcount:
        raise why_unchanged(connection, actor, request.alert_id)
    if member is None:
        raise FeedError("not_found", "the account is no member of this alert: choose one from its table of members")


def _close_alert(connection: Connection, actor: Actor, request: DecisionRequest, number: str, now: int) -> None:
    """Take the alert out of the queue, if it is undecided and the actor may decide on it now."""
    values: dict[str, Any] = {"claimed_by": None, "claimed_until": 0, "returned": 0, "changed": now}
    values |= NOT_ESCALATED | NOT_SNOOZED
    if request.verdict in CLOSING_VERDICTS:
        values |= {"decision": request.verdict, "decision_id": number, "decided": now}
    else:
        values |= {"waits_revision": AlertRow.revision}
    done = connection.execute(
        update(AlertRow)
        .where(
            AlertRow.id == request.alert_id,
            AlertRow.status == "open",
            AlertRow.decision.is_(None),
            _may_decide(actor, now),
        )
        .values(**values)
    )
    if not done.rowcount:
        raise why_unchanged(connection, actor, request.alert_id)


def _may_decide(actor: Actor, now: int) -> Any:
    return or_(unclaimed(now), AlertRow.claimed_by == actor.user_id) & entitled(actor)


def _restore(connection: Connection, alert_id: str, now: int) -> None:
    """Make the latest decision on the alert that was not undone the current one."""
    current = connection.execute(
        select(DecisionRow)
        .where(
            DecisionRow.alert_id == alert_id,
            DecisionRow.account.is_(None),
            DecisionRow.undone_by.is_(None),
            DecisionRow.verdict.in_(VERDICTS),
        )
        .order_by(DecisionRow.at.desc(), DecisionRow.id.desc())
        .limit(1)
    ).one_or_none()
    values: dict[str, Any] = {"decision": None, "decision_id": None, "decided": 0, "waits_revision": 0}
    if current is not None and current.verdict in CLOSING_VERDICTS:
        values |= {"decision": current.verdict, "decision_id": current.id, "decided": current.at}
    elif current is not None:
        values |= {"waits_revision": current.revision}
    connection.execute(update(AlertRow).where(AlertRow.id == alert_id).values(**values, changed=now))


def _record(connection: Connection, actor: Actor, decision: DecisionRow) -> None:
    """Write the decision with what it was made on, its feedback record, its actions and its audit entry."""
    row = {column.name: getattr(decision, column.name) for column in DecisionRow.__table__.columns}
    shown = [getattr(AlertRow, name) for name in MADE_ON]
    alert = connection.execute(select(*shown).where(AlertRow.id == decision.alert_id)).one_or_none()
    row |= dict.fromkeys(("kind", *MADE_ON), None) | {"kind": "", "members": 0, "arrived": 0}
    if alert is not None:
        row |= alert._asdict()
    connection.execute(insert(DecisionRow).values(**row))
    outbox.enqueue(connection, decision, actor.pseudonym)
    actions.enqueue(connection, decision, actor.pseudonym)
    facts: dict[str, audit.Fact] = {"decision": decision.id, "verdict": decision.verdict}
    if decision.account is not None:
        facts["account"] = pseudonym(pseudonym_key(connection), decision.account)
    if decision.undoes is not None:
        facts["undoes"] = decision.undoes
    audit.append(connection, decision.at, actor, "decide" if decision.verdict != "undo" else "undo",
                 decision.alert_id, facts)  # fmt: skip
