"""The demo's stream is made of the right people, in order, and does not give planted accounts away by accident."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

from detector.data_splits import pseudonym, split_of
from simulation.demo import script
from simulation.demo.script import (
    DAY_MS,
    POPULATION,
    SPAN_MS,
    Message,
    Post,
    Society,
    Stream,
    build,
    choose,
    known_people,
    people,
    planted,
)
from streaming.schema.event import parse


def conversation(start: str, *turns: tuple[str, str]) -> dict[str, Any]:
    """Turns a second apart from `start` (`HH:MM`)."""
    return {
        "messages": [
            [{"text": text, "timestamp": f"2018-05-02T{start}:{second:02}Z", "sender": sender}]
            for second, (sender, text) in enumerate(turns)
        ]
    }


def someone(role: str, number: int = 0) -> str:
    names = (f"person-{i}" for i in range(1000))
    return [name for name in names if split_of(POPULATION, name) == role][number]


@pytest.fixture(scope="module")
def stream() -> Stream:
    rng = np.random.default_rng(5)
    times = np.sort(rng.integers(SPAN_MS, size=900))
    messages = [Message(int(at), f"p{i % 40}", "what a day it was at the lake") for i, at in enumerate(times)]
    return build(messages, planted(), seed=1)


def test_only_people_kept_for_the_demo_appear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "LEAST_POSTS", 2)
    mine, other, trained = someone("demo"), someone("demo", 1), someone("train")
    talk = conversation("10:00", (mine, "one"), (trained, "two"), (other, "three"), (mine, "four"), (other, " "))
    messages = choose({"c": talk}, seed=0)
    assert {message.author for message in messages} == {mine}  # the other has one message only
    messages = choose({"c": talk, "d": conversation("12:00", (other, "five"), (trained, "six"))}, seed=0)
    assert {message.author for message in messages} == {mine, other}
    assert [m.text for m in messages if m.author == mine] == ["one", "four"]


def test_a_conversation_keeps_its_hour_and_its_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "LEAST_POSTS", 1)
    mine, other = someone("demo"), someone("demo", 1)
    first, second, third = choose({"c": conversation("10:30", (mine, "a"), (other, "b"), (other, "c"))}, seed=3)
    assert first.at % DAY_MS == (10 * 60 + 30) * 60_000
    assert (second.at - first.at, third.at - first.at) == (1000, 2000)
    assert (first.answers, second.answers, third.answers) == (-1, 0, 0)


def test_a_talkative_person_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "MOST_POSTS", 5)
    mine = someone("demo")
    talk = conversation("08:00", *((mine, f"message {i}") for i in range(30)))
    assert len(choose({"c": talk}, seed=0)) == 5


def test_the_real_people_are_there() -> None:
    pytest.importorskip("chitchat_dataset")
    messages = people(0)
    authors = {message.author for message in messages}
    assert len(authors) > 60
    assert all(split_of(POPULATION, author) == "demo" and pseudonym(author) not in known_people() for author in authors)
    assert all(message.answers < place for place, message in enumerate(messages))


def test_the_planted_accounts_are_as_many_as_said() -> None:
    personas = planted()
    campaigns = Counter(persona.campaign for persona in personas if persona.campaign)
    assert len(campaigns) >= 3
    assert min(campaigns.values()) >= 8
    assert all(len(persona.posts) >= 12 for persona in personas)
    lone = [persona for persona in personas if persona.campaign is None]
    assert len(lone) >= 6
    assert all(len(persona.posts) >= 15 for persona in lone)
    texts = [text for persona in personas for text in persona.posts]
    assert len(set(texts)) == len(texts)
    assert len({persona.account for persona in personas}) == len(personas)


def test_every_event_is_one_of_the_contract_and_in_order(stream: Stream) -> None:
    times = []
    for event in stream.events:
        parsed = parse(json.dumps(event).encode(), now_ms=2_000_000_000_000)
        times.append(parsed.at)
    assert times == sorted(times)
    assert len({(event["account"], event["id"]) for event in stream.events}) == len(stream.events)


def test_targets_exist_and_are_older(stream: Stream) -> None:
    posts = {event["id"]: event for event in stream.events if event["kind"] in ("post", "reply")}
    for event in stream.events:
        if "target" in event:
            target = posts[event["target"]]
            assert target["account"] == event["target_account"] != event["account"]
            assert target["at"] <= event["at"]


def test_the_same_seed_gives_the_same_stream(stream: Stream) -> None:
    messages = [Message(at * 60_000, f"p{at % 9}", "the same words every time") for at in range(500)]
    assert build(messages, planted(), 7) == build(messages, planted(), 7)
    assert build(messages, planted(), 7) != build(messages, planted(), 8)


def test_truth_covers_every_account(stream: Stream) -> None:
    assert {row["account"] for row in stream.truth} >= {event["account"] for event in stream.events}
    assert len(stream.machines()) == len(planted())
    assert {len(members) for members in stream.campaigns().values()} == {8}


def test_members_of_a_campaign_touch_the_same_things_and_lone_accounts_do_not(stream: Stream) -> None:
    campaigns = stream.campaigns()
    sharers: dict[str, set[str]] = {}
    for event in stream.events:
        for word in event.get("text", "").split():
            if "-voices.example" in word:
                sharers.setdefault(word, set()).add(event["account"])
    assert len(sharers) == 12
    for page, accounts in sharers.items():
        assert accounts <= campaigns[page.removeprefix("https://").split("-voices")[0]]
        assert len(accounts) >= 3


def test_the_fan_club_acts_together_as_much_as_a_campaign(stream: Stream) -> None:
    club = stream.club()
    assert len(club) == 8
    assert not club & stream.machines()
    by_post: dict[str, set[str]] = {}
    for event in stream.events:
        if event["kind"] == "repost":
            by_post.setdefault(event["target"], set()).add(event["account"])

    def together(accounts: set[str]) -> int:
        return sum(len(accounts & reposters) >= 3 for reposters in by_post.values())

    assert together(club) >= 5
    assert all(together(members) >= 5 for members in stream.campaigns().values())


def test_nobody_notices_a_post_of_their_own_or_of_the_future_and_each_thing_once() -> None:
    posts = [Post(at * 60_000, at % 30, f"p{at}") for at in range(2000)]
    done = Society(30, SPAN_MS, np.random.default_rng(0)).interactions(posts)
    assert all(interaction.account != interaction.post.account for interaction in done)
    assert all(interaction.post.at <= interaction.at for interaction in done)
    likes = [(one.account, one.post.id) for one in done if one.kind == "like"]
    assert len(set(likes)) == len(likes) > 100


def test_attention_has_a_heavy_tail() -> None:
    posts = [Post(at * 60_000, at % 60, f"p{at}") for at in range(2500)]
    done = Society(60, SPAN_MS, np.random.default_rng(1)).interactions(posts)
    got = sorted(Counter(interaction.post.account for interaction in done).values(), reverse=True)
    assert sum(got[:6]) > 0.2 * sum(got)
