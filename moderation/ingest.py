"""Takes in alerts and their pages: idempotent by id and revision, whatever the order in which they come.

The latest revision of an alert replaces the earlier ones; an older or equal one changes nothing. A claim on an alert
that is merged goes to the one it is merged into, where that is free. An alert that a decision had sent away and that
was withdrawn comes back to the queue when it opens again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update

from moderation.database import upsert
from moderation.pseudonyms import key, pseudonym
from moderation.records import AlertRecord, PageRecord, dump, milliseconds, storable
from moderation.redaction import named_in, page_without, without
from moderation.schema import Alert, Forgotten, Member, Page
from moderation.summary import summarise


@dataclass
class Taken:
    """What became of a batch: revisions by (kind, status), and how many changed nothing."""

    revisions: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    stale: int = 0
    pages: int = 0


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
    for name in sorted(by_id):
        before = known.get(name)
        status = before.status if before is not None else "open"
        fresh = sorted(
            {each.revision: each for each in by_id[name] if before is None or each.revision > before.revision}.values(),
            key=lambda each: each.revision,
        )
        taken.stale += len(by_id[name]) - len(fresh)
        if not fresh:
            continue
        came_back = False
        for each in fresh:
            came_back = came_back or (status != "open" and each.status == "open")
            status = each.status
        if not _store(connection, fresh[-1], now, came_back=came_back and before is not None):
            taken.stale += len(fresh)
            continue
        for each in fresh:
            taken.revisions[each.kind, each.status] += 1
        if fresh[-1].status == "merged" and fresh[-1].merged_into:
            _hand_over(connection, name, fresh[-1].merged_into, now)


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


def _store(connection: Connection, record: AlertRecord, now: int, *, came_back: bool) -> bool:
    """Write a revision where no newer one is; whether it was written."""
    made = summarise(record)
    values = {
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
    }
    back = {"decision": None, "decision_id": None, "returned": 1, "snoozed_until": 0} if came_back else {}
    statement = upsert(connection, Alert).values(id=record.id, arrived=now, **values)
    statement = statement.on_conflict_do_update(
        index_elements=["id"], set_=values | back, where=Alert.revision < record.revision
    )
    if not connection.execute(statement).rowcount:
        return False
    connection.execute(delete(Member).where(Member.alert_id == record.id))
    rows = {
        storable(member.account): {
            "alert_id": record.id,
            "account": storable(member.account),
            "place": place,
            "total": member.llr.get("total", 0.0),
        }
        for place, member in enumerate(record.members)
    }
    if rows:
        connection.execute(insert(Member), list(rows.values()))
    return True


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
