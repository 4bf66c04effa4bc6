"""The demo's stream is made of the right people, in order, and coordinates as its verdict says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from simulation.content.given import planted
from simulation.demo.stream import Stream, make_stream
from streaming.schema.event import parse

pytest.importorskip("chitchat_dataset")


@pytest.fixture(scope="module")
def stream() -> Stream:
    return make_stream(1)


@pytest.fixture(scope="module")
def events(stream: Stream) -> list[dict[str, Any]]:
    return [json.loads(event.line) for event in stream.events]


def test_every_event_is_one_of_the_contract_and_in_order(stream: Stream) -> None:
    times = [parse(event.line, now_ms=2_000_000_000_000).at for event in stream.events]
    assert len(times) > 3000
    assert times == sorted(times) == [event.at_ms for event in stream.events]
    ids = {(event.account, parse(event.line, now_ms=2_000_000_000_000).id) for event in stream.events}
    assert len(ids) == len(stream.events)


def test_targets_exist_and_are_older(events: list[dict[str, Any]]) -> None:
    posts = {event["id"]: event for event in events if event["kind"] in ("post", "reply", "quote")}
    aimed = [event for event in events if "target" in event]
    assert len(aimed) > 1000
    for event in aimed:
        target = posts[event["target"]]
        assert target["account"] == event["target_account"] != event["account"]
        assert target["at"] <= event["at"]


def test_the_same_seed_gives_the_same_stream(stream: Stream) -> None:
    assert make_stream(1) == stream
    assert make_stream(2) != stream


def test_truth_covers_every_account(stream: Stream) -> None:
    assert {row["account"] for row in stream.truth} >= {event.account for event in stream.events}
    assert stream.machines() == {persona.account for persona in planted()}
    assert {name: len(members) for name, members in stream.campaigns().items()} == {
        "harrowmere": 8, "nocturra": 8, "kestrel": 8,
    }  # fmt: skip


def test_planted_accounts_say_only_what_was_written_for_them(stream: Stream, events: list[dict[str, Any]]) -> None:
    posts = {persona.account: persona.posts for persona in planted()}
    spoken = [event for event in events if event["account"] in posts and "text" in event]
    assert len(spoken) > 250
    for event in spoken:
        assert event["text"].split(" https://")[0].split(" #")[0] in posts[event["account"]]


def test_members_of_a_campaign_share_pages_and_lone_accounts_share_none_of_theirs(
    stream: Stream, events: list[dict[str, Any]]
) -> None:
    sharers: dict[str, set[str]] = {}
    for event in events:
        for page in event.get("urls", []):
            sharers.setdefault(page, set()).add(event["account"])
    lone = stream.machines().difference(*stream.campaigns().values())
    campaigns = list(stream.campaigns().values())
    assert len(campaigns) == 3
    for members in campaigns:
        own = [accounts for accounts in sharers.values() if len(accounts & members) >= 3]
        assert len(own) >= 3
        assert sum(len(accounts & members) for accounts in own) > 5 * sum(len(accounts & lone) for accounts in own)


def test_the_fan_club_acts_together_as_much_as_a_campaign(stream: Stream, events: list[dict[str, Any]]) -> None:
    club = stream.club()
    assert len(club) == 8
    assert not club & stream.machines()
    by_post: dict[str, set[str]] = {}
    for event in events:
        if event["kind"] == "repost":
            by_post.setdefault(event["target"], set()).add(event["account"])

    def together(accounts: set[str]) -> int:
        return sum(len(accounts & reposters) >= 3 for reposters in by_post.values())

    assert together(club) >= 5
    assert all(together(members) >= 5 for members in stream.campaigns().values())
