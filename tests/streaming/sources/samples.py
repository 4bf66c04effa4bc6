"""A few records of every input format, made for tests, true to what the platforms document."""

from __future__ import annotations

import json
from typing import Any, Final

from tests.streaming.sources import test_bluesky as bluesky
from tests.streaming.sources import test_mastodon as mastodon
from tests.streaming.sources import test_reddit as reddit
from tests.streaming.sources import test_tables as tables
from tests.streaming.sources import test_telegram as telegram
from tests.streaming.sources import test_x as x
from tests.streaming.sources import test_youtube as youtube


def _lines(items: list[Any]) -> bytes:
    return "".join(json.dumps(item) + "\n" for item in items).encode()


SAMPLES: Final[dict[str, dict[str, bytes]]] = {
    "bluesky": {
        "jetstream": _lines(
            [bluesky.jetstream(bluesky.post(langs=["en"])), bluesky.jetstream(None, operation="delete")]
        ),
        "old jetstream": _lines([bluesky.jetstream(bluesky.post(), old=True)]),
        "api": json.dumps({"feed": [{"post": bluesky.view()}] * 2}, indent=1).encode(),
    },
    "mastodon": {
        "api": json.dumps([mastodon.status(1), mastodon.status(2, in_reply_to_id="1")]).encode(),
        "export": json.dumps({"orderedItems": [mastodon.activity("Create", mastodon.note())]}).encode(),
        "stream": _lines([{"event": what, "payload": load} for what, load in mastodon.frames()]),
        "events": "".join(f"event: {what}\ndata: {load}\n\n" for what, load in mastodon.frames()).encode(),
    },
    "x": {
        "old": _lines([x.old(), x.old(in_reply_to_status_id_str="5", entities={"urls": [{"url": "u"}]})]),
        "new": _lines([{"data": [x.new(), x.new("7")], "includes": x.includes()}]),
        "flat": _lines([x.new(referenced_tweets=[{"type": "retweeted", "id": "1"}])]),
    },
    "information-operations": {
        "hashed": tables.csv_of(tables.HASHED, *[tables.hashed(hashtags="['a']"), tables.hashed()] * 4).encode(),
        "fivethirtyeight": tables.csv_of(tables.FIVE, tables.five(), tables.five()).encode(),
    },
    "reddit": {
        "dump": _lines([reddit.submission(), reddit.comment()]),
        "listing": json.dumps(
            {"kind": "Listing", "data": {"children": [{"kind": "t1", "data": reddit.comment()}]}}
        ).encode(),
    },
    "telegram": {"export": json.dumps(telegram.whole(), indent=1).encode()},
    "youtube": {
        "api": json.dumps({"kind": "youtube#commentListResponse", "items": [youtube.api()]}, indent=1).encode(),
        "lines": _lines([{"cid": "1", "text": "x", "channel": "c", "time": "1 day ago", "time_parsed": 1.6e9}]),
    },
    "coortweet": {
        "csv": b"object_id,account_id,content_id,timestamp_share\n" + b"https://a.example/,ann,1,1767225600\n" * 12,
    },
    "qut": {
        "csv": b"message_id,user_id,username,repost_id,reply_id,message,timestamp,urls\n"
        + b"1,ann,Ann,,,hello,1767225600,\n" * 12,
    },
    "table": {
        "csv": tables.csv_of(
            ("user_id", "created_at", "body"),
            *[{"user_id": "ann", "created_at": "2026-01-01", "body": "hello, you"}] * 12,
        ).encode(),
        "json": _lines([{"author": "ann", "timestamp": 1767225600, "message": "hello", "tags": ["a"]}] * 4),
    },
}
"""Format -> variant -> a file of it."""
