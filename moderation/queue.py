"""Who works on which alert: claim with a lease, release, assign, snooze, escalate.

Each is one conditional statement: of two people who ask at the same moment, the database lets one have it.

The queue: which alerts, in which order, page by page. Filters are plain values that a saved view can hold.

Saved views of the queue: one's own, and those that leads share with everybody.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, get_args
from urllib.parse import parse_qsl, urlencode

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, literal_column, or_, select, true, update

from detector.errors import FeedError
from moderation import audit
from moderation.db import Alert, Member, User, View
from moderation.roles import Actor

LEASE_MS: Final = 15 * 60_000
"""Long enough to read a campaign and write a note; short enough that nobody's lunch blocks the queue."""

ASSIGN_MS: Final = 24 * 3_600_000
"""An assignment has to survive a night."""

LONGEST_SNOOZE_MS: Final = 30 * 86_400_000


def undecided() -> ColumnElement[bool]:
    """The alert is open and nothing is decided: in the words of the partial index (`schema.UNDECIDED`)."""
    return and_(Alert.status == literal_column("'open'"), Alert.decision.is_(None))


def waiting(now: int) -> ColumnElement[bool]:
    """The alert is in the queue: open, undecided, not put off, and not waiting for its next revision."""
    return and_(undecided(), Alert.snoozed_until <= now, Alert.waits_revision < Alert.revision)


def unheld(now: int) -> ColumnElement[bool]:
    """Nobody's claim on it holds."""
    return or_(Alert.claimed_by.is_(None), Alert.claimed_until <= now)


def held_by(actor: Actor, now: int) -> ColumnElement[bool]:
    """The actor's claim on it holds."""
    return and_(Alert.claimed_by == actor.user_id, Alert.claimed_until > now)


def claim(connection: Connection, actor: Actor, alert_id: str, now: int, lease_ms: int = LEASE_MS) -> int:
    """Take an alert, or renew one's lease on it; until when it holds.

    Raises:
        FeedError: `forbidden`, `not_found`; `conflict` where somebody else has it or it is no longer open.
    """
    actor.require("work")
    done = connection.execute(
        update(Alert)
        .where(
            Alert.id == alert_id,
            Alert.status == "open",
            Alert.decision.is_(None),
            or_(unheld(now), Alert.claimed_by == actor.user_id),
        )
        .values(claimed_by=actor.user_id, claimed_until=now + lease_ms, changed=now)
    )
    if not done.rowcount:
        raise refused(connection, alert_id, now)
    audit.append(connection, now, actor, "claim", alert_id)
    return now + lease_ms


def claim_next(
    connection: Connection, actor: Actor, wanted: ColumnElement[bool], now: int, lease_ms: int = LEASE_MS
) -> str | None:
    """Take the most urgent alert nobody has among those `wanted`; its id, None where there is none.

    Raises:
        FeedError: `forbidden`.
    """
    actor.require("work")
    free = and_(waiting(now), unheld(now), wanted)
    if not actor.may("lead"):
        free = and_(free, Alert.escalated == 0)
    pick = (
        select(Alert.id)
        .where(free)
        .order_by(Alert.escalated.desc(), Alert.urgency.desc(), Alert.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    found = connection.scalar(pick)
    if found is None:
        return None
    done = connection.execute(
        update(Alert)
        .where(Alert.id == found, free)
        .values(claimed_by=actor.user_id, claimed_until=now + lease_ms, changed=now)
    )
    if not done.rowcount:
        return None
    audit.append(connection, now, actor, "claim", found)
    return str(found)


def release(connection: Connection, actor: Actor, alert_id: str, now: int) -> None:
    """Give an alert back; a lead can give back anybody's.

    Raises:
        FeedError: `forbidden`, `not_found`, `conflict`.
    """
    actor.require("work")
    whose = held_by(actor, now) if not actor.may("lead") else Alert.claimed_by.is_not(None)
    done = connection.execute(
        update(Alert).where(Alert.id == alert_id, whose).values(claimed_by=None, claimed_until=0, changed=now)
    )
    if not done.rowcount:
        _existing(connection, alert_id)
        raise FeedError("conflict", "this alert is not yours to release: your claim on it has ended")
    audit.append(connection, now, actor, "release", alert_id)


def assign(connection: Connection, actor: Actor, alert_id: str, user_id: str, now: int) -> None:
    """Give an alert to somebody, whoever had it.

    Raises:
        FeedError: `forbidden`, `not_found`, `conflict`, `invalid`.
    """
    actor.require("lead")
    user = connection.execute(select(User).where(User.id == user_id)).one_or_none()
    if user is None or not user.active or user.role == "viewer":
        raise FeedError("invalid", "an alert can be assigned to people who are active and may decide")
    done = connection.execute(
        update(Alert)
        .where(Alert.id == alert_id, Alert.status == "open", Alert.decision.is_(None))
        .values(claimed_by=user_id, claimed_until=now + ASSIGN_MS, snoozed_until=0, changed=now)
    )
    if not done.rowcount:
        raise refused(connection, alert_id, now)
    audit.append(connection, now, actor, "assign", alert_id, {"to": user.pseudonym})


def snooze(connection: Connection, actor: Actor, alert_id: str, until: int, now: int) -> None:
    """Put an alert off until a time (now or earlier: bring it back); a claim on it ends.

    Raises:
        FeedError: `forbidden`, `not_found`, `conflict`, `invalid`.
    """
    actor.require("work")
    if until > now + LONGEST_SNOOZE_MS:
        raise FeedError("invalid", "an alert can be put off by 30 days at most")
    until = until if until > now else 0
    if not _change(connection, actor, alert_id, now, {"snoozed_until": until, "claimed_by": None, "claimed_until": 0}):
        raise refused(connection, alert_id, now)
    audit.append(connection, now, actor, "snooze" if until else "wake", alert_id, {"until": until})


def escalate(connection: Connection, actor: Actor, alert_id: str, now: int, *, up: bool = True) -> None:
    """Hand an alert to the leads, who alone decide on it then; or, as a lead, hand it back.

    Raises:
        FeedError: `forbidden`, `not_found`, `conflict`.
    """
    actor.require("work" if up else "lead")
    values = {"escalated": int(up), "claimed_by": None, "claimed_until": 0, "snoozed_until": 0}
    if not _change(connection, actor, alert_id, now, values):
        raise refused(connection, alert_id, now)
    audit.append(connection, now, actor, "escalate" if up else "hand_back", alert_id)


def _change(connection: Connection, actor: Actor, alert_id: str, now: int, values: dict[str, Any]) -> bool:
    """Change an open alert that is nobody's or one's own (a lead: anybody's)."""
    whose = or_(unheld(now), Alert.claimed_by == actor.user_id) if not actor.may("lead") else Alert.id == alert_id
    statement = update(Alert).where(Alert.id == alert_id, Alert.status == "open", Alert.decision.is_(None), whose)
    return bool(connection.execute(statement.values(**values, changed=now)).rowcount)


def _existing(connection: Connection, alert_id: str) -> Any:
    row = connection.execute(
        select(Alert.status, Alert.decision, Alert.merged_into, Alert.claimed_until).where(Alert.id == alert_id)
    ).one_or_none()
    if row is None:
        raise FeedError("not_found", "there is no such alert")
    return row


def refused(connection: Connection, alert_id: str, now: int) -> FeedError:
    """Why a change of an alert found nothing to change."""
    row = _existing(connection, alert_id)
    if row.status == "merged":
        return FeedError("conflict", f"this alert is now part of {row.merged_into}")
    if row.status != "open":
        return FeedError("conflict", "this alert was withdrawn: there is nothing left to decide")
    if row.decision is not None:
        return FeedError("conflict", "this alert is decided: undo the decision to work on it again")
    return FeedError("conflict", "somebody else is working on this alert")


State = Literal["waiting", "mine", "claimed", "escalated", "snoozed", "decided", "closed", "all"]
Sort = Literal["urgency", "newest", "largest"]
Kind = Literal["any", "campaign", "account", "coordination"]

STATES: Final[tuple[State, ...]] = get_args(State)
SORTS: Final[tuple[Sort, ...]] = get_args(Sort)
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

LONGEST_SEARCH: Final = 200
MOST_WORDS: Final = 6
PAGE: Final = 50
LARGEST_PAGE: Final = 200

LISTED: Final = (
    Alert.id, Alert.kind, Alert.status, Alert.revision, Alert.merged_into, Alert.at, Alert.first_post_at,
    Alert.last_post_at, Alert.members, Alert.urgency, Alert.title, Alert.arrived, Alert.changed, Alert.decision,
    Alert.decided, Alert.snoozed_until, Alert.escalated, Alert.returned, Alert.claimed_by, Alert.claimed_until,
    Alert.waits_revision,
)  # fmt: skip
"""Columns of a list; bodies are read for one alert at a time."""


@dataclass(frozen=True)
class Filters:
    """What somebody wants to see."""

    state: State = "waiting"
    kind: Kind = "any"
    sort: Sort = "urgency"
    q: str = ""
    min_members: int = 0

    @classmethod
    def read(cls, values: Mapping[str, str]) -> Filters:
        """From the fields of an address; unknown fields are ignored.

        Raises:
            FeedError: `invalid`: a value that is none of its field's.
        """
        state, kind, sort = values.get("state", "waiting"), values.get("kind", "any"), values.get("sort", "urgency")
        q = " ".join(values.get("q", "").split())
        least = values.get("min_members", "") or "0"
        good = state in STATES and kind in KINDS and sort in SORTS and len(q) <= LONGEST_SEARCH and "\0" not in q
        if not good or not (least.isascii() and least.isdecimal() and len(least) < 7):
            raise FeedError("invalid", "the list cannot be filtered like that: go back to the queue and choose again")
        return cls(state, kind, sort, q, int(least))  # type: ignore[arg-type]

    @property
    def query(self) -> str:
        """As the query of an address, without what is as it would be anyway."""
        plain = Filters()
        pairs = [(each.name, getattr(self, each.name)) for each in fields(self)]
        return urlencode([(name, value) for name, value in pairs if value != getattr(plain, name)])


@dataclass(frozen=True)
class Listing:
    """One page of the queue: rows with the columns of `LISTED` and `holder`; `cursor` of the next, if there is one."""

    rows: list[Any]
    cursor: str | None


def listing(
    connection: Connection, actor: Actor, filters: Filters, now: int, cursor: str | None = None, limit: int = PAGE
) -> Listing:
    """One page of alerts.

    Raises:
        FeedError: `forbidden`; `invalid`: a cursor that is none.
    """
    actor.require("read")
    columns, descending = _order(filters.sort)
    # Not a join: that lets PostgreSQL, where it knows nothing of the table yet, sort all that waits.
    holder = select(User.name).where(User.id == Alert.claimed_by).scalar_subquery().label("holder")
    columns_shown: list[Any] = [*LISTED, holder]
    asked = select(*columns_shown)
    asked = asked.where(wanted(actor, filters, now))
    if cursor is not None:
        asked = asked.where(_after(columns, descending, _decoded(cursor, len(columns))))
    order = [column.desc() if down else column.asc() for column, down in zip(columns, descending, strict=True)]
    rows = connection.execute(asked.order_by(*order).limit(min(limit, LARGEST_PAGE) + 1)).all()
    shown = list(rows[: min(limit, LARGEST_PAGE)])
    more = len(rows) > len(shown)
    last = [getattr(shown[-1], column.key or "") for column in columns] if more and shown else None
    return Listing(shown, _encoded(last) if last is not None else None)


def wanted(actor: Actor, filters: Filters, now: int) -> ColumnElement[bool]:
    """The filters as a condition on alerts."""
    conditions = [_state(actor, filters.state, now)]
    if filters.kind != "any":
        conditions.append(Alert.kind == filters.kind)
    if filters.min_members:
        conditions.append(Alert.members >= filters.min_members)
    if filters.q:
        named = select(Member.alert_id).where(Member.account == filters.q)
        words = filters.q.lower().split()[:MOST_WORDS]
        conditions.append(or_(and_(*(Alert.digest.contains(word, autoescape=True) for word in words)),
                              Alert.id.in_(named)))  # fmt: skip
    return and_(*conditions)


def counts(connection: Connection, actor: Actor, now: int, waiting_now: int | None = None) -> dict[str, int]:
    """How many alerts wait (counted, unless given), are one's own, were escalated."""
    actor.require("read")
    asked = {"mine": _state(actor, "mine", now), "escalated": _state(actor, "escalated", now)}
    found = {"waiting": count_waiting(connection, now) if waiting_now is None else waiting_now}
    return found | {name: _count(connection, condition) for name, condition in asked.items()}


def count_waiting(connection: Connection, now: int) -> int:
    """How many alerts wait."""
    return _count(connection, waiting(now))


def _count(connection: Connection, condition: ColumnElement[bool]) -> int:
    return int(connection.scalar(select(func.count()).select_from(Alert).where(condition)) or 0)


def _state(actor: Actor, state: State, now: int) -> ColumnElement[bool]:
    open_ = undecided()
    held = Alert.claimed_until > now
    conditions: dict[str, ColumnElement[bool]] = {
        "waiting": waiting(now),
        "mine": and_(open_, held_by(actor, now)),
        "claimed": and_(open_, Alert.claimed_by.is_not(None), held),
        "escalated": and_(waiting(now), Alert.escalated == 1),
        "snoozed": and_(open_, or_(Alert.snoozed_until > now, Alert.waits_revision >= Alert.revision)),
        "decided": Alert.decision.is_not(None),
        "closed": Alert.status != "open",
        "all": true(),
    }
    return conditions[state]


def free_for(actor: Actor, filters: Filters, now: int) -> ColumnElement[bool]:
    """What `claim_next` may take under these filters."""
    return and_(wanted(actor, filters, now), unheld(now))


def _order(sort: Sort) -> tuple[list[Any], list[bool]]:
    if sort == "urgency":
        return [Alert.escalated, Alert.urgency, Alert.id], [True, True, False]
    return [Alert.at if sort == "newest" else Alert.members, Alert.id], [True, False]


def _after(columns: list[Any], descending: list[bool], values: list[Any]) -> ColumnElement[bool]:
    """Rows behind `values` in the order of the columns."""
    cases = []
    for place, (column, down) in enumerate(zip(columns, descending, strict=True)):
        equal = [columns[i] == values[i] for i in range(place)]
        cases.append(and_(*equal, column < values[place] if down else column > values[place]))
    return or_(*cases)


def _encoded(values: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def _decoded(cursor: str, size: int) -> list[Any]:
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        values = None
    good = isinstance(values, list) and len(values) == size and isinstance(values[-1], str) and "\0" not in values[-1]
    # Bounds of a 64-bit column; a bool would pass for a number.
    if not good or not all(type(value) in (int, float) and abs(value) < 2**62 for value in values[:-1]):
        raise FeedError("invalid", "this is no place in the list: start again from its beginning")
    return list(values)


MOST: Final = 50
"""Views of one person: more is a list nobody reads."""


def add(connection: Connection, actor: Actor, name: str, query: str, *, shared: bool) -> str:
    """Save filters under a name; the view's id.

    Raises:
        FeedError: `forbidden`, `invalid`, `conflict`.
    """
    actor.require("lead" if shared else "read")
    name = " ".join(name.split())
    if not 1 <= len(name) <= 64 or not name.isprintable():
        raise FeedError("invalid", "a view has a name of 1 to 64 printable characters")
    filters = Filters.read(dict(parse_qsl(query)))
    mine = select(func.count()).select_from(View).where(View.user_id == actor.user_id)
    if int(connection.scalar(mine) or 0) >= MOST:
        raise FeedError("conflict", f"you have {MOST} views already: delete one first")
    number = secrets.token_hex(16)
    row = {"id": number, "user_id": actor.user_id, "name": name, "query": filters.query, "shared": int(shared)}
    connection.execute(insert(View).values(**row))
    return number


def remove(connection: Connection, actor: Actor, view_id: str) -> None:
    """Delete a view, one's own or, as a lead, a shared one.

    Raises:
        FeedError: `not_found`: there is none that is yours.
    """
    whose = View.user_id == actor.user_id
    if actor.may("lead"):
        whose = or_(whose, View.shared == 1)
    if not connection.execute(delete(View).where(View.id == view_id, whose)).rowcount:
        raise FeedError("not_found", "there is no such view of yours")


def listed(connection: Connection, actor: Actor) -> list[Any]:
    """Views one can use, by name."""
    actor.require("read")
    asked = select(View).where(or_(View.user_id == actor.user_id, View.shared == 1)).order_by(View.name, View.id)
    return list(connection.execute(asked))
