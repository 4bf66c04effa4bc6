"""Decisions on their way out: written in the decision's own transaction, sent at least once with the same id.

Whoever reads topic `feedback` takes the same id once, so sending again after a crash changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from moderation.database import Database
from moderation.records import rfc3339
from moderation.schema import Decision, Outgoing

BATCH: Final = 200
"""Records sent between two marks in the database: what a crash sends again at most."""


class Record(NamedTuple):
    """One record of topic `feedback`: key and JSON."""

    seq: int
    alert_id: str
    body: bytes


Send = Callable[[Sequence[Record]], None]
"""Sends records and returns when they are safe; raises where they are not."""


def put(connection: Connection, decision: Decision, by: str) -> None:
    """Queue a decision's record within its transaction. Notes and policies stay here; the reason goes with it."""
    body = {
        "v": 1,
        "alert": decision.alert_id,
        "account": decision.account,
        "decision": decision.verdict,
        "undoes": decision.undoes,
        "id": decision.id,
        "at": f"{rfc3339(decision.at)[:-1]}.{decision.at % 1000:03d}Z",
        "by": by,
        "reason": decision.reason,
        "sampled_with": None if decision.verdict == "missed" else 1.0,
    }
    connection.execute(
        insert(Outgoing).values(
            decision_id=decision.id, alert_id=decision.alert_id, body=msgspec.json.encode(body).decode()
        )
    )


def pending(connection: Connection) -> int:
    """How many records wait to be sent."""
    return int(connection.scalar(select(func.count()).select_from(Outgoing).where(Outgoing.sent == 0)) or 0)


def flush(database: Database, send: Send, now: Callable[[], int]) -> int:
    """Send what waits, the oldest first, and mark it; how many records were sent.

    A crash between the two leaves the mark out, and the records are sent again.
    """
    total = 0
    while True:
        with database.read() as connection:
            rows = connection.execute(
                select(Outgoing.seq, Outgoing.alert_id, Outgoing.body)
                .where(Outgoing.sent == 0)
                .order_by(Outgoing.seq)
                .limit(BATCH)
            ).all()
        if not rows:
            return total
        send([Record(row.seq, row.alert_id, row.body.encode()) for row in rows])
        with database.write() as connection:
            connection.execute(
                update(Outgoing).where(Outgoing.seq.in_([row.seq for row in rows])).values(sent=now(), body="")
            )
        total += len(rows)
