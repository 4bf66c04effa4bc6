"""What the decisions came to: how many alerts were confirmed, by kind and odds; taken back; how long it took.

A decision counts by what its alert showed when it was made (`DecisionRow.odds` and so on), since an alert that was
withdrawn afterwards shows nothing any more. Precision is of whole alerts whose decision is in force. Intervals are
exact (Clopper and Pearson 1934) at 95%: they hold for few decisions too, and are wide then.

An alert that waits is not in it, so precision is of what was decided: where people decide the clear ones first, the
rest may be otherwise.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from scipy.stats import binomtest
from sqlalchemy import Connection, func, select
from sqlalchemy.orm import aliased

from moderation import missed_accounts, second_looks
from moderation.alert_lists import waiting
from moderation.database_tables import AlertRow, DecisionRow, Delivery, OutcomeRow
from moderation.missed_accounts import Misses
from moderation.odds import LEVELS, percent
from moderation.permissions import Actor
from moderation.second_looks import Agreement
from moderation.similar_cases import CONFIRMED, band, in_force

LEVEL: Final = 0.95

KINDS: Final = ("campaign", "account", "coordination")

MOST_OLDEST: Final = 5
"""Waiting alerts that the page names."""

NOT_COUNTED: Final = ("undo", "missed")
"""Rows of decisions that decide on no alert."""


@dataclass(frozen=True)
class Rate:
    """A share of counted cases, and between what it may lie.

    Args:
        hits: how many.
        of: of how many.
        low: lower end of the exact interval; 0 where nothing is counted.
        high: upper end; 1 where nothing is counted.
    """

    hits: int
    of: int
    low: float
    high: float

    @classmethod
    def counted(cls, hits: int, of: int) -> Rate:
        """The rate with its interval."""
        if not of:
            return cls(0, 0, 0.0, 1.0)
        found = binomtest(hits, of).proportion_ci(LEVEL, method="exact")
        return cls(hits, of, float(found.low), float(found.high))

    @property
    def share(self) -> float | None:
        """The share itself; None where nothing is counted."""
        return self.hits / self.of if self.of else None


@dataclass(frozen=True)
class Precision:
    """Of the decided alerts of a kind and a band of odds, how many were confirmed, and what else they were.

    Args:
        kind: of the alerts.
        band: the odds, in words such as `75% to 95%`; "all" for the kind as a whole, "none" where they have none.
        rate: confirmed of decided.
        verdicts: verdict -> how many.
    """

    kind: str
    band: str
    rate: Rate
    verdicts: dict[str, int]


@dataclass(frozen=True)
class Duration:
    """How long decisions took from the arrival of the alert, in minutes: the half-way mark and the slowest tenth's."""

    kind: str
    decided: int
    median_minutes: float
    ninetieth_minutes: float


@dataclass(frozen=True)
class OldestOpen:
    """An alert that waits."""

    id: str
    kind: str
    title: str
    arrived: int


@dataclass(frozen=True)
class DecisionResults:
    """What the decisions of a time came to.

    Args:
        precision: by kind and band of odds, each kind as a whole first.
        taken_back: decisions that were taken back, of all.
        by_policy: code of the policy -> decisions in force; "" for those without one.
        durations: by kind.
        waiting: kind -> alerts that wait now.
        oldest: those that wait longest.
        reported: accounts that people reported as missed.
        restored: deliveries whose receiver restored an account afterwards, of those that receivers took.
        agreement: of second looks, by when they were made; without pairs where none were.
        misses: estimated from the blind sample of those days; None where nothing of it was decided.
        sampled: whether a blind sample is drawn at all.
    """

    precision: list[Precision]
    taken_back: Rate
    by_policy: dict[str, int]
    durations: list[Duration]
    waiting: dict[str, int]
    oldest: list[OldestOpen]
    reported: int
    restored: Rate
    agreement: Agreement
    misses: Misses | None
    sampled: bool


def results(connection: Connection, actor: Actor, now: int, since: int = 0, until: int = 0) -> DecisionResults:
    """What the decisions made in a time came to.

    Args:
        connection: to read with.
        actor: needs the right "read".
        now: ms since 1970; what waits is counted now.
        since: decisions made at this time or later, ms since 1970.
        until: decisions made before this time; 0 for all.

    Raises:
        FeedError: `forbidden`.
    """
    actor.require("read")
    made = [DecisionRow.at >= since]
    if until:
        made.append(DecisionRow.at < until)
    settled = list(
        connection.execute(
            select(
                DecisionRow.kind, DecisionRow.odds, DecisionRow.verdict, DecisionRow.policy, DecisionRow.at,
                DecisionRow.arrived,
            ).where(*in_force(), *made)
        )
    )  # fmt: skip
    counted = [DecisionRow.verdict.not_in(NOT_COUNTED), *made]
    total = _count(connection, select(func.count()).select_from(DecisionRow).where(*counted))
    undone = _count(
        connection,
        select(func.count()).select_from(DecisionRow).where(*counted, DecisionRow.undone_by.is_not(None)),
    )
    return DecisionResults(
        precision=precision(settled),
        taken_back=Rate.counted(undone, total),
        by_policy=_by_policy(settled),
        durations=_durations(settled),
        waiting=_waiting(connection, now),
        oldest=_oldest(connection, now),
        reported=_count(
            connection,
            select(func.count()).select_from(DecisionRow)
            .where(DecisionRow.verdict == "missed", DecisionRow.undone_by.is_(None), *made),
        ),
        restored=_restored(connection, since, until),
        agreement=second_looks.agreement(connection, since, until),
        misses=missed_accounts.misses(connection, missed_accounts.day_of(since), missed_accounts.day_of(until)),
        sampled=missed_accounts.is_drawn(connection),
    )  # fmt: skip


def precision(settled: Sequence[Any]) -> list[Precision]:
    """Confirmed of decided, by kind and band of odds.

    Args:
        settled: with `kind`, `odds` and `verdict`, one of each decided alert.
    """
    groups: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in settled:
        for name in ("all", band_words(row.odds)):
            groups[row.kind, name][row.verdict] += 1
    order = ["all", *(band_words(least) for least, _ in LEVELS), "none"]
    return [
        Precision(
            kind, name, Rate.counted(verdicts.get(CONFIRMED, 0), sum(verdicts.values())), dict(sorted(verdicts.items()))
        )
        for kind in KINDS
        for name in order
        if (verdicts := groups.get((kind, name))) and not (name == "none" and len(_bands(groups, kind)) == 1)
    ]


def _bands(groups: dict[tuple[str, str], dict[str, int]], kind: str) -> set[str]:
    """Bands of a kind; of coordination, which has no odds, one."""
    return {name for other, name in groups if other == kind and name != "all"}


def band_words(odds: float | None) -> str:
    """`75% to 95%`, `95% or more`, `under 20%`; "none" where there are none."""
    span = band(odds)
    if span is None:
        return "none"
    if span[0] == 0:
        return f"under {percent(span[1])}"
    return f"{percent(span[0])} or more" if span[1] > 1 else f"{percent(span[0])} to {percent(span[1])}"


def _count(connection: Connection, query: Any) -> int:
    return int(connection.scalar(query) or 0)


def _by_policy(settled: Sequence[Any]) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for row in settled:
        found[row.policy] += 1
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _durations(settled: Sequence[Any]) -> list[Duration]:
    """Time from arrival to decision, by kind."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in settled:
        if row.arrived:
            found[row.kind].append(max(0, row.at - row.arrived) / 60_000)
    return [
        Duration(kind, len(minutes), statistics.median(minutes), _ninetieth(minutes))
        for kind in KINDS
        if (minutes := found.get(kind))
    ]


def _ninetieth(values: Sequence[float]) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(0.9 * len(ranked)))]


def _waiting(connection: Connection, now: int) -> dict[str, int]:
    query = select(AlertRow.kind, func.count().label("number")).where(waiting(now)).group_by(AlertRow.kind)
    found = {row.kind: row.number for row in connection.execute(query)}
    return {kind: found.get(kind, 0) for kind in KINDS}


def _oldest(connection: Connection, now: int) -> list[OldestOpen]:
    query = (
        select(AlertRow.id, AlertRow.kind, AlertRow.title, AlertRow.arrived)
        .where(waiting(now))
        .order_by(AlertRow.arrived, AlertRow.id)
        .limit(MOST_OLDEST)
    )
    return [OldestOpen(row.id, row.kind, row.title, row.arrived) for row in connection.execute(query)]


def _restored(connection: Connection, since: int, until: int) -> Rate:
    """Deliveries after which the receiver restored an account, of all that were taken."""
    taken = [Delivery.state == "delivered", Delivery.kind == "decision", Delivery.made >= since]
    if until:
        taken.append(Delivery.made < until)
    came = aliased(OutcomeRow)
    restored = select(came.id).where(came.delivery_id == Delivery.id, came.outcome == "restored").exists()
    all_of_them = select(func.count()).select_from(Delivery).where(*taken)
    return Rate.counted(_count(connection, all_of_them.where(restored)), _count(connection, all_of_them))
