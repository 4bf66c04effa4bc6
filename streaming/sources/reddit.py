"""The input format `reddit`: submissions and comments of Pushshift and Arctic Shift, and of Reddit's own listings.

Posts are full names, `t3_` and `t1_` before the id. A comment answers its parent, whose author it does not say; the
author is looked up in the recording (`streaming.sources.parents`). Whoever deleted an account is `[deleted]`, which is
not one account: such records are skipped. A text that was removed is none. Dumps are compressed with windows of up to
2 GiB, which every input may be.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any, Final

from detector.errors import EventError
from streaming.sources.documents import Json, JsonFormat, Skipped
from streaming.sources.fields import dig, name, needed, objects, snapshot_at, text, timed
from streaming.sources.platform_times import seconds

_NOBODY: Final = {"[deleted]", "[removed]"}


def looks(record: Json) -> bool:
    """Whether an object is a submission or a comment, in a listing or not."""
    if record.get("kind") in ("t1", "t3") and isinstance(record.get("data"), dict):
        record = record["data"]
    if not {"created_utc", "author", "id"} <= set(record):
        return False
    return "body" in record or "title" in record or "selftext" in record


def convert(record: Json, around: Mapping[str, Any]) -> Json | Skipped:
    """The post event of one record."""
    del around
    if isinstance(record.get("data"), dict) and isinstance(record.get("kind"), str):
        if record["kind"] not in ("t1", "t3"):
            return Skipped("another thing of a listing")
        record = record["data"]
    is_comment = "body" in record or text(record.get("name")).startswith("t1_")
    if not is_comment and "title" not in record and "selftext" not in record:
        raise EventError("", "is neither a comment, with body, nor a submission, with title")
    number = needed(record.get("id"), "id")
    author = needed(record.get("author"), "author")
    if author in _NOBODY:
        return Skipped("of a deleted account")
    event: Json = {
        "id": number if number.startswith(("t1_", "t3_")) else f"{'t1_' if is_comment else 't3_'}{number}",
        "account": author,
        "at": snapshot_at(
            timed(seconds(record.get("created_utc")), "created_utc"), edited=record.get("edited") not in (None, False)
        ),
        "profile": _profile(record),
    }
    if is_comment:
        target = name(record.get("parent_id")) or name(record.get("link_id"))
        if target and not target.startswith(("t1_", "t3_")):  # old dumps have the bare number of a comment
            target = f"t1_{target}"
        answered = name(record.get("link_author")) if target.startswith("t3_") else ""
        return event | {"kind": "reply", "text": _said(record.get("body")), "target": target,
                        "target_account": "" if answered in _NOBODY else answered}  # fmt: skip
    said = "\n\n".join(each for each in (_said(record.get("title")), _said(record.get("selftext"))) if each)
    crossposted = next(objects(record.get("crosspost_parent_list")), None)
    event |= {"kind": "post", "text": said}
    link = text(record.get("url_overridden_by_dest")) or text(record.get("url"))
    if link.startswith(("http://", "https://")) and record.get("is_self") is not True:
        event["urls"] = [html.unescape(link)]
    if name(record.get("crosspost_parent")):
        author = name(dig(crossposted, "author"))
        return event | {"kind": "quote", "target": name(record.get("crosspost_parent")),
                        "target_account": "" if author in _NOBODY else author}  # fmt: skip
    return event


def _said(value: Any) -> str:
    said = text(value)
    return "" if said.strip() in _NOBODY else html.unescape(said)


def _profile(record: Json) -> Json | None:
    created = seconds(record.get("author_created_utc"))
    return None if created is None else {"created_at": created}


FORMAT: Final = JsonFormat(looks, lambda: convert, lists=(("data", "children"), ("data",)), joins=True)
"""Lines, Arctic Shift's responses (`data`), and listings (`data.children`)."""
