"""The audit log: who did what to what, in pseudonyms, each entry bound to the one before it by a hash.

Whoever changes, removes or inserts an entry has to rewrite every later one. An end that was cut off is found by a head
that was noted elsewhere (`swarmlight feed verify-audit --head`). Triggers in the database refuse changes besides.

Accounts appear under a keyed hash of their name (HMAC-SHA-256 with a key of this database), so that a list of known
names does not undo it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, insert, select, update

from moderation.database_tables import AuditEntry, AuditHead, Meta
from moderation.permissions import Actor

PSEUDONYM_KEY: Final = "pseudonym-key"


def pseudonym_key(connection: Connection) -> bytes:
    """The key of this database's pseudonyms, made by its first migration."""
    return bytes.fromhex(connection.execute(select(Meta.value).where(Meta.key == PSEUDONYM_KEY)).scalar_one())


def pseudonym(secret: bytes, account: str) -> str:
    """The pseudonym of an account: `acc-` and 24 hexadecimal digits of HMAC-SHA-256(secret, account)."""
    digest = hmac.new(secret, account.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
    return f"acc-{digest[:24]}"


Fact = str | int | float | bool | None
"""A value of an entry's facts."""

ENTRIES_PER_READ: Final = 1000
"""Entries read at once while the chain is checked: a few hundred kB."""


def append(
    connection: Connection, now: int, actor: Actor, action: str, subject: str, facts: Mapping[str, Fact] | None = None
) -> int:
    """Add an entry within the connection's transaction.

    Call it last in a transaction: it holds the lock on the log's head until the end.

    Args:
        connection: in a write transaction.
        now: ms since 1970.
        actor: who did it.
        action: what was done, such as "claim".
        subject: to what: the id of an alert, or a pseudonym.
        facts: words of the service's own, numbers and pseudonyms; never a name, a text or a note.

    Returns:
        The entry's number.
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
    """SHA-256 over an entry and the hash before it, as JSON, which keeps the fields apart.

    Args:
        before: hash of the entry before; "" for the first.
        seq: number of the entry.
        at: ms since 1970.
        actor: pseudonym of who did it.
        action: what was done.
        subject: to what.
        facts: JSON object as text.

    Returns:
        64 hexadecimal digits.
    """
    body = json.dumps([before, seq, at, actor, action, subject, facts], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(body.encode()).hexdigest()


@dataclass(frozen=True)
class ChainCheck:
    """What a check of the chain found.

    Args:
        entries: how many are good, from the first on.
        head: hash of the last good one.
        problem: what is wrong with the next; None where nothing is.
    """

    entries: int
    head: str
    problem: str | None


def verify(connection: Connection, head: str | None = None) -> ChainCheck:
    """Check the whole chain, and that `head`, a hash noted earlier, is in it."""
    before, expected, head_found = "", 1, head is None
    while True:
        rows = connection.execute(
            select(AuditEntry).where(AuditEntry.seq >= expected).order_by(AuditEntry.seq).limit(ENTRIES_PER_READ)
        ).all()
        if not rows:
            break
        for row in rows:
            problem = _entry_problem(row, before, expected)
            if problem:
                return ChainCheck(expected - 1, before, problem)
            before, expected, head_found = row.hash, expected + 1, head_found or row.hash == head
    kept = connection.execute(select(AuditHead.seq, AuditHead.hash).where(AuditHead.id == 1)).one_or_none()
    if kept is None or kept.seq != expected - 1 or kept.hash != before:
        return ChainCheck(expected - 1, before, f"the log ends at entry {expected - 1}, its head says otherwise")
    if not head_found:
        return ChainCheck(expected - 1, before, "the head that was noted is not in the chain: entries were cut off")
    return ChainCheck(expected - 1, before, None)


def _entry_problem(row: Any, before: str, expected: int) -> str | None:
    if row.seq != expected:
        return f"entry {expected} is missing"
    if row.before != before:
        return f"entry {row.seq} does not follow the entry before it"
    if row.hash != link_hash(before, row.seq, row.at, row.actor, row.action, row.subject, row.facts):
        return f"entry {row.seq} was changed"
    return None


@dataclass(frozen=True)
class AuditFilters:
    """Which entries a list shows.

    Args:
        actor: pseudonym of who did it; "" for everybody.
        action: what was done; "" for all.
        subject: to what; "" for all.
        since: at this time or later, ms since 1970; 0 for all.
        until: before this time; 0 for all.
    """

    actor: str = ""
    action: str = ""
    subject: str = ""
    since: int = 0
    until: int = 0

    def conditions(self) -> list[ColumnElement[bool]]:
        """As conditions on an entry."""
        equal = ((AuditEntry.actor, self.actor), (AuditEntry.action, self.action), (AuditEntry.subject, self.subject))
        found = [column == value for column, value in equal if value]
        if self.since:
            found.append(AuditEntry.at >= self.since)
        if self.until:
            found.append(AuditEntry.at < self.until)
        return found


def recent(
    connection: Connection, before_seq: int | None, limit: int, filters: AuditFilters | None = None
) -> Iterable[Mapping[str, Any]]:
    """Entries, the newest first.

    Args:
        connection: to read with.
        before_seq: number to go on before; None to begin with the newest.
        limit: how many at most.
        filters: only those that they let through.

    Returns:
        Mappings of the table's columns.
    """
    query = select(AuditEntry).order_by(AuditEntry.seq.desc()).limit(limit)
    if filters is not None:
        query = query.where(*filters.conditions())
    if before_seq is not None:
        query = query.where(AuditEntry.seq < before_seq)
    return connection.execute(query).mappings().all()  # type: ignore[return-value]
