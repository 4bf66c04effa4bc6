"""Decisions as lists: which there are to see, page by page, and by whom and why those taken back were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, or_, select
from sqlalchemy.orm import aliased

from detector.errors import FeedError
from moderation import word_index
from moderation.database_tables import AlertRow, DecisionRow, User


@dataclass(frozen=True)
class DecisionFilters:
    """Which decisions a list shows.

    Args:
        by: name of who decided; "" for everybody.
        verdict: one of `VERDICTS`, or "missed"; "" for all.
        kind: kind of the alert; "" for all.
        q: words that the alert's pages show, or the name of the account; "" for all.
        since: made at this time or later, ms since 1970; 0 for all.
        until: made before this time; 0 for all.
        in_force: only those that were not taken back.
        batch: only those of this bulk action; "" for all.
        policy: only those with this policy; "" for all.
    """

    by: str = ""
    verdict: str = ""
    kind: str = ""
    q: str = ""
    since: int = 0
    until: int = 0
    in_force: bool = False
    batch: str = ""
    policy: str = ""

    def conditions(self) -> list[ColumnElement[bool]]:
        """As conditions on a decision and its alert."""
        found: list[ColumnElement[bool]] = []
        if self.by:
            found.append(User.name == self.by)
        if self.verdict:
            found.append(DecisionRow.verdict == self.verdict)
        if self.kind:
            found.append(AlertRow.kind == self.kind)
        if self.q:
            shown = word_index.containing(self.q)
            named = DecisionRow.account == self.q
            found.append(named if shown is None else or_(named, shown))
        if self.since:
            found.append(DecisionRow.at >= self.since)
        if self.until:
            found.append(DecisionRow.at < self.until)
        if self.in_force:
            found.append(DecisionRow.undone_by.is_(None))
        if self.batch:
            found.append(DecisionRow.batch == self.batch)
        if self.policy:
            found.append(DecisionRow.policy == self.policy)
        return found


def history(
    connection: Connection,
    *,
    alert_ids: Sequence[str] | None = None,
    account: str | None = None,
    user_id: str | None = None,
    before: tuple[int, str] | None = None,
    limit: int = 100,
    filters: DecisionFilters | None = None,
    undos: bool = True,
) -> list[Any]:
    """Decisions, the newest first.

    Args:
        connection: to read with.
        alert_ids: only those on these alerts.
        account: only those on this account alone.
        user_id: only those of this user.
        before: (time in ms, id) of the last decision of the page before.
        limit: how many at most.
        filters: only those that they let through.
        undos: False leaves out the decisions that record an undoing: each decision says itself whether it was undone.

    Returns:
        Rows of table `decisions` with `by_name` and `by`, name and pseudonym of who decided; `title` and `kind` of the
        alert, None where it is not there; `undone_at`, `undone_name` and `undone_reason`, None where it was not undone.
    """
    undoing, undoer = aliased(DecisionRow), aliased(User)
    query = (
        select(
            DecisionRow.__table__,
            User.name.label("by_name"),
            User.pseudonym.label("by"),
            AlertRow.title,
            AlertRow.kind,
            undoing.at.label("undone_at"),
            undoing.reason.label("undone_reason"),
            undoer.name.label("undone_name"),
        )
        .join(User, User.id == DecisionRow.user_id, isouter=True)
        .join(AlertRow, AlertRow.id == DecisionRow.alert_id, isouter=True)
        .join(undoing, undoing.id == DecisionRow.undone_by, isouter=True)
        .join(undoer, undoer.id == undoing.user_id, isouter=True)
    )
    if alert_ids is not None:
        query = query.where(DecisionRow.alert_id.in_(alert_ids))
    if account is not None:
        query = query.where(DecisionRow.account == account)
    if user_id is not None:
        query = query.where(DecisionRow.user_id == user_id)
    if filters is not None:
        query = query.where(*filters.conditions())
    if not undos:
        query = query.where(DecisionRow.verdict != "undo")
    if before is not None:
        at, number = before
        query = query.where(or_(DecisionRow.at < at, (DecisionRow.at == at) & (DecisionRow.id > number)))
    return list(connection.execute(query.order_by(DecisionRow.at.desc(), DecisionRow.id).limit(limit)))


@dataclass(frozen=True)
class DecisionPage:
    """One page of decisions.

    Args:
        rows: as `history` gives them.
        cursor: of the next page, `TIME.ID`; None where this is the last.
    """

    rows: list[Any]
    cursor: str | None


def history_page(
    connection: Connection,
    *,
    user_id: str | None,
    cursor: str | None,
    limit: int,
    filters: DecisionFilters | None = None,
    undos: bool = True,
) -> DecisionPage:
    """One page of decisions, the newest first.

    Args:
        connection: to read with.
        user_id: only those of this user; None for all.
        cursor: `DecisionPage.cursor` of the page before; None for the first.
        limit: decisions on the page.
        filters: only those that they let through.
        undos: False leaves out the decisions that record an undoing.

    Raises:
        FeedError: `invalid`: a cursor that is none.
    """
    before = None
    if cursor is not None:
        at, _, number = cursor.partition(".")
        if not at.isascii() or not at.isdecimal() or len(at) > 15 or len(number) != 36 or not number.isascii():
            raise FeedError("invalid", "the cursor is none of the list of decisions: start again without one")
        before = int(at), number
    rows = history(connection, user_id=user_id, before=before, limit=limit + 1, filters=filters, undos=undos)
    shown = rows[:limit]
    return DecisionPage(shown, f"{shown[-1].at}.{shown[-1].id}" if len(rows) > limit else None)
