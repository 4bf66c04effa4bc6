"""The demo's stream: events in the contract's form, in order of time, and the truth about who is planted.

The same seed gives the same stream. Times run over two days from `START_MS`; account ids of people are not theirs.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import numpy as np

from streaming.demo.cast import DAY_MS, STREAM_DAYS, Message, Persona
from streaming.demo.society import Post, Society

START_MS: Final = 1_748_822_400_000
"""2025-06-02T00:00:00Z, a Monday: any past midnight would do, and a fixed one keeps the stream the same."""

SPAN_MS: Final = STREAM_DAYS * DAY_MS

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


class Stream(msgspec.Struct, frozen=True):
    """Events in order of time, and for every account its label (1: planted) and campaign."""

    events: list[dict[str, Any]]
    truth: list[dict[str, Any]]

    def campaigns(self) -> dict[str, set[str]]:
        """Accounts of each planted campaign."""
        found: dict[str, set[str]] = {}
        for row in self.truth:
            if row["campaign"]:
                found.setdefault(row["campaign"], set()).add(row["account"])
        return found

    def machines(self) -> set[str]:
        return {row["account"] for row in self.truth if row["label"]}


class _Draft(msgspec.Struct):
    """A post on its way to becoming an event."""

    at: int
    account: int
    text: str
    link: str | None = None
    answers: _Draft | None = None
    id: str = ""


def build(messages: Sequence[Message], personas: Sequence[Persona], seed: int) -> Stream:
    """The stream of these people and planted accounts."""
    rng = np.random.default_rng(seed)
    authors = Counter(message.author for message in messages)
    names = [_pseudonym(author) for author in sorted(authors)] + [persona.account for persona in personas]
    row = {author: number for number, author in enumerate(sorted(authors))}
    society = Society(len(names), SPAN_MS, rng)
    people = _people(messages, row, society)
    rows = range(len(row), len(names))
    planted = _planted(personas, rows, people, society, rng)
    drafts = sorted([*people, *planted.posts], key=lambda draft: (draft.at, draft.account))
    for number, draft in enumerate(drafts):
        draft.id = f"p{number}"
    acts = [
        (touch.at, touch.account, touch.kind, touch.post)
        for touch in society.interactions([Post(draft.at, draft.account, draft.id) for draft in drafts])
    ]
    acts += [(at, account, "repost", Post(post.at, post.account, post.id)) for at, account, post in planted.reposts]
    events = [_post_event(draft, names) for draft in drafts]
    events += [_act_event(number, act, names) for number, act in enumerate(acts)]
    events.sort(key=lambda event: (event["at"], event["account"], event["id"]))
    return Stream(events, _truth(names, personas))


def _people(messages: Sequence[Message], row: dict[str, int], society: Society) -> list[_Draft]:
    drafts: list[_Draft] = []
    for message in messages:
        answers = drafts[message.answers] if message.answers >= 0 else None
        link = None if answers else society.link(message.at)
        drafts.append(_Draft(message.at, row[message.author], message.text, link, answers))
    return drafts


class _Planted(msgspec.Struct):
    posts: list[_Draft]
    reposts: list[tuple[int, int, _Draft]]


def _planted(
    personas: Sequence[Persona], rows: Sequence[int], people: list[_Draft], society: Society, rng: np.random.Generator
) -> _Planted:
    planted = _Planted([], [])
    campaigns = sorted({persona.campaign for persona in personas if persona.campaign})
    for account, persona in zip(rows, personas, strict=True):
        if persona.campaign is None:
            planted.posts += _own_posts(persona.posts, account, people, society, rng)
    for campaign in campaigns:
        members = [(row, one) for row, one in zip(rows, personas, strict=True) if one.campaign == campaign]
        shift = int(rng.uniform(-HOUR_MS / 2, HOUR_MS / 2))
        for number in range(len(members[0][1].posts)):
            start = max(0, int(ROUND_HOURS[number % len(ROUND_HOURS)] * HOUR_MS) + shift)
            _round(planted, campaign, number, start, [(row, one.posts[number]) for row, one in members], people, rng)
    return planted


def _round(
    planted: _Planted,
    campaign: str,
    number: int,
    start: int,
    posts: Sequence[tuple[int, str]],
    people: list[_Draft],
    rng: np.random.Generator,
) -> None:
    """One instruction of an operator: to share a page, to answer the same post, or to lift one of their own."""
    target = _prominent(people, start, rng)
    page = f"https://{campaign}-voices.example/{number + 1}"
    first: _Draft | None = None
    for account, text in (posts[i] for i in rng.permutation(len(posts))):
        takes_part = rng.random() < TAKES_PART
        at = start + int(rng.uniform(0, ROUND_MS) if takes_part else rng.uniform(2, 6) * HOUR_MS)
        draft = _Draft(min(at, SPAN_MS - 1), account, text)
        if takes_part and number % 3 == 0:
            draft.link = page
        elif takes_part and number % 3 == 1:
            draft.answers = target
        planted.posts.append(draft)
        if first is None and takes_part:
            first = draft
        elif first is not None and rng.random() < (LIFTS if number % 3 == 2 and takes_part else AMPLIFIES):
            planted.reposts.append((_after(first, rng), account, first))


def _own_posts(
    posts: Iterable[str], account: int, people: list[_Draft], society: Society, rng: np.random.Generator
) -> list[_Draft]:
    """A lone account's posts at the hours of the stream's people."""
    texts = list(posts)
    hours = sorted(people[int(i)].at for i in rng.integers(len(people), size=len(texts)))
    times = [min(SPAN_MS - 1, max(0, at + int(rng.normal(0, HOUR_MS / 2)))) for at in hours]
    return [_Draft(at, account, text, society.link(at)) for at, text in zip(sorted(times), texts, strict=True)]


def _prominent(people: list[_Draft], start: int, rng: np.random.Generator) -> _Draft | None:
    """A person's post of the two hours before, for all of a campaign to answer; None where nobody posted."""
    recent = [draft for draft in people if start - 2 * HOUR_MS <= draft.at < start and len(draft.text.split()) >= 6]
    return recent[int(rng.integers(len(recent)))] if recent else None


def _after(post: _Draft, rng: np.random.Generator) -> int:
    return min(SPAN_MS - 1, post.at + 60_000 + int(rng.exponential(40 * 60_000)))


def _pseudonym(author: str) -> str:
    return "user_" + hashlib.sha256(author.encode()).hexdigest()[:8]


def _time(at: int) -> str:
    return datetime.fromtimestamp((START_MS + at) / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _post_event(draft: _Draft, names: Sequence[str]) -> dict[str, Any]:
    event: dict[str, Any] = {
        "v": 1,
        "id": draft.id,
        "account": names[draft.account],
        "at": _time(draft.at),
        "kind": "reply" if draft.answers else "post",
        "text": f"{draft.text} {draft.link}" if draft.link else draft.text,
    }
    if draft.answers:
        event |= {"target": draft.answers.id, "target_account": names[draft.answers.account]}
    return event


def _act_event(number: int, act: tuple[int, int, str, Post], names: Sequence[str]) -> dict[str, Any]:
    at, account, kind, post = act
    event = {"v": 1, "id": f"a{number}", "account": names[account], "at": _time(at), "kind": kind}
    if kind != "follow":
        event["target"] = post.id
    return event | {"target_account": names[post.account]}


def _truth(names: Sequence[str], personas: Sequence[Persona]) -> list[dict[str, Any]]:
    """One row per account, in the form that `swarmlight evaluate` reads."""
    people = len(names) - len(personas)
    rows: list[dict[str, Any]] = [
        {"account": name, "label": 0, "campaign": None, "slice": "people"} for name in names[:people]
    ]
    for persona in personas:
        part = f"campaign-{persona.campaign}" if persona.campaign else "lone"
        rows.append({"account": persona.account, "label": 1, "campaign": persona.campaign, "slice": part})
    return rows
