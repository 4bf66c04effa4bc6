"""The blind sample: accounts that nothing flagged, decided on without what the system says of them.

`assess` draws them with known probabilities (topic `blind-sample`). What moderators find among them says how many
accounts are missed: each stands for as many as the inverse of its probability (`detector.blind_sampling`). Accounts
that nobody has decided on are taken to be like those that were, as which ones wait says nothing about them.
"""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

import numpy as np
from sqlalchemy import Connection, and_, func, insert, or_, select, update

from detector.blind_sampling import CountEstimate, estimate
from detector.errors import FeedError
from detector.times import format_time
from moderation import audit
from moderation.audit import pseudonym, pseudonym_key
from moderation.database_tables import Forgotten, Outgoing, SampledAccount
from moderation.db import upsert
from moderation.permissions import Actor
from moderation.topic_records import dump, json_text, read_sample, storable
from streaming.assess.alert_store import account_alert_id
from streaming.schema.feedback import DecisionKind, FeedbackRecord, encode_feedback
from streaming.schema.sample import SampleRecord

PENDING_MS: Final = 30 * 86_400_000
"""What nobody has decided on within a month is dropped: it holds what people wrote whom nothing accuses."""

DROPPED: Final = "dropped"
"""Verdict of accounts that were drawn and that nobody will decide on: dropped, deleted or forgotten."""

MISSED: Final = "llm_campaign"
"""Decision that says that an account was missed. Permitted automation is none that should have been flagged."""

UNTOLD: Final = ("", DROPPED, "needs_more")
"""Verdicts of accounts of which nobody could say what they are."""

_WAITING: Final = SampledAccount.verdict == ""


@dataclass(frozen=True)
class Misses:
    """How many accounts that nothing flagged are machines, from those that were looked at.

    An account that was active on two days counts once for each.

    Args:
        found: machines among the accounts that were decided on.
        decided: accounts of the sample that were decided on.
        drawn: accounts of the sample, decided on or not.
        days: days that they were drawn of.
        population: accounts they stand for, over those days.
        number: estimated machines among these, with a 95% interval.
    """

    found: int
    decided: int
    drawn: int
    days: int
    population: int
    number: CountEstimate

    def share(self) -> CountEstimate:
        """The same of each account that nothing flagged."""
        return CountEstimate(*(min(1.0, each / self.population) for each in self.number))


def store(connection: Connection, records: Sequence[SampleRecord], now: int) -> None:
    """Store accounts of the sample; one that is stored already changes nothing.

    Args:
        connection: in a write transaction.
        records: of topic `blind-sample`.
        now: ms since 1970.
    """
    if not records:
        return
    forgotten = set(connection.scalars(select(Forgotten.mark)))
    secret = pseudonym_key(connection) if forgotten else b""
    for record in records:
        gone = bool(forgotten) and pseudonym(secret, record.account) in forgotten
        row = {
            "id": record.id, "account": "" if gone else storable(record.account), "day": record.day,
            "sampled_with": record.sampled_with, "smallest": record.smallest, "population": record.population,
            "body": "" if gone else dump(record), "arrived": now, "verdict": DROPPED if gone else "",
        }  # fmt: skip
        connection.execute(upsert(connection, SampledAccount).values(**row).on_conflict_do_nothing())


def drop(connection: Connection, accounts: Iterable[str], now: int) -> None:
    """Drop what waits of accounts that were deleted, and what waited too long.

    Args:
        connection: in a write transaction.
        accounts: their names.
        now: ms since 1970.
    """
    old = SampledAccount.arrived <= now - PENDING_MS
    named = SampledAccount.account.in_([storable(each) for each in accounts])
    _drop(connection, or_(old, named))


def _drop(connection: Connection, which: Any) -> None:
    connection.execute(update(SampledAccount).where(_WAITING, which).values(verdict=DROPPED, account="", body=""))


def waiting(connection: Connection, actor: Actor, now: int) -> list[str]:
    """Ids of accounts that wait, in another order for each person, so that two who begin at once meet late.

    Args:
        connection: to read with.
        actor: needs the right "work".
        now: ms since 1970.
    """
    actor.require("work")
    found = connection.scalars(select(SampledAccount.id).where(_WAITING, SampledAccount.arrived > now - PENDING_MS))
    return sorted(found, key=lambda each: (zlib.crc32(f"{actor.user_id} {each}".encode()), each))


def take(connection: Connection, actor: Actor, number: str) -> SampleRecord:
    """One account that waits.

    Args:
        connection: to read with.
        actor: needs the right "work".
        number: its id.

    Raises:
        FeedError: `forbidden`, `not_found`; `conflict`: it was decided.
    """
    actor.require("work")
    row = connection.execute(select(SampledAccount).where(SampledAccount.id == number)).one_or_none()
    if row is None:
        raise FeedError("not_found", "there is no such account in the blind sample: load the list again")
    if row.verdict:
        raise FeedError("conflict", "this account of the blind sample was decided, or left: take another one")
    return read_sample(row.body)


def answer(connection: Connection, actor: Actor, number: str, verdict: str, note: str, now: int) -> None:
    """Decide on an account of the sample. The system is told, with the probability with which it was drawn.

    Args:
        connection: in a write transaction.
        actor: needs the right "work".
        number: id of the account in the sample.
        verdict: one of `decisions.VERDICTS`.
        note: for leads; stays in this database.
        now: ms since 1970.

    Raises:
        FeedError: `forbidden`, `not_found`, `conflict`.
    """
    record = take(connection, actor, number)
    values = {"verdict": verdict, "decided": now, "decided_by": actor.user_id, "note": note, "account": "", "body": ""}
    done = connection.execute(update(SampledAccount).where(SampledAccount.id == number, _WAITING).values(**values))
    if not done.rowcount:
        raise FeedError("conflict", "somebody has decided on this account already: take another one")
    if verdict != "needs_more":
        made = str(uuid.uuid4())
        alert = account_alert_id(record.account)
        said = FeedbackRecord(
            alert=alert, account=record.account, decision=cast(DecisionKind, verdict), id=made, at=format_time(now),
            by=actor.pseudonym, sampled_with=record.sampled_with,
        )  # fmt: skip
        connection.execute(
            insert(Outgoing).values(decision_id=made, alert_id=alert, body=encode_feedback(said).decode())
        )
    audit.append(connection, now, actor, "blind_sample", number, {"verdict": verdict})


def misses(connection: Connection, since: str = "", until: str = "") -> Misses | None:
    """What the sample says of all accounts that nothing flagged; None where nothing of it was decided.

    Args:
        connection: to read with.
        since: days from this one on, `2025-06-01`; "" for all.
        until: days before this one; "" for all.
    """
    made = [SampledAccount.day >= since, *([SampledAccount.day < until] if until else [])]
    told = and_(SampledAccount.verdict.not_in(UNTOLD), *made)
    columns = (SampledAccount.verdict, SampledAccount.sampled_with, SampledAccount.smallest)
    rows = list(connection.execute(select(*columns).where(told)))
    if not rows:
        return None
    days = connection.execute(
        select(SampledAccount.day, func.max(SampledAccount.population).label("accounts"), func.count().label("drawn"))
        .where(*made)
        .group_by(SampledAccount.day)
    ).all()
    drawn = sum(row.drawn for row in days)
    told_share = len(rows) / drawn
    found = np.array([row.sampled_with for row in rows if row.verdict == MISSED], np.float64)
    smallest = min(row.smallest for row in rows)
    return Misses(
        found=len(found), decided=len(rows), drawn=drawn, days=len(days),
        population=sum(row.accounts for row in days),
        number=estimate(found * told_share, smallest * told_share),
    )  # fmt: skip


def is_drawn(connection: Connection) -> bool:
    """Whether any account of a blind sample has come."""
    return connection.scalar(select(SampledAccount.id).limit(1)) is not None


def day_of(at: int) -> str:
    """The day of a time, ms since 1970, in UTC: `2025-06-01`; "" for 0."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d") if at else ""


def forget_account(connection: Connection, account: str) -> None:
    """Drop what waits and names an account.

    Args:
        connection: in a write transaction.
        account: its name.
    """
    _drop(connection, SampledAccount.body.contains(json_text(account), autoescape=True))
