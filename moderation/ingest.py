"""Takes in alerts and their pages: idempotent by id and revision, whatever the order in which they come.

The latest revision of an alert replaces the earlier ones; an older or equal one changes nothing. A claim on an alert
that is merged goes to the one it is merged into, where that is free. An alert that a decision had sent away and that
was withdrawn comes back to the queue when it opens again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import Connection, and_, case, delete, func, insert, or_, select, update

from moderation.audit import key, pseudonym
from moderation.cases import summarise
from moderation.db import Alert, Forgotten, Member, Page, upsert
from moderation.records import AlertRecord, PageRecord, dump, milliseconds, named_in, page_without, storable, without

ROWS: Final = 500
MEMBER_ROWS: Final = 5000
"""Rows in one statement: with 15 and 4 values a row they stay under the 32,766 values that a statement may have."""


@dataclass
class Taken:
    """What became of a batch: revisions by (kind, status), and how many changed nothing."""

    revisions: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    stale: int = 0
    pages: int = 0


@dataclass(frozen=True)
class _Latest:
    """Revisions of one alert that are new, the latest last; whether it opens again with them."""

    fresh: list[AlertRecord]
    came_back: bool

    @property
    def record(self) -> AlertRecord:
        return self.fresh[-1]


def take_alerts(connection: Connection, records: Sequence[AlertRecord], now: int, taken: Taken) -> None:
    """Take revisions in, in any order, within the connection's transaction."""
    if not records:
        return
    hidden = forgotten_among(connection, records, [])
    by_id: dict[str, list[AlertRecord]] = defaultdict(list)
    for record in records:
        by_id[record.id].append(without(record, hidden) if hidden else record)
    # Ids in order, so that two processes that take the same alerts never wait for each other in a circle.
    known = {
        row.id: row
        for row in connection.execute(
            select(Alert.id, Alert.revision, Alert.status, Alert.decision).where(Alert.id.in_(by_id))
        )
    }
    latest: list[_Latest] = []
    for name in sorted(by_id):
        before = known.get(name)
        fresh = sorted(
            {each.revision: each for each in by_id[name] if before is None or each.revision > before.revision}.values(),
            key=lambda each: each.revision,
        )
        taken.stale += len(by_id[name]) - len(fresh)
        if fresh:
            status = before.status if before is not None else "open"
            statuses = [status, *(each.status for each in fresh)]
            opened = [a != "open" and b == "open" for a, b in pairwise(statuses)]
            latest.append(_Latest(fresh, came_back=before is not None and any(opened)))
    written = _store(connection, latest, now)
    for each in latest:
        if each.record.id not in written:
            # Another process was faster.
            taken.stale += len(each.fresh)
            continue
        for record in each.fresh:
            taken.revisions[record.kind, record.status] += 1
        if each.record.status == "merged" and each.record.merged_into:
            _hand_over(connection, each.record.id, each.record.merged_into, now)


def take_pages(connection: Connection, records: Iterable[PageRecord], taken: Taken) -> None:
    """Take pages of details in; those of an older revision than is there change nothing."""
    pages = list(records)
    hidden = forgotten_among(connection, [], pages)
    newest = {
        row.alert_id: row.revision
        for row in connection.execute(
            select(Page.alert_id, func.max(Page.revision).label("revision"))
            .where(Page.alert_id.in_({page.id for page in pages}))
            .group_by(Page.alert_id)
        )
    }
    for page in sorted(pages, key=lambda each: (each.id, each.revision, each.page)):
        if page.revision < newest.get(page.id, 0):
            taken.stale += 1
            continue
        shown = page_without(page, hidden) if hidden else page
        values = {"revision": page.revision, "pages": page.pages, "body": dump(shown)}
        statement = upsert(connection, Page).values(alert_id=page.id, page=page.page, **values)
        statement = statement.on_conflict_do_update(
            index_elements=["alert_id", "page"], set_=values, where=Page.revision < page.revision
        )
        if connection.execute(statement).rowcount:
            taken.pages += 1
            connection.execute(
                delete(Page).where(Page.alert_id == page.id, Page.revision < page.revision, Page.page > page.pages)
            )
        else:
            taken.stale += 1


def drop_page(connection: Connection, alert_id: str, page: int) -> None:
    """A page was deleted at the source."""
    connection.execute(delete(Page).where(Page.alert_id == alert_id, Page.page == page))


def _store(connection: Connection, latest: Sequence[_Latest], now: int) -> set[str]:
    """Write revisions where no newer ones are, and their members; the ids of those that were written."""
    written: set[str] = set()
    for came_back in (False, True):
        chosen = [each.record for each in latest if each.came_back == came_back]
        for start in range(0, len(chosen), ROWS):
            written |= _upsert(connection, chosen[start : start + ROWS], now, came_back=came_back)
    if not written:
        return written
    connection.execute(delete(Member).where(Member.alert_id.in_(written)))
    rows = [row for each in latest if each.record.id in written for row in _members(each.record)]
    for start in range(0, len(rows), MEMBER_ROWS):
        connection.execute(insert(Member).values(rows[start : start + MEMBER_ROWS]))
    return written


def _upsert(connection: Connection, records: Sequence[AlertRecord], now: int, *, came_back: bool) -> set[str]:
    rows = []
    for record in records:
        made = summarise(record)
        rows.append(
            {
                "id": record.id,
                "kind": record.kind,
                "status": record.status,
                "revision": record.revision,
                "merged_into": record.merged_into,
                "at": milliseconds(record.at),
                "first_post_at": made.first_post_at,
                "last_post_at": made.last_post_at,
                "members": len(record.members),
                "urgency": made.urgency,
                "title": made.title,
                "digest": made.digest,
                "body": dump(record),
                "changed": now,
                "arrived": now,
            }
        )
    statement = upsert(connection, Alert).values(rows)
    values: dict[str, Any] = {name: statement.excluded[name] for name in rows[0] if name not in ("id", "arrived")}
    if came_back:
        # Marked so only where a decision had sent it away, not where undoing one brings it back.
        returned = case((Alert.decision.is_not(None), 1), else_=Alert.returned)
        values |= {"decision": None, "decision_id": None, "returned": returned, "snoozed_until": 0}
    statement = statement.on_conflict_do_update(
        index_elements=["id"], set_=values, where=Alert.revision < statement.excluded["revision"]
    )
    return set(connection.scalars(statement.returning(Alert.id)))


def _members(record: AlertRecord) -> Iterable[dict[str, Any]]:
    rows = {}
    for place, member in enumerate(record.members):
        name = storable(member.account)
        total = member.llr.get("total", 0.0)
        rows[name] = {"alert_id": record.id, "account": name, "place": place, "total": total}
    return rows.values()


def _hand_over(connection: Connection, gone: str, into: str, now: int) -> None:
    """Let a claim follow a merge, where nobody holds the other alert."""
    holder = connection.execute(
        select(Alert.claimed_by, Alert.claimed_until, Alert.escalated).where(Alert.id == gone)
    ).one()
    if holder.claimed_by is not None and holder.claimed_until > now:
        connection.execute(
            update(Alert)
            .where(
                Alert.id == into,
                Alert.status == "open",
                Alert.decision.is_(None),
                or_(Alert.claimed_by.is_(None), Alert.claimed_until <= now),
            )
            .values(claimed_by=holder.claimed_by, claimed_until=holder.claimed_until, changed=now)
        )
    if holder.escalated:
        connection.execute(
            update(Alert).where(and_(Alert.id == into, Alert.escalated == 0)).values(escalated=1, changed=now)
        )
    connection.execute(update(Alert).where(Alert.id == gone).values(claimed_by=None, claimed_until=0))


def forgotten_among(connection: Connection, alerts: Sequence[AlertRecord], pages: Sequence[PageRecord]) -> set[str]:
    """Those of the accounts in records that were forgotten here."""
    if connection.scalar(select(Forgotten.mark).limit(1)) is None:
        return set()
    secret = key(connection)
    marks = {pseudonym(secret, account): account for account in named_in(alerts, pages)}
    kept = set(connection.scalars(select(Forgotten.mark)))
    return {account for mark, account in marks.items() if mark in kept}
