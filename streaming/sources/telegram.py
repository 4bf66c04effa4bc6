"""The input format `telegram`: exports of Telegram Desktop (`result.json`), of one chat or of all.

Messages are numbered in their chat only, so an id here has that of its chat in front. A text is a string or a list of
strings and entities; links are among the entities, as what is shown of them may be other words. Times are
`date_unixtime`, a string of seconds; `date` is local time of whoever exported, and serves only where there is nothing
better, with the precision of a day. A forwarded message is not its sender's own words. Whom a reply answers is looked
up in the recording (`streaming.sources.parents`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from detector.errors import EventError
from streaming.sources.documents import Json, JsonFormat, Skipped
from streaming.sources.fields import name, needed, objects, snapshot_at, text, timed
from streaming.sources.platform_times import DAY_S, seconds, written

_CHATS: Final = ("personal_chat", "bot_chat", "saved_messages")
"""Kinds of chats between two, which nobody else reads."""


def looks(record: Json) -> bool:
    """Whether an object is a message of an export, or the chat around messages."""
    is_message = {"id", "type", "date"} <= set(record) and record.get("type") in ("message", "service")
    return is_message and bool({"from_id", "actor_id", "text"} & set(record))


def convert(record: Json, around: Mapping[str, Any]) -> Json | Skipped:
    """The post event of one message of the chat `around`."""
    if record.get("type") == "service":
        return Skipped("a notice of a chat")
    if record.get("type") != "message":
        raise EventError("type", "is neither message nor service")
    if around.get("type") in _CHATS:
        return Skipped("a message between two")
    chat = name(around.get("id")) or name(record.get("chat_id"))
    if not chat:
        raise EventError("id", "is that of a message in a chat, and the chat is not said: give the export as it is")
    number = needed(record.get("id"), "id")
    account = name(record.get("from_id"))
    if not account:
        return Skipped("a message without sender")
    at, precision = seconds(record.get("date_unixtime")), 0
    if at is None and (local := written(record.get("date"))) is not None:
        at, precision = local[0], DAY_S
    event: Json = {
        "id": f"{chat}/{number}",
        "account": account,
        "at": snapshot_at(timed(at, "date_unixtime"), edited=bool(record.get("edited_unixtime"))),
        "at_precision_s": precision or None,
        "text": "".join(_pieces(record)),
        "profile": {"name": record["from"]} if isinstance(record.get("from"), str) else None,
    }
    entities = list(_entities(record))
    event |= {
        "urls": [link for each in entities if (link := _link(each))],
        "mentions": [_mention(each) for each in entities if each.get("type") in ("mention", "mention_name")],
        "hashtags": [text(each.get("text")) for each in entities if each.get("type") == "hashtag"],
    }
    if record.get("forwarded_from") is not None or record.get("forwarded_from_id") is not None:
        return event | {"kind": "repost", "target_account": name(record.get("forwarded_from_id"))}
    if answered := name(record.get("reply_to_message_id")):
        other = name(record.get("reply_to_peer_id"))
        other = other.removeprefix("channel").removeprefix("chat") or chat
        return event | {"kind": "reply", "target": f"{other}/{answered}"}
    return event | {"kind": "post"}


def _entities(record: Json) -> Iterator[Json]:
    found = record.get("text_entities")
    yield from objects(found if isinstance(found, list) else record.get("text"))


def _pieces(record: Json) -> Iterator[str]:
    said = record.get("text")
    if isinstance(said, str):
        yield said
    for piece in said if isinstance(said, list) else ():
        yield piece if isinstance(piece, str) else text(piece.get("text")) if isinstance(piece, dict) else ""


def _link(entity: Json) -> str:
    if entity.get("type") == "text_link":
        return text(entity.get("href"))
    shown = text(entity.get("text"))
    if entity.get("type") != "link":
        return ""
    return shown if shown.startswith(("http://", "https://")) else f"https://{shown}" if shown else ""


def _mention(entity: Json) -> str:
    number = name(entity.get("user_id"))
    return f"user{number}" if number else text(entity.get("text"))


FORMAT: Final = JsonFormat(
    looks,
    lambda: convert,
    lists=(("chats", "list", "", "messages"), ("left_chats", "list", "", "messages"), ("messages",)),
    joins=True,
)
"""`result.json` of one chat, or of all."""
