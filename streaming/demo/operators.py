"""What makes accounts of the demo act together: operators who give their accounts orders, and a fan club of people.

The club is there because coordination is not automation: its members are people, act together as much as a campaign's
accounts do, and must not be called machines.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import numpy as np

from streaming.demo.cast import SPAN_MS, Persona
from streaming.demo.society import Society

HOUR_MS: Final = 3_600_000

ROUND_HOURS: Final = (0.5, 2.0, 3.5, 15.0, 16.75, 18.5, 20.25, 22.0, 25.0, 27.0, 39.0, 41.0)
"""When an operator has its accounts act, in hours of the stream: at the hours at which the people here are awake."""

ROUND_MS: Final = 75 * 60_000
"""How long the accounts of a campaign take over one round, so that they do not all act in one minute."""

TAKES_PART: Final = 0.85
"""Chance that an account follows a round; otherwise its post goes out on its own, hours later."""

LIFTS: Final = 0.8
"""Chance that an account reposts the round's first post where the round is about lifting it."""

AMPLIFIES: Final = 0.2
"""The same chance in other rounds."""

RUNS_ERRANDS: Final = 0.6
"""Chance that an account reposts what the operator wants lifted."""

CHEERS: Final = 0.75
"""Chance that a fan reposts a piece of news."""

CLUB: Final = 8
"""Members of the fan club: as many as a campaign has accounts."""

CLUB_PAUSE_MS: Final = 2 * HOUR_MS
"""Between two pieces of news, at the hours at which somebody is awake to post them."""


PROMINENT_WORDS: Final = 6
"""A post that others take up says something."""


class Draft(msgspec.Struct):
    """A post on its way to becoming an event. Times are ms since the stream's beginning."""

    at: int
    account: int
    text: str
    link: str | None = None
    answers: Draft | None = None
    id: str = ""


class Orders(msgspec.Struct):
    """What was done on orders: posts, and reposts as (time, account, post)."""

    posts: list[Draft]
    reposts: list[tuple[int, int, Draft]]


def operate(
    personas: Sequence[Persona], rows: Sequence[int], people: list[Draft], society: Society, rng: np.random.Generator
) -> Orders:
    """Everything that planted accounts do; `rows` are the accounts of `personas`."""
    done = Orders([], [])
    campaigns = sorted({persona.campaign for persona in personas if persona.campaign})
    for account, persona in zip(rows, personas, strict=True):
        if persona.campaign is None:
            done.posts += _own_posts(persona.posts, account, people, society, rng)
    for campaign in campaigns:
        members = [(row, one) for row, one in zip(rows, personas, strict=True) if one.campaign == campaign]
        shift = int(rng.uniform(-HOUR_MS / 2, HOUR_MS / 2))
        for number in range(len(members[0][1].posts)):
            start = max(0, int(ROUND_HOURS[number % len(ROUND_HOURS)] * HOUR_MS) + shift)
            _round(done, campaign, number, start, [(row, one.posts[number]) for row, one in members], people, rng)
    return done


def cheer(people: list[Draft], accounts: int, rng: np.random.Generator) -> tuple[set[int], Orders]:
    """The fan club: who is in it, and their reposts of what concerns it, whoever says it. Their posts are their own."""
    club = {int(row) for row in rng.permutation(accounts)[:CLUB]}
    done = Orders([], [])
    last = -CLUB_PAUSE_MS
    for news in people:
        if news.at >= last + CLUB_PAUSE_MS and len(news.text.split()) >= PROMINENT_WORDS:
            last = news.at
            fans = [fan for fan in sorted(club) if fan != news.account and rng.random() < CHEERS]
            done.reposts += [(_within(news.at, rng), fan, news) for fan in fans]
    return club, done


def _round(
    done: Orders,
    campaign: str,
    number: int,
    start: int,
    posts: Sequence[tuple[int, str]],
    people: list[Draft],
    rng: np.random.Generator,
) -> None:
    """One instruction of an operator: to share a page, to answer the same post, or to lift one of their own.

    With it goes an errand that takes no words: to repost somebody else's post that suits the operator.
    """
    target = _prominent(people, start, rng)
    errand = _prominent(people, start, rng)
    page = f"https://{campaign}-voices.example/{number + 1}"
    first: Draft | None = None
    for account, text in (posts[i] for i in rng.permutation(len(posts))):
        takes_part = rng.random() < TAKES_PART
        at = start + int(rng.uniform(0, ROUND_MS) if takes_part else rng.uniform(2, 6) * HOUR_MS)
        draft = Draft(min(at, SPAN_MS - 1), account, text)
        if takes_part and number % 3 == 0:
            draft.link = page
        elif takes_part and number % 3 == 1:
            draft.answers = target
        done.posts.append(draft)
        if first is None and takes_part:
            first = draft
        elif first is not None and rng.random() < (LIFTS if number % 3 == 2 and takes_part else AMPLIFIES):
            done.reposts.append((_after(first, rng), account, first))
        if errand is not None and rng.random() < RUNS_ERRANDS:
            done.reposts.append((_within(start, rng), account, errand))


def _own_posts(
    posts: Iterable[str], account: int, people: list[Draft], society: Society, rng: np.random.Generator
) -> list[Draft]:
    """A lone account's posts at the hours of the stream's people."""
    texts = list(posts)
    hours = sorted(people[int(i)].at for i in rng.integers(len(people), size=len(texts)))
    times = [min(SPAN_MS - 1, max(0, at + int(rng.normal(0, HOUR_MS / 2)))) for at in hours]
    return [Draft(at, account, text, society.link(at)) for at, text in zip(sorted(times), texts, strict=True)]


def _prominent(people: list[Draft], start: int, rng: np.random.Generator) -> Draft | None:
    """A person's post of the two hours before, for all of a campaign to answer; None where nobody posted."""
    recent = [
        draft
        for draft in people
        if start - 2 * HOUR_MS <= draft.at < start and len(draft.text.split()) >= PROMINENT_WORDS
    ]
    return recent[int(rng.integers(len(recent)))] if recent else None


def _within(start: int, rng: np.random.Generator) -> int:
    """A moment of the round that begins at `start`."""
    return min(SPAN_MS - 1, start + int(rng.uniform(0, ROUND_MS)))


def _after(post: Draft, rng: np.random.Generator) -> int:
    return min(SPAN_MS - 1, post.at + 60_000 + int(rng.exponential(40 * 60_000)))
