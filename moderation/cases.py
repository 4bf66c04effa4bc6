"""One alert with everything known of it, the alerts of one account, and the summary of an alert that lists show.

Rows and pages come from the database; `summarise` is pure and makes the columns of an alert's row out of its record:
how urgent it is, how sure, whom it names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, select
from sqlalchemy.orm import aliased

from detector.errors import FeedError
from moderation.database_tables import AlertRow, Member, Page, User
from moderation.languages import main_language, scripts
from moderation.odds import certainty
from moderation.permissions import Actor
from moderation.topic_records import milliseconds, read_alert, read_page, storable
from streaming.schema.alert import AlertRecord, PageRecord

MAX_ANCESTORS: Final = 1000
"""Alerts whose history one page shows: far more than one alert has ever swallowed."""

MAX_ALERTS_OF_ACCOUNT: Final = 100
"""Alerts on an account's page: more would be a list nobody reads."""

KIND_URGENCY: Final = {"campaign": 100.0, "account": 50.0, "coordination": 0.0}
"""Levels apart enough that kinds never mix in the queue: campaigns, then accounts, then coordination, which is for
information."""

MAX_NATS: Final = 20.0
"""Evidence beyond odds of 10^8 makes nothing more urgent."""

TITLE_NAMES: Final = 3
"""Members named in a list."""


@dataclass(frozen=True)
class AlertWithDetails:
    """An alert with its details.

    Args:
        row: its row in table `alerts`, with `holder`, `escalated_name` and `snoozed_name`, the names of who claimed it,
            escalated it and put it off.
        record: its latest revision.
        details: its pages, all of one revision, which may be older than the alert's.
        complete: whether these are all pages of that revision.
    """

    row: Any
    record: AlertRecord
    details: list[PageRecord]
    complete: bool


def load_alert(connection: Connection, actor: Actor, alert_id: str, *, details: bool = True) -> AlertWithDetails:
    """An alert with its details.

    Args:
        connection: to read with.
        actor: needs the right "read".
        alert_id: which alert.
        details: False leaves the pages out.

    Raises:
        FeedError: `forbidden`, `not_found`.
    """
    actor.require("read")
    escalating, snoozing = aliased(User), aliased(User)
    row = connection.execute(
        select(
            AlertRow.__table__,
            User.name.label("holder"),
            escalating.name.label("escalated_name"),
            snoozing.name.label("snoozed_name"),
        )
        .join(User, User.id == AlertRow.claimed_by, isouter=True)
        .join(escalating, escalating.id == AlertRow.escalated_by, isouter=True)
        .join(snoozing, snoozing.id == AlertRow.snoozed_by, isouter=True)
        .where(AlertRow.id == alert_id)
    ).one_or_none()
    if row is None:
        raise FeedError("not_found", f"there is no alert {alert_id!a}: check its id, or wait until it arrives here")
    pages = _pages(connection, alert_id) if details else []
    return AlertWithDetails(row, read_alert(row.body), pages, bool(pages) and len(pages) == pages[0].pages)


def merged_ancestors(connection: Connection, alert_id: str) -> list[str]:
    """Ids of the alert itself and of all that were merged into it, directly or not; at most about 1,000."""
    found = [alert_id]
    frontier = [alert_id]
    while frontier and len(found) < MAX_ANCESTORS:
        merged = connection.scalars(select(AlertRow.id).where(AlertRow.merged_into.in_(frontier)).order_by(AlertRow.id))
        frontier = [each for each in merged if each not in found]
        found += frontier
    return found


def alerts_of_account(connection: Connection, actor: Actor, account: str) -> list[Any]:
    """Rows of the alerts that have an account among their members, at most `MAX_ALERTS_OF_ACCOUNT`.

    Args:
        connection: to read with.
        actor: needs the right "read".
        account: name of the account.

    Returns:
        Rows of table `alerts` with `place`, `total` and `holder`: open ones first, the newest first among equals.
    """
    actor.require("read")
    query = (
        select(AlertRow.__table__, Member.place, Member.total, User.name.label("holder"))
        .join(Member, Member.alert_id == AlertRow.id)
        .join(User, User.id == AlertRow.claimed_by, isouter=True)
        .where(Member.account == account)
        .order_by((AlertRow.status != "open"), AlertRow.at.desc(), AlertRow.id)
        .limit(MAX_ALERTS_OF_ACCOUNT)
    )
    return list(connection.execute(query))


def pages_of(connection: Connection, alert_ids: Sequence[str]) -> list[PageRecord]:
    """The pages of details of some alerts, each alert's of its newest revision."""
    return [page for each in alert_ids for page in _pages(connection, each)]


def _pages(connection: Connection, alert_id: str) -> list[PageRecord]:
    rows = connection.execute(
        select(Page).where(Page.alert_id == alert_id).order_by(Page.revision.desc(), Page.page)
    ).all()
    newest = rows[0].revision if rows else 0
    return [read_page(row.body) for row in rows if row.revision == newest and row.page <= rows[0].pages]


class AlertSummary(NamedTuple):
    """The columns of an alert's row that are made out of its record; times in ms since 1970."""

    urgency: float
    title: str
    odds: float | None
    posts: int
    script: str
    language: str
    text_nats: float
    behaviour_nats: float
    coordination_nats: float
    graph_nats: float
    first_post_at: int
    last_post_at: int


def summarise(record: AlertRecord) -> AlertSummary:
    """The summary of one revision.

    Urgency is the kind's own level, plus the mean member's evidence in nats (0 to 20), plus three times the natural
    logarithm of the number of members: tripling a group counts about as much as evidence 27 times as strong.
    """
    at = milliseconds(record.at) or 0
    sure = certainty(record)
    evidence = min(max(record.evidence.total, 0.0), MAX_NATS)
    size = max(len(record.members), 1)
    names = [storable(member.account, 80) for member in record.members]
    return AlertSummary(
        urgency=round(KIND_URGENCY[record.kind] + evidence + 3 * math.log(size), 6),
        # A name may hold a comma: with another space behind it, it still reads as one.
        title=", ".join(name.replace(", ", ",\u00a0") for name in names[:TITLE_NAMES]),
        odds=sure.odds,
        posts=sure.posts,
        script=next(iter(scripts(post.text for post in record.posts)), ""),
        language=main_language(post.text for post in record.posts),
        text_nats=record.evidence.text,
        behaviour_nats=record.evidence.behaviour,
        coordination_nats=record.evidence.coordination,
        graph_nats=record.evidence.graph,
        first_post_at=milliseconds(record.first_post_at) or at,
        last_post_at=milliseconds(record.last_post_at) or at,
    )
