"""One alert with everything that is known of it, for the pages and the programs that show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from detector.errors import FeedError
from moderation.records import AlertRecord, PageRecord, read_alert, read_page
from moderation.roles import Actor
from moderation.schema import Alert, Member, Page, User


@dataclass(frozen=True)
class Whole:
    """An alert's row (with `holder`, the name of who claimed it), its record, and its details.

    `details` are the pages of one revision, complete or not (`complete`), and may lag behind the alert's.
    """

    row: Any
    record: AlertRecord
    details: list[PageRecord]
    complete: bool


def load(connection: Connection, actor: Actor, alert_id: str, *, details: bool = True) -> Whole:
    """The alert.

    Raises:
        FeedError: `forbidden`, `not_found`.
    """
    actor.require("read")
    row = connection.execute(
        select(Alert.__table__, User.name.label("holder"))
        .join(User, User.id == Alert.claimed_by, isouter=True)
        .where(Alert.id == alert_id)
    ).one_or_none()
    if row is None:
        raise FeedError("not_found", "there is no such alert")
    pages = _pages(connection, alert_id) if details else []
    return Whole(row, read_alert(row.body), pages, bool(pages) and len(pages) == pages[0].pages)


def ancestors(connection: Connection, alert_id: str) -> list[str]:
    """Ids of alerts that were merged into this one, directly or not, itself first."""
    found = [alert_id]
    frontier = [alert_id]
    while frontier and len(found) < 1000:
        merged = connection.scalars(select(Alert.id).where(Alert.merged_into.in_(frontier)).order_by(Alert.id))
        frontier = [each for each in merged if each not in found]
        found += frontier
    return found


def of_account(connection: Connection, actor: Actor, account: str) -> list[Any]:
    """Rows of the alerts that name an account, open ones first, the newest first among equals."""
    actor.require("read")
    asked = (
        select(Alert.__table__, Member.place, Member.total, User.name.label("holder"))
        .join(Member, Member.alert_id == Alert.id)
        .join(User, User.id == Alert.claimed_by, isouter=True)
        .where(Member.account == account)
        .order_by((Alert.status != "open"), Alert.at.desc(), Alert.id)
        .limit(100)
    )
    return list(connection.execute(asked))


def _pages(connection: Connection, alert_id: str) -> list[PageRecord]:
    rows = connection.execute(
        select(Page).where(Page.alert_id == alert_id).order_by(Page.revision.desc(), Page.page)
    ).all()
    newest = rows[0].revision if rows else 0
    return [read_page(row.body) for row in rows if row.revision == newest and row.page <= rows[0].pages]
