"""Past cases like one that is looked at: how many were confirmed, and the nearest by evidence.

Both go by what an alert showed when it was decided on, as an alert that is withdrawn shows nothing any more. Only
decisions in force on whole alerts count, and none that asked for more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, case, func, select

from moderation.database_tables import AlertRow, DecisionRow
from moderation.odds import LEVELS

CONFIRMED: Final = "llm_campaign"

DECIDED: Final = ("llm_campaign", "human_coordination", "permitted_automation", "not_a_campaign")
"""Verdicts that settle what an alert is."""

MOST_SEEN: Final = 500
"""Latest decisions that are compared: the cases that people remember, and a few milliseconds."""

MOST_NEAREST: Final = 4

FARTHEST: Final = 2.0
"""Beyond this distance a case is not like another: 2 nats of a component are 1, and so is a group e times as large."""

NATS_APART: Final = 2.0

COMPONENTS: Final = ("text_nats", "behaviour_nats", "coordination_nats", "graph_nats")


class LikeThis(NamedTuple):
    """Of past cases of the same kind and odds: how many were decided, and how many of them confirmed."""

    decided: int
    confirmed: int


class PastCase(NamedTuple):
    """A decided case near one that is looked at."""

    alert_id: str
    title: str
    verdict: str
    odds: float | None
    members: int
    at: int


def band(odds: float | None) -> tuple[float, float] | None:
    """The odds that are called the same: from (included) and below; None where they are not known."""
    if odds is None:
        return None
    edges = [least for least, _ in LEVELS]
    place = next(number for number, least in enumerate(edges) if odds >= least)
    return edges[place], edges[place - 1] if place else math.inf


def like_this(connection: Connection, kind: str, odds: float | None, besides: str = "") -> LikeThis:
    """How past cases of a kind and band of odds were decided.

    Args:
        connection: to read with.
        kind: of the alert.
        odds: of the alert; None where not known.
        besides: id of the alert that is looked at, which is not its own past.
    """
    query = select(func.count().label("decided"), func.sum(_is_confirmed()).label("confirmed")).where(
        *in_force(), DecisionRow.kind == kind, DecisionRow.alert_id != besides
    )
    span = band(odds)
    query = query.where(DecisionRow.odds.is_(None)) if span is None else query.where(DecisionRow.odds >= span[0])
    if span is not None and span[1] != math.inf:
        query = query.where(DecisionRow.odds < span[1])
    row = connection.execute(query).one()
    return LikeThis(int(row.decided), int(row.confirmed or 0))


def nearest(connection: Connection, row: Any) -> list[PastCase]:
    """Decided cases of the same kind with the most similar evidence and size, the nearest first.

    Args:
        connection: to read with.
        row: of the alert, with its columns.
    """
    columns = [DecisionRow.alert_id, DecisionRow.verdict, DecisionRow.odds, DecisionRow.members, DecisionRow.at]
    query = (
        select(*columns, *(getattr(DecisionRow, name) for name in COMPONENTS))
        .where(
            *in_force(), DecisionRow.kind == row.kind, DecisionRow.alert_id != row.id,
            DecisionRow.text_nats.is_not(None),
        )
        .order_by(DecisionRow.at.desc())
        .limit(MOST_SEEN)
    )  # fmt: skip
    latest: dict[str, Any] = {}
    for each in connection.execute(query):
        latest.setdefault(each.alert_id, each)
    ranked = sorted((distance(row, each), each.alert_id) for each in latest.values())
    chosen = [latest[name] for apart, name in ranked[:MOST_NEAREST] if apart <= FARTHEST]
    return _titled(connection, chosen)


def distance(one: Any, other: Any) -> float:
    """How far two cases are apart, by their evidence and size; both have the columns of a decision."""
    apart = [(getattr(one, name) - getattr(other, name)) / NATS_APART for name in COMPONENTS]
    return math.hypot(*apart, math.log(max(one.members, 1)) - math.log(max(other.members, 1)))


def in_force() -> list[Any]:
    """Conditions: a decision in force on a whole alert that settles what it is."""
    return [
        DecisionRow.account.is_(None), DecisionRow.undone_by.is_(None), DecisionRow.verdict.in_(DECIDED),
        DecisionRow.kind != "",
    ]  # fmt: skip


def _is_confirmed() -> Any:
    return case((DecisionRow.verdict == CONFIRMED, 1), else_=0)


def _titled(connection: Connection, chosen: Sequence[Any]) -> list[PastCase]:
    ids = [each.alert_id for each in chosen]
    titles = {
        row.id: row.title for row in connection.execute(select(AlertRow.id, AlertRow.title).where(AlertRow.id.in_(ids)))
    }
    return [
        PastCase(each.alert_id, titles.get(each.alert_id, ""), each.verdict, each.odds, each.members, each.at)
        for each in chosen
    ]
