"""Pseudonyms of accounts in the audit log and among the forgotten: a keyed hash, so that no list of names undoes it.

The audit log: who did what to what, in pseudonymous ids, each entry bound to the one before it by a hash.

Whoever changes, removes or inserts an entry has to rewrite every later one; whoever cuts the end off is found by a head
that was noted elsewhere (`swarmlight feed verify-audit --head`). The database refuses changes besides.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from moderation.db import AuditEntry, AuditHead, Meta
from moderation.roles import Actor

KEY: Final = "pseudonym-key"


def key(connection: Connection) -> bytes:
    """The key of this database, made with its first table."""
    return bytes.fromhex(connection.execute(select(Meta.value).where(Meta.key == KEY)).scalar_one())


def pseudonym(secret: bytes, account: str) -> str:
    """`acc-` and 24 hexadecimal digits."""
    digest = hmac.new(secret, account.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
    return f"acc-{digest[:24]}"


Fact = str | int | float | bool | None

STEP: Final = 1000
"""Entries read at once while the chain is checked."""


def append(
    connection: Connection, now: int, actor: Actor, action: str, subject: str, facts: Mapping[str, Fact] | None = None
) -> int:
    """Add an entry within the connection's transaction; its number.

    `facts` hold words of our own, numbers and pseudonyms: never a name, a text or a note. Call it last in a
    transaction: it holds the head's lock until the end.
    """
    head = connection.execute(select(AuditHead.seq, AuditHead.hash).where(AuditHead.id == 1).with_for_update()).one()
    seq, before = head.seq + 1, head.hash
    body = json.dumps(dict(facts or {}), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    link = link_hash(before, seq, now, actor.pseudonym, action, subject, body)
    row = {"seq": seq, "at": now, "actor": actor.pseudonym, "action": action, "subject": subject, "facts": body}
    connection.execute(insert(AuditEntry).values(**row, before=before, hash=link))
    connection.execute(update(AuditHead).where(AuditHead.id == 1).values(seq=seq, hash=link))
    return int(seq)


def link_hash(before: str, seq: int, at: int, actor: str, action: str, subject: str, facts: str) -> str:
    """SHA-256 over all of an entry and the hash before it, unambiguous because it is JSON."""
    body = json.dumps([before, seq, at, actor, action, subject, facts], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(body.encode()).hexdigest()


@dataclass(frozen=True)
class Verdict:
    """What a check of the chain found: `problem` is None where all is well."""

    entries: int
    head: str
    problem: str | None


def verify(connection: Connection, head: str | None = None) -> Verdict:
    """Check the whole chain, and that `head` (a hash noted earlier) is in it."""
    before, expected, seen = "", 1, head is None
    while True:
        rows = connection.execute(
            select(AuditEntry).where(AuditEntry.seq >= expected).order_by(AuditEntry.seq).limit(STEP)
        ).all()
        if not rows:
            break
        for row in rows:
            problem = _broken(row, before, expected)
            if problem:
                return Verdict(expected - 1, before, problem)
            before, expected, seen = row.hash, expected + 1, seen or row.hash == head
    kept = connection.execute(select(AuditHead.seq, AuditHead.hash).where(AuditHead.id == 1)).one_or_none()
    if kept is None or kept.seq != expected - 1 or kept.hash != before:
        return Verdict(expected - 1, before, f"the log ends at entry {expected - 1}, its head says otherwise")
    if not seen:
        return Verdict(expected - 1, before, "the head that was noted is not in the chain: entries were cut off")
    return Verdict(expected - 1, before, None)


def _broken(row: Any, before: str, expected: int) -> str | None:
    if row.seq != expected:
        return f"entry {expected} is missing"
    if row.before != before:
        return f"entry {row.seq} does not follow the entry before it"
    if row.hash != link_hash(before, row.seq, row.at, row.actor, row.action, row.subject, row.facts):
        return f"entry {row.seq} was changed"
    return None


def recent(connection: Connection, before_seq: int | None, limit: int) -> Iterable[Mapping[str, Any]]:
    """Entries, the newest first, as mappings of the table's columns."""
    asked = select(AuditEntry).order_by(AuditEntry.seq.desc()).limit(limit)
    if before_seq is not None:
        asked = asked.where(AuditEntry.seq < before_seq)
    return connection.execute(asked).mappings().all()  # type: ignore[return-value]
