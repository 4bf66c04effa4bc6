"""Who was read by a model is found by author and by text, and only among those kept for the demo."""

from __future__ import annotations

from typing import Any

from detector.data_splits import pseudonym, split_of
from simulation.content.chitchat import choose, known_people
from training.known_people import known_people as find

DEMO = [name for name in (f"person-{i}" for i in range(100)) if split_of("chitchat", name) == "demo"]
TRAIN = next(name for name in (f"person-{i}" for i in range(100)) if split_of("chitchat", name) == "train")


def talk(*said: tuple[str, str]) -> dict[str, Any]:
    return {
        "c": {"messages": [[{"text": text, "sender": who, "timestamp": "2018-05-02T10:00:00Z"}] for who, text in said]}
    }


def test_people_are_known_by_name_or_by_a_text_of_their_own() -> None:
    one, two, three, four = DEMO[:4]
    conversations = talk(
        (one, "I have never been to the seaside"),
        (two, "my brother keeps bees on the roof"),
        (three, "how are you doing today"),
        (four, "how are you doing today"),
        (TRAIN, "how are you doing today"),
    )
    texts = ["My brother keeps bees on the roof", "how are you doing today", "hello"]
    assert find(texts, [one, "nobody"], conversations) == {one, two}
    assert find(["anything else at all"], [TRAIN], conversations) == set()


def test_the_demo_leaves_them_out() -> None:
    one, two = DEMO[:2]
    conversations = talk(*((who, f"message number {i}") for i in range(20) for who in (one, two)))
    messages = choose(conversations, 0, {pseudonym(one)})
    assert {message.author for message in messages} == {two}


def test_the_shipped_list_has_pseudonyms_and_nothing_else() -> None:
    known = known_people()
    assert len(known) > 50
    assert all(len(name) == 12 and set(name) <= set("0123456789abcdef") for name in known)
