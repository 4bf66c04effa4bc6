"""The input format `youtube`: comments from the Data API, from yt-dlp and from youtube-comment-downloader.

A comment answers its video, or another comment, whose author is looked up in the recording
(`streaming.sources.parents`). Only the Data API knows when a comment was written. The others read "2 months ago" off
the page and reckon: such times say how roughly they are known (`at_precision_s`), and are no evidence of timing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from detector.errors import EventError
from detector.times import parse_time
from streaming.sources.documents import Json, JsonFormat, Skipped
from streaming.sources.fields import dig, from_html, name, needed, snapshot_at, text, timed
from streaming.sources.platform_times import DAY_S, seconds

_AGO: Final = re.compile(r"(\d+)\s+(second|minute|hour|day|week|month|year)s?\s+ago", re.IGNORECASE)

_UNITS_S: Final = {
    "second": 60,
    "minute": 60,
    "hour": 3600,
    "day": DAY_S,
    "week": 7 * DAY_S,
    "month": 31 * DAY_S,
    "year": 366 * DAY_S,
}
"""Within how many seconds a time is known that is so many of a unit ago."""

_ROUGHLY_S: Final = 366 * DAY_S
"""The same where it is not said how the time was reckoned."""


def looks(record: Json) -> bool:
    """Whether an object is a comment, or a response or file with comments."""
    if text(record.get("kind")).startswith("youtube#comment"):
        return True
    if {"cid", "text", "channel"} <= set(record):
        return True
    return {"id", "text", "author_id", "parent"} <= set(record)


def convert(record: Json, around: Mapping[str, Any]) -> Json | Skipped:
    """The post event of one comment."""
    kind = text(record.get("kind"))
    if kind == "youtube#commentThread":
        top = dig(record, "snippet", "topLevelComment")
        if not isinstance(top, dict):
            raise EventError("snippet.topLevelComment", "is missing")
        return _of_api(top, name(dig(record, "snippet", "videoId")))
    if kind == "youtube#comment":
        return _of_api(record, "")
    if kind.startswith("youtube#"):
        return Skipped("another resource of the API")
    if "cid" in record:
        return _downloaded(record)
    return _of_ytdlp(record, name(around.get("id")))


def _of_api(comment: Json, video: str) -> Json:
    snippet = comment.get("snippet")
    author = dig(snippet, "authorChannelId", "value") or dig(snippet, "authorChannelId")
    said = text(dig(snippet, "textOriginal"))
    at = parse_time(text(dig(snippet, "publishedAt")))
    changed = parse_time(text(dig(snippet, "updatedAt")))
    return {
        "id": needed(comment.get("id"), "id"),
        "account": needed(author, "snippet.authorChannelId.value"),
        "at": snapshot_at(timed(at, "snippet.publishedAt"), edited=changed is not None and changed != at),
        "kind": "reply",
        "text": said or from_html(text(dig(snippet, "textDisplay")))[0],
        "target": name(dig(snippet, "parentId")) or name(dig(snippet, "videoId")) or video,
        "profile": _profile(dig(snippet, "authorDisplayName")),
    }


def _of_ytdlp(comment: Json, video: str) -> Json:
    """A comment of yt-dlp's `.info.json`; its `timestamp` is reckoned from what the page says."""
    parent = name(comment.get("parent"))
    return {
        "id": needed(comment.get("id"), "id"),
        "account": needed(comment.get("author_id"), "author_id"),
        "at": timed(seconds(comment.get("timestamp")), "timestamp"),
        "at_precision_s": _precision(comment.get("_time_text") or comment.get("time_text")),
        "kind": "reply",
        "text": text(comment.get("text")),
        "target": parent if parent and parent != "root" else video,
        "profile": _profile(comment.get("author")),
    }


def _downloaded(comment: Json) -> Json:
    number = needed(comment.get("cid"), "cid")
    return {
        "id": number,
        "account": needed(comment.get("channel"), "channel"),
        "at": timed(seconds(comment.get("time_parsed")), "time_parsed"),
        "at_precision_s": _precision(comment.get("time")),
        "kind": "reply",
        "text": text(comment.get("text")),
        "target": number.partition(".")[0] if "." in number else "",
        "profile": _profile(comment.get("author")),
    }


def _profile(shown: Any) -> Json | None:
    return {"name": shown} if isinstance(shown, str) and shown else None


def _precision(said: Any) -> int:
    match = _AGO.search(text(said))
    return _ROUGHLY_S if match is None else _UNITS_S[match[2].lower()]


FORMAT: Final = JsonFormat(
    looks, lambda: convert, lists=(("items",), ("items", "", "replies", "comments"), ("comments",)), joins=True
)
"""Responses of `commentThreads` and `comments`, `.info.json`, and lines."""
