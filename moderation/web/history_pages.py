"""The pages of what was done: decisions and how they are undone, the report of a missed account, the audit log.

Both lists can be filtered, and what a list shows can be had as CSV (`/decisions.csv`, `/audit.csv`).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter
from sqlalchemy import Connection, select
from starlette.responses import RedirectResponse, Response, StreamingResponse

from detector.errors import FeedError
from moderation import audit, console_config, decision_lists, decisions
from moderation.alert_lists import KINDS, MAX_SEARCH_CHARACTERS
from moderation.audit import AuditFilters
from moderation.auth import Form, RequestContext, SignedIn
from moderation.database_tables import AlertRow, User
from moderation.decision_lists import DecisionFilters
from moderation.topic_records import LARGEST_ACCOUNT, rfc3339
from moderation.users import DAY_MS
from moderation.web.evidence_views import past_decision
from moderation.web.rendering import MAX_NOTE_CHARACTERS, existing_alerts, local_path, page, text_field

router = APIRouter()

DECISIONS_PER_PAGE: Final = 50
ENTRIES_PER_PAGE: Final = 100

LAST_MS: Final = 253_402_300_799_999
"""The last moment of the year 9999, ms since 1970."""

EXPORT_ROWS: Final = 500
"""Rows read from the database at once for an export, which has no end of its own."""

DECISION_COLUMNS: Final = ("id", "at", "by", "decision", "alert", "alert_names", "kind", "account", "policy", "reason",
                           "note", "revision", "taken_back_at", "taken_back_by", "part_of", "bulk")  # fmt: skip
AUDIT_COLUMNS: Final = ("number", "at", "name", "pseudonym", "action", "subject", "subject_names", "facts", "hash")


@dataclass(frozen=True)
class ListFilters:
    """Filters of both lists as an address has them; days are `YYYY-MM-DD`, UTC, both included."""

    who: str = ""
    what: str = ""
    kind: str = ""
    q: str = ""
    since: str = ""
    until: str = ""
    in_force: str = ""
    mine: str = ""
    policy: str = ""

    @classmethod
    def read(cls, context: RequestContext) -> ListFilters:
        """The filters of a request; those that it lacks are empty.

        Raises:
            FeedError: `invalid`: one has a value it cannot have.
        """
        given = context.request.query_params
        made = cls(**{each.name: " ".join(given.get(each.name, "").split()) for each in fields(cls)})
        days = [made.since, made.until]
        if any(len(getattr(made, each.name)) > MAX_SEARCH_CHARACTERS for each in fields(cls)) or any(
            day and _day(day) is None for day in days
        ):
            raise FeedError("invalid", "the list cannot be filtered like that: days are written 2025-06-01")
        return made

    @property
    def query(self) -> str:
        """As the query of an address."""
        return urlencode({each.name: value for each in fields(self) if (value := getattr(self, each.name))})

    def times(self) -> tuple[int, int]:
        """From when until when, ms since 1970; 0 for no bound."""
        first, last = _day(self.since), _day(self.until)
        # Not a day added to the date: there is none after the last of the calendar.
        until = min(round(last.timestamp() * 1000) + DAY_MS, LAST_MS) if last is not None else 0
        return round(first.timestamp() * 1000) if first is not None else 0, until

    def of_decisions(self, name: str) -> DecisionFilters:
        """Filters of decisions; `name` is that of whoever looks."""
        since, until = self.times()
        return DecisionFilters(
            by=name if self.mine else self.who, verdict=self.what, kind=self.kind if self.kind in KINDS else "",
            q=self.q, since=since, until=until, in_force=bool(self.in_force),
            policy=self.policy,
        )  # fmt: skip

    def of_audit(self, connection: Connection) -> AuditFilters:
        """Filters of the audit log, which knows people by their pseudonyms."""
        since, until = self.times()
        actor = connection.scalar(select(User.pseudonym).where(User.name == self.who)) if self.who else ""
        return AuditFilters(actor=actor or self.who, action=self.what, subject=self.q, since=since, until=until)


@router.get("/decisions")
def show_decisions(context: SignedIn, cursor: str = "") -> Response:
    """Decisions, the newest first.

    Args:
        context: of the request, with the filters in its address.
        cursor: of the page before; "" for the first page.
    """
    actor = context.actor
    actor.require("read")
    filters = ListFilters.read(context)
    with context.read() as connection:
        found = decision_lists.history_page(
            connection, user_id=None, cursor=cursor or None, limit=DECISIONS_PER_PAGE,
            filters=filters.of_decisions(actor.name), undos=False,
        )  # fmt: skip
        known = existing_alerts(connection, {row.alert_id for row in found.rows})
        people = list(connection.scalars(select(User.name).order_by(User.name)))
        config = console_config.current(connection)
    return page(
        context, "decisions.html", filters=filters, people=people, next_cursor=found.cursor or "",
        policies=config.policy, policy_texts=config.policy_texts,
        decisions=[past_decision(row, actor, known, context.now) for row in found.rows],
    )  # fmt: skip


@router.get("/decisions.csv")
def export_decisions(context: SignedIn) -> Response:
    """The decisions that the page with these filters shows, all of them, as CSV."""
    context.actor.require("read")
    wanted = ListFilters.read(context).of_decisions(context.actor.name)

    def rows() -> Iterator[Sequence[object]]:
        cursor: str | None = None
        while True:
            with context.read() as connection:
                found = decision_lists.history_page(
                    connection, user_id=None, cursor=cursor, limit=EXPORT_ROWS, filters=wanted, undos=False
                )
            for row in found.rows:
                yield (
                    row.id, rfc3339(row.at), row.by_name or row.by or "", row.verdict, row.alert_id, row.title or "",
                    row.kind or "", row.account or "", row.policy, row.reason, row.note, row.revision,
                    rfc3339(row.undone_at) if row.undone_at else "", row.undone_name or "", row.part_of or "",
                    row.batch or "",
                )  # fmt: skip
            if found.cursor is None:
                return
            cursor = found.cursor

    return as_csv("decisions.csv", DECISION_COLUMNS, rows())


@router.post("/decisions/{decision_id}/undo")
def undo_decision(context: SignedIn, decision_id: str, form: Form) -> Response:
    """Undo a decision and return to the page one came from.

    Args:
        context: of the request.
        decision_id: which decision.
        form: with `reason`, and `back`, the page to return to.
    """
    reason = text_field(form, "reason")
    context.write(lambda connection: decisions.undo(connection, context.actor, decision_id, reason, context.now))
    context.services.decision_made("undo")
    return RedirectResponse(_done(local_path(str(form.get("back", "/decisions"))), "undone"), 303)


@router.post("/bulk/{batch}/undo")
def undo_bulk(context: SignedIn, batch: str, form: Form) -> Response:
    """Undo all that a bulk action decided and return to the page one came from.

    Args:
        context: of the request.
        batch: which bulk action.
        form: with `reason`, and `back`, the page to return to.
    """
    reason = text_field(form, "reason")
    count = context.write(
        lambda connection: decisions.undo_batch(connection, context.actor, batch, reason, context.now)
    )
    for _ in range(count):
        context.services.decision_made("undo")
    return RedirectResponse(_done(local_path(str(form.get("back", "/decisions"))), "undone"), 303)


@router.get("/missed")
def show_missed_form(context: SignedIn, name: str = "") -> Response:
    """The form that reports a missed account."""
    context.actor.require("work")
    return page(context, "missed.html", name=name[:LARGEST_ACCOUNT])


@router.post("/missed")
def report_missed(context: SignedIn, form: Form) -> Response:
    """Report a missed account."""
    account = str(form.get("account", "")).strip().replace("\0", "")
    reason, note = text_field(form, "reason"), text_field(form, "note", MAX_NOTE_CHARACTERS)
    context.write(
        lambda connection: decisions.report_missed(connection, context.actor, account, reason, note, context.now)
    )
    context.services.decision_made("missed")
    return RedirectResponse("/decisions?mine=1&done=reported", 303)


@router.get("/audit")
def show_audit(context: SignedIn, before: str = "") -> Response:
    """Entries of the audit log, the newest first, and whether its chain holds.

    Args:
        context: of the request, with the filters in its address.
        before: number of the last entry of the page before; "" for the first page.
    """
    context.actor.require("lead")
    filters = ListFilters.read(context)
    seq = int(before) if before.isascii() and before.isdecimal() and len(before) < 16 else None
    with context.read() as connection:
        found = list(audit.recent(connection, seq, ENTRIES_PER_PAGE, filters.of_audit(connection)))
        names, subjects = _names(connection, found)
        check = audit.verify(connection)
        people = list(connection.scalars(select(User.name).order_by(User.name)))
    entries = [dict(row) | {"facts": json.loads(row["facts"])} for row in found]
    more = len(entries) == ENTRIES_PER_PAGE and entries[-1]["seq"] > 1
    return page(
        context, "audit.html", entries=entries, check=check, filters=filters, people=people, names=names,
        subjects=subjects, next_before=entries[-1]["seq"] if more else None,
    )  # fmt: skip


@router.get("/audit.csv")
def export_audit(context: SignedIn) -> Response:
    """The entries that the page with these filters shows, all of them, as CSV."""
    context.actor.require("lead")
    with context.read() as connection:
        wanted = ListFilters.read(context).of_audit(connection)

    def rows() -> Iterator[Sequence[object]]:
        last: int | None = None
        while True:
            with context.read() as connection:
                found = list(audit.recent(connection, last, EXPORT_ROWS, wanted))
                names, subjects = _names(connection, found)
            for row in found:
                yield (
                    row["seq"], rfc3339(row["at"]), names.get(row["actor"], ""), row["actor"], row["action"],
                    row["subject"], subjects.get(row["subject"], ""), row["facts"], row["hash"],
                )  # fmt: skip
            if len(found) < EXPORT_ROWS:
                return
            last = found[-1]["seq"]

    return as_csv("audit.csv", AUDIT_COLUMNS, rows())


def _names(connection: Connection, entries: Sequence[Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Pseudonym -> a person's name, and subject -> whom an alert names or which person it is."""
    people = {row.pseudonym: row.name for row in connection.execute(select(User.pseudonym, User.name))}
    wanted = {row["subject"] for row in entries}
    titles = connection.execute(select(AlertRow.id, AlertRow.title).where(AlertRow.id.in_(wanted)))
    return people, {each: people[each] for each in wanted if each in people} | {row.id: row.title for row in titles}


def as_csv(name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Response:
    """A CSV file to save, whose cells no spreadsheet takes for formulas.

    Args:
        name: of the file.
        columns: its first line.
        rows: its other lines.
    """

    def lines() -> Iterator[bytes]:
        yield _line(columns)
        for row in rows:
            yield _line(row)

    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)


def _line(row: Sequence[object]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerow([_cell(value) for value in row])
    return buffer.getvalue().encode("utf-8", "backslashreplace")


def _cell(value: object) -> object:
    """A value that no spreadsheet takes for a formula, whoever wrote it."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _day(value: str) -> datetime | None:
    try:
        return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None


def _done(target: str, what: str) -> str:
    """An address with what was done, whether it has a query or not."""
    path, _, fragment = target.partition("#")
    return f"{path}{'&' if '?' in path else '?'}done={what}" + (f"#{fragment}" if fragment else "")
