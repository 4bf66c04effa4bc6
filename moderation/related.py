"""What belongs to an alert: the alerts that its members have of their own, other alerts that name them, and decisions
on them that contradict each other.

A campaign with the alerts of its members is one case: it is decided on once, for the campaign and for those of the
members' alerts that the decision is to cover (`decisions.decide`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, or_, select
from sqlalchemy.orm import aliased

from moderation.database_tables import AlertRow, DecisionRow, Member, User
from moderation.permissions import Actor
from streaming.assess.alert_store import account_alert_id

MOST_OTHERS: Final = 500
"""Other alerts looked up for one page: more would be a list nobody reads."""

CONTRADICTIONS: Final = frozenset(
    {
        frozenset({"llm_campaign", "human_coordination"}),
        frozenset({"llm_campaign", "permitted_automation"}),
        frozenset({"llm_campaign", "not_a_campaign"}),
        frozenset({"human_coordination", "permitted_automation"}),
    }
)
"""Verdicts that cannot both be right about one account: a person and a machine, a permitted machine and another."""

MemberState = Literal["free", "yours", "held", "escalated", "decided", "watch", "closed"]


class MemberAlert(NamedTuple):
    """The alert that a member has of its own.

    Args:
        account: the member.
        id: of its alert.
        state: what people are doing with it.
        holder: name of who claimed it; "" where nobody did.
        decision: the current decision on it; "" where there is none.
        odds: that a language model drives it; None where not known.
        coverable: whether whoever looks may decide on it now.
    """

    account: str
    id: str
    state: MemberState
    holder: str
    decision: str
    odds: float | None
    coverable: bool


class OtherAlert(NamedTuple):
    """Another alert that names an account."""

    id: str
    kind: str
    title: str
    members: int
    status: str
    decision: str


class Contradiction(NamedTuple):
    """A decision in force on an account that a new verdict would contradict.

    Args:
        account: which account.
        verdict: what was decided on it.
        alert_id: on which alert.
        title: names in that alert.
        by: name of who decided.
        at: when, ms since 1970.
    """

    account: str
    verdict: str
    alert_id: str
    title: str
    by: str
    at: int


def member_alerts(connection: Connection, actor: Actor, accounts: Collection[str], now: int) -> dict[str, MemberAlert]:
    """The alerts that accounts have of their own, withdrawn ones left out.

    Args:
        connection: to read with.
        actor: who looks.
        accounts: names of accounts.
        now: ms since 1970.
    """
    own = {account_alert_id(account): account for account in accounts}
    rows = connection.execute(
        select(
            AlertRow.id, AlertRow.decision, AlertRow.escalated, AlertRow.watch, AlertRow.claimed_by,
            AlertRow.claimed_until, AlertRow.odds, User.name.label("holder"),
        )
        .join(User, User.id == AlertRow.claimed_by, isouter=True)
        .where(AlertRow.id.in_(own), AlertRow.status == "open")
        .order_by(AlertRow.id)
    )  # fmt: skip
    return {own[row.id]: _member_alert(own[row.id], row, actor, now) for row in rows}


def also_in(connection: Connection, accounts: Collection[str], besides: str) -> dict[str, list[OtherAlert]]:
    """Other alerts that name accounts, open ones and those that were decided: account -> alerts, the largest first.

    Args:
        connection: to read with.
        accounts: names of accounts.
        besides: id of the alert one is looking at.
    """
    own = {account_alert_id(account) for account in accounts} if len(accounts) > 1 else set()
    columns = (AlertRow.id, AlertRow.kind, AlertRow.title, AlertRow.members, AlertRow.status, AlertRow.decision)
    rows = connection.execute(
        select(Member.account, *columns)
        .join(AlertRow, AlertRow.id == Member.alert_id)
        .where(
            Member.account.in_(accounts),
            AlertRow.id != besides,
            or_(AlertRow.status == "open", AlertRow.decision.is_not(None)),
        )
        .order_by(AlertRow.members.desc(), AlertRow.id)
        .limit(MOST_OTHERS)
    )
    found: dict[str, list[OtherAlert]] = defaultdict(list)
    for row in rows:
        if row.id not in own:
            found[row.account].append(
                OtherAlert(row.id, row.kind, row.title, row.members, row.status, row.decision or "")
            )
    return dict(found)


def contradictions(
    connection: Connection, alert_id: str, account: str | None, verdict: str | None = None
) -> list[Contradiction]:
    """Decisions in force elsewhere that a verdict would contradict.

    A verdict on a group is compared with those on its members, in their own alerts or singly in other groups; one on an
    account with those on its other alerts. Exceptions for single members within the same group are meant, and none.

    Args:
        connection: to read with.
        alert_id: the alert that is decided on.
        account: the member that is decided on alone; None for the alert as a whole.
        verdict: what is decided; None for every decision elsewhere.
    """
    kind = connection.scalar(select(AlertRow.kind).where(AlertRow.id == alert_id))
    if account is not None:
        accounts = {account}
    else:
        accounts = set(connection.scalars(select(Member.account).where(Member.alert_id == alert_id)))
    if not accounts:
        return []
    own = {account_alert_id(each): each for each in accounts}
    found: dict[tuple[str, str], Contradiction] = {}
    for row in _in_force(connection, and_(DecisionRow.account.in_(accounts), DecisionRow.alert_id != alert_id)):
        found[row.account, row.alert_id] = Contradiction(
            row.account, row.verdict, row.alert_id, row.title or "", row.by_name or "somebody", row.at
        )
    whole = DecisionRow.account.is_(None)
    elsewhere = and_(whole, DecisionRow.alert_id.in_(set(own) - {alert_id}))
    for row in _in_force(connection, elsewhere):
        name = own[row.alert_id]
        found[name, row.alert_id] = Contradiction(
            name, row.verdict, row.alert_id, row.title or "", row.by_name or "somebody", row.at
        )
    if kind == "account" or account is not None:
        (name,) = list(accounts)[:1]
        groups = select(Member.alert_id).where(Member.account == name, Member.alert_id.not_in({*own, alert_id}))
        for row in _in_force(connection, and_(whole, DecisionRow.alert_id.in_(groups))):
            # An exception for this account, made within that group, is what holds there.
            found.setdefault(
                (name, row.alert_id),
                Contradiction(name, row.verdict, row.alert_id, row.title or "", row.by_name or "somebody", row.at),
            )
    return sorted(
        (each for each in found.values() if verdict is None or frozenset({each.verdict, verdict}) in CONTRADICTIONS),
        key=lambda each: (each.account, each.alert_id),
    )


def in_words(found: list[Contradiction], verdicts: Mapping[str, str]) -> str:
    """The first of some contradictions as a clause, and how many more there are.

    Args:
        found: at least one.
        verdicts: words of verdicts.
    """
    first, more = found[0], len({each.account for each in found}) - 1
    said = f"{first.by} decided '{verdicts.get(first.verdict, first.verdict)}' on {first.account!a}"
    return said if not more else f"{said}, and {more} other account{'s' if more > 1 else ''} likewise"


def _in_force(connection: Connection, condition: ColumnElement[bool]) -> list[Any]:
    """Decisions that hold now, one for each alert and account: the latest of those that were not undone."""
    about = aliased(AlertRow)
    rows = connection.execute(
        select(DecisionRow.__table__, User.name.label("by_name"), about.title)
        .join(User, User.id == DecisionRow.user_id, isouter=True)
        .join(about, about.id == DecisionRow.alert_id, isouter=True)
        .where(condition, DecisionRow.undone_by.is_(None), DecisionRow.verdict.not_in(("undo", "missed")))
        .order_by(DecisionRow.at, DecisionRow.id)
    )
    return list({(row.alert_id, row.account): row for row in rows}.values())


def _member_alert(account: str, row: Any, actor: Actor, now: int) -> MemberAlert:
    held = row.claimed_by is not None and row.claimed_until > now
    state: MemberState = "free"
    if row.decision is not None:
        state = "decided"
    elif row.escalated:
        state = "escalated"
    elif held:
        state = "yours" if row.claimed_by == actor.user_id else "held"
    elif row.watch:
        state = "watch"
    coverable = actor.may("work") and (
        state in ("free", "yours", "watch") or (state == "escalated" and actor.may("lead") and not held)
    )
    holder = (row.holder or "somebody") if held else ""
    return MemberAlert(account, row.id, state, holder, row.decision or "", row.odds, coverable)
