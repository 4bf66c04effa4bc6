"""What happened to a case, line by line: who claimed it, put it off, escalated it, said something; how it was revised.

The audit log has the same acts in pseudonyms and for good; this one has the words that people wrote with them, so
that a forgotten account can be taken out of it (`privacy`). Decisions have a table of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, insert, select

from detector.errors import FeedError
from moderation import audit
from moderation.database_tables import AlertRow, CaseEntry, User
from moderation.permissions import Actor

MAX_ENTRIES: Final = 300
"""Lines of one page: far more than any case has had."""


def note(connection: Connection, alert_id: str, now: int, user_id: str | None, action: str, words: str = "") -> None:
    """Add a line within the connection's transaction.

    Args:
        connection: in a write transaction.
        alert_id: of the case.
        now: ms since 1970.
        user_id: who did it; None for the system.
        action: what was done, as in the audit log, or `comment`, `revised`, `reopened`, `withdrawn`, `merged`.
        words: what was written with it, or what changed.
    """
    row = {"alert_id": alert_id, "at": now, "user_id": user_id or None, "action": action, "words": words}
    connection.execute(insert(CaseEntry).values(**row))


def comment(connection: Connection, actor: Actor, alert_id: str, words: str, now: int) -> None:
    """Say something about a case to colleagues, whoever works on it and whatever was decided.

    Args:
        connection: in a write transaction.
        actor: needs the right "work".
        alert_id: of the case.
        words: what is said; stays in this database.
        now: ms since 1970.

    Raises:
        FeedError: `forbidden`, `not_found`; `invalid`: nothing is said.
    """
    actor.require("work")
    if not words:
        raise FeedError("invalid", "the comment is empty: write what colleagues should know")
    if connection.scalar(select(AlertRow.id).where(AlertRow.id == alert_id)) is None:
        raise FeedError("not_found", f"there is no such alert as {alert_id!a}")
    note(connection, alert_id, now, actor.user_id, "comment", words)
    audit.append(connection, now, actor, "comment", alert_id)


def entries(connection: Connection, alert_ids: Sequence[str]) -> list[Any]:
    """Lines of a case, the newest first: rows of `case_log` with `by_name`.

    Args:
        connection: to read with.
        alert_ids: its alert, and those merged into it.
    """
    query = (
        select(CaseEntry.__table__, User.name.label("by_name"))
        .join(User, User.id == CaseEntry.user_id, isouter=True)
        .where(CaseEntry.alert_id.in_(alert_ids))
        .order_by(CaseEntry.at.desc(), CaseEntry.id.desc())
        .limit(MAX_ENTRIES)
    )
    return list(connection.execute(query))
