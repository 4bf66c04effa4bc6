"""The input format `table`: any CSV, TSV, Parquet, JSON lines or JSON array, with a map of its columns.

`--format table:account=user_id,at=created,text=body` says which column is which field of a post event; in JSON a dot
leads into an object (`account=user.id`). Columns that are not named are found where they have one of the usual names
(`USUAL`). A row without an id gets one of what it says, so that equal rows are one event. Times may be numbers of any
unit or dates; those of another form need `at_format`, as Python's `strptime` has it, because `1/2/2020` is two dates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BufferedIOBase
from typing import Any, Final

import msgspec

from detector.errors import EventError
from streaming.schema.event import KINDS
from streaming.sources.base import FileRecord, SourceFormat
from streaming.sources.documents import Json, JsonFormat, Skipped
from streaming.sources.fields import language, timed
from streaming.sources.platform_times import any_time
from streaming.sources.rows import PARQUET, TableFormat, cell, heading, identity, listed, moment, reference

USUAL: Final = {
    "id": ("id", "post_id", "tweet_id", "tweetid", "message_id", "status_id", "comment_id", "id_str"),
    "account": ("account", "account_id", "user_id", "userid", "author_id", "author", "user", "username",
                "screen_name", "user_screen_name", "handle"),
    "at": ("at", "timestamp", "created_at", "time", "date", "datetime", "created_utc", "published_at", "posted_at",
           "published", "created", "publish_date", "tweet_time"),
    "text": ("text", "body", "content", "message", "full_text", "tweet_text", "tweet", "post"),
    "lang": ("lang", "language", "tweet_language"),
    "kind": ("kind",),
    "target": ("target",),
    "target_account": ("target_account",),
    "reply_to": ("reply_to", "in_reply_to", "in_reply_to_id", "in_reply_to_status_id", "in_reply_to_tweetid",
                 "reply_id", "parent_id"),
    "repost_of": ("repost_of", "repost_id", "retweet_of", "retweeted_status_id", "retweet_tweetid", "retweet_id"),
    "quote_of": ("quote_of", "quoted_status_id", "quoted_tweet_tweetid", "quote_id"),
    "urls": ("urls", "links", "url", "link"),
    "mentions": ("mentions", "user_mentions"),
    "hashtags": ("hashtags", "tags"),
    "name": ("display_name", "user_display_name"),
    "bio": ("bio", "description", "user_profile_description"),
    "followers": ("followers", "follower_count", "followers_count"),
    "following": ("following", "following_count", "friends_count"),
}  # fmt: skip
"""Fields of a map, and the columns that are taken for them where they are not named; in this order."""

_KINDS_OF: Final = {"repost_of": "repost", "reply_to": "reply", "quote_of": "quote"}
"""Fields that say what kind of post it is, and which post it is about."""

_OPTIONS: Final = ("at_format", "records")

_SAYS: Final = {"text", "urls", "hashtags", "mentions", "target", "reply_to", "repost_of", "quote_of"}
"""Fields of which a table needs one: who and when alone say nothing."""


@dataclass(frozen=True)
class _Table:
    """The format with its map.

    Args:
        columns: field -> column, of those that were named.
        at_format: of times, "" for numbers and usual dates.
        records: keys that lead to the list of records in a JSON document.
    """

    columns: Mapping[str, str]
    at_format: str = ""
    records: tuple[str, ...] = ()
    joins: bool = True

    def configured(self, options: str) -> SourceFormat:
        """The format with a map, `FIELD=COLUMN,FIELD=COLUMN`.

        Raises:
            ValueError: it names a field that there is not, or no column.
        """
        columns: dict[str, str] = {}
        more: dict[str, str] = {}
        for pair in options.split(","):
            field, equals, column = (part.strip() for part in pair.partition("="))
            if not equals or not column:
                raise ValueError(f"{pair!a} is not FIELD=COLUMN")
            if field in _OPTIONS:
                more[field] = column
            elif field in USUAL:
                columns[field] = column
            else:
                raise ValueError(f"{field!a} is none of the fields {', '.join([*USUAL, *_OPTIONS])}")
        return replace(
            self,
            columns=columns,
            at_format=more.get("at_format", ""),
            records=tuple(more["records"].split(".")) if "records" in more else (),
        )

    def recognises(self, head: bytes) -> bool:
        """Whether a file begins with rows that have an account, a time and something said, or is a Parquet file, whose
        columns stand at its end."""
        if head.startswith(PARQUET):
            return True
        if head.lstrip()[:1] in (b"{", b"["):
            return self._json().recognises(head)
        columns = heading(head)
        return bool(columns) and self._has_needed(columns)

    def read(self, file: BufferedIOBase) -> Iterator[FileRecord]:
        """The rows of a file as post events.

        Raises:
            EOFError: an array or a document is cut short.
            ValueError: an account, a time, or a column that was named is missing.
        """
        begins = file.peek(1 << 10) if hasattr(file, "peek") else b""
        if not begins.startswith(PARQUET) and begins.lstrip()[:1] in (b"{", b"["):
            yield from self._json().read(file)
            return
        places: dict[str, str] = {}

        def fits(columns: Sequence[str]) -> bool:
            self._check(columns)
            places.update(self._places(columns))
            return True

        yield from TableFormat(fits, lambda row: self._convert(row, places)).read(file)

    def convert(self, record: bytes) -> FileRecord:
        """What one record of JSON becomes."""
        return self._json().convert(record)

    def _json(self) -> JsonFormat:
        def convert(record: Json, around: Mapping[str, Any]) -> Json | Skipped:
            del around
            return self._convert(record, self._places(list(record)))

        return JsonFormat(self._looks, lambda: convert, lists=(self.records,) if self.records else ())

    def _looks(self, record: Json) -> bool:
        return self._has_needed(list(record))

    def _has_needed(self, columns: Sequence[str]) -> bool:
        fields = self._places(columns)
        return {"account", "at"} <= set(fields) and bool(_SAYS & set(fields))

    def _check(self, columns: Sequence[str]) -> None:
        missing = [column for column in self.columns.values() if column not in columns]
        if missing:
            raise ValueError(f"there is no column {', '.join(missing)} among {', '.join(columns[:40])}")
        absent = [field for field in ("account", "at") if field not in self._places(columns)]
        if absent:
            raise ValueError(
                f"which column is {' and which '.join(absent)}? Name it, as in --format table:{absent[0]}=COLUMN; "
                f"there are {', '.join(columns[:40])}"
            )

    def _places(self, columns: Sequence[str]) -> dict[str, str]:
        """Field -> column."""
        taken = set(self.columns.values())
        by_name = {column.lower(): column for column in reversed(columns) if column not in taken}
        found = dict(self.columns)
        for field, names in USUAL.items():
            if field not in found:
                column = next((by_name[each] for each in names if each in by_name), None)
                if column is not None:
                    found[field] = column
        return found

    def _convert(self, row: Mapping[str, Any], places: Mapping[str, str]) -> Json | Skipped:
        def value(field: str) -> Any:
            column = places.get(field)
            return None if column is None else _under(row, column)

        at, precision = self._time(value("at"))
        account = identity(value("account"), places.get("account", "account"))
        event: Json = {"account": account, "at": timed(at, places.get("at", "at")), "at_precision_s": precision or None}
        event |= _acted(value, lambda field: reference(value(field), places.get(field, field)))
        for field in ("urls", "mentions", "hashtags"):
            if field in places:
                event[field] = listed(value(field))
        profile = {"name": cell(value("name")), "bio": cell(value("bio"))}
        counts = {field: _count(value(field)) for field in ("followers", "following")}
        event["profile"] = {key: each for key, each in (profile | counts).items() if each not in (None, "")} or None
        given = identity(value("id"), places["id"]) if "id" in places and cell(value("id")) else ""
        return {"id": given or _made_id(event), **event}

    def _time(self, value: Any) -> tuple[int | None, int]:
        if self.at_format and isinstance(value, str):
            try:
                made = datetime.strptime(value.strip(), self.at_format)
                zoned = made if made.tzinfo is not None else made.replace(tzinfo=UTC)
                return int(zoned.timestamp() * 1000), 0
            except (ValueError, OverflowError):
                return None, 0
        return any_time(moment(value)) or (None, 0)


def _acted(value: Callable[[str], Any], named: Callable[[str], str]) -> Json:
    """Kind, text and target, of the cells of fields, and of those that name a post or an account."""
    text, lang = _text(value("text")), language(cell(value("lang")))
    for field, kind in _KINDS_OF.items():
        if target := named(field):
            # What is passed on is not the account's own words.
            said = {} if kind == "repost" else {"text": text, "lang": lang}
            return {"kind": kind, "target": target, "target_account": named("target_account"), **said}
    kind, target = cell(value("kind")).lower() or "post", named("target")
    if kind not in KINDS:
        raise EventError("kind", "is none of " + ", ".join(KINDS))
    return {"kind": kind, "text": text, "lang": lang, "target": target,
            "target_account": named("target_account")}  # fmt: skip


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _under(row: Mapping[str, Any], column: str) -> Any:
    """The value of a column; of one with dots, of the objects that they lead into."""
    if column in row or "." not in column:
        return row.get(column)
    value: Any = row
    for key in column.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def _count(value: Any) -> int | None:
    said = cell(value)
    return int(said) if said.isdecimal() and len(said) < 16 else None


def _made_id(event: Json) -> str:
    body = msgspec.json.encode([str(each).encode("utf-8", "surrogatepass").hex() for each in event.values()])
    return f"row-{hashlib.sha256(body).hexdigest()[:32]}"


FORMAT: Final = _Table({})
"""Any table. Without options its columns have to have usual names."""
