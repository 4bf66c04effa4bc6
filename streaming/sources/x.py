"""The input format `x`: posts of X (Twitter) from versions 2 and 1.1 of the API, and from an archive of one's own.

Accounts and posts are ids, always those written as text: as numbers they do not fit every program's numbers. A repost
("RT @...", cut off) is not its account's own words and comes without text. What v2 says of authors and of the posts
that others refer to is in `includes`, beside `data`. An edited post has a new id on X; here it keeps its first one, so
that it is an edit. Where `created_at` was not asked for, the time is that in the id.

An archive (`data/tweets.js`) does not say whose it is. `account.js` beside it does, where the file is given by its name
and not compressed; else `--format x:account=ID` has to.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Final

import msgspec

from detector.errors import EventError
from detector.times import parse_time
from streaming.sources.base import FileRecord
from streaming.sources.documents import Json, JsonFormat, Skipped
from streaming.sources.fields import dig, name, needed, objects, present, strings, text, timed, whole
from streaming.sources.platform_times import number, snowflake, x_date

_ARCHIVE: Final = re.compile(rb"\s*window\.YTD\.(?:tweets?|deleted_tweets?|note_tweets?)\.part\d+\s*=\s*")
"""What stands before the JSON in the files of an archive."""

_ACCOUNT_JS_BYTES: Final = 1 << 16

_REPOST: Final = re.compile(r"RT @(\w{1,15}):")

_UNKNOWN_LANGUAGES: Final = {"und", "zxx", "qam", "qct", "qht", "qme", "qst", "art"}
"""What X writes where a post has no language: mentions, links or media alone, and the like."""

_NOTICES: Final = {"limit", "scrub_geo", "status_withheld", "user_withheld", "disconnect", "warning", "event"}
"""Keys of messages of the stream that are no posts."""


def looks(record: Json) -> bool:
    """Whether an object is a post of X of any version, or a message of its stream."""
    if "tweet" in record and isinstance(record["tweet"], dict):
        return isinstance(record["tweet"].get("id_str"), str)
    if isinstance(record.get("data"), dict):
        record = record["data"]
    if isinstance(record.get("id_str"), str):
        return "full_text" in record or ("text" in record and isinstance(record.get("user"), dict))
    is_v2 = {"id", "text"} <= set(record) and name(record["id"]).isdigit()
    return is_v2 and bool({"author_id", "edit_history_tweet_ids", "referenced_tweets"} & set(record))


class _Posts:
    """Converts the records of one file.

    Args:
        owner: whose archive it is, "" of anything else.
    """

    def __init__(self, owner: str = "") -> None:
        self._owner = owner
        self._included = _Included({})

    def convert(self, record: Json, around: Mapping[str, Any]) -> Json | Skipped:
        """The post event of one record, given the response of v2 that it is a part of."""
        if isinstance(record.get("tweet"), dict):
            return _old(record["tweet"], self._owner)
        if isinstance(record.get("delete"), dict):
            return _deletion(record["delete"])
        if "id_str" in record:
            return _old(record, self._owner)
        if isinstance(record.get("data"), dict):
            return _new(record["data"], _Included(record))
        if len(record) == 1 and set(record) <= _NOTICES:
            return Skipped("a notice of the stream")
        if record and set(record) <= {"errors", "meta", "title", "detail", "type", "status"}:
            return Skipped("a response without posts")
        if self._included.around is not around:
            self._included = _Included(around)
        return _new(record, self._included)


class _Included:
    """What a response of v2 includes beside its posts: their authors, and the posts that they refer to."""

    def __init__(self, around: Mapping[str, Any]) -> None:
        includes = around.get("includes")
        self.around = around
        self.users = {name(each.get("id")): each for each in objects(dig(includes, "users"))}
        self.posts = {name(each.get("id")): each for each in objects(dig(includes, "tweets"))}

    def author_of(self, reference: Json) -> str:
        """Who wrote a post that another refers to; some tools write it into the reference itself."""
        post = self.posts.get(name(reference.get("id")))
        return name(reference.get("author_id")) or name(dig(post, "author_id"))


def _deletion(notice: Json) -> Json:
    status = notice.get("status")
    post, account = needed(dig(status, "id_str"), "delete.status.id_str"), name(dig(status, "user_id_str"))
    at = timed(number(notice.get("timestamp_ms")), "delete.timestamp_ms")
    return {"id": f"{post}#deleted", "account": needed(account, "delete.status.user_id_str"), "at": at,
            "kind": "delete", "target": post}  # fmt: skip


def _old(post: Json, owner: str) -> Json:
    """The event of a post of version 1.1."""
    user = post.get("user")
    if not isinstance(user, dict):
        user = {"id_str": owner} if owner else {}
    at = x_date(post.get("created_at"))
    exact = number(post.get("timestamp_ms"))
    event: Json = {
        "id": needed(post.get("id_str"), "id_str"),
        "account": needed(user.get("id_str"), "user.id_str"),
        "at": timed(exact if exact is not None else at if at is not None else snowflake(post.get("id_str")),
                    "created_at"),
        "profile": _old_profile(user),
    }  # fmt: skip
    passed_on = post.get("retweeted_status")
    said = text(dig(post, "extended_tweet", "full_text")) or text(post.get("full_text")) or text(post.get("text"))
    if isinstance(passed_on, dict):
        return event | {"kind": "repost", "target": needed(passed_on.get("id_str"), "retweeted_status.id_str"),
                        "target_account": name(dig(passed_on, "user", "id_str"))}  # fmt: skip
    entities = dig(post, "extended_tweet", "entities") or post.get("entities")
    if match := _REPOST.match(said):  # an archive says no more than that
        whom = [name(each.get("id_str")) for each in objects(dig(entities, "user_mentions"))
                if text(each.get("screen_name")).lower() == match[1].lower()]  # fmt: skip
        return event | {"kind": "repost", "target_account": next(iter(whom), "")}
    answered, quoted = name(post.get("in_reply_to_status_id_str")), name(post.get("quoted_status_id_str"))
    links = [text(each.get("expanded_url")) or text(each.get("url")) for each in objects(dig(entities, "urls"))]
    return event | {
        "kind": "reply" if answered else "quote" if quoted else "post",
        "text": html.unescape(said),
        "lang": _language(post.get("lang")),
        "target": answered or quoted,
        "target_account": name(post.get("in_reply_to_user_id_str")) if answered
        else name(dig(post, "quoted_status", "user", "id_str")),
        "urls": [link for link in links if link],
        "mentions": [name(each.get("id_str")) for each in objects(dig(entities, "user_mentions"))],
        "hashtags": [text(each.get("text")) for each in objects(dig(entities, "hashtags"))],
    }  # fmt: skip


def _old_profile(user: Json) -> Json | None:
    created = x_date(user.get("created_at"))
    return present(
        name=text(user.get("name")),
        bio=text(user.get("description")),
        location=text(user.get("location")),
        created_at=created,
        followers=whole(user.get("followers_count")),
        following=whole(user.get("friends_count")),
        posts=whole(user.get("statuses_count")),
    )


def _new(post: Json, included: _Included) -> Json:
    """The event of a post of version 2."""
    number_of = needed(post.get("id"), "id")
    author = name(post.get("author_id")) or name(dig(post, "author", "id"))
    if not author:
        raise EventError("author_id", "is missing: ask the API for it, with tweet.fields=author_id,created_at")
    first = next(iter(strings(post.get("edit_history_tweet_ids"))), number_of)
    at = parse_time(text(post.get("created_at")))
    event: Json = {
        "id": first,
        "account": author,
        "at": timed(at if at is not None else snowflake(number_of), "created_at"),
        "profile": _new_profile(included.users.get(author) or post.get("author")),
    }
    referred = {text(each.get("type")): each for each in objects(post.get("referenced_tweets"))}
    entities = dig(post, "note_tweet", "entities") or post.get("entities")
    if "retweeted" in referred:
        target = needed(referred["retweeted"].get("id"), "referenced_tweets.id")
        mentioned = next(objects(dig(post, "entities", "mentions")), {})
        whose = included.author_of(referred["retweeted"]) or name(mentioned.get("id"))
        return event | {"kind": "repost", "target": target, "target_account": whose}
    kind = "reply" if "replied_to" in referred else "quote" if "quoted" in referred else "post"
    other = referred.get("replied_to") or referred.get("quoted") or {}
    whose = name(post.get("in_reply_to_user_id")) if kind == "reply" else ""
    links = [text(each.get("unwound_url")) or text(each.get("expanded_url")) or text(each.get("url"))
             for each in objects(dig(entities, "urls"))]  # fmt: skip
    return event | {
        "kind": kind,
        "text": html.unescape(text(dig(post, "note_tweet", "text")) or text(post.get("text"))),
        "lang": _language(post.get("lang")),
        "target": name(other.get("id")),
        "target_account": whose or included.author_of(other),
        "urls": [link for link in links if link],
        "mentions": [name(each.get("id")) or text(each.get("username")) for each in objects(dig(entities, "mentions"))],
        "hashtags": [text(each.get("tag")) for each in objects(dig(entities, "hashtags"))],
    }


def _new_profile(user: Any) -> Json | None:
    return present(
        name=text(dig(user, "name")),
        bio=text(dig(user, "description")),
        location=text(dig(user, "location")),
        created_at=text(dig(user, "created_at")),
        followers=whole(dig(user, "public_metrics", "followers_count")),
        following=whole(dig(user, "public_metrics", "following_count")),
        posts=whole(dig(user, "public_metrics", "tweet_count")),
    )


def _language(value: Any) -> str:
    said = text(value)
    return "" if said in _UNKNOWN_LANGUAGES else said


@dataclass(frozen=True)
class _X(JsonFormat):
    """The format, which knows or finds out whose archive it reads.

    Args:
        owner: id of the account, "" where it was not given.
    """

    owner: str = ""

    def recognises(self, head: bytes) -> bool:
        """Whether a file begins like posts of X, or like a file of an archive."""
        return _ARCHIVE.match(head) is not None or super().recognises(head)

    def configured(self, options: str) -> _X:
        """The format for the archive of an account, `account=ID`.

        Raises:
            ValueError: the options are something else.
        """
        key, _, owner = options.partition("=")
        if key != "account" or not owner:
            raise ValueError("the one option is account=ID, the account whose archive it is")
        return _owned(owner)

    def read(self, file: BufferedIOBase) -> Iterator[FileRecord]:
        """The records of a file as post events.

        Raises:
            EOFError: the file is cut short, after its last whole record.
            ValueError: an archive of nobody knows whom.
        """
        head = file.peek(_ACCOUNT_JS_BYTES) if hasattr(file, "peek") else b""
        if self.owner or not _ARCHIVE.match(head):
            yield from super().read(file)
            return
        owner = _owner_beside(file)
        if not owner:
            raise ValueError("an archive does not say whose it is: put account.js beside it, or name the account, "
                             "--format x:account=ID")  # fmt: skip
        yield from super(_X, _owned(owner)).read(file)


def _owner_beside(file: BufferedIOBase) -> str:
    """The account of `account.js` in the folder of an archive's file."""
    place = getattr(file, "name", None)
    if not isinstance(place, str):
        return ""
    try:
        with Path(place).with_name("account.js").open("rb") as other:
            body = other.read(_ACCOUNT_JS_BYTES).partition(b"=")[2]
        rows = msgspec.json.decode(body)
    except (OSError, ValueError, RecursionError, msgspec.DecodeError):
        return ""
    return next((name(dig(row, "account", "accountId")) for row in objects(rows)), "")


def _owned(owner: str) -> _X:
    return replace(FORMAT, converter=lambda: _Posts(owner).convert, owner=owner)


FORMAT: Final = _X(looks, lambda: _Posts().convert, lists=(("data",), ("statuses",)), prefix=_ARCHIVE)
"""Lines of either version, responses of v2 (also those of a stream), of v1.1's search, and `tweets.js`."""
