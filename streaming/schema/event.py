"""One record of `posts` becomes an `Event`, or an `EventError` that says which field is wrong and why.

What docs and tests call *dead* is decided here and nowhere else, by the record's bytes and the time it was written
alone. Choices that the contract leaves open:

- JSON is RFC 8259 in UTF-8 without byte order mark; a lone surrogate anywhere makes the record dead; of a repeated key
  the last one counts. Nesting deeper than `MAX_DEPTH` is refused, so that no record can exhaust the stack.
- Integers are written without fraction or exponent. `at` lies from 1970 to the end of 9999.
- `id`, `account`, `target` and `target_account` are at most `NAME_BYTES` long, so that an observation has a bound.
- Whatever is no valid language tag counts as absent, whatever its type. A `profile.created_at` that is no time, too.
- Empty strings in `target`, `target_account` and the lists say nothing and count as absent; an empty list is present.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from typing import Any, Final

import msgspec

from detector.errors import EventError
from detector.text.tokenize import normalise_language
from detector.times import AT_MAX, parse_time
from streaming.schema import entities
from streaming.schema.observation import Kind

TEXT_BYTES: Final = 64 * 1024
"""UTF-8 bytes of a text that are read; what comes after them is cut off."""

NAME_BYTES: Final = 1024
"""UTF-8 bytes of the longest account or event name: ten times what any platform uses, small beside a batch."""

AHEAD_MS: Final = 300_000
"""How far `at` may lie after the time the record was written: clocks differ, but not by more than five minutes."""

MAX_DEPTH: Final = 64
"""Deepest nesting of brackets in a record; an event needs two."""

KINDS: Final = {kind.name.lower(): kind for kind in Kind}
"""The contract's names of kinds."""

_INT_MAX: Final = 2**63 - 1


class Profile(msgspec.Struct, frozen=True, gc=False):
    """What an account says about itself, as it stood at the event. None: it does not say.

    `created_at` in ms since 1970; `automated`: the account declares itself a bot.
    """

    name: str | None = None
    bio: str | None = None
    location: str | None = None
    created_at: int | None = None
    followers: int | None = None
    following: int | None = None
    posts: int | None = None
    automated: bool | None = None


class Event(msgspec.Struct, frozen=True):
    """One valid post event in one spelling. `at` in ms since 1970; `text` is "" where it has none or a blank one.

    `lang` is a primary subtag in lower case or "". `mentions`, `urls` and `hashtags` are distinct, canonical
    (`streaming.schema.entities`), in order, at most `entities.LIST_KEPT`, taken from the text where the record has no
    such list; a text that was cut (`text_cut`) gives those before its last word, which may be cut itself.
    `at_precision_s`: within how many seconds `at` is known, 0 where exactly.
    """

    id: str
    account: str
    at: int
    kind: Kind
    text: str = ""
    lang: str = ""
    target: str = ""
    target_account: str = ""
    mentions: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    hashtags: tuple[str, ...] = ()
    profile: Profile | None = None
    text_cut: bool = False
    at_precision_s: int = 0


class ProfileRecord(msgspec.Struct):
    """What an event says of its account, as it is written; `null` and absent are the same."""

    name: str | None = None
    bio: str | None = None
    location: str | None = None
    created_at: str | int | None = None
    followers: int | None = None
    following: int | None = None
    posts: int | None = None
    automated: bool | None = None


class EventRecord(msgspec.Struct):
    """A post event as it is written, before it is checked: `parse` makes an `Event` of it.

    Every field may be absent here, so that a record without `id` is refused for that reason and not for its JSON.
    """

    id: str | None = None
    account: str | None = None
    at: str | int | None = None
    kind: str | None = None
    text: str | None = None
    lang: Any = None
    target: str | None = None
    target_account: str | None = None
    mentions: list[str] | None = None
    urls: list[str] | None = None
    hashtags: list[str] | None = None
    profile: ProfileRecord | None = None
    at_precision_s: int | None = None
    v: int | None = None


_decoder = msgspec.json.Decoder(EventRecord)
_mismatch = re.compile(r"Expected `([a-z |]+)`, got `([a-z]+)`(?: - at `\$\.?([a-z_.\[\]0-9]*)`)?")
_path = re.compile(r" - at `\$\.?([a-z_.\[\]0-9]*)`$")
_string = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_bracket = re.compile(rb"[\[{\]}]")
_escaped_surrogate = re.compile(rb"\\u[dD][89a-fA-F]")


def parse(record: bytes, *, now_ms: int) -> Event:
    """The event in `record`.

    Args:
        record: one JSON object in UTF-8, white space around it allowed.
        now_ms: when the record was written (Kafka: its timestamp; a file: now), ms since 1970.

    Raises:
        EventError: the record is dead: its field ("" for the record as a whole) and the reason, which never repeat
            what the record says.
    """
    raw = _decode(record)
    kind = KINDS.get(_required(raw.kind, "kind"))
    if kind is None:
        raise EventError("kind", "is none of " + ", ".join(KINDS))
    if raw.v is not None and raw.v != 1:
        raise EventError("v", "is not 1, the only version there is")
    name, account = _name(raw.id, "id"), _name(raw.account, "account")
    if not name or not account:
        empty = "id" if not name else "account"
        raise EventError(empty, "is missing" if getattr(raw, empty) is None else "is empty")
    at, precision = _at(raw.at, now_ms), raw.at_precision_s or 0
    if not 0 <= precision <= _INT_MAX:
        raise EventError("at_precision_s", "is no number of seconds")
    text, text_cut = cut_to_bytes(raw.text or "", TEXT_BYTES)
    if text and _blank(text):
        text = ""
    whole_words = text.rsplit(None, 1)[0] if text_cut and text else text
    return Event(
        id=name,
        account=account,
        at=at,
        kind=kind,
        text=text,
        lang=normalise_language(raw.lang) if isinstance(raw.lang, str) else "",
        target=_name(raw.target, "target"),
        target_account=_name(raw.target_account, "target_account"),
        mentions=_list(raw.mentions, entities.canonical_mention, whole_words, entities.mentions_of),
        urls=_list(raw.urls, entities.canonical_url, whole_words, entities.urls_of),
        hashtags=_list(raw.hashtags, entities.canonical_hashtag, whole_words, entities.hashtags_of),
        profile=None if raw.profile is None else _profile(raw.profile),
        text_cut=text_cut,
        at_precision_s=precision,
    )


def cut_to_bytes(text: str, most: int) -> tuple[str, bool]:
    """The longest beginning of `text` of whole characters within `most` bytes of UTF-8, and whether that is not all."""
    if len(text) <= most // 4:
        return text, False
    body = text.encode()
    if len(body) <= most:
        return text, False
    return body[:most].decode("utf-8", "ignore"), True


def _decode(record: bytes) -> EventRecord:
    """The record's known fields, types checked."""
    try:
        record.decode()
    except UnicodeDecodeError as error:
        raise EventError("", f"is not UTF-8 (byte {error.start})") from None
    if record.count(b"[") + record.count(b"{") > MAX_DEPTH and _too_deep(record):
        raise EventError("", f"is nested deeper than {MAX_DEPTH}")
    try:
        return _decoder.decode(record)
    except msgspec.ValidationError as error:
        raise _mistyped(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise _malformed(record, str(error)) from None


def _mistyped(message: str) -> EventError:
    match = _mismatch.match(message)
    if match is None:
        found = _path.search(message)
        return EventError(found.group(1) if found else "", "is a number out of range")
    expected, got, field = match.groups()
    if not field:
        return EventError("", f"is not a JSON object but of type {got}")
    if expected.startswith("int | str") or expected.startswith("str | int"):
        expected = "string or integer"
    words = {"str": "a string", "int": "an integer", "bool": "true or false", "array": "a list", "object": "an object"}
    wanted = expected.removesuffix(" | null")
    return EventError(field, f"is of type {got}, not {words.get(wanted, wanted)}")


def _malformed(record: bytes, message: str) -> EventError:
    if not record.strip():
        return EventError("", "is empty")
    if record.startswith(b"\xef\xbb\xbf"):
        return EventError("", "starts with a byte order mark, which is not JSON")
    if _escaped_surrogate.search(record):
        found = _lone_surrogate(record)
        if found is not None:
            return EventError(found, "holds a lone surrogate, which is no character")
    position = re.search(r"\(byte \d+\)", message)
    return EventError("", "is not JSON" + (f" {position.group()}" if position else ""))


def _lone_surrogate(record: bytes) -> str | None:
    """Path of the first known field with a lone surrogate, "" where only unknown ones have it, None where none has."""
    try:
        value = json.loads(record)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return "" if _has_surrogate(value) else None
    for field in EventRecord.__struct_fields__:
        if _has_surrogate(value.get(field)):
            inner = value[field]
            if field == "profile" and isinstance(inner, dict):
                names = [name for name in ProfileRecord.__struct_fields__ if _has_surrogate(inner.get(name))]
                return f"profile.{names[0]}" if names else field
            if isinstance(inner, list):
                return f"{field}[{[_has_surrogate(item) for item in inner].index(True)}]"
            return field
    return "" if _has_surrogate(value) else None


def _has_surrogate(value: object) -> bool:
    if isinstance(value, str):
        return any("\ud800" <= char <= "\udfff" for char in value)
    if isinstance(value, dict):
        return any(_has_surrogate(key) or _has_surrogate(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_has_surrogate, value))


def _too_deep(record: bytes) -> bool:
    depth = 0
    for bracket in _bracket.finditer(_string.sub(b"", record)):
        depth += 1 if bracket.group() in b"[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False


def _required(value: str | None, field: str) -> str:
    if value is None:
        raise EventError(field, "is missing")
    return value


def _name(value: str | None, field: str) -> str:
    if not value:
        return ""
    if len(value) > NAME_BYTES // 4 and len(value.encode()) > NAME_BYTES:
        raise EventError(field, f"is longer than {NAME_BYTES} bytes of UTF-8")
    return value


def _at(value: str | int | None, now_ms: int) -> int:
    if value is None:
        raise EventError("at", "is missing")
    if isinstance(value, str):
        time = parse_time(value)
        if time is None:
            raise EventError("at", "is not a time of RFC 3339 with offset, such as 2026-01-31T08:00:00Z")
    else:
        time = value
    if not 0 <= time <= AT_MAX:
        raise EventError("at", "is out of range: not between 1970 and 9999 in milliseconds since 1970")
    if time > now_ms + AHEAD_MS:
        raise EventError("at", f"is more than {AHEAD_MS // 1000} s after the record was written")
    return time


def _blank(text: str) -> bool:
    """True where nothing in `text` can be seen: white space, control and format characters only."""
    if text[0].isalnum():
        return False
    return all(char.isspace() or unicodedata.category(char) in {"Cc", "Cf"} for char in text)


def _list(
    given: list[str] | None, canonical: Callable[[str], str], text: str, taken: Callable[[str], tuple[str, ...]]
) -> tuple[str, ...]:
    if given is not None:
        return entities.distinct(given, canonical) if given else ()
    return taken(text) if text else ()


def _profile(raw: ProfileRecord) -> Profile:
    for field in ("followers", "following", "posts"):
        count = getattr(raw, field)
        if count is not None and not -_INT_MAX <= count <= _INT_MAX:
            raise EventError(f"profile.{field}", "is a number out of range")
    created: str | int | None = raw.created_at
    if isinstance(created, str):
        created = parse_time(created)
    if created is not None and not 0 <= created <= AT_MAX:
        created = None
    return Profile(
        name=raw.name,
        bio=raw.bio,
        location=raw.location,
        created_at=created,
        followers=raw.followers,
        following=raw.following,
        posts=raw.posts,
        automated=raw.automated,
    )
