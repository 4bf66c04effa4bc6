"""The input format `bluesky`: events of Jetstream in both of its wire formats, and records of the API.

Times of Jetstream are `time_us`, when the relay saw the event: `createdAt` is whatever the client says, of any year and
with any number of decimals. Of the API's records it is `createdAt` where that is up to a day before `indexedAt`, when
the network saw the post; else `indexedAt`. Accounts are DIDs and posts are at-URIs, so recordings of both kinds name
the same things alike. What a post links to is in its facets and its card; the text shows links cut short.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from detector.errors import EventError
from detector.times import parse_time
from streaming.sources.documents import Json, JsonFormat, Skipped
from streaming.sources.fields import dig, name, needed, objects, present, strings, text, timed, whole
from streaming.sources.platform_times import EARLIEST_S

_POST: Final = "app.bsky.feed.post"
_REPOST: Final = "app.bsky.feed.repost"
_LIKE: Final = "app.bsky.feed.like"
_FOLLOW: Final = "app.bsky.graph.follow"

_OPERATIONS: Final = {"c": "create", "u": "update", "d": "delete"}
"""Of the older wire format, in the words of the present one."""

_KINDS: Final = {"com": "commit", "acc": "account", "id": "identity"}

_OTHERS: Final = {
    "app.bsky.actor.profile": "a profile",
    "app.bsky.graph.block": "a block",
    "app.bsky.graph.list": "a list",
    "app.bsky.graph.listitem": "a member of a list",
    "app.bsky.graph.listblock": "a block",
    "app.bsky.graph.starterpack": "a starter pack",
    "app.bsky.feed.threadgate": "a rule of a thread",
    "app.bsky.feed.postgate": "a rule of a post",
    "app.bsky.feed.generator": "a feed",
}

_QUOTED: Final = "/app.bsky.feed.post/"
"""What the at-URI of a post holds: other records can be embedded, too."""

_MICROSECONDS: Final = 1000

_TRUSTED_MS: Final = 86_400_000
"""A day: longer before it was seen, a post was imported from elsewhere, or its client's clock is wrong."""


def looks(record: Json) -> bool:
    """Whether an object is an event of Jetstream, or a record of the API."""
    if isinstance(record.get("did"), str) and "time_us" in record:
        return True
    if isinstance(record.get("post"), dict):
        record = record["post"]
    uri = record.get("uri")
    return isinstance(uri, str) and uri.startswith("at://") and ("record" in record or "value" in record)


def convert(record: Json, around: Mapping[str, Any]) -> Json | Skipped:
    """The post event of one record."""
    if "did" in record and "time_us" in record:
        return _jetstream(record)
    if isinstance(record.get("post"), dict):
        return _in_feed(record)
    if "value" in record:
        uri = needed(record.get("uri"), "uri")
        value = record["value"] if isinstance(record["value"], dict) else {}
        collection = name(value.get("$type")) or _part(uri, 1)
        return _written(collection, uri, _part(uri, 0), _created(value, None), value)
    return _view(record)


def _jetstream(record: Json) -> Json | Skipped:
    did = needed(record.get("did"), "did")
    micros = whole(record.get("time_us"))
    at = timed(None if micros is None or micros < 0 else micros // _MICROSECONDS, "time_us")
    kind = text(record.get("kind")) or _KINDS.get(text(record.get("type")), "")
    if kind == "account":
        if dig(record, "account", "status") == "deleted":
            return {"id": f"at://{did}#deleted-{at}", "account": did, "at": at, "kind": "delete_account"}
        return Skipped("a change of an account's status")
    if kind == "identity":
        return Skipped("a change of an account's handle")
    if kind != "commit":
        raise EventError("kind", "is none of commit, account, identity")
    commit = record.get("commit")
    operation = text(dig(commit, "operation"))
    operation = operation or _OPERATIONS.get(text(dig(commit, "type")), "")
    collection, key = needed(dig(commit, "collection"), "commit.collection"), needed(dig(commit, "rkey"), "commit.rkey")
    uri = f"at://{did}/{collection}/{key}"
    if operation == "delete":
        if collection not in (_POST, _REPOST, _LIKE, _FOLLOW):
            return Skipped(f"the deletion of {_OTHERS.get(collection, 'another record')}")
        return {"id": f"{uri}#deleted", "account": did, "at": at, "kind": "delete", "target": uri}
    if operation not in ("create", "update"):
        raise EventError("commit.operation", "is none of create, update, delete")
    value = dig(commit, "record")
    if not isinstance(value, dict):
        raise EventError("commit.record", "is missing")
    return _written(collection, uri, did, at, value)


def _written(collection: str, uri: str, did: str, at: int | None, value: Json) -> Json | Skipped:
    """The event of one record of a repository."""
    subject = value.get("subject")
    if collection in (_REPOST, _LIKE):
        target = needed(dig(subject, "uri"), "record.subject.uri")
        kind = "repost" if collection == _REPOST else "like"
        return {"id": uri, "account": did, "at": timed(at, "createdAt"), "kind": kind, "target": target,
                "target_account": _part(target, 0)}  # fmt: skip
    if collection == _FOLLOW:
        return {"id": uri, "account": did, "at": timed(at, "createdAt"), "kind": "follow",
                "target_account": needed(subject, "record.subject")}  # fmt: skip
    if collection != _POST:
        return Skipped(_OTHERS.get(collection, "another record"))
    return {"id": uri, "account": did, "at": timed(at, "createdAt"), **_post(value)}


def _post(value: Json) -> Json:
    parent, quoted = name(dig(value, "reply", "parent", "uri")), _quoted(value.get("embed"))
    target = parent or quoted
    urls, mentions, tags = [], [], strings(value.get("tags"))
    for facet in objects(value.get("facets")):
        for feature in objects(facet.get("features")):
            kind = text(feature.get("$type"))
            if kind.endswith("#link"):
                urls.append(text(feature.get("uri")))
            elif kind.endswith("#mention"):
                mentions.append(text(feature.get("did")))
            elif kind.endswith("#tag"):
                tags.append(text(feature.get("tag")))
    urls += [text(dig(value, "embed", *path, "external", "uri")) for path in ((), ("media",))]
    return {
        "kind": "reply" if parent else "quote" if quoted else "post",
        "text": text(value.get("text")),
        "lang": next(iter(strings(value.get("langs"))), ""),
        "target": target,
        "target_account": _part(target, 0),
        "urls": [url for url in urls if url],
        "mentions": [each for each in mentions if each],
        "hashtags": [tag for tag in tags if tag],
    }


def _quoted(embed: Any) -> str:
    """At-URI of the post that is quoted, with media beside it or not."""
    uri = name(dig(embed, "record", "uri")) or name(dig(embed, "record", "record", "uri"))
    return uri if _QUOTED in uri else ""


def _in_feed(record: Json) -> Json | Skipped:
    """The event of one entry of a feed, which is a post or somebody's repost of it."""
    reason, post = record.get("reason"), record["post"]
    if text(dig(reason, "$type")).endswith("#reasonRepost"):
        account, target = needed(dig(reason, "by", "did"), "reason.by.did"), needed(post.get("uri"), "post.uri")
        event = {
            "id": name(dig(reason, "uri")) or f"at://{account}/{_REPOST}/of/{target}",
            "account": account,
            "at": timed(parse_time(text(dig(reason, "indexedAt"))), "reason.indexedAt"),
            "kind": "repost",
            "target": target,
            "target_account": _part(target, 0),
        }
        return event | {"profile": _profile(dig(reason, "by"))}
    return _view(post)


def _view(view: Json) -> Json | Skipped:
    """The event of a post as the API shows it."""
    uri = needed(view.get("uri"), "uri")
    value = view.get("record")
    if not isinstance(value, dict):
        raise EventError("record", "is missing")
    did = name(dig(view, "author", "did")) or _part(uri, 0)
    event = _written(_part(uri, 1), uri, did, _created(value, view.get("indexedAt")), value)
    return event if isinstance(event, Skipped) else event | {"profile": _profile(view.get("author"))}


def _profile(author: Any) -> Json | None:
    automated = any(label.get("val") == "bot" for label in objects(dig(author, "labels")))
    return present(
        name=text(dig(author, "displayName")),
        bio=text(dig(author, "description")),
        created_at=text(dig(author, "createdAt")),
        followers=whole(dig(author, "followersCount")),
        following=whole(dig(author, "followsCount")),
        posts=whole(dig(author, "postsCount")),
        automated=True if automated else None,
    )


def _created(value: Json, indexed: Any) -> int | None:
    """When a post was made: what its client says, unless the network saw it at quite another time."""
    created, seen = parse_time(text(value.get("createdAt"))), parse_time(text(indexed))
    if seen is None:
        return created if created is not None and created >= EARLIEST_S * 1000 else None
    return created if created is not None and seen - _TRUSTED_MS <= created <= seen else seen


def _part(uri: str, number: int) -> str:
    """Of `at://DID/COLLECTION/KEY`: the DID (0) or the collection (1)."""
    parts = uri.removeprefix("at://").split("/") if uri.startswith("at://") else []
    return parts[number] if number < len(parts) else ""


FORMAT: Final = JsonFormat(
    looks,
    lambda: convert,
    lists=(("feed",), ("posts",), ("records",)),
)
"""Jetstream, and the API's `getAuthorFeed`, `getTimeline`, `searchPosts`, `getPosts` and `listRecords`."""
