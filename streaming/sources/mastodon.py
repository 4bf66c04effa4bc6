"""The input format `mastodon`: statuses of the API, an account's export (`outbox.json`), and the streaming API.

Texts are HTML. Accounts are `user@host`: a local one, which the API writes without host, gets that of its page. A post
is named by its `uri`, which every server and the export write alike. What it answers is named by the server's own
number alone, so the target of a reply is that number; whom it answers is found among those it mentions. A boost has an
id of its own, and no text. An edit that the stream reports is the same id again at the time of the edit.

A status may come several times, each as it was when it was read. One that was edited counts as just after one that was
not, in any file and order; of two in a file that were edited alike, or not at all, the later one counts, and of two
edits the later one: an older one that comes after it is skipped.

The streaming API is read as frames of a WebSocket, an object a line, and as the text of server-sent events. Its
deletions say neither account nor time: they are those of the status, which has to come before, and of the line before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from detector.errors import EventError
from detector.times import parse_time
from streaming.sources import events
from streaming.sources.documents import FoundRecord, Json, JsonFormat, Skipped, decoded
from streaming.sources.fields import (
    dig,
    from_html,
    name,
    needed,
    objects,
    present,
    snapshot_at,
    strings,
    text,
    timed,
    whole,
)

STATUSES_KEPT: Final = 500_000
"""Statuses that are remembered for their deletion and for what they say another time, about 200 MB: hours of a large
server."""

_SSE: Final = re.compile(rb"\s*(?::[^\n]*\n\s*)*event:")
"""How server-sent events begin, comments before them."""

_PUBLIC: Final = "https://www.w3.org/ns/activitystreams#Public"

_NOT_PUBLIC: Final = "a post that is not public"

_USER_PATH: Final = re.compile(r"^/(?:users/|@|ap/users/)([^/@]+)")


def looks(record: Json) -> bool:
    """Whether an object is a status, an activity of an export, or a frame of the streaming API."""
    if isinstance(record.get("event"), str) and "payload" in record:
        return True
    if isinstance(record.get("account"), dict):
        return "content" in record and "created_at" in record
    return record.get("type") in ("Create", "Announce") and isinstance(record.get("actor"), str) and "object" in record


class _Kept(NamedTuple):
    """A status as it came last.

    Args:
        uri: of it.
        account: whose it is.
        at: time of its event, ms.
        edited: time of its last edit, ms; 0 where it has none.
        said: hash of its text.
    """

    uri: str
    account: str
    at: int
    edited: int
    said: int


class _Statuses:
    """Converts the records of one file; remembers statuses and the last time.

    A deletion names what it deletes by the server's own number, and says no time.
    """

    def __init__(self) -> None:
        self._newer: dict[str, _Kept] = {}
        self._older: dict[str, _Kept] = {}
        self._last = 0

    def convert(self, record: Json, around: Mapping[str, Any]) -> Json | Skipped:
        """The post event of one record."""
        if "payload" in record and isinstance(record.get("event"), str):
            return self._frame(record)
        if isinstance(record.get("actor"), str):
            return _activity(record)
        return self._status(record, edited=False)

    def _frame(self, record: Json) -> Json | Skipped:
        """The event of one frame of the streaming API, whose payload is JSON inside a string."""
        what, payload = record["event"], record["payload"]
        if what == "delete":
            return self._deletion(name(payload))
        if what not in ("update", "status.update"):
            return Skipped("another event of the stream")
        status = decoded(payload.encode("utf-8", "surrogatepass")) if isinstance(payload, str) else payload
        if not isinstance(status, dict):
            raise EventError("payload", "is not a JSON object")
        return self._status(status, edited=what == "status.update")

    def _deletion(self, number: str) -> Json | Skipped:
        found = self._newer.get(number) or self._older.get(number)
        if found is None:
            return Skipped("the deletion of a status that did not come before")
        return {"id": f"{found.uri}#deleted", "account": found.account, "at": self._last, "kind": "delete",
                "target": found.uri}  # fmt: skip

    def _status(self, status: Json, *, edited: bool) -> Json | Skipped:
        if status.get("visibility") in ("private", "direct"):
            return Skipped(_NOT_PUBLIC)
        event = _of_status(status, edited=edited)
        number = name(status.get("id"))
        edited_at = parse_time(text(status.get("edited_at"))) or 0
        said = hash(event.get("text"))
        before = self._newer.get(number) or self._older.get(number)
        if before is not None and before.said != said:
            if edited_at < before.edited:
                return event if event["at"] < before.at else Skipped("an older version of a status that came before")
            event["at"] = max(event["at"], before.at + 1)
        self._last = max(self._last, event["at"])
        if number:
            self._newer[number] = _Kept(event["id"], event["account"], event["at"], edited_at, said)
            if len(self._newer) * 2 > STATUSES_KEPT:
                self._newer, self._older = {}, self._newer
        return event


def _of_status(status: Json, *, edited: bool) -> Json:
    account = status.get("account")
    event: Json = {
        "id": needed(status.get("uri") or status.get("url"), "uri"),
        "account": _handle(account),
        "at": timed(parse_time(text(status.get("created_at"))), "created_at"),
        "profile": _profile(account),
    }
    boosted = status.get("reblog")
    if isinstance(boosted, dict):
        return event | {"kind": "repost", "target": needed(boosted.get("uri"), "reblog.uri"),
                        "target_account": _handle(boosted.get("account"))}  # fmt: skip
    edited_at = parse_time(text(status.get("edited_at")))
    event["at"] = (
        timed(edited_at or event["at"], "edited_at")
        if edited
        else snapshot_at(event["at"], edited=edited_at is not None)
    )
    body, links = _body(status.get("content"), status.get("spoiler_text"))
    answered, quoted = name(status.get("in_reply_to_id")), dig(status, "quote", "quoted_status")
    event |= {
        "kind": "reply" if answered else "post",
        "text": body,
        "lang": text(status.get("language")),
        "urls": links,
        "mentions": [_mentioned(each, event["account"]) for each in objects(status.get("mentions"))],
        "hashtags": [text(tag.get("name")) for tag in objects(status.get("tags"))],
    }
    if answered:
        return event | {"target": answered, "target_account": _answered(status, event["account"])}
    if isinstance(quoted, dict):
        return event | {"kind": "quote", "target": name(quoted.get("uri")),
                        "target_account": _handle(quoted.get("account"))}  # fmt: skip
    return event


def _body(content: Any, warning: Any) -> tuple[str, list[str]]:
    body, links = from_html(text(content))
    return "\n\n".join(each for each in (text(warning).strip(), body) if each), links


def _answered(status: Json, account: str) -> str:
    """Whom a reply answers: itself, or one of those it mentions; "" where it says neither."""
    number = name(status.get("in_reply_to_account_id"))
    if number and number == name(dig(status, "account", "id")):
        return account
    for each in objects(status.get("mentions")):
        if number and number == name(each.get("id")):
            return _mentioned(each, account)
    return ""


def _handle(account: Any) -> str:
    """`user@host` of an account.

    Raises:
        EventError: it has no name, or is local and its page does not say where.
    """
    acct = needed(dig(account, "acct") or dig(account, "username"), "account.acct").lstrip("@")
    if "@" in acct:
        return acct
    host = _host(text(dig(account, "url"))) or _host(text(dig(account, "uri")))
    if not host:
        raise EventError("account.acct", "has no host, and account.url does not say it either")
    return f"{acct}@{host}"


def _mentioned(mention: Json, account: str) -> str:
    """`user@host` of a mention; without a page it is of the server of the account that mentions."""
    acct = name(mention.get("acct")) or name(mention.get("username"))
    host = _host(text(mention.get("url"))) or account.rpartition("@")[2]
    return acct if "@" in acct or not acct else f"{acct}@{host}"


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "") if url.startswith(("http://", "https://")) else ""
    except ValueError:
        return ""


def _profile(account: Any) -> Json | None:
    bot = dig(account, "bot")
    return present(
        name=text(dig(account, "display_name")),
        bio=from_html(text(dig(account, "note")))[0],
        created_at=text(dig(account, "created_at")),
        followers=whole(dig(account, "followers_count")),
        following=whole(dig(account, "following_count")),
        posts=whole(dig(account, "statuses_count")),
        automated=bot if isinstance(bot, bool) else None,
    )


def _activity(activity: Json) -> Json | Skipped:
    """The event of one activity of an export."""
    account = _of_actor(needed(activity.get("actor"), "actor"))
    if not account:
        raise EventError("actor", "is no address of an account")
    published = parse_time(text(activity.get("published")))
    what = activity.get("type")
    if what == "Announce":
        target = needed(activity.get("object"), "object")
        return {"id": needed(activity.get("id"), "id"), "account": account, "at": timed(published, "published"),
                "kind": "repost", "target": target, "target_account": _of_actor(target)}  # fmt: skip
    if what != "Create":
        return Skipped("another activity")
    note = activity.get("object")
    if not isinstance(note, dict):
        raise EventError("object", "is not a JSON object")
    if _PUBLIC not in [*strings(note.get("to")), *strings(note.get("cc")), name(note.get("to")), name(note.get("cc"))]:
        return Skipped(_NOT_PUBLIC)
    made = parse_time(text(note.get("published")))
    body, links = _body(note.get("content"), note.get("summary"))
    tags = list(objects(note.get("tag")))
    mentions = [text(tag.get("name")).lstrip("@") for tag in tags if tag.get("type") == "Mention"]
    target = name(note.get("inReplyTo"))
    languages = note.get("contentMap")
    return {
        "id": needed(note.get("id"), "object.id"),
        "account": account,
        "at": timed(published if made is None else made, "published"),
        "kind": "reply" if target else "post",
        "text": body,
        "lang": next(iter(languages), "") if isinstance(languages, dict) else "",
        "target": target,
        "target_account": _of_actor(target),
        "urls": links,
        "mentions": [each if "@" in each else f"{each}@{account.rpartition('@')[2]}" for each in mentions if each],
        "hashtags": [text(tag.get("name")) for tag in tags if tag.get("type") == "Hashtag"],
    }


def _of_actor(uri: str) -> str:
    """`user@host` of the address of an account, or of a post where it holds the account's; "" of any other."""
    host = _host(uri)
    match = _USER_PATH.match(urlsplit(uri).path) if host else None
    return f"{match[1]}@{host}" if match else ""


class _Mastodon(JsonFormat):
    """The format, which also reads server-sent events."""

    def recognises(self, head: bytes) -> bool:
        """Whether a file begins like one of the three kinds."""
        if not _SSE.match(head):
            return super().recognises(head)
        names = {text(dig(_frame_of(found), "event")) for found in server_sent([head])}
        return bool(names & {"update", "status.update", "delete"})

    def found(self, chunks: Iterator[bytes]) -> Iterator[FoundRecord]:
        """The records in the bytes of a file; a server-sent event is numbered by its last line of data."""
        begun = next(chunks, b"")
        chunks = chain([begun], chunks)
        return server_sent(chunks) if _SSE.match(begun) else super().found(chunks)


def _frame_of(found: FoundRecord) -> Json:
    return found.record or {}


def server_sent(chunks: Iterable[bytes]) -> Iterator[FoundRecord]:
    """Server-sent events as frames (WHATWG HTML, 9.2.6). Comments, which keep a connection alive, are no records."""
    what, data, last = "", b"", 0
    for number, (line, oversize) in enumerate(events.lines(chunks), 1):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if oversize is not None:
            yield FoundRecord(number, line, oversize=oversize)
        elif field == b"event":
            what = value.decode("utf-8", "replace")
        elif field == b"data":
            data, last = data + value, number
        elif not line and (what or data):
            yield _frame(last or number, what, data)
            what, data, last = "", b"", 0
        elif line and field not in (b"", b"id", b"retry"):
            yield FoundRecord(number, line)
    if what or data:
        yield _frame(last, what, data)


def _frame(position: int, what: str, data: bytes) -> FoundRecord:
    return FoundRecord(position, data, {"event": what, "payload": data.decode("utf-8", "surrogateescape")})


FORMAT: Final = _Mastodon(looks, lambda: _Statuses().convert, lists=(("orderedItems",), ("statuses",)))
"""Statuses (also of a search), `outbox.json`, and the streaming API."""
