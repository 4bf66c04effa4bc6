"""The messages of real people keep their hours and answers, and are those of people kept for the demo alone."""

from __future__ import annotations

from typing import Any

import pytest

from detector.data_splits import pseudonym, split_of
from simulation.content import chitchat
from simulation.content.chitchat import DAY_MS, POPULATION, choose, known_people, people


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


def test_only_people_kept_for_the_demo_appear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chitchat, "LEAST_POSTS", 2)
    mine, other, trained = someone("demo"), someone("demo", 1), someone("train")
    talk = conversation("10:00", (mine, "one"), (trained, "two"), (other, "three"), (mine, "four"), (other, " "))
    messages = choose({"c": talk}, seed=0)
    assert {message.author for message in messages} == {mine}  # the other has one message only
    messages = choose({"c": talk, "d": conversation("12:00", (other, "five"), (trained, "six"))}, seed=0)
    assert {message.author for message in messages} == {mine, other}
    assert [m.text for m in messages if m.author == mine] == ["one", "four"]


def test_a_conversation_keeps_its_hour_and_its_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chitchat, "LEAST_POSTS", 1)
    mine, other = someone("demo"), someone("demo", 1)
    first, second, third = choose({"c": conversation("10:30", (mine, "a"), (other, "b"), (other, "c"))}, seed=3)
    assert first.at % DAY_MS == (10 * 60 + 30) * 60_000
    assert (second.at - first.at, third.at - first.at) == (1000, 2000)
    assert (first.answers, second.answers, third.answers) == (-1, 0, 0)


def test_a_talkative_person_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chitchat, "MOST_POSTS", 5)
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
