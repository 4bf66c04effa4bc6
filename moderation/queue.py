"""The queue: which alerts, in which order, page by page. Filters are plain values that a saved view can hold."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, get_args
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, true

from detector.errors import FeedError
from moderation.claims import held_by, undecided, unheld, waiting
from moderation.roles import Actor
from moderation.schema import Alert, Member, User

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
