"""What the search reads: every word that the pages of an alert show, in an index of the database's own.

An alert has one part for its record (names, whole posts, links, objects, talking points) and one for each page of its
details. Words are made the same way for texts and for what somebody looks for, so that both databases find the same:
runs of letters and digits without regard to case, of scripts without spaces every pair of neighbouring letters,
and symbols such as emoji one by one. What is looked for has to begin a word; all words have to be in the alert, in
any part.

SQLite has the words in an FTS5 table, PostgreSQL in a `tsvector` with a GIN index.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import BindParameter, Boolean, ColumnElement, Connection, and_, bindparam, delete, select, text, true
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from moderation.database_tables import SearchPart
from moderation.db import upsert
from streaming.schema.alert import AlertRecord, PageRecord

RECORD_PART: Final = 0
"""The part of an alert's own record; pages of details are numbered from 1."""

MAX_WORDS: Final = 20_000
"""Words kept of one part: a thousand members, twenty posts and what they share have a quarter of that."""

MAX_WORD_CHARACTERS: Final = 80
"""A longer run of letters is cut, in texts and in what is looked for alike."""

MAX_SEARCH_WORDS: Final = 16
"""Words looked for at once: a long link has ten."""

FEW: Final = 500
"""Parts of alerts that show a word which is rare: so many rows are read by their ids in a few milliseconds."""

WORDS_TRIED: Final = 3
"""Words that are tried for a rare one, the longest first: each is a request to the database."""

NOT_READ: Final = frozenset({"kind", "status", "v", "at", "first_post_at", "last_post_at", "threshold_kind", "code",
                             "component", "detail", "models", "limits", "limitations", "why"})  # fmt: skip
"""Fields of a record whose words are the system's own, and would be found in every alert."""

_word: Final = re.compile(r"[^\W_]+")
_symbol: Final = re.compile(r"[^\w\s\x00-\x7f]")
_no_spaces: Final = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]{2,}")


def words_of(value: str) -> list[str]:
    """The words of a text, in order: `["harbour", "watch", "77"]` of `Harbour_watch_77`."""
    folded = unicodedata.normalize("NFKC", value).casefold()
    found: list[str] = []
    for match in _word.finditer(folded):
        word = match.group()[:MAX_WORD_CHARACTERS]
        pairs = [run[at : at + 2] for run in _no_spaces.findall(word) for at in range(len(run) - 1)]
        rest = _no_spaces.sub(" ", word).split() if pairs else [word]
        found += [*pairs, *rest]
    return found + [each for each in _symbol.findall(folded) if unicodedata.category(each) == "So"]


def words_of_record(record: msgspec.Struct) -> list[str]:
    """Every word that a record shows, once each; whatever fields a later release gives it are read, too."""
    found: dict[str, None] = {}
    for value in _texts(msgspec.to_builtins(record)):
        for word in words_of(value):
            found[word] = None
        if len(found) >= MAX_WORDS:
            break
    return list(found)[:MAX_WORDS]


def index_alert(connection: Connection, record: AlertRecord) -> None:
    """Let an alert be found by what its latest record shows, within the connection's transaction."""
    _index(connection, record.id, RECORD_PART, words_of_record(record))


def index_page(connection: Connection, page: PageRecord) -> None:
    """Let an alert be found by what a page of its details shows, within the connection's transaction."""
    _index(connection, page.id, page.page, words_of_record(page))


def drop_pages(connection: Connection, alert_id: str, first: int, last: int = 2**31 - 1) -> None:
    """Let an alert no longer be found by pages of its details.

    Args:
        connection: in a write transaction.
        alert_id: which alert.
        first: number of the first page.
        last: number of the last one.
    """
    which = and_(SearchPart.alert_id == alert_id, SearchPart.part >= first, SearchPart.part <= last)
    numbers = list(connection.scalars(select(SearchPart.id).where(which)))
    if connection.dialect.name == "sqlite":
        for number in numbers:
            connection.execute(text("DELETE FROM search_words WHERE rowid = :number"), {"number": number})
    connection.execute(delete(SearchPart).where(SearchPart.id.in_(numbers)))


def forget_words(connection: Connection) -> None:
    """Have the index hold nothing of what was taken out of it: SQLite only marks it, until segments are merged."""
    if connection.dialect.name == "sqlite":
        connection.execute(text("INSERT INTO search_words (search_words) VALUES ('optimize')"))


def _wanted(query: str) -> list[str]:
    return list(dict.fromkeys(words_of(query)))[:MAX_SEARCH_WORDS]


def _begins(word: str) -> bool:
    """Whether what begins with the word is found too. A single letter begins too many words to be looked for like that;
    a single sign of a script without spaces begins pairs."""
    return len(word) > 1 or not word.isascii()


def containing(query: str, besides: str = "") -> ColumnElement[bool] | None:
    """Condition: the alert shows every word that is looked for; None where that is none, but only punctuation.

    Args:
        query: what is looked for.
        besides: a word of it that is seen to already (`few_with`).
    """
    wanted = [word for word in _wanted(query) if word != besides]
    if not wanted:
        return true() if besides else None
    return _Containing(wanted)


class RareWordAlerts(NamedTuple):
    """The alerts that show a rare word."""

    word: str
    alert_ids: list[str]


def few_with(connection: Connection, query: str) -> RareWordAlerts | None:
    """The alerts that show one of the words that are looked for, where those are few: then they are read by their ids,
    and not the queue in its order until enough were met. None where no word is rare.

    Args:
        connection: to read with.
        query: what is looked for.
    """
    for word in sorted(_wanted(query), key=len, reverse=True)[:WORDS_TRIED]:
        if connection.dialect.name == "sqlite":
            statement = (
                "SELECT alert_id FROM search_parts WHERE id IN "
                "(SELECT rowid FROM search_words WHERE search_words MATCH :word LIMIT :most)"
            )
            said = f'"{word}"' + (" *" if _begins(word) else "")
        else:
            # Planned as if all were asked for, so that the index of words is used, and left after enough of them.
            statement = (
                "WITH found AS MATERIALIZED (SELECT alert_id FROM search_parts WHERE words @@ CAST(:word AS tsquery)) "
                "SELECT alert_id FROM found LIMIT :most"
            )
            said = f"'{word}'" + (":*" if _begins(word) else "")
        ids = list(connection.scalars(text(statement), {"word": said, "most": FEW + 1}))
        if len(ids) <= FEW:
            return RareWordAlerts(word, sorted(set(ids)))
    return None


class _Containing(ColumnElement[bool]):
    """Condition on a row of `alerts`: each of some words begins one of its parts' words."""

    inherit_cache = False
    type = Boolean()

    def __init__(self, wanted: list[str]) -> None:
        begins = [_begins(word) for word in wanted]
        self.sqlite: list[BindParameter[str]] = [
            bindparam(None, f'"{word}"' + (" *" if open_ else ""), unique=True)
            for word, open_ in zip(wanted, begins, strict=True)
        ]
        self.postgresql: list[BindParameter[str]] = [
            bindparam(None, f"'{word}'" + (":*" if open_ else ""), unique=True)
            for word, open_ in zip(wanted, begins, strict=True)
        ]


# What is put into the statements below are names of parameters.


@compiles(_Containing, "sqlite")
def _on_sqlite(element: _Containing, compiler: SQLCompiler, **options: Any) -> str:
    parts = "SELECT rowid FROM search_words WHERE search_words MATCH {}"
    alert = "alerts.id IN (SELECT search_parts.alert_id FROM search_parts WHERE search_parts.id IN (" + parts + "))"  # noqa: S608
    return "(" + " AND ".join(alert.format(compiler.process(each, **options)) for each in element.sqlite) + ")"


@compiles(_Containing, "postgresql")
def _on_postgresql(element: _Containing, compiler: SQLCompiler, **options: Any) -> str:
    # An array, so that the index of words is asked first: the planner takes the beginning of a word for a common one,
    # and would rather look at every alert in the queue's order.
    part = "SELECT search_parts.alert_id FROM search_parts WHERE search_parts.words @@ CAST({} AS tsquery)"
    found = " INTERSECT ".join(part.format(compiler.process(each, **options)) for each in element.postgresql)
    return f"alerts.id = ANY (ARRAY({found}))"


def _index(connection: Connection, alert_id: str, part: int, words: list[str]) -> None:
    statement = upsert(connection, SearchPart).values(alert_id=alert_id, part=part)
    # An update that changes nothing: what is wanted is the row's number, whether it was there or not.
    statement = statement.on_conflict_do_update(index_elements=["alert_id", "part"], set_={"part": part})
    number = int(connection.execute(statement.returning(SearchPart.id)).scalar_one())
    if connection.dialect.name == "sqlite":
        connection.execute(text("DELETE FROM search_words WHERE rowid = :number"), {"number": number})
        connection.execute(
            text("INSERT INTO search_words (rowid, words) VALUES (:number, :words)"),
            {"number": number, "words": " ".join(words)},
        )
    else:
        connection.execute(
            text("UPDATE search_parts SET words = array_to_tsvector(CAST(:words AS text[])) WHERE id = :number"),
            {"number": number, "words": words},
        )


def _texts(value: Any, name: str = "") -> Iterable[str]:
    """All texts within plain values, without those of `NOT_READ`."""
    if name in NOT_READ:
        return
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _texts(each, str(key))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each, name)
