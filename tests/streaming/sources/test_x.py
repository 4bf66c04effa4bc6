"""X: posts of versions 1.1 and 2 of the API, and the files of an archive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detector.errors import UsageError
from streaming.sources.files import RecordingFiles
from streaming.sources.platform_times import snowflake
from streaming.sources.x import FORMAT
from tests.streaming.sources.formats import one, read

WHEN = 1_659_024_607_000


def old(number: int = 1552685222371663872, **more: Any) -> dict[str, Any]:
    user = {
        "id": 12,
        "id_str": "12",
        "name": "Ann",
        "screen_name": "ann",
        "followers_count": 3,
        "created_at": "Tue Mar 21 20:50:14 +0000 2006",
    }
    return {
        "id": number,
        "id_str": str(number),
        "created_at": "Thu Jul 28 16:10:07 +0000 2022",
        "user": user,
        "full_text": "Tea &amp; cake",
        "lang": "en",
        "entities": {},
        **more,
    }


def test_an_old_post() -> None:
    assert one(FORMAT, old()) == {
        "id": "1552685222371663872",
        "account": "12",
        "at": WHEN,
        "kind": "post",
        "text": "Tea & cake",
        "lang": "en",
        "urls": [],
        "mentions": [],
        "hashtags": [],
        "profile": {"name": "Ann", "followers": 3, "created_at": 1142974214000},
    }


def test_ids_are_those_written_as_text() -> None:
    assert one(FORMAT, old(id=1552685222371664000.0))["id"] == "1552685222371663872"


def test_the_whole_text_of_a_long_post_of_the_stream() -> None:
    more = {"full_text": "all of it https://t.co/1", "entities": {"urls": [{"expanded_url": "https://a.example/"}]}}
    event = one(
        FORMAT,
        old(
            full_text=None, text="all o…", truncated=True, extended_tweet=more, lang="und", timestamp_ms="1659024607123"
        ),
    )
    assert (event["text"], event["urls"], event["at"]) == (more["full_text"], ["https://a.example/"], WHEN + 123)
    assert "lang" not in event


def test_a_repost_of_a_quote_is_a_repost_and_its_text_is_not_its_accounts() -> None:
    original = old(1, user={"id_str": "34"}, quoted_status_id_str="2")
    event = one(FORMAT, old(full_text="RT @bob: cut o…", retweeted_status=original, quoted_status_id_str="2"))
    assert (event["kind"], event["target"], event["target_account"]) == ("repost", "1", "34")
    assert "text" not in event


def test_replies_quotes_mentions_and_tags() -> None:
    entities = {"urls": [], "user_mentions": [{"id_str": "34", "screen_name": "bob"}], "hashtags": [{"text": "tea"}]}
    event = one(FORMAT, old(in_reply_to_status_id_str="5", in_reply_to_user_id_str="34", entities=entities))
    assert (event["kind"], event["target"], event["target_account"]) == ("reply", "5", "34")
    assert (event["mentions"], event["hashtags"]) == (["34"], ["tea"])
    event = one(FORMAT, old(quoted_status_id_str="5", quoted_status={"user": {"id_str": "34"}}))
    assert (event["kind"], event["target"], event["target_account"]) == ("quote", "5", "34")


def test_messages_of_the_stream() -> None:
    gone = {"delete": {"status": {"id_str": "1", "user_id_str": "12"}, "timestamp_ms": "1659024607123"}}
    found = read(FORMAT, [gone, {"limit": {"track": 5}}])
    assert [(event["kind"], event["target"], event["account"]) for event in found.events] == [("delete", "1", "12")]
    assert found.skipped == ["a notice of the stream"]


def new(number: str = "1552685222371663872", **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "author_id": "12",
        "text": "Tea &amp; cake",
        "created_at": "2022-07-28T16:10:07.000Z",
        "edit_history_tweet_ids": [number],
        "lang": "en",
        **more,
    }


def includes() -> dict[str, Any]:
    metrics = {"followers_count": 3, "following_count": 4, "tweet_count": 5}
    ann = {
        "id": "12",
        "name": "Ann",
        "username": "ann",
        "created_at": "2006-03-21T20:50:14.000Z",
        "public_metrics": metrics,
    }
    return {"users": [ann, {"id": "34", "name": "Bob"}], "tweets": [new("1", author_id="34", text="the whole of it")]}


@pytest.mark.parametrize("form", ["page", "line", "stream"])
def test_a_response_whose_authors_stand_behind_its_posts(form: str) -> None:
    post = new(referenced_tweets=[{"type": "quoted", "id": "1"}])
    page: dict[str, Any] = {"data": post if form == "stream" else [post], "includes": includes(), "meta": {"n": 1}}
    event = one(FORMAT, json.dumps(page, indent=1 if form == "page" else None))
    assert (event["kind"], event["target"], event["target_account"]) == ("quote", "1", "34")
    assert event["profile"] == {
        "name": "Ann",
        "created_at": "2006-03-21T20:50:14.000Z",
        "followers": 3,
        "following": 4,
        "posts": 5,
    }
    assert (event["text"], event["at"]) == ("Tea & cake", WHEN)


def test_pages_a_line_are_as_many_records_as_they_hold_posts() -> None:
    found = read(
        FORMAT, [{"data": [new("1"), new("2")], "meta": {}}, {"meta": {"result_count": 0}}, {"data": [new("3")]}]
    )
    assert ([event["id"] for event in found.events], found.skipped) == (["1", "2", "3"], ["a response without posts"])


def test_a_new_repost_and_a_flat_one() -> None:
    post = new(text="RT @bob: cut o…", referenced_tweets=[{"type": "retweeted", "id": "1"}])
    event = one(FORMAT, json.dumps({"data": [post], "includes": includes()}))
    assert (event["kind"], event["target"], event["target_account"], "text" in event) == ("repost", "1", "34", False)
    post["referenced_tweets"][0]["author_id"] = "56"
    assert one(FORMAT, post)["target_account"] == "56"


def test_a_reply_a_long_post_and_links() -> None:
    long = {
        "text": "much longer",
        "entities": {
            "urls": [{"url": "https://t.co/1", "unwound_url": "https://a.example/"}],
            "hashtags": [{"tag": "tea"}],
            "mentions": [{"id": "34"}],
        },
    }
    event = one(
        FORMAT,
        new(
            note_tweet=long,
            in_reply_to_user_id="34",
            referenced_tweets=[{"type": "quoted", "id": "7"}, {"type": "replied_to", "id": "1"}],
        ),
    )
    assert (event["kind"], event["target"], event["target_account"]) == ("reply", "1", "34")
    assert (event["text"], event["urls"], event["hashtags"], event["mentions"]) == (
        "much longer",
        ["https://a.example/"],
        ["tea"],
        ["34"],
    )


def test_an_edit_keeps_the_first_id() -> None:
    assert one(FORMAT, new("9", edit_history_tweet_ids=["8", "9"]))["id"] == "8"


def test_a_time_that_was_not_asked_for_is_in_the_id_and_an_author_is_not() -> None:
    event = one(FORMAT, new(created_at=None))
    assert event["at"] == snowflake("1552685222371663872")
    assert abs(event["at"] - WHEN) < 3_600_000
    assert read(FORMAT, [new(author_id=None)]).problems == [
        ("author_id", "is missing: ask the API for it, with tweet.fields=author_id,created_at")
    ]
    assert read(FORMAT, [new("20", created_at=None)]).problems[0][0] == "created_at"


ARCHIVE = "window.YTD.tweets.part0 = " + json.dumps(
    [
        {
            "tweet": {
                "id_str": "5",
                "full_text": "RT @bob: hi",
                "created_at": "Thu Jul 28 16:10:07 +0000 2022",
                "entities": {"user_mentions": [{"id_str": "34", "screen_name": "Bob"}]},
            }
        },
        {"tweet": {"id_str": "6", "full_text": "hello", "created_at": "Thu Jul 28 16:10:08 +0000 2022"}},
    ],
    indent=1,
)


def records(path: Path, form: str = "x") -> list[dict[str, Any]]:
    with RecordingFiles([path], format_name=form) as inputs:
        return [json.loads(record.value) for record in inputs]


def test_an_archive_is_that_of_the_account_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "tweets.js"
    path.write_text(ARCHIVE)
    with pytest.raises(UsageError, match=r"put account\.js beside it, or name the account"):
        records(path)
    assert {event["account"] for event in records(path, "x:account=12")} == {"12"}
    (tmp_path / "account.js").write_text('window.YTD.account.part0 = [{"account": {"accountId": "77"}}]')
    first, second = records(path, "auto")
    assert (first["kind"], first["target_account"], first["account"]) == ("repost", "34", "77")
    assert (second["kind"], second["text"]) == ("post", "hello")


def test_options_that_it_has_not(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the one option is account=ID"):
        records(tmp_path / "none", "x:owner=1")
    with pytest.raises(UsageError, match="takes no options"):
        records(tmp_path / "none", "reddit:a=b")


@pytest.mark.parametrize("data", [old(), new(), {"data": [new()]}, {"data": new()}])
def test_it_is_recognised(data: dict[str, Any]) -> None:
    assert FORMAT.recognises(json.dumps(data).encode())
    assert FORMAT.recognises(b"[" + json.dumps(data).encode() + b"]") or "data" in data
