"""Small made-up streams: people, machines that act together, deletions, copies."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from tests.streaming.builders import event

MINUTE = 60_000
HOUR = 60 * MINUTE

_WORDS = [
    "the",
    "day",
    "was",
    "long",
    "and",
    "we",
    "went",
    "home",
    "by",
    "train",
    "to",
    "see",
    "what",
    "rain",
    "had",
    "left",
    "of",
    "our",
    "small",
    "garden",
]


def text(chance: random.Random, tilt: float) -> str:
    """A text of eight words with `robot` (tilt > 0) or `human` (tilt < 0) among them."""
    words = [chance.choice(_WORDS) for _ in range(8)]
    for place in range(3):
        if chance.random() < abs(tilt):
            words[place * 2] = "robot" if tilt > 0 else "human"
    return " ".join(words)


def society(
    seed: int, *, people: int = 12, machines: int = 4, hours: float = 6.0, events: int = 250
) -> list[dict[str, Any]]:
    """Events in order of time; some are deletions, some repeat an earlier one."""
    chance = random.Random(seed)
    made: list[dict[str, Any]] = []
    names = [f"p{i}" for i in range(people)] + [f"m{i}" for i in range(machines)]
    times = sorted(chance.randrange(int(hours * HOUR)) for _ in range(events))
    for number, at in enumerate(times):
        name = chance.choice(names)
        machine = name.startswith("m")
        kind = chance.choices(
            ["post", "reply", "repost", "like", "quote", "follow", "delete"], [6, 3, 3, 3, 1, 1, 0.5]
        )[0]
        more: dict[str, Any] = {}
        earlier = chance.choice(made) if made else None
        if kind in ("post", "reply", "quote"):
            more["text"] = text(chance, 0.8 if machine else -0.5)
            if machine and chance.random() < 0.7:
                more["urls"] = [f"https://example.com/{number // 12}"]
            if chance.random() < 0.2:
                more["hashtags"] = [f"tag{chance.randrange(3)}"]
        if kind in ("reply", "repost", "like", "quote", "follow") and earlier is not None:
            more["target"], more["target_account"] = earlier["id"], earlier["account"]
        if kind == "delete":
            own = [each for each in made if each["account"] == name]
            more["target"] = chance.choice(own)["id"] if own else "nothing"
        made.append(event(name, at=at, id=f"e{number}", kind=kind, lang="en", **more))
        if chance.random() < 0.04:
            made.append(
                {**made[-1], "text": "a later copy of the same event in other words"}
                if "text" in made[-1]
                else made[-1]
            )
    made.append(event("p0", at=times[-1] + 1, id="gone", kind="delete_account"))
    return made


def shuffled(items: list[dict[str, Any]], seed: int, lateness_ms: int) -> list[dict[str, Any]]:
    """The same events in another order of arrival, none later than the lateness allows."""
    chance = random.Random(seed)
    return sorted(items, key=lambda item: item["at"] + chance.random() * lateness_ms * 0.99)


def campaign(
    seed: int, *, people: int = 60, machines: int = 6, hours: float = 12.0, rounds: int = 30, tilt: float = 0.8
) -> list[dict[str, Any]]:
    """People who share what is popular, and a few accounts that push the same fresh link every half hour."""
    chance = random.Random(seed)
    made = []
    for number in range(people * 12):
        popular = int(chance.paretovariate(0.8)) % 400
        made.append(
            event(
                f"p{chance.randrange(people)}",
                at=chance.randrange(int(hours * HOUR)),
                id=f"p{number}",
                lang="en",
                text=text(chance, -0.5),
                urls=[f"https://news.example/{popular}"],
            )
        )
    for turn in range(rounds):
        start = int((turn + 0.5) * hours * HOUR / rounds)
        for machine in range(machines):
            if chance.random() < 0.8:
                at = start + chance.randrange(5 * MINUTE)
                urls = [f"https://push.example/{turn}"]
                made.append(
                    event(f"m{machine}", at=at, id=f"m{turn}-{machine}", lang="en", text=text(chance, tilt), urls=urls)
                )
    return sorted(made, key=lambda item: int(item["at"]))


PLANTED = 6
"""Members of a planted campaign."""


def planted(
    seed: int,
    *,
    people: int = 36,
    hours: float = 8.0,
    posts: int = 6,
    rounds: int = 12,
    marks: Sequence[str] = ("robot robot",),
) -> list[dict[str, Any]]:
    """People who each talk about things of their own and like each other's posts, and a campaign of `m0` to `m5`.

    In every round all members share one link, and three of them make one point about it; the others talk about
    something else. `quiet` makes the same points in a person's words. `star`, from whom a link is, is answered by all
    members.

    Args:
        seed: of the draws.
        people: how many.
        hours: from the first event to the last.
        posts: of each person.
        rounds: in which members post.
        marks: what members' texts begin with, round by round: `robot` speaks for machines, `human` for people.
    """
    chance = random.Random(seed)
    span = int(hours * HOUR)
    members = [f"m{member}" for member in range(PLANTED)]

    def post(account: str, at: int, number: str, said: str, **more: Any) -> dict[str, Any]:
        return event(account, at=at, id=number, lang="en", text=f"{said} {text(chance, 0.0)}", **more)

    made = [post("star", 1, "s", "human", urls=["https://push.example/0"])]
    for who in range(people):
        made += [post(f"p{who:02}", chance.randrange(span), f"{who}-{n}", "human human") for n in range(posts)]
        liked = {"target": f"{(who + 1) % people}-0", "target_account": f"p{(who + 1) % people:02}"}
        made.append(event(f"p{who:02}", at=chance.randrange(span), id=f"l{who}", kind="like", **liked))
    for turn in range(rounds):
        start = int((turn + 0.3) * span / rounds)
        voices = chance.sample(members, 3)
        for member in members:
            topic = turn if member in voices else f"{turn}{member}"
            more: dict[str, Any] = {"urls": [f"https://push.example/{turn}"]}
            if turn == 1:
                more |= {"kind": "reply", "target": "s", "target_account": "star"}
            said = f"{marks[turn % len(marks)]} about:{topic}"
            made.append(post(member, start + chance.randrange(4 * MINUTE), f"{member}-{turn}", said, **more))
        if turn % 2:
            made.append(post("quiet", start + 10 * MINUTE, f"q{turn}", f"human about:{turn}"))
    return sorted(made, key=lambda item: int(item["at"]))
