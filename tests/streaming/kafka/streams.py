"""Small streams of events for the Kafka tests, seeded."""

from __future__ import annotations

import random
from typing import Any, Final

START_MS: Final = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""

COPIED: Final = 15
"""Events behind the newest that an event may come again: half a minute, so that no copy is late anywhere."""

WORDS: Final = (
    *("the", "a", "my", "we", "they", "morning", "rain", "train", "coffee", "market", "election", "garden", "music"),
    *("nobody", "always", "perhaps", "why", "really", "think", "went", "saw", "bought", "lost", "late", "early"),
    *("with", "without", "about", "again", "never", "today", "yesterday", "city", "river", "friend", "game", "work"),
)


def stream(count: int, *, accounts: int = 20, seed: int = 0, step_ms: int = 2000) -> list[dict[str, Any]]:
    """Events `step_ms` apart in event time, by a few accounts, some of them twice."""
    rng = random.Random(seed)
    events: list[dict[str, Any]] = []
    for number in range(count):
        account = f"account{rng.randrange(accounts)}"
        events.append(
            {"id": str(number), "account": account, "at": START_MS + number * step_ms, "kind": "post", "text": "hello"}
        )
        if rng.random() < 0.02:
            again = events[rng.randrange(max(0, len(events) - 20), len(events))]
            if again["at"] > START_MS + (number - COPIED) * step_ms:  # a copy of a copy may be too old
                events.append(again)
    return events


def society(count: int, *, seed: int = 0, people: int = 25, crew: int = 6) -> list[dict[str, Any]]:
    """A day of people who chat, and of a crew that shares the same links within a minute of one another.

    There are replies, likes, deletions, an account that leaves, events that come twice, and records that are none.
    """
    rng = random.Random(seed)
    events: list[dict[str, Any]] = []
    while len(events) < count:
        at = START_MS + len(events) * 86_400_000 // count
        if rng.random() < 0.04:
            link = f"https://news{rng.randrange(4)}.example/{rng.randrange(10**6)}"
            for member in rng.sample(range(crew), crew - 1):
                when = at + rng.randrange(50_000)
                text = f"{_sentence(rng)} {link}"
                events.append(_event(events, f"crew{member}", when, "post", text=text))
            continue
        account = f"person{min(rng.randrange(people), rng.randrange(people))}"
        kind = rng.choices(["post", "reply", "like", "repost", "delete"], [60, 15, 15, 8, 2])[0]
        if kind == "post" or not events:
            events.append(_event(events, account, at, "post", text=_sentence(rng)))
        elif kind == "delete":
            own = [each["id"] for each in events if each["account"] == account]
            events.append(_event(events, account, at, "delete", target=rng.choice(own or ["none"])))
        else:
            other = rng.choice(events[-50:])
            said = {"text": _sentence(rng)} if kind == "reply" else {}
            events.append(
                _event(events, account, at, kind, target=other["id"], target_account=other["account"], **said)
            )
        if rng.random() < 0.02:
            events.append(dict(rng.choice(events[-10:])))
        if rng.random() < 0.01:
            events.append({"id": "", "account": account, "at": at, "kind": "post"})
    events.append(_event(events, "person3", START_MS + 86_400_000, "delete_account"))
    return sorted(events, key=lambda each: int(each["at"]))


def _sentence(rng: random.Random) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.randrange(3, 30)))


def _event(events: list[dict[str, Any]], account: str, at: int, kind: str, **more: str) -> dict[str, Any]:
    return {"id": f"e{len(events)}", "account": account, "at": at, "kind": kind, **more}


def shuffled(events: list[dict[str, Any]], within_ms: int, seed: int = 0) -> list[dict[str, Any]]:
    """The events as they would arrive with delays below `within_ms`."""
    rng = random.Random(seed)
    arrivals = [(event["at"] + rng.random() * within_ms, number) for number, event in enumerate(events)]
    return [events[number] for _, number in sorted(arrivals)]
