"""What the owner of an account is told, and their appeals, which another person decides than the one who decided.

A moderator makes a *notice* of the decision in force on an account: a page behind an address that nobody can guess, to
be sent by the platform. It keeps the few numbers that it shows, so that it says the same however the alert changes, and
none of another account's. An appeal is filed there, or by a program for the owner; while it is open the decision stays
in force. Overturning takes the decision back, for that account alone.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, func, insert, or_, select, update
from sqlalchemy.orm import aliased

from detector.errors import FeedError
from detector.evidence import COMPONENTS
from moderation import audit, case_log, decisions
from moderation.audit import pseudonym, pseudonym_key
from moderation.database_tables import AlertRow, Appeal, DecisionRow, Member, Notice, User
from moderation.permissions import Actor
from moderation.topic_records import LARGEST_ACCOUNT, milliseconds, read_alert
from moderation.users import fingerprint, new_secret
from streaming.assess.alert_store import account_alert_id

NOTICE_MS: Final = 183 * 86_400_000
"""Six months: what the Digital Services Act (article 20) gives people to complain in."""

MAX_APPEAL_CHARACTERS: Final = 2000
"""Of what an owner writes: a page of text."""

APPEALS_SHOWN: Final = 200
"""On the page of appeals: the oldest open ones, and the latest that were decided."""

OVERTURNED_BY: Final[tuple[decisions.Verdict, ...]] = ("not_a_campaign", "human_coordination", "permitted_automation")
"""Decisions that may follow an appeal that is granted."""


class NoticeFacts(msgspec.Struct, frozen=True):
    """What a notice shows: numbers about the account alone, fixed when it was made.

    Args:
        verdict: what was decided.
        in_group: whether the alert was about a group.
        nats: evidence component -> nats on this account.
        first_at: of the first post that was looked at, ms since 1970.
        last_at: of the last.
        decided: ms since 1970.
    """

    verdict: str
    in_group: bool
    nats: dict[str, float]
    first_at: int
    last_at: int
    decided: int


@dataclass(frozen=True)
class FoundNotice:
    """A notice as its page shows it.

    Args:
        account: whose.
        facts: what was seen and decided.
        appeal: row of table `appeals`; None where nobody appealed.
        in_force: whether the decision still is.
    """

    account: str
    facts: NoticeFacts
    appeal: Any
    in_force: bool


def decision_on(connection: Connection, account: str) -> Any:
    """The latest decision in force that concerns an account: on its own alert, on it as a member, or on its campaign.

    Args:
        connection: to read with.
        account: its name.

    Returns:
        A row of table `decisions`; None where there is none that closed anything.
    """
    named = select(Member.alert_id).where(Member.account == account)
    query = (
        select(DecisionRow)
        .where(
            DecisionRow.undone_by.is_(None),
            DecisionRow.verdict.in_(sorted(decisions.CLOSING_VERDICTS)),
            or_(
                DecisionRow.account == account,
                DecisionRow.account.is_(None)
                & or_(DecisionRow.alert_id == account_alert_id(account), DecisionRow.alert_id.in_(named)),
            ),
        )
        .order_by(DecisionRow.at.desc(), DecisionRow.id.desc())
        .limit(1)
    )
    return connection.execute(query).one_or_none()


def make_notice(connection: Connection, actor: Actor, account: str, now: int) -> str:
    """Make the page for an account's owner.

    Args:
        connection: in a write transaction.
        actor: needs the right "work".
        account: its name.
        now: ms since 1970.

    Returns:
        The secret of the page's address.

    Raises:
        FeedError: `forbidden`; `conflict`: no decision in force concerns the account.
    """
    actor.require("work")
    decision = _concerning(connection, account)
    alert = connection.execute(select(AlertRow).where(AlertRow.id == decision.alert_id)).one_or_none()
    record = read_alert(alert.body) if alert is not None else None
    member = next((each for each in record.members if each.account == account), None) if record is not None else None
    llr = member.llr if member is not None else record.evidence if record is not None and _alone(record) else None
    facts = NoticeFacts(
        decision.verdict,
        alert is not None and alert.kind != "account",
        {name: round(float(getattr(llr, name)), 3) for name in COMPONENTS} if llr is not None else {},
        (milliseconds(record.first_post_at) or 0) if record is not None else 0,
        (milliseconds(record.last_post_at) or 0) if record is not None else 0,
        decision.at,
    )
    token = new_secret()
    row = {"hash": fingerprint(token), "account": account, "alert_id": decision.alert_id, "decision_id": decision.id,
           "facts": msgspec.json.encode(facts).decode(), "made": now, "made_by": actor.user_id,
           "expires": now + NOTICE_MS}  # fmt: skip
    connection.execute(insert(Notice).values(**row))
    audit.append(connection, now, actor, "notice", decision.alert_id, {"account": _mark(connection, account)})
    return token


def find_notice(connection: Connection, token: str, now: int) -> FoundNotice | None:
    """The notice behind an address; None where there is none, or no longer.

    Args:
        connection: to read with.
        token: the secret of its address.
        now: ms since 1970.
    """
    row = connection.execute(
        select(Notice).where(Notice.hash == fingerprint(token), Notice.expires > now)
    ).one_or_none()
    if row is None:
        return None
    appeal = connection.execute(
        select(Appeal).where(Appeal.decision_id == row.decision_id, Appeal.account == row.account)
    ).one_or_none()
    undone = connection.scalar(select(DecisionRow.undone_by).where(DecisionRow.id == row.decision_id))
    return FoundNotice(row.account, msgspec.json.decode(row.facts, type=NoticeFacts), appeal, undone is None)


def appeal_by_notice(connection: Connection, token: str, words: str, now: int) -> str:
    """File the appeal of whoever has a notice's address.

    Args:
        connection: in a write transaction.
        token: the secret of its address.
        words: what they say.
        now: ms since 1970.

    Returns:
        The appeal's id.

    Raises:
        FeedError: `not_found`, `invalid`; `conflict`: there is an appeal already.
    """
    row = connection.execute(
        select(Notice).where(Notice.hash == fingerprint(token), Notice.expires > now)
    ).one_or_none()
    if row is None:
        raise FeedError("not_found", "there is no such notice, or no longer: ask the platform that sent it")
    return _file(connection, row.decision_id, row.alert_id, row.account, words, None, now)


def appeal_for(connection: Connection, actor: Actor, account: str, words: str, now: int) -> str:
    """File the appeal of an account's owner, who wrote to the platform.

    Args:
        connection: in a write transaction.
        actor: needs the right "work".
        account: its name.
        words: what its owner says.
        now: ms since 1970.

    Returns:
        The appeal's id.

    Raises:
        FeedError: `forbidden`, `invalid`; `conflict`: nothing to appeal against, or there is an appeal already.
    """
    actor.require("work")
    decision = _concerning(connection, account)
    return _file(connection, decision.id, decision.alert_id, account, words, actor, now)


def list_appeals(connection: Connection, actor: Actor, *, open_only: bool = False) -> list[Any]:
    """Appeals, open ones first, the oldest first; then those that were decided, the latest first.

    Args:
        connection: to read with.
        actor: needs the right "read".
        open_only: whether to leave out those that were decided.

    Returns:
        Rows of table `appeals` with `verdict`, `decided_at_first`, `first_by` (user id) and `first_name` of the
        decision that is appealed against, and `answered_name`.
    """
    actor.require("read")
    first, answering = aliased(User), aliased(User)
    query = (
        select(
            Appeal.__table__,
            DecisionRow.verdict,
            DecisionRow.at.label("decided_at_first"),
            DecisionRow.user_id.label("first_by"),
            first.name.label("first_name"),
            answering.name.label("answered_name"),
        )
        .join(DecisionRow, DecisionRow.id == Appeal.decision_id)
        .join(first, first.id == DecisionRow.user_id, isouter=True)
        .join(answering, answering.id == Appeal.answered_by, isouter=True)
    )
    waiting = query.where(Appeal.outcome == "").order_by(Appeal.at, Appeal.id).limit(APPEALS_SHOWN)
    rows = list(connection.execute(waiting))
    if not open_only:
        done = query.where(Appeal.outcome != "").order_by(Appeal.answered.desc(), Appeal.id).limit(APPEALS_SHOWN)
        rows += connection.execute(done).all()
    return rows


def count_open(connection: Connection, actor: Actor) -> int:
    """How many open appeals the actor may decide: those against other people's decisions."""
    query = (
        select(func.count())
        .select_from(Appeal)
        .join(DecisionRow, DecisionRow.id == Appeal.decision_id)
        .where(Appeal.outcome == "", DecisionRow.user_id != actor.user_id)
    )
    return int(connection.scalar(query) or 0)


def answer(
    connection: Connection, actor: Actor, appeal_id: str, verdict: decisions.Verdict | None, reason: str, now: int
) -> None:
    """Decide an appeal.

    Args:
        connection: in a write transaction.
        actor: needs the right "work", and decided something else than what is appealed against.
        appeal_id: which appeal.
        verdict: what is decided instead (one of `OVERTURNED_BY`); None upholds the decision.
        reason: for the account's owner, who reads it; names nobody else.
        now: ms since 1970.

    Raises:
        FeedError: `forbidden`: it is one's own decision; `not_found`; `invalid`: no reason; `conflict`: it was decided.
    """
    actor.require("work")
    row = connection.execute(
        select(Appeal, DecisionRow.user_id, DecisionRow.account.label("on"), DecisionRow.undone_by, DecisionRow.policy)
        .join(DecisionRow, DecisionRow.id == Appeal.decision_id)
        .where(Appeal.id == appeal_id)
    ).one_or_none()
    if row is None:
        raise FeedError("not_found", "there is no such appeal: load the list of appeals again")
    if row.user_id == actor.user_id:
        raise FeedError("forbidden", "this appeal is against a decision of your own: somebody else decides it")
    if verdict is not None and verdict not in OVERTURNED_BY:
        raise FeedError("invalid", f"an appeal is granted by one of {', '.join(OVERTURNED_BY)}: choose one")
    if not reason:
        raise FeedError("invalid", "the account's owner is owed a reason: write one that names nobody else")
    outcome = "upheld" if verdict is None else "overturned"
    done = connection.execute(
        update(Appeal)
        .where(Appeal.id == appeal_id, Appeal.outcome == "")
        .values(outcome=outcome, answered=now, answered_by=actor.user_id, answer=reason)
    )
    if not done.rowcount:
        raise FeedError("conflict", "this appeal was decided already: load the list of appeals again")
    if verdict is not None and row.undone_by is None:
        _overturn(connection, actor, row, verdict, reason, now)
    case_log.note(connection, row.alert_id, now, actor.user_id, f"appeal_{outcome}", reason)
    audit.append(connection, now, actor, "appeal_decide", row.alert_id,
                 {"appeal": appeal_id, "outcome": outcome, "decision": row.decision_id})  # fmt: skip


def forget_account(connection: Connection, account: str) -> None:
    """Remove an account's notices and appeals.

    Args:
        connection: in a write transaction.
        account: its name.
    """
    for table in (Notice, Appeal):
        connection.execute(table.__table__.delete().where(table.account == account))  # type: ignore[attr-defined]


def _overturn(
    connection: Connection, actor: Actor, row: Any, verdict: decisions.Verdict, reason: str, now: int
) -> None:
    """Take the decision back for the account alone, and decide anew where the alert is still open."""
    own = row.on == row.account or row.alert_id == account_alert_id(row.account)
    if own:
        decisions.undo(connection, actor, row.decision_id, reason, now, on_appeal=True)
    status = connection.scalar(select(AlertRow.status).where(AlertRow.id == row.alert_id))
    member = connection.scalar(
        select(Member.account).where(Member.alert_id == row.alert_id, Member.account == row.account)
    )
    if status != "open" or (member is None and not own):
        return
    alone = None if row.alert_id == account_alert_id(row.account) and row.on is None else row.account
    decisions.decide(
        connection, actor,
        decisions.DecisionRequest(
            row.alert_id, verdict, account=alone, policy=row.policy, reason=reason, note="after an appeal",
            despite=True, on_appeal=True,
        ), now,
    )  # fmt: skip


def _file(
    connection: Connection, decision_id: str, alert_id: str, account: str, words: str, actor: Actor | None, now: int
) -> str:
    if not words or len(words) > MAX_APPEAL_CHARACTERS:
        raise FeedError("invalid", f"say in 1 to {MAX_APPEAL_CHARACTERS} characters why the decision is wrong")
    query = select(Appeal.id).where(Appeal.decision_id == decision_id, Appeal.account == account)
    if connection.scalar(query) is not None:
        raise FeedError("conflict", "there is an appeal against this decision already: wait for what comes of it")
    number = secrets.token_hex(16)
    row = {
        "id": number,
        "decision_id": decision_id,
        "alert_id": alert_id,
        "account": account,
        "words": words,
        "at": now,
    }
    connection.execute(insert(Appeal).values(**row))
    case_log.note(connection, alert_id, now, actor.user_id if actor is not None else None, "appeal", words)
    facts: dict[str, audit.Fact] = {"appeal": number, "decision": decision_id}
    audit.append(connection, now, actor or OWNER, "appeal", alert_id, facts)
    return number


OWNER: Final = Actor("", "owner", "owner", "", frozenset())
"""Whoever has the address of a notice, in the audit log."""


def _concerning(connection: Connection, account: str) -> Any:
    if not account or len(account) > LARGEST_ACCOUNT or "\0" in account:
        raise FeedError("invalid", f"name the account, with 1 to {LARGEST_ACCOUNT} characters")
    found = decision_on(connection, account)
    if found is None:
        raise FeedError("conflict", "no decision in force concerns this account: there is nothing to say of it")
    return found


def _alone(record: Any) -> bool:
    return bool(record.kind == "account")


def _mark(connection: Connection, account: str) -> str:
    return pseudonym(pseudonym_key(connection), account)
