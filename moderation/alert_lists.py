"""Which alerts there are to see: conditions, filters, team queues, pages of a list, counts, and saved views.

Lists are filtered by plain values (`Filters`), which a saved view can hold, and are read page by page.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal, get_args
from urllib.parse import parse_qsl, urlencode

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    func,
    insert,
    literal_column,
    not_,
    or_,
    select,
    true,
)

from detector.errors import FeedError
from moderation import word_index
from moderation.database_tables import AlertRow, Member, SavedView, Skip, User
from moderation.permissions import Actor


def undecided() -> ColumnElement[bool]:
    """Condition: the alert is open and not decided, in the words of the partial index (`database_tables.UNDECIDED`)."""
    return and_(AlertRow.status == literal_column("'open'"), AlertRow.decision.is_(None))


def waiting(now: int) -> ColumnElement[bool]:
    """Condition: the alert is in the queue: open, undecided, on enough posts, not snoozed, not waiting for more."""
    return and_(
        undecided(), AlertRow.snoozed_until <= now, AlertRow.waits_revision < AlertRow.revision, AlertRow.watch == 0
    )


def entitled(actor: Actor) -> ColumnElement[bool]:
    """Condition: the actor may work on the alert: what was escalated is the leads' alone, in every way."""
    return true() if actor.may("lead") else AlertRow.escalated == 0


def unclaimed(now: int) -> ColumnElement[bool]:
    """Condition: no claim on the alert is valid."""
    return or_(AlertRow.claimed_by.is_(None), AlertRow.claimed_until <= now)


def claimed_by_actor(actor: Actor, now: int) -> ColumnElement[bool]:
    """Condition: the actor's claim on the alert is valid."""
    return and_(AlertRow.claimed_by == actor.user_id, AlertRow.claimed_until > now)


def not_skipped(actor: Actor, now: int) -> ColumnElement[bool]:
    """Condition: the actor did not pass the alert over."""
    mine = select(Skip.alert_id).where(Skip.user_id == actor.user_id, Skip.until > now)
    return AlertRow.id.not_in(mine)


State = Literal["waiting", "mine", "claimed", "escalated", "snoozed", "watch", "decided", "closed", "all"]

Sort = Literal["urgency", "newest", "oldest", "largest"]

Kind = Literal["any", "campaign", "account", "coordination"]

STATES: Final[tuple[State, ...]] = get_args(State)

SORTS: Final[tuple[Sort, ...]] = get_args(Sort)

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

MAX_SEARCH_CHARACTERS: Final = 200

PAGE_SIZE: Final = 50

MAX_PAGE_SIZE: Final = 200
"""Alerts on one page of a list."""

LIST_COLUMNS: Final = (
    AlertRow.id, AlertRow.kind, AlertRow.status, AlertRow.revision, AlertRow.merged_into, AlertRow.at,
    AlertRow.first_post_at, AlertRow.last_post_at, AlertRow.members, AlertRow.urgency, AlertRow.title,
    AlertRow.arrived, AlertRow.changed, AlertRow.decision, AlertRow.decided, AlertRow.snoozed_until,
    AlertRow.odds, AlertRow.script, AlertRow.language, AlertRow.policy, AlertRow.posts,
    AlertRow.watch, AlertRow.escalated, AlertRow.returned,
    AlertRow.claimed_by,
    AlertRow.claimed_until, AlertRow.waits_revision,
)  # fmt: skip
"""Columns read for lists; the records (`body`) are read for one alert at a time."""


@dataclass(frozen=True)
class Filters:
    """Which alerts a list shows, and in which order.

    Args:
        state: "waiting" and so on, see `STATES`.
        kind: kind of alert; "any" for all.
        sort: order, see `SORTS`.
        q: words that an alert's pages have to show, or the exact name of a member; "" for all.
        min_members: least number of accounts.
        max_members: largest number of accounts; 0 for any.
        min_odds: least odds in percent; 0 for any, and for alerts without odds.
        max_odds: largest odds in percent; 0 for any.
        script: script that most of the quoted letters are of, such as "Arabic"; "" for any.
        language: language of the quoted posts, such as "pt"; "" for any.
        policy: code of the policy that the alert is proposed to be decided under; "" for any.
        queue: id of a queue (`TeamQueue`), whose alerts it shows; "" for those of all.
    """

    state: State = "waiting"
    kind: Kind = "any"
    sort: Sort = "urgency"
    q: str = ""
    min_members: int = 0
    max_members: int = 0
    min_odds: int = 0
    max_odds: int = 0
    script: str = ""
    queue: str = ""
    language: str = ""
    policy: str = ""

    @classmethod
    def read(cls, values: Mapping[str, str]) -> Filters:
        """Filters out of the query of an address; unknown fields are ignored.

        Raises:
            FeedError: `invalid`: a field has a value it cannot have.
        """
        state, kind, sort = values.get("state", "waiting"), values.get("kind", "any"), values.get("sort", "urgency")
        q = " ".join(values.get("q", "").split())
        script, chosen = values.get("script", "").strip(), values.get("queue", "")
        numbers = [values.get(name, "") or "0" for name in ("min_members", "max_members", "min_odds", "max_odds")]
        good = state in STATES and kind in KINDS and sort in SORTS and len(q) <= MAX_SEARCH_CHARACTERS and "\0" not in q
        good = good and len(script) <= 40 and script.isprintable() and (not chosen or bool(QUEUE_ID.fullmatch(chosen)))
        language, policy = values.get("language", "").strip().lower(), values.get("policy", "").strip()
        good = good and all(not each or TAG.fullmatch(each) for each in (language, policy))
        good = good and all(each.isascii() and each.isdecimal() and len(each) < 7 for each in numbers)
        if not good or max(int(each) for each in numbers[2:]) > 100:
            raise FeedError("invalid", "the list cannot be filtered like that: go back to the queue and choose again")
        fewest, most, least, highest = (int(each) for each in numbers)
        return cls(state, kind, sort, q, fewest, most, least, highest, script, chosen, language, policy)  # type: ignore[arg-type]

    @property
    def query(self) -> str:
        """As the query of an address, without fields that have their default."""
        default = Filters()
        pairs = [(each.name, getattr(self, each.name)) for each in fields(self)]
        return urlencode([(name, value) for name, value in pairs if value != getattr(default, name)])


QUEUE_ID: Final = re.compile(r"[0-9a-f]{32}")

TAG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
"""A language's tag or a policy's code."""


@dataclass(frozen=True)
class TeamQueue:
    """A queue: the alerts that its rules let through and that no queue before it has.

    Args:
        id: of the view that holds it.
        name: of the queue; queues are in the order of their names.
        rules: kind, size, odds, script, language and policy; the rest of the filters is not looked at.
        due_ms: time to decide in, from an alert's arrival; 0 for none.
    """

    id: str
    name: str
    rules: Filters
    due_ms: int

    def takes(self, row: Any) -> bool:
        """Whether the rules let an alert through; `row` has its columns."""
        rules = self.rules
        percent = None if row.odds is None else 100 * row.odds
        return (
            rules.kind in ("any", row.kind)
            and row.members >= rules.min_members
            and (not rules.max_members or row.members <= rules.max_members)
            and (not rules.min_odds or (percent is not None and percent >= rules.min_odds))
            and (not rules.max_odds or (percent is not None and percent <= rules.max_odds))
            and rules.script in ("", row.script)
            and rules.language in ("", row.language)
            and rules.policy in ("", row.policy)
        )


def queue_of(row: Any, queues: Sequence[TeamQueue]) -> TeamQueue | None:
    """The queue that an alert is in: the first that takes it."""
    return next((each for each in queues if each.takes(row)), None)


def list_queues(connection: Connection) -> list[TeamQueue]:
    """All queues in their order."""
    return queues_of(
        connection.execute(select(SavedView).where(SavedView.queue == 1).order_by(SavedView.name, SavedView.id))
    )


def queues_of(views: Iterable[Any]) -> list[TeamQueue]:
    """The queues among saved views that are in their order (`list_views`)."""
    rows = [row for row in views if row.queue]
    return [
        TeamQueue(row.id, row.name, Filters.read(dict(parse_qsl(row.query))), 60_000 * row.due_minutes) for row in rows
    ]


def _rules(filters: Filters) -> list[ColumnElement[bool]]:
    """Conditions on kind, size, odds, script, language and policy: those of `TeamQueue.takes`."""
    found: list[ColumnElement[bool]] = []
    if filters.kind != "any":
        found.append(AlertRow.kind == filters.kind)
    if filters.min_members:
        found.append(AlertRow.members >= filters.min_members)
    if filters.max_members:
        found.append(AlertRow.members <= filters.max_members)
    if filters.min_odds:
        found.append(func.coalesce(AlertRow.odds, -1.0) * 100 >= filters.min_odds)
    if filters.max_odds:
        found.append(func.coalesce(AlertRow.odds, 2.0) * 100 <= filters.max_odds)
    if filters.script:
        found.append(AlertRow.script == filters.script)
    if filters.language:
        found.append(AlertRow.language == filters.language)
    if filters.policy:
        found.append(AlertRow.policy == filters.policy)
    return found


@dataclass(frozen=True)
class AlertPage:
    """One page of a list.

    Args:
        rows: with the columns of `LIST_COLUMNS` and `holder`, the name of who claimed the alert.
        cursor: of the next page; None where this is the last.
    """

    rows: list[Any]
    cursor: str | None


def list_alerts(
    connection: Connection, actor: Actor, filters: Filters, now: int, cursor: str | None = None, limit: int = PAGE_SIZE
) -> AlertPage:
    """One page of alerts.

    Args:
        connection: to read with.
        actor: needs the right "read"; state "mine" is about them.
        filters: which alerts, in which order.
        now: ms since 1970.
        cursor: `AlertPage.cursor` of the page before; None for the first.
        limit: alerts on the page, at most `MAX_PAGE_SIZE`.

    Raises:
        FeedError: `forbidden`; `invalid`: a cursor that is none, or of another order.
    """
    actor.require("read")
    columns, descending = _order(filters.sort)
    # Not a join: with one, PostgreSQL sorts all waiting alerts while it has no statistics of the table.
    holder = select(User.name).where(User.id == AlertRow.claimed_by).scalar_subquery().label("holder")
    columns_shown: list[Any] = [*LIST_COLUMNS, holder]
    statement = select(*columns_shown)
    queues = list_queues(connection) if filters.queue else []
    few = word_index.few_with(connection, filters.q) if filters.q else None
    statement = statement.where(matching(actor, filters, now, queues, few))
    if cursor is not None:
        statement = statement.where(_after(columns, descending, _decode_cursor(cursor, len(columns))))
    order = [column.desc() if down else column.asc() for column, down in zip(columns, descending, strict=True)]
    rows = connection.execute(statement.order_by(*order).limit(min(limit, MAX_PAGE_SIZE) + 1)).all()
    shown = list(rows[: min(limit, MAX_PAGE_SIZE)])
    more = len(rows) > len(shown)
    last = [getattr(shown[-1], column.key or "") for column in columns] if more and shown else None
    return AlertPage(shown, _encode_cursor(last) if last is not None else None)


def matching(
    actor: Actor,
    filters: Filters,
    now: int,
    queues: Sequence[TeamQueue] = (),
    few: word_index.RareWordAlerts | None = None,
) -> ColumnElement[bool]:
    """Condition: the alert fits the filters.

    Args:
        actor: state "mine" is about them.
        filters: which alerts.
        now: ms since 1970.
        queues: as `list_queues` has them; looked at where the filters name one.
        few: the alerts that show a rare word of what is looked for, where they are known.
    """
    conditions = [_state(actor, filters.state, now)]
    if filters.state == "waiting":
        # What colleagues work on, what one passed over and what is for leads is out of one's way; other states show it.
        conditions += [or_(unclaimed(now), AlertRow.claimed_by == actor.user_id), not_skipped(actor, now)]
        if actor.may("work"):
            conditions.append(entitled(actor))
    conditions += _rules(filters)
    for each in queues:
        if each.id == filters.queue:
            conditions += _rules(each.rules)
            break
        if filters.queue:
            conditions.append(not_(and_(true(), *_rules(each.rules))))
    if filters.q:
        # Names are among the words: beside a name of signs alone, an `OR` would only cost the index its use.
        if few is not None:
            conditions.append(AlertRow.id.in_(few.alert_ids))
        shown = word_index.containing(filters.q, few.word if few is not None else "")
        named = select(Member.alert_id).where(Member.account == filters.q)
        conditions.append(AlertRow.id.in_(named) if shown is None else shown)
    return and_(*conditions)


def counts(connection: Connection, actor: Actor, now: int, waiting_now: int | None = None) -> dict[str, int]:
    """How many alerts wait, are claimed by the actor, are escalated.

    Args:
        connection: to read with.
        actor: needs the right "read".
        now: ms since 1970.
        waiting_now: how many wait, where that is known already; None counts them.

    Returns:
        Numbers by "waiting" (for who decides, without those that are the leads' alone), "mine", "escalated".
    """
    actor.require("read")
    both = {name: _number(_state(actor, name, now)).scalar_subquery().label(name) for name in _COUNTED}
    row = connection.execute(select(*both.values())).one()
    waiting_here = count_waiting(connection, now) if waiting_now is None else waiting_now
    if actor.may("work") and not actor.may("lead"):
        waiting_here -= count_for_leads(connection, now)
    return {"waiting": waiting_here} | {name: int(getattr(row, name)) for name in _COUNTED}


def count_waiting(connection: Connection, now: int) -> int:
    """How many alerts wait in the queue and are claimed by nobody."""
    return _count(connection, and_(waiting(now), unclaimed(now)))


def count_for_leads(connection: Connection, now: int) -> int:
    """How many of them were escalated: no moderator works on these."""
    return _count(connection, and_(waiting(now), unclaimed(now), AlertRow.escalated == 1))


def _count(connection: Connection, condition: ColumnElement[bool]) -> int:
    return int(connection.scalar(_number(condition)) or 0)


def _number(condition: ColumnElement[bool]) -> Select[int]:
    return select(func.count()).select_from(AlertRow).where(condition)


_COUNTED: Final[tuple[State, ...]] = ("mine", "escalated")
"""States whose number is told to the one who works."""


def _state(actor: Actor, state: State, now: int) -> ColumnElement[bool]:
    open_ = undecided()
    held = AlertRow.claimed_until > now
    conditions: dict[str, ColumnElement[bool]] = {
        "waiting": waiting(now),
        "mine": and_(open_, claimed_by_actor(actor, now)),
        "claimed": and_(open_, AlertRow.claimed_by.is_not(None), held),
        "escalated": and_(waiting(now), AlertRow.escalated == 1),
        "snoozed": and_(open_, or_(AlertRow.snoozed_until > now, AlertRow.waits_revision >= AlertRow.revision)),
        "watch": and_(open_, AlertRow.watch == 1),
        "decided": AlertRow.decision.is_not(None),
        "closed": AlertRow.status != "open",
        "all": true(),
    }
    return conditions[state]


def claimable(actor: Actor, filters: Filters, now: int, queues: Sequence[TeamQueue] = ()) -> ColumnElement[bool]:
    """Condition: the alert fits the filters and nobody has claimed it; for `claim_next`.

    Args:
        actor: state "mine" is about them.
        filters: which alerts.
        now: ms since 1970.
        queues: as `list_queues` has them; looked at where the filters name one.
    """
    return and_(matching(actor, filters, now, queues), unclaimed(now))


def _order(sort: Sort) -> tuple[list[Any], list[bool]]:
    if sort == "urgency":
        return [AlertRow.escalated, AlertRow.urgency, AlertRow.id], [True, True, False]
    if sort == "oldest":
        return [AlertRow.arrived, AlertRow.id], [False, False]
    return [AlertRow.at if sort == "newest" else AlertRow.members, AlertRow.id], [True, False]


def _after(columns: list[Any], descending: list[bool], values: list[Any]) -> ColumnElement[bool]:
    """Condition: the row comes after `values` in the order of the columns."""
    cases = []
    for place, (column, down) in enumerate(zip(columns, descending, strict=True)):
        equal = [columns[i] == values[i] for i in range(place)]
        cases.append(and_(*equal, column < values[place] if down else column > values[place]))
    return or_(*cases)


def _encode_cursor(values: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def _decode_cursor(cursor: str, size: int) -> list[Any]:
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        values = None
    good = isinstance(values, list) and len(values) == size and isinstance(values[-1], str) and "\0" not in values[-1]
    # Within a 64-bit column; by type, as a bool is an int to isinstance.
    if not good or not all(type(value) in (int, float) and abs(value) < 2**62 for value in values[:-1]):
        raise FeedError("invalid", "the cursor is none of this list: start again without one")
    return list(values)


MAX_VIEWS: Final = 50
"""Saved views of one user: more would be a list nobody reads."""


def save_view(
    connection: Connection, actor: Actor, name: str, query: str, *, shared: bool, due_minutes: int | None = None
) -> str:
    """Save filters under a name, or make a queue of them.

    Args:
        connection: in a write transaction.
        actor: needs the right "read"; "lead" to share.
        name: 1 to 64 printable characters.
        query: in the form of `Filters.query`.
        shared: whether everybody sees the view.
        due_minutes: time to decide in of a queue, which everybody sees; 0 for none, None where it is no queue.

    Returns:
        The view's id.

    Raises:
        FeedError: `forbidden`, `invalid`, `conflict`.
    """
    actor.require("lead" if shared or due_minutes is not None else "read")
    name = " ".join(name.split())
    if not 1 <= len(name) <= 64 or not name.isprintable():
        raise FeedError("invalid", "a view has a name of 1 to 64 printable characters")
    filters = Filters.read(dict(parse_qsl(query)))
    if due_minutes is not None:
        if filters.q or filters.queue or filters.state != "waiting":
            raise FeedError(
                "invalid",
                "a queue's rules are kind, size, odds, script, language and policy of waiting alerts: leave out words",
            )
        filters = replace(filters, sort="urgency")
    mine = select(func.count()).select_from(SavedView).where(SavedView.user_id == actor.user_id)
    if int(connection.scalar(mine) or 0) >= MAX_VIEWS:
        raise FeedError("conflict", f"you have {MAX_VIEWS} views already: delete one first")
    number = secrets.token_hex(16)
    row = {"id": number, "user_id": actor.user_id, "name": name, "query": filters.query,
           "shared": int(shared or due_minutes is not None), "queue": int(due_minutes is not None),
           "due_minutes": due_minutes or 0}  # fmt: skip
    connection.execute(insert(SavedView).values(**row))
    return number


def delete_view(connection: Connection, actor: Actor, view_id: str) -> None:
    """Delete a saved view, one's own or, as a lead, a shared one.

    Args:
        connection: in a write transaction.
        actor: who asks.
        view_id: which view.

    Raises:
        FeedError: `not_found`: there is no such view that the actor may delete.
    """
    whose = SavedView.user_id == actor.user_id
    if actor.may("lead"):
        whose = or_(whose, SavedView.shared == 1)
    if not connection.execute(delete(SavedView).where(SavedView.id == view_id, whose)).rowcount:
        raise FeedError("not_found", "there is no saved view of yours with this id: load the list of views again")


def list_views(connection: Connection, actor: Actor) -> list[Any]:
    """The actor's own saved views and the shared ones, by name."""
    actor.require("read")
    statement = (
        select(SavedView)
        .where(or_(SavedView.user_id == actor.user_id, SavedView.shared == 1))
        .order_by(SavedView.name, SavedView.id)
    )
    return list(connection.execute(statement))
