"""Mastodon: statuses of the API, an account's export, and the streaming API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streaming.sources.mastodon import FORMAT
from tests.streaming.builders import T0
from tests.streaming.sources.formats import one, read

PUBLIC = "https://www.w3.org/ns/activitystreams#Public"


def account(name: str = "ann", host: str = "m.example", *, local: bool = True, **more: Any) -> dict[str, Any]:
    return {
        "id": f"id-{name}",
        "username": name,
        "acct": name if local else f"{name}@{host}",
        "url": f"https://{host}/@{name}",
        "display_name": name.title(),
        "bot": False,
        "note": "<p>I sing</p>",
        "created_at": "2022-11-01T00:00:00.000Z",
        "followers_count": 7,
        **more,
    }


def status(number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "id": str(number),
        "uri": f"https://m.example/users/ann/statuses/{number}",
        "account": account(),
        "created_at": "2026-01-01T00:00:00.000Z",
        "content": "<p>Good morning</p>",
        "visibility": "public",
        "language": "en",
        "in_reply_to_id": None,
        "in_reply_to_account_id": None,
        "reblog": None,
        "mentions": [],
        "tags": [],
        "edited_at": None,
        **more,
    }


def test_a_status_whose_local_account_gets_its_host() -> None:
    assert one(FORMAT, status()) == {
        "id": "https://m.example/users/ann/statuses/1",
        "account": "ann@m.example",
        "at": T0,
        "kind": "post",
        "text": "Good morning",
        "lang": "en",
        "urls": [],
        "mentions": [],
        "hashtags": [],
        "profile": {
            "name": "Ann",
            "bio": "I sing",
            "created_at": "2022-11-01T00:00:00.000Z",
            "followers": 7,
            "automated": False,
        },
    }
    assert one(FORMAT, status(account=account("zoe", "z.example", local=False, bot=True)))["account"] == "zoe@z.example"


def test_anchors_of_mentions_and_tags_are_no_links_and_a_link_is_its_address() -> None:
    content = (
        '<p><span class="h-card"><a href="https://z.example/@zoe" class="u-url mention">@<span>zoe</span></a></span> '
        'R&amp;B<br>at <a href="https://a.example/a/long/path?x=1&amp;y=2" rel="nofollow"><span class="invisible">'
        'https://</span><span class="ellipsis">a.example/a/long</span><span class="invisible">/path</span></a> '
        '<a href="https://m.example/tags/jazz" class="mention hashtag" rel="tag">#<span>jazz</span></a></p>'
    )
    mention = {"id": "id-zoe", "username": "zoe", "acct": "zoe@z.example", "url": "https://z.example/@zoe"}
    event = one(FORMAT, status(content=content, mentions=[mention], tags=[{"name": "jazz", "url": "x"}]))
    assert event["text"] == "@zoe R&B\nat https://a.example/a/long/path?x=1&y=2 #jazz"
    assert event["urls"] == ["https://a.example/a/long/path?x=1&y=2"]
    assert (event["mentions"], event["hashtags"]) == (["zoe@z.example"], ["jazz"])


def test_a_reply_names_its_target_by_the_servers_number_and_finds_whom_it_answers_among_its_mentions() -> None:
    mentions = [{"id": "id-bob", "acct": "bob", "url": "https://m.example/@bob"}]
    event = one(FORMAT, status(2, in_reply_to_id="1", in_reply_to_account_id="id-bob", mentions=mentions))
    assert (event["kind"], event["target"], event["target_account"]) == ("reply", "1", "bob@m.example")
    event = one(FORMAT, status(2, in_reply_to_id="1", in_reply_to_account_id="id-ann"))
    assert event["target_account"] == "ann@m.example"


def test_a_boost_has_an_id_of_its_own_and_no_text() -> None:
    boosted = status(1, account=account("bob", "b.example", local=False), uri="https://b.example/users/bob/statuses/9")
    event = one(FORMAT, status(3, content="", reblog=boosted, uri="https://m.example/users/ann/statuses/3/activity"))
    assert (event["id"], event["kind"]) == ("https://m.example/users/ann/statuses/3/activity", "repost")
    assert (event["target"], event["target_account"]) == (boosted["uri"], "bob@b.example")
    assert "text" not in event


def test_a_quote_and_a_warning() -> None:
    quoted = status(1, account=account("bob"))
    event = one(FORMAT, status(3, quote={"state": "accepted", "quoted_status": quoted}, spoiler_text="Soup"))
    assert (event["kind"], event["target"], event["text"]) == ("quote", quoted["uri"], "Soup\n\nGood morning")


def test_what_is_not_public_is_skipped() -> None:
    found = read(FORMAT, [status(visibility="direct"), status(2, visibility="unlisted")])
    assert (len(found.events), found.skipped) == (1, ["a post that is not public"])


def frames() -> list[tuple[str, str]]:
    later = {"edited_at": "2026-01-01T01:00:00.000Z", "content": "<p>Good evening</p>"}
    return [
        ("update", json.dumps(status(1))),
        ("status.update", json.dumps(status(1, **later))),
        ("notification", "{}"),
        ("delete", "1"),
        ("delete", "77"),
    ]


@pytest.mark.parametrize("kind", ["websocket", "sse"])
def test_edits_and_deletions_of_the_stream(kind: str) -> None:
    if kind == "sse":
        data = ":)\n" + "".join(f"event: {what}\ndata: {payload}\n\n:thump\n" for what, payload in frames())
        assert FORMAT.recognises(data.encode())
        found = read(FORMAT, data)
    else:
        found = read(FORMAT, [{"stream": ["public"], "event": what, "payload": load} for what, load in frames()])
    made, edited, deleted = found.events
    assert edited["id"] == made["id"]
    assert (edited["at"] - made["at"], edited["text"]) == (3_600_000, "Good evening")
    assert (deleted["kind"], deleted["target"], deleted["account"]) == ("delete", made["id"], made["account"])
    assert deleted["at"] == edited["at"]
    assert found.skipped == ["another event of the stream", "the deletion of a status that did not come before"]


FIRST = status(1)

EDITED = status(1, content="<p>Good evening</p>", edited_at="2026-01-01T01:00:00.000Z")

AGAIN = status(1, content="<p>Good night</p>", edited_at="2026-01-01T02:00:00.000Z")


def texts_in_order(*statuses: dict[str, Any]) -> list[str]:
    found = read(FORMAT, list(statuses)).events
    assert len({event["at"] for event in found}) == len(found), "ties are decided by a hash"
    return [event["text"] for event in sorted(found, key=lambda event: event["at"])]


def test_an_edited_snapshot_comes_after_one_that_was_not_in_any_order_and_file() -> None:
    assert texts_in_order(FIRST, EDITED) == texts_in_order(EDITED, FIRST) == ["Good morning", "Good evening"]
    apart = one(FORMAT, EDITED)["at"] - one(FORMAT, FIRST)["at"]
    assert apart == 1, "a file alone says the same, and when it was written"


def test_of_two_edits_the_later_counts_and_an_older_one_behind_it_is_skipped() -> None:
    assert texts_in_order(FIRST, EDITED, AGAIN) == ["Good morning", "Good evening", "Good night"]
    assert texts_in_order(AGAIN, EDITED, FIRST) == ["Good morning", "Good night"]
    assert read(FORMAT, [AGAIN, EDITED]).skipped == ["an older version of a status that came before"]


@pytest.mark.parametrize("edited_at", [None, "2026-01-01T01:00:00.000Z"])
def test_of_snapshots_that_do_not_say_which_is_newer_the_later_in_the_file_counts(edited_at: str | None) -> None:
    one_way = [status(1, content=f"<p>{text}</p>", edited_at=edited_at) for text in ("a", "b", "a")]
    assert texts_in_order(*one_way) == ["a", "b", "a"]
    assert texts_in_order(*one_way[1:]) == ["b", "a"]


def test_a_snapshot_with_the_same_text_is_the_same_event() -> None:
    first, second = read(FORMAT, [FIRST, status(1, account=account(followers_count=8))]).events
    assert first["at"] == second["at"]


def activity(what: str, item: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": f"https://m.example/users/ann/statuses/{len(str(item))}/activity",
        "type": what,
        "actor": "https://m.example/users/ann",
        "published": "2026-01-01T00:00:00Z",
        "object": item,
        **more,
    }


def note(**more: Any) -> dict[str, Any]:
    return {
        "id": "https://m.example/users/ann/statuses/1",
        "type": "Note",
        "published": "2026-01-01T00:00:00Z",
        "content": "<p>Good morning</p>",
        "contentMap": {"en": "<p>Good morning</p>"},
        "to": [PUBLIC],
        "cc": [],
        "inReplyTo": None,
        "tag": [],
        **more,
    }


def test_an_export_names_posts_and_accounts_as_the_api_does() -> None:
    other = "https://b.example/users/bob/statuses/9"
    tags = [{"type": "Mention", "name": "@bob@b.example"}, {"type": "Hashtag", "name": "#jazz"}]
    outbox = {
        "@context": "x",
        "id": "outbox.json",
        "type": "OrderedCollection",
        "totalItems": 4,
        "orderedItems": [
            activity("Create", note(inReplyTo=other, tag=tags)),
            activity("Announce", other),
            activity("Add", "x"),
            activity("Create", note(to=["https://m.example/users/ann/followers"])),
        ],
    }
    for data in (outbox, json.dumps(outbox)):
        found = read(FORMAT, data)
        reply, boost = found.events
        assert (reply["id"], reply["account"]) == (one(FORMAT, status())["id"], one(FORMAT, status())["account"])
        assert (reply["kind"], reply["target"], reply["target_account"]) == ("reply", other, "bob@b.example")
        assert (reply["mentions"], reply["hashtags"], reply["lang"]) == (["bob@b.example"], ["#jazz"], "en")
        assert (boost["kind"], boost["target"], boost["target_account"]) == ("repost", other, "bob@b.example")
        assert found.skipped == ["another activity", "a post that is not public"]
    assert FORMAT.recognises(json.dumps(outbox).encode())


def test_an_account_without_any_host_is_dead() -> None:
    found = read(FORMAT, [status(account={"acct": "ann", "id": "1"}), status()])
    assert found.problems == [("account.acct", "has no host, and account.url does not say it either")]
    assert FORMAT.recognises(json.dumps(status()).encode())
