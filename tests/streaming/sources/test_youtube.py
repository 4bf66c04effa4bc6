"""YouTube: comments of the Data API and of two programs that read pages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streaming.sources.youtube import FORMAT
from tests.streaming.builders import T0
from tests.streaming.sources.formats import one, read


def api(number: str = "Ug1", **more: Any) -> dict[str, Any]:
    snippet = {
        "authorChannelId": {"value": "UCann"},
        "authorDisplayName": "@ann",
        "textOriginal": "So good",
        "textDisplay": "<b>So good</b>",
        "publishedAt": "2026-01-01T00:00:00Z",
        "videoId": "v1",
        **more,
    }
    return {"kind": "youtube#comment", "id": number, "snippet": snippet}


def test_threads_of_the_api_and_their_answers() -> None:
    thread = {
        "kind": "youtube#commentThread",
        "id": "Ug1",
        "snippet": {"videoId": "v1", "topLevelComment": api()},
        "replies": {"comments": [api("Ug1.a", parentId="Ug1")]},
    }
    page = {"kind": "youtube#commentThreadListResponse", "items": [thread]}
    for data in (page, json.dumps(page)):
        first, second = read(FORMAT, data).events
        assert first == {
            "id": "Ug1",
            "account": "UCann",
            "at": T0,
            "kind": "reply",
            "text": "So good",
            "target": "v1",
            "profile": {"name": "@ann"},
        }
        assert (second["id"], second["target"]) == ("Ug1.a", "Ug1")
    assert FORMAT.recognises(json.dumps(page, indent=2).encode())
    assert one(FORMAT, api(textOriginal=None))["text"] == "So good"


@pytest.mark.parametrize(
    ("said", "days"),
    [("2 months ago", 31), ("1 year ago (edited)", 366), ("3 weeks ago", 7), ("5 days ago", 1), ("gestern", 366)],
)
def test_times_that_a_program_reckoned_say_how_roughly_they_are_known(said: str, days: int) -> None:
    comment = {
        "cid": "Ug1.b",
        "text": "So good",
        "time": said,
        "author": "@ann",
        "channel": "UCann",
        "time_parsed": T0 / 1000,
    }
    event = one(FORMAT, comment)
    assert (event["at"], event["at_precision_s"]) == (T0, days * 86_400)
    assert (event["kind"], event["target"]) == ("reply", "Ug1")


def test_comments_in_the_file_of_a_video() -> None:
    top = {
        "id": "Ug1",
        "text": "So good",
        "author_id": "UCann",
        "author": "@ann",
        "parent": "root",
        "timestamp": T0 // 1000,
        "_time_text": "3 hours ago",
    }
    info = {"id": "v1", "title": "x", "comments": [top, {**top, "id": "Ug1.a", "parent": "Ug1"}]}
    assert FORMAT.recognises(json.dumps(info).encode())
    first, second = read(FORMAT, json.dumps(info)).events
    assert (first["target"], first["at_precision_s"], second["target"]) == ("v1", 3600, "Ug1")


def test_what_is_missing_is_named() -> None:
    found = read(FORMAT, [{"kind": "youtube#commentThread"}, api(authorChannelId=None), {"kind": "youtube#video"}])
    assert [field for field, _ in found.problems] == ["snippet.topLevelComment", "snippet.authorChannelId.value"]
    assert found.skipped == ["another resource of the API"]
