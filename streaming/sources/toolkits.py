"""The input formats `coortweet` and `qut`: tables of two toolkits for coordinated behaviour.

CooRTweet's have who (`account_id`) shared what (`object_id`) with which post (`content_id`) and when, in seconds; a
post that shares two things has two rows, so an id here is of both. The QUT Coordination Network Toolkit's are posts,
with what they repeat or answer, whose author is looked up in the recording (`streaming.sources.parents`), and links
apart by spaces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from streaming.sources.documents import Json
from streaming.sources.fields import timed
from streaming.sources.platform_times import any_time
from streaming.sources.rows import TableFormat, cell, identity, listed, moment, reference

_COORTWEET: Final = {"object_id", "account_id", "content_id", "timestamp_share"}
_QUT: Final = {"message_id", "user_id", "timestamp"}


def _looks_coortweet(columns: Sequence[str]) -> bool:
    return set(columns) >= _COORTWEET


def _of_coortweet(row: Mapping[str, Any]) -> Json:
    made = any_time(moment(row["timestamp_share"]))
    at, precision = (None, 0) if made is None else made
    shared = identity(row["object_id"], "object_id")
    event: Json = {
        "id": f"{identity(row['content_id'], 'content_id')}/{shared}",
        "account": identity(row["account_id"], "account_id"),
        "at": timed(at, "timestamp_share"),
        "at_precision_s": precision or None,
    }
    if shared.startswith(("http://", "https://")):
        return event | {"kind": "post", "urls": [shared]}
    return event | {"kind": "repost", "target": shared}


def _looks_qut(columns: Sequence[str]) -> bool:
    return set(columns) >= _QUT and bool({"message", "repost_id", "urls"} & set(columns))


def _of_qut(row: Mapping[str, Any]) -> Json:
    made = any_time(moment(row["timestamp"]))
    at, precision = (None, 0) if made is None else made
    repeated, answered = (reference(row.get(column), column) for column in ("repost_id", "reply_id"))
    return {
        "id": identity(row["message_id"], "message_id"),
        "account": identity(row["user_id"], "user_id"),
        "at": timed(at, "timestamp"),
        "at_precision_s": precision or None,
        "kind": "repost" if repeated else "reply" if answered else "post",
        "text": "" if repeated else cell(row.get("message")),
        "target": repeated or answered,
        "urls": listed(row.get("urls")),
        "profile": {"name": cell(row["username"])} if cell(row.get("username")) else None,
    }


COORTWEET: Final = TableFormat(_looks_coortweet, _of_coortweet)
"""`object_id`, `account_id`, `content_id`, `timestamp_share`."""

QUT: Final = TableFormat(_looks_qut, _of_qut, joins=True)
"""`message_id`, `user_id`, `username`, `repost_id`, `reply_id`, `message`, `timestamp`, `urls`."""
