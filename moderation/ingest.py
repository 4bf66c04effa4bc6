"""Stores alerts and their details: idempotent by id and revision, whatever the order in which records come.

The latest revision of an alert replaces the earlier ones; an older or equal one changes nothing. A claim on an alert
that is merged moves to the alert it is merged into, where that is free. An alert that was decided and then withdrawn
returns to the queue when it opens again. `IngestLoop` is the thread that reads a source (`sources`) and stores what it
gives, together with the position reached, in one transaction.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import Connection, case, delete, func, insert, or_, select, update

from moderation import case_log, console_config, missed_accounts, word_index
from moderation.audit import pseudonym, pseudonym_key
from moderation.background import BackgroundLoop
from moderation.cases import summarise
from moderation.console_config import ConsoleConfig
from moderation.database_tables import AlertRow, Forgotten, Member, Meta, Page
from moderation.db import Database, upsert
from moderation.feed_metrics import FeedMetrics
from moderation.odds import WATCH_BELOW_POSTS, Certainty, certainty, percent, rests_on_few
from moderation.policies import propose
from moderation.sources import AlertBatch, AlertSource
from moderation.topic_records import (
    dump,
    milliseconds,
    named_in,
    page_without,
    read_alert,
    read_page,
    storable,
    without,
)
from streaming.schema.alert import AlertRecord, PageRecord

ALERT_ROWS: Final = 500
MEMBER_ROWS: Final = 5000
"""Rows in one statement: with 23 and 4 values a row they stay under the 32,766 values that a statement may have."""


SUMMARY_KEY: Final = "summaries"
SUMMARY_VERSION: Final = 6
"""Of `cases.summarise` and the search's words: a release that sums alerts up otherwise counts it up, and sums up the
stored ones anew."""


ESCALATION: Final = ("escalated", "escalated_by", "escalated_at", "escalated_reason")
"""Columns that follow an alert into the one it is merged into."""


@dataclass
class IngestCounts:
    """What became of a batch.

    Args:
        revisions: stored revisions by (kind, status).
        stale: records that changed nothing.
        pages: stored pages of details.
    """

    revisions: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    stale: int = 0
    pages: int = 0


class IngestLoop(BackgroundLoop):
    """The thread that stores alerts and details.

    Args:
        database: where they are stored, with the positions reached in the source.
        source: where they come from.
        metrics: what is counted.
        now: the wall clock, ms since 1970.
        watch_below: posts under which an alert is watched and not decided.
    """

    def __init__(
        self,
        database: Database,
        source: AlertSource,
        metrics: FeedMetrics,
        now: Callable[[], int],
        watch_below: int = WATCH_BELOW_POSTS,
    ) -> None:
        super().__init__("ingest", metrics)
        self._watch_below = watch_below
        self._database = database
        self._source = source
        self._now = now
        self._started = False

    def step(self) -> None:
        """Read a batch and store it."""
        if not self._started:
            self._source.start(self._positions())
            self._started = True
        batch = self._source.read()
        if batch:
            self._store(batch)

    def after_failure(self) -> None:
        """Start the source anew, so that what was read and not stored is read again."""
        self._started = False

    def finish(self) -> None:
        """Close the source."""
        self._source.close()

    def _positions(self) -> dict[str, str]:
        with self._database.read() as connection:
            return {row.key: row.value for row in connection.execute(select(Meta.key, Meta.value))}

    def _store(self, batch: AlertBatch) -> None:
        def work(connection: Connection) -> IngestCounts:
            counts = IngestCounts()
            for alert_id, page in batch.deleted_pages:
                delete_page(connection, alert_id, page)
            store_alerts(connection, batch.alerts, self._now(), counts, self._watch_below)
            store_pages(connection, batch.pages, counts)
            missed_accounts.drop(connection, batch.unsampled, self._now())
            missed_accounts.store(connection, batch.samples, self._now())
            for key, value in batch.positions.items():
                statement = upsert(connection, Meta).values(key=key, value=value)
                connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_={"value": value}))
            return counts

        counts = self._database.transact(work)
        for (kind, status), count in counts.revisions.items():
            self.metrics.alert(kind, status, count)
        self.metrics.record("stale", counts.stale)
        self.metrics.record("unreadable", batch.unreadable)


def store_alerts(
    connection: Connection,
    records: Sequence[AlertRecord],
    now: int,
    counts: IngestCounts,
    watch_below: int = WATCH_BELOW_POSTS,
) -> None:
    """Store revisions of alerts within the connection's transaction.

    Args:
        connection: in a write transaction.
        records: in any order, of any alerts.
        now: ms since 1970.
        counts: what became of them is added here.
        watch_below: posts under which an alert is watched and not decided.
    """
    if not records:
        return
    hidden = forgotten_accounts(connection, records, [])
    by_id: dict[str, list[AlertRecord]] = defaultdict(list)
    for record in records:
        by_id[record.id].append(without(record, hidden) if hidden else record)
    # In the order of ids, so that two processes that store the same alerts cannot deadlock.
    known = {
        row.id: row
        for row in connection.execute(
            select(AlertRow.id, AlertRow.revision, AlertRow.status, AlertRow.members, AlertRow.odds).where(
                AlertRow.id.in_(by_id)
            )
        )
    }
    changes: list[_NewRevisions] = []
    for alert_id in sorted(by_id):
        stored = known.get(alert_id)
        newer = sorted(
            {
                each.revision: each for each in by_id[alert_id] if stored is None or each.revision > stored.revision
            }.values(),
            key=lambda each: each.revision,
        )
        counts.stale += len(by_id[alert_id]) - len(newer)
        if newer:
            statuses = [stored.status if stored is not None else "open", *(each.status for each in newer)]
            reopened = [a != "open" and b == "open" for a, b in pairwise(statuses)]
            changes.append(_NewRevisions(newer, reopened=stored is not None and any(reopened), before=stored))
    written = _write(connection, changes, now, watch_below)
    for each in changes:
        if each.latest.id not in written:
            # Another process was faster.
            counts.stale += len(each.records)
            continue
        for record in each.records:
            counts.revisions[record.kind, record.status] += 1
        what = _what_changed(each)
        if what is not None:
            case_log.note(connection, each.latest.id, now, None, *what)
        if each.latest.status == "merged" and each.latest.merged_into:
            _move_claim(connection, each.latest.id, each.latest.merged_into, now)


def store_pages(connection: Connection, records: Iterable[PageRecord], counts: IngestCounts) -> None:
    """Store pages of details within the connection's transaction; a page older than what is stored changes nothing.

    Args:
        connection: in a write transaction.
        records: in any order, of any alerts.
        counts: what became of them is added here.
    """
    pages = list(records)
    hidden = forgotten_accounts(connection, [], pages)
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
            counts.stale += 1
            continue
        kept = page_without(page, hidden) if hidden else page
        values = {"revision": page.revision, "pages": page.pages, "body": dump(kept)}
        statement = upsert(connection, Page).values(alert_id=page.id, page=page.page, **values)
        statement = statement.on_conflict_do_update(
            index_elements=["alert_id", "page"], set_=values, where=Page.revision < page.revision
        )
        if connection.execute(statement).rowcount:
            counts.pages += 1
            connection.execute(
                delete(Page).where(Page.alert_id == page.id, Page.revision < page.revision, Page.page > page.pages)
            )
            word_index.drop_pages(connection, page.id, page.pages + 1)
            word_index.index_page(connection, kept)
        else:
            counts.stale += 1


def delete_page(connection: Connection, alert_id: str, page: int) -> None:
    """Delete a page of details that was deleted at its source.

    Args:
        connection: in a write transaction.
        alert_id: the alert it belongs to.
        page: its number, from 1.
    """
    connection.execute(delete(Page).where(Page.alert_id == alert_id, Page.page == page))
    word_index.drop_pages(connection, alert_id, page, page)


def forgotten_accounts(connection: Connection, alerts: Sequence[AlertRecord], pages: Sequence[PageRecord]) -> set[str]:
    """Those of the accounts named in records that were forgotten here (`privacy`).

    Args:
        connection: to read with.
        alerts: records of alerts.
        pages: records of details.
    """
    if connection.scalar(select(Forgotten.mark).limit(1)) is None:
        return set()
    secret = pseudonym_key(connection)
    named = {pseudonym(secret, account): account for account in named_in(alerts, pages)}
    forgotten = set(connection.scalars(select(Forgotten.mark)))
    return {account for mark, account in named.items() if mark in forgotten}


@dataclass(frozen=True)
class _NewRevisions:
    """The new revisions of one alert, the latest last, and whether it opens again with them."""

    records: list[AlertRecord]
    reopened: bool
    before: Any = None
    """The row as it is stored, with `status`, `members` and `odds`; None where the alert is new."""

    @property
    def latest(self) -> AlertRecord:
        return self.records[-1]


def _what_changed(new: _NewRevisions) -> tuple[str, str] | None:
    """The line that a case's history gets of new revisions: action and words; None where nothing worth one changed."""
    before, latest = new.before, new.latest
    if before is None:
        return None
    if latest.status != before.status or new.reopened:
        if latest.status == "merged":
            return "merged", f"into {latest.merged_into}"
        return ("withdrawn", "") if latest.status == "withdrawn" else ("reopened", "")
    old, now = Certainty(before.odds, None, 0), certainty(latest)
    words = []
    if len(latest.members) != before.members:
        words.append(f"{before.members} to {len(latest.members)} accounts")
    if old.steps != now.steps and old.odds is not None and now.odds is not None:
        words.append(f"odds {percent(old.odds)} to {percent(now.odds)}")
    return ("revised", ", ".join(words)) if words else None


def _write(connection: Connection, changes: Sequence[_NewRevisions], now: int, watch_below: int) -> set[str]:
    """Write the latest revisions and their members; the ids of those that no newer revision kept out."""
    written: set[str] = set()
    for reopened in (False, True):
        chosen = [each.latest for each in changes if each.reopened == reopened]
        for start in range(0, len(chosen), ALERT_ROWS):
            batch = chosen[start : start + ALERT_ROWS]
            written |= _upsert_alerts(connection, batch, now, watch_below, reopened=reopened)
    for each in changes:
        if each.latest.id in written:
            word_index.index_alert(connection, each.latest)
    if not written:
        return written
    connection.execute(delete(Member).where(Member.alert_id.in_(written)))
    rows = [row for each in changes if each.latest.id in written for row in _member_rows(each.latest)]
    for start in range(0, len(rows), MEMBER_ROWS):
        connection.execute(insert(Member).values(rows[start : start + MEMBER_ROWS]))
    return written


def _upsert_alerts(
    connection: Connection, records: Sequence[AlertRecord], now: int, watch_below: int, *, reopened: bool
) -> set[str]:
    rows = []
    config = console_config.current(connection)
    for record in records:
        rows.append(
            {
                "id": record.id,
                "kind": record.kind,
                "status": record.status,
                "revision": record.revision,
                "merged_into": record.merged_into,
                "at": milliseconds(record.at),
                **_summary(record, watch_below, config),
                "members": len(record.members),
                "body": dump(record),
                "changed": now,
                "arrived": now,
            }
        )
    statement = upsert(connection, AlertRow).values(rows)
    values: dict[str, Any] = {name: statement.excluded[name] for name in rows[0] if name not in ("id", "arrived")}
    if reopened:
        # Marked as returned only where a decision had closed it, not where undoing one reopens it.
        returned = case((AlertRow.decision.is_not(None), 1), else_=AlertRow.returned)
        values |= {"decision": None, "decision_id": None, "returned": returned, "snoozed_until": 0}
    statement = statement.on_conflict_do_update(
        index_elements=["id"], set_=values, where=AlertRow.revision < statement.excluded["revision"]
    )
    return set(connection.scalars(statement.returning(AlertRow.id)))


def _summary(record: AlertRecord, watch_below: int, config: ConsoleConfig) -> dict[str, Any]:
    """Columns of an alert's row that follow from its record and from what the operator configured."""
    summary = summarise(record)
    return {
        **summary._asdict(),
        "watch": int(rests_on_few(record.kind, summary.posts, watch_below)),
        "policy": propose(config, record),
    }


def refresh_summaries(database: Database, watch_below: int) -> int:
    """Make the summaries of all stored alerts anew where this release, or the operator, sums them up otherwise.

    Args:
        database: with alerts that an earlier release may have stored.
        watch_below: posts under which an alert is watched and not decided.

    Returns:
        How many alerts were summed up anew; 0 where they are as they should be.
    """
    with database.read() as connection:
        config = console_config.current(connection)
        made_by = summary_mark(config, watch_below)
        if connection.scalar(select(Meta.value).where(Meta.key == SUMMARY_KEY)) == made_by:
            return 0
    done, last = 0, ""
    while True:

        def work(connection: Connection, after: str = last) -> tuple[str, int]:
            query = select(AlertRow.id, AlertRow.body).where(AlertRow.id > after).order_by(AlertRow.id)
            rows = connection.execute(query.limit(ALERT_ROWS)).all()
            for row in rows:
                record = read_alert(row.body)
                values = _summary(record, watch_below, config)
                connection.execute(update(AlertRow).where(AlertRow.id == row.id).values(**values))
                word_index.index_alert(connection, record)
                for body in connection.scalars(select(Page.body).where(Page.alert_id == row.id)):
                    word_index.index_page(connection, read_page(body))
            if rows:
                return rows[-1].id, len(rows)
            statement = upsert(connection, Meta).values(key=SUMMARY_KEY, value=made_by)
            connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_={"value": made_by}))
            return "", 0

        last, count = database.transact(work)
        if not count:
            return done
        done += count


def summary_mark(config: ConsoleConfig, watch_below: int) -> str:
    """What the summaries of stored alerts depend on, in short: kept under `SUMMARY_KEY` once all are made so."""
    rules = [(each.code, each.words, each.kinds) for each in config.policies]
    digest = hashlib.sha256(repr(rules).encode()).hexdigest()[:16] if rules else ""
    return f"{SUMMARY_VERSION}/{watch_below}/{digest}"


def _member_rows(record: AlertRecord) -> Iterable[dict[str, Any]]:
    rows = {}
    for place, member in enumerate(record.members):
        name = storable(member.account)
        total = member.llr.total
        rows[name] = {"alert_id": record.id, "account": name, "place": place, "total": total}
    return rows.values()


def _move_claim(connection: Connection, merged: str, into: str, now: int) -> None:
    """Let claim and escalation of a merged alert follow it, where nobody holds the other one."""
    row = connection.execute(select(AlertRow).where(AlertRow.id == merged)).one()
    if row.escalated:
        # Whoever holds the other one may not be a lead.
        values = {name: getattr(row, name) for name in ESCALATION} | {"claimed_by": None, "claimed_until": 0}
        connection.execute(
            update(AlertRow).where(AlertRow.id == into, AlertRow.escalated == 0).values(**values, changed=now)
        )
    if row.claimed_by is not None and row.claimed_until > now:
        connection.execute(
            update(AlertRow)
            .where(
                AlertRow.id == into,
                AlertRow.status == "open",
                AlertRow.decision.is_(None),
                AlertRow.escalated == row.escalated,
                or_(AlertRow.claimed_by.is_(None), AlertRow.claimed_until <= now),
            )
            .values(claimed_by=row.claimed_by, claimed_until=row.claimed_until, changed=now)
        )
    connection.execute(update(AlertRow).where(AlertRow.id == merged).values(claimed_by=None, claimed_until=0))
