"""The audit log says who did what in pseudonyms, and shows every change to it."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from moderation import audit, decisions, queue
from moderation.decisions import DecisionRequest
from tests.moderation.builders import alert
from tests.moderation.conftest import Feed

COLUMNS = ("seq", "at", "actor", "action", "subject", "facts", "before", "hash")


def path_of(feed: Feed) -> Path:
    return Path(str(feed.database.engine.url.database))


def tamper(feed: Feed, statement: str, *values: Any) -> None:
    """What somebody with the file could do: the guards come off first."""
    with sqlite3.connect(path_of(feed)) as connection:
        connection.execute("DROP TRIGGER IF EXISTS audit_no_update")
        connection.execute("DROP TRIGGER IF EXISTS audit_no_delete")
        connection.execute(statement, values)
    connection.close()


def work(feed: Feed) -> None:
    feed.put(alert())
    feed.do(queue.claim, "moderator", "c1")
    feed.do(
        decisions.decide, "moderator", DecisionRequest("c1", "llm_campaign", account="ada", note="I know Ada Lovelace")
    )
    feed.do(queue.release, "moderator", "c1")


def test_an_unchanged_log_verifies_and_names_nobody(feed: Feed) -> None:
    work(feed)
    found = feed.see(audit.verify)
    assert found.problem is None
    with feed.database.read() as connection:
        rows = [str(dict(row)) for row in audit.recent(connection, None, 100)]
    written = "\n".join(rows)
    assert feed.actors["moderator"].pseudonym in written
    # As words: three letters of a name come up within a digest by chance.
    assert re.findall(r"\bada\b|\blovelace\b|'moderator'", written, flags=re.IGNORECASE) == []


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(column=st.sampled_from(COLUMNS), place=st.floats(0, 1), value=st.text(min_size=1, max_size=5))
def test_a_change_anywhere_is_found(feed: Feed, column: str, place: float, value: str) -> None:
    if not feed.see(audit.verify).entries > 8:
        work(feed)
    last = feed.see(audit.verify).entries
    seq = 1 + round(place * (last - 1))
    with sqlite3.connect(path_of(feed)) as connection:
        (before,) = connection.execute(f"SELECT {column} FROM audit WHERE seq = ?", (seq,)).fetchone()
    connection.close()
    other = before + 1_000_000 if isinstance(before, int) else value + before
    tamper(feed, f"UPDATE audit SET {column} = ? WHERE seq = ?", other, seq)
    assert feed.see(audit.verify).problem is not None
    moved = seq if column != "seq" else other
    tamper(feed, f"UPDATE audit SET {column} = ? WHERE seq = ?", before, moved)
    assert feed.see(audit.verify).problem is None


def test_a_removed_or_added_entry_is_found(feed: Feed) -> None:
    work(feed)
    tamper(feed, "DELETE FROM audit WHERE seq = 3")
    assert "missing" in str(feed.see(audit.verify).problem)


def test_a_cut_end_is_found_even_where_the_head_was_moved_back(feed: Feed) -> None:
    work(feed)
    noted = feed.see(audit.verify).head
    with sqlite3.connect(path_of(feed)) as connection:
        seq, link = connection.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1 OFFSET 1").fetchone()
    connection.close()
    tamper(feed, "DELETE FROM audit WHERE seq > ?", seq)
    assert "head says otherwise" in str(feed.see(audit.verify).problem)
    tamper(feed, "UPDATE audit_head SET seq = ?, hash = ?", seq, link)
    assert feed.see(audit.verify).problem is None
    assert "cut off" in str(feed.see(audit.verify, noted).problem)


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"])
def test_the_database_itself_refuses_to_change_the_log(feed: Feed, statement: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"), feed.database.write() as connection:
        connection.execute(text(statement))
