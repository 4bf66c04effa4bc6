"""People's messages from the package `chitchat-dataset` (MIT), as posts with their own times of day and answers.

Only people whom `detector.data_splits` keeps for the demo are taken, of these only such as no shipped model has read a
message of. Each conversation is moved as a whole, by whole days, to one of the days of the simulated stream, so that
hours of the day, sessions and answers stay real.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from importlib import resources
from typing import Any, Final

import msgspec
import numpy as np

from detector.data_splits import pseudonym, split_of
from detector.errors import UsageError
from detector.times import parse_time

POPULATION: Final = "chitchat"
"""The name under which `detector.data_splits` splits these people."""

LEAST_POSTS: Final = 12
"""Messages a person must have sent, so that there is something to be wrong about."""

MOST_POSTS: Final = 60
"""Messages taken of one person: the most talkative sent 23,661, and one person is one person."""

MOST_PEOPLE: Final = 120
"""People taken; together with the planted accounts a stream that plays in under a minute."""

DAY_MS: Final = 86_400_000

STREAM_DAYS: Final = 2

SPAN_MS: Final = STREAM_DAYS * DAY_MS


class Message(msgspec.Struct, frozen=True):
    """One message of a person: ms since the stream's first midnight, and which message of whom it answers, if any."""

    at: int
    author: str
    text: str
    answers: int = -1
    """Index, in the list of all messages, of the other person's message before it in its conversation; -1: none."""


def known_people() -> frozenset[str]:
    """Pseudonyms of people kept for the demo whose messages the shipped text model has read all the same.

    They are in two of the sets that it was trained on (`training/known_people.py` makes the list).
    """
    file = resources.files("simulation.content").joinpath("known_people.json")
    return frozenset(msgspec.json.decode(file.read_bytes(), type=list[str]))


def people(seed: int) -> list[Message]:
    """Messages of people kept for the demo, in order of time, each conversation at its real time of day.

    Raises:
        UsageError: `chitchat-dataset` is not installed.
    """
    try:
        from chitchat_dataset import Dataset
    except ImportError:
        raise UsageError(
            "the demo's people come from the package chitchat-dataset, which is not installed: "
            "pip install 'swarmlight[demo]', or run `make setup`"
        ) from None
    return choose(Dataset(), seed, known_people())


def choose(conversations: Mapping[str, Any], seed: int, known: Collection[str] = ()) -> list[Message]:
    """`people` on a given data set.

    Args:
        conversations: by id, each with `messages`, lists of turns of utterances.
        seed: decides which conversations are taken first and the day of each.
        known: pseudonyms of people to leave out.

    Returns:
        Messages in order of time.
    """
    counts: dict[str, int] = defaultdict(int)
    for _, author, text in _utterances(conversations.values()):
        counts[author] += bool(text)
    kept = sorted(
        author
        for author, count in counts.items()
        if count >= LEAST_POSTS and split_of(POPULATION, author) == "demo" and pseudonym(author) not in known
    )
    rng = np.random.default_rng(seed)
    order = sorted(conversations)
    left = {kept[i]: MOST_POSTS for i in rng.permutation(len(kept))[:MOST_PEOPLE]}
    messages: list[Message] = []
    for i in rng.permutation(len(order)):
        messages += _moved(conversations[order[i]], left, int(rng.integers(STREAM_DAYS)), len(messages))
    return _by_time(messages)


def _moved(conversation: Any, left: dict[str, int], day: int, base: int) -> list[Message]:
    """The part of a conversation that is wanted, on its new day; `answers` counts from `base`."""
    moved: list[Message] = []
    start: int | None = None
    last: dict[str, int] = {}
    for at, author, text in _utterances([conversation]):
        start = at if start is None else start
        time = day * DAY_MS + start % DAY_MS + (at - start)
        if not text or left.get(author, 0) <= 0 or not 0 <= time < SPAN_MS:
            continue
        left[author] -= 1
        others = [index for other, index in last.items() if other != author]
        last[author] = base + len(moved)
        moved.append(Message(time, author, text, max(others, default=-1)))
    return moved


def _by_time(messages: Sequence[Message]) -> list[Message]:
    """In order of time, with `answers` following; an answer never comes before what it answers."""
    order = sorted(range(len(messages)), key=lambda i: (messages[i].at, messages[i].author, i))
    place = {old: new for new, old in enumerate(order)}
    return [
        msgspec.structs.replace(
            messages[old], answers=place[messages[old].answers] if messages[old].answers >= 0 else -1
        )
        for old in order
    ]


def _utterances(conversations: Iterable[Any]) -> Iterator[tuple[int, str, str]]:
    """(ms since 1970, author, text) of every utterance, in the data set's order."""
    for conversation in conversations:
        for turn in conversation["messages"]:
            for utterance in turn:
                at = parse_time(utterance["timestamp"])
                if at is not None:
                    yield at, utterance["sender"], " ".join(utterance["text"].split())
