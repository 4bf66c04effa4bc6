"""Reddit: dumps of Pushshift and Arctic Shift, and Reddit's own listings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from streaming.sources.files import RecordingFiles
from streaming.sources.reddit import FORMAT
from tests.streaming.sources.formats import one, read

WHEN = 1_420_070_400


def comment(**more: Any) -> dict[str, Any]:
    return {
        "id": "cna",
        "author": "ann",
        "created_utc": WHEN,
        "body": "R&amp;B &gt; soul",
        "parent_id": "t3_2qy",
        "link_id": "t3_2qy",
        "subreddit": "music",
        "score": 3,
        **more,
    }


def submission(**more: Any) -> dict[str, Any]:
    return {
        "id": "2qy",
        "author": "bob",
        "created_utc": WHEN,
        "title": "Best of",
        "selftext": "the year",
        "is_self": True,
        "url": "https://www.reddit.com/r/music/2qy",
        "subreddit": "music",
        **more,
    }


def test_a_comment_and_a_submission() -> None:
    assert one(FORMAT, comment()) == {
        "id": "t1_cna",
        "account": "ann",
        "at": WHEN * 1000,
        "kind": "reply",
        "text": "R&B > soul",
        "target": "t3_2qy",
    }
    assert one(FORMAT, submission()) == {
        "id": "t3_2qy",
        "account": "bob",
        "at": WHEN * 1000,
        "kind": "post",
        "text": "Best of\n\nthe year",
    }


@pytest.mark.parametrize("said", [WHEN, float(WHEN), str(WHEN), f"{WHEN}.0"])
def test_seconds_are_written_in_four_ways(said: Any) -> None:
    assert one(FORMAT, comment(created_utc=said))["at"] == WHEN * 1000


@pytest.mark.parametrize("said", [None, "yesterday", float("inf"), [], True, -5])
def test_what_is_no_time_is_dead(said: Any) -> None:
    found = read(
        FORMAT, [comment(created_utc=said)] if said != float("inf") else json.dumps(comment(created_utc=1e300))
    )
    assert found.problems == [("created_utc", "is missing, or no time as this format writes them")]


def test_deleted_accounts_are_not_one_account_and_removed_texts_are_none() -> None:
    found = read(FORMAT, [comment(author="[deleted]"), comment(body="[removed]"), submission(selftext="[deleted]")])
    assert found.skipped == ["of a deleted account"]
    first, second = found.events
    assert "text" not in first
    assert second["text"] == "Best of"


def test_links_and_crossposts() -> None:
    event = one(FORMAT, submission(is_self=False, url="https://a.example/?a=1&amp;b=2", selftext=""))
    assert event["urls"] == ["https://a.example/?a=1&b=2"]
    event = one(FORMAT, submission(crosspost_parent="t3_x", crosspost_parent_list=[{"author": "zoe"}]))
    assert (event["kind"], event["target"], event["target_account"]) == ("quote", "t3_x", "zoe")


def test_listings_and_pages() -> None:
    listing = {
        "kind": "Listing",
        "data": {
            "children": [
                {"kind": "t1", "data": comment()},
                {"kind": "more", "data": {}},
                {"kind": "t3", "data": submission()},
            ]
        },
    }
    found = read(FORMAT, listing)
    assert ([event["id"] for event in found.events], found.skipped) == (
        ["t1_cna", "t3_2qy"],
        ["another thing of a listing"],
    )
    assert len(read(FORMAT, json.dumps({"data": [comment(), submission()]})).events) == 2
    assert FORMAT.recognises(json.dumps(listing, indent=2).encode())


@pytest.mark.parametrize("order", [1, -1])
def test_a_dump_with_a_long_window_finds_whom_a_comment_answers_in_any_order(tmp_path: Path, order: int) -> None:
    dump = [
        submission(),
        comment(created_utc=WHEN + 5),
        comment(id="cnb", parent_id="t1_cna", created_utc=WHEN + 9),
        comment(id="cnc", parent_id="t1_other", created_utc=WHEN + 10),
    ]
    path = tmp_path / "RC_2015-01.zst"
    parameters = zstandard.ZstdCompressionParameters(window_log=31, compression_level=1)
    body = "".join(json.dumps(each) + "\n" for each in dump[::order]).encode()
    path.write_bytes(zstandard.ZstdCompressor(compression_params=parameters).compress(body))
    with RecordingFiles([path], format_name="auto") as inputs:
        events = [json.loads(record.value) for record in inputs.by_time()]
    assert [event.get("target_account") for event in events] == [None, "bob", "ann", None]
