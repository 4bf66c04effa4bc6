"""Second looks: a sample of decisions is made again by somebody who does not see the first, and the two are compared.

Which decisions are drawn follows from a keyed hash of their id, so nobody can tell beforehand, and a repeated request
draws the same. What the first moderator saw is kept until the second has decided, as alerts that are cleared lose their
names and posts; the second decision changes nothing but the comparison. Agreement is Cohen's kappa (Cohen 1960,
Educational and Psychological Measurement 20:37-46), with the standard error of Fleiss, Cohen and Everitt (1969,
Psychological Bulletin 72:323-327).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from detector.blind_sampling import is_drawn
from detector.errors import FeedError
from moderation import audit, case_log
from moderation.audit import pseudonym_key
from moderation.database_tables import AlertRow, DecisionRow, Meta, SecondLook, User
from moderation.db import upsert
from moderation.permissions import Actor
from moderation.topic_records import json_text

SHARE_KEY: Final = "second_look_share"
"""Of the row in table `meta` that holds the share of decisions that is drawn."""

PENDING_MS: Final = 30 * 86_400_000
"""What nobody has looked at within a month is dropped: it holds names and posts."""

MAX_LISTED: Final = 200
"""Second looks on a page, open ones and disagreements each."""

Z95: Final = 1.959964
"""Half-width of a 95% interval, in standard errors."""


class Agreement(NamedTuple):
    """How far two moderators agree.

    Args:
        pairs: decisions that were made twice.
        same: of them.
        share: of them that are the same; NaN without pairs.
        kappa: Cohen's; NaN where it says nothing, as where one of the two decided all alike: it is 0 then, or not
            defined, whatever the other did.
        low: end of its 95% interval.
        high: the other end.
    """

    pairs: int
    same: int
    share: float
    kappa: float
    low: float
    high: float


def kappa(pairs: Sequence[tuple[str, str]]) -> Agreement:
    """Cohen's kappa of pairs of decisions, first and second."""
    count = len(pairs)
    if not count:
        return Agreement(0, 0, math.nan, math.nan, math.nan, math.nan)
    kinds = sorted({each for pair in pairs for each in pair})
    first, second = (Counter(pair[side] for pair in pairs) for side in (0, 1))
    both = Counter(pairs)
    same = sum(both[kind, kind] for kind in kinds)
    seen = same / count
    expected = sum(first[kind] * second[kind] for kind in kinds) / count**2
    if min(len(first), len(second)) < 2:
        return Agreement(count, same, seen, math.nan, math.nan, math.nan)
    found = (seen - expected) / (1 - expected)
    spread = sum(
        both[a, b] / count * _weight(a, b, first, second, count, found) ** 2 for a in kinds for b in kinds if both[a, b]
    )
    variance = max(0.0, (spread - (found - expected * (1 - found)) ** 2) / (count * (1 - expected) ** 2))
    half = Z95 * math.sqrt(variance)
    return Agreement(count, same, seen, found, max(-1.0, found - half), min(1.0, found + half))


def _weight(a: str, b: str, first: Counter[str], second: Counter[str], count: int, found: float) -> float:
    """What a cell of the table adds to kappa's variance: Fleiss, Cohen and Everitt (1969), equation 13."""
    margins = (second[a] + first[b]) / count * (1 - found)
    return (1.0 if a == b else 0.0) - margins


def set_share(connection: Connection, share: float) -> None:
    """Keep which share of decisions is drawn, 0 to 1."""
    statement = upsert(connection, Meta).values(key=SHARE_KEY, value=repr(share))
    connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_={"value": repr(share)}))


def draw(connection: Connection, decision: DecisionRow) -> bool:
    """Draw a decision for a second look, or not, in the decision's transaction; whether it was drawn.

    Args:
        connection: in a write transaction.
        decision: on an alert as a whole.
    """
    share = float(connection.scalar(select(Meta.value).where(Meta.key == SHARE_KEY)) or 0.0)
    if share <= 0.0 or not is_drawn(pseudonym_key(connection), f"second look {decision.id}", share):
        return False
    body = connection.scalar(select(AlertRow.body).where(AlertRow.id == decision.alert_id))
    if body is None:
        return False
    row = {"decision_id": decision.id, "alert_id": decision.alert_id, "first_by": decision.user_id,
           "verdict": decision.verdict, "at": decision.at, "snapshot": body}  # fmt: skip
    connection.execute(insert(SecondLook).values(**row))
    return True


def waiting(connection: Connection, actor: Actor, now: int) -> list[Any]:
    """Second looks that the actor may take, the oldest first: none at decisions of their own.

    Args:
        connection: to read with.
        actor: needs the right "work".
        now: ms since 1970.

    Returns:
        Rows of table `second_looks` with `kind` and `title` of the alert.
    """
    actor.require("work")
    query = (
        select(SecondLook.__table__, AlertRow.kind, AlertRow.title)
        .join(AlertRow, AlertRow.id == SecondLook.alert_id)
        .where(SecondLook.second_verdict == "", SecondLook.first_by != actor.user_id, SecondLook.at > now - PENDING_MS)
        .order_by(SecondLook.at, SecondLook.decision_id)
        .limit(MAX_LISTED)
    )
    return list(connection.execute(query))


def take(connection: Connection, actor: Actor, decision_id: str) -> Any:
    """One second look that waits.

    Args:
        connection: to read with.
        actor: needs the right "work".
        decision_id: of the first decision.

    Raises:
        FeedError: `forbidden`, `not_found`; `conflict`: it was done.
    """
    actor.require("work")
    row = connection.execute(select(SecondLook).where(SecondLook.decision_id == decision_id)).one_or_none()
    if row is None:
        raise FeedError("not_found", "there is no such second look: load the list of second looks again")
    if row.first_by == actor.user_id:
        raise FeedError("forbidden", "the first decision was yours: somebody else looks a second time")
    if row.second_verdict:
        raise FeedError("conflict", "somebody has looked a second time already: take another one")
    return row


def answer(connection: Connection, actor: Actor, decision_id: str, verdict: str, note: str, now: int) -> None:
    """Decide a second time. The first decision stays in force, whatever the second.

    Args:
        connection: in a write transaction.
        actor: needs the right "work", and made another decision than the first.
        decision_id: the first decision.
        verdict: one of `decisions.VERDICTS`.
        note: for leads; stays in this database.
        now: ms since 1970.

    Raises:
        FeedError: `forbidden`, `not_found`, `conflict`.
    """
    row = take(connection, actor, decision_id)
    done = connection.execute(
        update(SecondLook)
        .where(SecondLook.decision_id == decision_id, SecondLook.second_verdict == "")
        .values(second_verdict=verdict, second_by=actor.user_id, second_at=now, note=note, snapshot="")
    )
    if not done.rowcount:
        raise FeedError("conflict", "somebody has looked a second time already: take another one")
    case_log.note(connection, row.alert_id, now, actor.user_id, "second_look", verdict.replace("_", " "))
    audit.append(connection, now, actor, "second_look", row.alert_id, {"decision": decision_id, "verdict": verdict})


def agreement(connection: Connection, since: int = 0, until: int = 0) -> Agreement:
    """How far first and second decisions agree.

    Args:
        connection: to read with.
        since: second looks made at this time or later, ms since 1970.
        until: second looks made before this time; 0 for all.
    """
    made = [SecondLook.second_at >= since, *([SecondLook.second_at < until] if until else [])]
    query = select(SecondLook.verdict, SecondLook.second_verdict).where(SecondLook.second_verdict != "", *made)
    return kappa([(row.verdict, row.second_verdict) for row in connection.execute(query)])


def disagreements(connection: Connection, actor: Actor) -> list[Any]:
    """Second decisions unlike the first, the latest first, for leads.

    Returns:
        Rows of table `second_looks` with `title`, `first_name` and `second_name`.
    """
    actor.require("lead")
    first, second = (User.__table__.alias(name) for name in ("first", "second"))
    query = (
        select(
            SecondLook.__table__, AlertRow.title, first.c.name.label("first_name"), second.c.name.label("second_name")
        )
        .join(AlertRow, AlertRow.id == SecondLook.alert_id, isouter=True)
        .join(first, first.c.id == SecondLook.first_by, isouter=True)
        .join(second, second.c.id == SecondLook.second_by, isouter=True)
        .where(SecondLook.second_verdict != "", SecondLook.second_verdict != SecondLook.verdict)
        .order_by(SecondLook.second_at.desc(), SecondLook.decision_id)
        .limit(MAX_LISTED)
    )
    return list(connection.execute(query))


def forget_account(connection: Connection, account: str, now: int) -> None:
    """Drop second looks that wait and name an account, and all that waited too long.

    Args:
        connection: in a write transaction.
        account: its name.
        now: ms since 1970.
    """
    names = SecondLook.snapshot.contains(json_text(account), autoescape=True)
    old = SecondLook.at <= now - PENDING_MS
    connection.execute(delete(SecondLook).where(SecondLook.second_verdict == "", names | old))
