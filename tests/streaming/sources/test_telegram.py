"""Telegram: exports of Telegram Desktop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streaming.sources import documents
from streaming.sources.files import RecordingFiles
from streaming.sources.telegram import FORMAT
from tests.streaming.builders import T0
from tests.streaming.sources.formats import Read, read

SECONDS = T0 // 1000


def message(number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "type": "message",
        "date": "2026-01-01T03:00:00",
        "date_unixtime": str(SECONDS + number),
        "from": "Ann",
        "from_id": "user12",
        "text": "Good morning",
        "text_entities": [],
        **more,
    }


def chat(*messages: dict[str, Any], number: int = 900, kind: str = "public_supergroup") -> dict[str, Any]:
    return {"name": "Town", "type": kind, "id": number, "messages": list(messages)}


def test_a_message_is_named_with_its_chat() -> None:
    (event,) = read(FORMAT, chat(message())).events
    assert event == {
        "id": "900/1",
        "account": "user12",
        "at": T0 + 1000,
        "kind": "post",
        "text": "Good morning",
        "urls": [],
        "mentions": [],
        "hashtags": [],
        "profile": {"name": "Ann"},
    }


def test_a_text_is_a_list_of_entities() -> None:
    entities = [
        {"type": "plain", "text": "see "},
        {"type": "text_link", "text": "this", "href": "https://a.example/x"},
        {"type": "link", "text": "b.example/y"},
        {"type": "hashtag", "text": "#tea"},
        {"type": "mention", "text": "@bob"},
        {"type": "mention_name", "text": "Zoe", "user_id": 34},
    ]
    pieces: list[Any] = ["see ", *entities[1:]]
    variants: list[dict[str, Any]] = [{"text": pieces}, {"text": pieces, "text_entities": entities}]
    for number in range(2):
        more = variants[number]
        (event,) = read(FORMAT, chat(message(**{"text_entities": None, **more}))).events
        assert event["text"] == "see thisb.example/y#tea@bobZoe"
        assert event["urls"] == ["https://a.example/x", "https://b.example/y"]
        assert (event["hashtags"], event["mentions"]) == (["#tea"], ["@bob", "user34"])


def test_a_time_without_zone_is_no_evidence_of_timing() -> None:
    (event,) = read(FORMAT, chat(message(date_unixtime=None))).events
    assert (event["at"], event["at_precision_s"]) == (T0 + 3 * 3_600_000, 86_400)


def test_what_is_not_said_by_its_sender_or_not_to_everybody() -> None:
    found = read(
        FORMAT,
        chat(
            message(forwarded_from="News", from_id="channel5"),
            {"id": 2, "type": "service", "date": "x"},
            message(3, from_id=None),
        ),
    )
    assert found.events[0]["kind"] == "repost"
    assert found.skipped == ["a notice of a chat", "a message without sender"]
    assert read(FORMAT, chat(message(), kind="personal_chat")).skipped == ["a message between two"]


def whole() -> dict[str, Any]:
    first = chat(message(1), message(2, from_id="user34", reply_to_message_id=1))
    return {"about": "x", "chats": {"about": "y", "list": [first, chat(message(1), number=901)]}}


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("indent", [None, 1])
def test_equal_numbers_of_two_chats_are_two_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, long: bool, indent: int | None
) -> None:
    if long:  # read element by element, as an export of gigabytes is
        monkeypatch.setattr(documents, "DOCUMENT_BYTES", 10)
    path = tmp_path / "result.json"
    path.write_text(json.dumps(whole(), indent=indent))
    with RecordingFiles([path], format_name="telegram") as inputs:
        events = [json.loads(record.value) for record in inputs.by_time()]
    assert [event["id"] for event in events] == ["900/1", "901/1", "900/2"]
    assert (events[2]["target"], events[2]["target_account"]) == ("900/1", "user12")


def test_an_export_cut_short_gives_what_is_whole_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    body = json.dumps(chat(message(1), message(2), message(3)), indent=1)
    path.write_text(body[: body.index('"id": 3')])
    with RecordingFiles([path], format_name="telegram", keep_readable=True) as inputs:
        assert len(list(inputs)) == 2
    assert "beyond line 2: the data ends too early" in inputs.failures[0]


def test_it_is_recognised_and_a_message_alone_is_dead() -> None:
    assert FORMAT.recognises(json.dumps(chat(message()), indent=1).encode())
    assert FORMAT.recognises(json.dumps(whole()).encode()[:500])
    assert read(FORMAT, [message()]) == Read(
        [], [], [("id", "is that of a message in a chat, and the chat is not said: give the export as it is")]
    )
