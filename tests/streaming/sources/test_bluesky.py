"""Bluesky: Jetstream in both wire formats, and records of the API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streaming.sources.bluesky import FORMAT
from tests.streaming.builders import T0
from tests.streaming.sources.formats import one, read

ANN, BOB = "did:plc:ann", "did:plc:bob"
POST = f"at://{BOB}/app.bsky.feed.post/3kbob"


def jetstream(
    record: dict[str, Any] | None,
    *,
    operation: str = "create",
    collection: str = "app.bsky.feed.post",
    old: bool = False,
    key: str = "3kann",
) -> dict[str, Any]:
    commit: dict[str, Any] = {"rev": "3krev", "collection": collection, "rkey": key}
    commit |= {"type": operation[0]} if old else {"operation": operation}
    if record is not None:
        commit |= {"record": record, "cid": "bafy"}
    kind = {"type": "com"} if old else {"kind": "commit"}
    return {"did": ANN, "time_us": T0 * 1000 + 123_456, **kind, "commit": commit}


def post(**more: Any) -> dict[str, Any]:
    return {"$type": "app.bsky.feed.post", "text": "Good morning", "createdAt": "2026-01-01T00:00:00Z", **more}


@pytest.mark.parametrize("old", [False, True])
def test_a_post_of_either_wire_format(old: bool) -> None:
    assert one(FORMAT, jetstream(post(langs=["pt-BR", "en"]), old=old)) == {
        "id": f"at://{ANN}/app.bsky.feed.post/3kann",
        "account": ANN,
        "at": T0 + 123,
        "kind": "post",
        "text": "Good morning",
        "lang": "pt-BR",
        "urls": [],
        "mentions": [],
        "hashtags": [],
    }


@pytest.mark.parametrize(
    "said", ["2026-01-01T00:00:00.12345678Z", "0000-01-01T00:00:00Z", "2031-05-05T00:00:00Z", "", 7]
)
def test_the_time_of_jetstream_is_the_relays_and_not_the_clients(said: Any) -> None:
    assert one(FORMAT, jetstream(post(createdAt=said)))["at"] == T0 + 123


@pytest.mark.parametrize("old", [False, True])
def test_a_deletion_names_what_it_deletes_by_collection_and_key_alone(old: bool) -> None:
    made = one(FORMAT, jetstream(post(), old=old))
    gone = one(FORMAT, jetstream(None, operation="delete", old=old))
    assert (gone["kind"], gone["target"], gone["account"]) == ("delete", made["id"], made["account"])
    assert gone["id"] != made["id"]
    assert read(FORMAT, [jetstream(None, operation="delete", collection="app.bsky.graph.block")]).skipped == [
        "the deletion of a block"
    ]


def test_an_edit_is_the_same_id_again() -> None:
    assert one(FORMAT, jetstream(post(), operation="update"))["id"] == one(FORMAT, jetstream(post()))["id"]


def test_links_come_from_facets_and_cards_and_not_from_what_is_shown_of_them() -> None:
    def facet(**feature: Any) -> dict[str, Any]:
        return {"index": {"byteStart": 0, "byteEnd": 5}, "features": [feature]}

    event = one(
        FORMAT,
        jetstream(
            post(
                text="example.com/a-long-pa... #tag @bob",
                facets=[
                    facet(**{"$type": "app.bsky.richtext.facet#link", "uri": "https://example.com/a-long-path"}),
                    facet(**{"$type": "app.bsky.richtext.facet#tag", "tag": "tag"}),
                    facet(**{"$type": "app.bsky.richtext.facet#mention", "did": BOB}),
                ],
                embed={"$type": "app.bsky.embed.external", "external": {"uri": "https://card.example/x"}},
            )
        ),
    )
    assert event["urls"] == ["https://example.com/a-long-path", "https://card.example/x"]
    assert (event["hashtags"], event["mentions"]) == (["tag"], [BOB])


def test_a_quote_with_media_is_a_quote_and_a_quoted_feed_is_none() -> None:
    with_media = {
        "$type": "app.bsky.embed.recordWithMedia",
        "record": {"record": {"uri": POST, "cid": "c"}},
        "media": {"$type": "app.bsky.embed.external", "external": {"uri": "https://m.example/"}},
    }
    event = one(FORMAT, jetstream(post(embed=with_media)))
    assert (event["kind"], event["target"], event["target_account"]) == ("quote", POST, BOB)
    assert event["urls"] == ["https://m.example/"]
    plain = {"$type": "app.bsky.embed.record", "record": {"uri": POST, "cid": "c"}}
    assert one(FORMAT, jetstream(post(embed=plain)))["target"] == POST
    feed = {"$type": "app.bsky.embed.record", "record": {"uri": f"at://{BOB}/app.bsky.feed.generator/news"}}
    assert one(FORMAT, jetstream(post(embed=feed)))["kind"] == "post"


def test_replies_reposts_likes_and_follows() -> None:
    answer = post(reply={"root": {"uri": "at://x/app.bsky.feed.post/1"}, "parent": {"uri": POST}})
    event = one(FORMAT, jetstream(answer))
    assert (event["kind"], event["target"], event["target_account"]) == ("reply", POST, BOB)
    for collection, kind in (("app.bsky.feed.repost", "repost"), ("app.bsky.feed.like", "like")):
        event = one(FORMAT, jetstream({"subject": {"uri": POST, "cid": "c"}}, collection=collection))
        assert (event["kind"], event["target"], event["target_account"], "text" in event) == (kind, POST, BOB, False)
    event = one(FORMAT, jetstream({"subject": BOB}, collection="app.bsky.graph.follow"))
    assert (event["kind"], event["target_account"]) == ("follow", BOB)


def test_what_is_no_post_is_skipped_by_what_it_is_and_a_deleted_account_is_deleted() -> None:
    def account(status: str) -> dict[str, Any]:
        return {"did": ANN, "time_us": T0 * 1000, "kind": "account", "account": {"active": False, "status": status}}

    found = read(
        FORMAT,
        [
            jetstream({"subject": BOB}, collection="app.bsky.graph.block"),
            jetstream({"x": 1}, collection="place.stream.chat"),
            {"did": ANN, "time_us": T0 * 1000, "kind": "identity", "identity": {"handle": "ann.example"}},
            account("suspended"),
            account("deleted"),
        ],
    )
    assert found.skipped == [
        "a block",
        "another record",
        "a change of an account's handle",
        "a change of an account's status",
    ]
    assert [(event["kind"], event["account"]) for event in found.events] == [("delete_account", ANN)]


def test_a_damaged_line_is_dead_alone() -> None:
    found = read(FORMAT, b'{"did": "did:plc:a", "time_us\n' + json.dumps(jetstream(post())).encode() + b"\n\n[]\n")
    assert len(found.events) == 1
    assert found.problems == [("", "is not JSON"), ("", "is empty"), ("", "is not a JSON object")]


def view(**more: Any) -> dict[str, Any]:
    author = {"did": ANN, "handle": "ann.example", "displayName": "Ann", "createdAt": "2024-05-01T00:00:00Z"}
    return {
        "uri": f"at://{ANN}/app.bsky.feed.post/3kann",
        "cid": "c",
        "author": author,
        "record": post(),
        "indexedAt": "2026-01-01T00:00:05.5Z",
        **more,
    }


def test_a_page_of_a_feed_with_a_repost() -> None:
    reason = {"$type": "app.bsky.feed.defs#reasonRepost", "by": {"did": BOB}, "indexedAt": "2026-01-02T00:00:00Z"}
    found = read(FORMAT, {"feed": [{"post": view()}, {"post": view(), "reason": reason}], "cursor": "next"})
    first, second = found.events
    assert (first["account"], first["at"], first["profile"]["name"]) == (ANN, T0, "Ann")
    assert (second["kind"], second["account"], second["target"]) == ("repost", BOB, first["id"])
    assert second["target_account"] == ANN


def test_an_api_record_is_the_same_post_as_on_jetstream() -> None:
    first, second = one(FORMAT, view()), one(FORMAT, jetstream(post()))
    assert {key: first[key] for key in second if key != "at"} == {key: second[key] for key in second if key != "at"}
    listed = {"uri": f"at://{ANN}/app.bsky.feed.post/3kann", "cid": "c", "value": post()}
    assert one(FORMAT, listed)["id"] == second["id"]


@pytest.mark.parametrize("said", ["2023-01-01T00:00:00Z", "2027-01-01T00:00:00Z", "0000-00-00T00:00:00Z"])
def test_an_impossible_time_of_a_client_gives_way_to_when_the_post_was_seen(said: str) -> None:
    assert one(FORMAT, view(record=post(createdAt=said)))["at"] == T0 + 5500


def test_who_says_that_it_is_a_bot_is_one() -> None:
    author = {"did": ANN, "labels": [{"val": "bot", "src": ANN}]}
    assert one(FORMAT, view(author=author))["profile"] == {"automated": True}


@pytest.mark.parametrize("data", [jetstream(post()), jetstream(post(), old=True), view(), {"post": view()}])
def test_it_is_recognised(data: dict[str, Any]) -> None:
    assert FORMAT.recognises(json.dumps(data).encode() + b"\n")
    assert FORMAT.recognises(json.dumps({"posts": [data], "cursor": "x" * 100_000}, indent=2).encode()[:2000])
