"""The demo's stream: events in the contract's form, in order of time, and the truth about who is planted.

The same seed gives the same stream. Times run over two days from `START_MS`; account ids of people are not theirs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import numpy as np

from detector.people import pseudonym
from streaming.demo.cast import SPAN_MS, Message, Persona
from streaming.demo.operators import Draft, cheer, operate
from streaming.demo.society import Post, Society

START_MS: Final = 1_748_822_400_000
"""2025-06-02T00:00:00Z, a Monday: any past midnight would do, and a fixed one keeps the stream the same."""


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

    def club(self) -> set[str]:
        """The people who act together and are people."""
        return {row["account"] for row in self.truth if row["slice"] == "people-club"}

    def machines(self) -> set[str]:
        return {row["account"] for row in self.truth if row["label"]}


def build(messages: Sequence[Message], personas: Sequence[Persona], seed: int) -> Stream:
    """The stream of these people and planted accounts."""
    rng = np.random.default_rng(seed)
    authors = Counter(message.author for message in messages)
    names = [f"user_{pseudonym(author)[:8]}" for author in sorted(authors)] + [persona.account for persona in personas]
    row = {author: number for number, author in enumerate(sorted(authors))}
    society = Society(len(names), SPAN_MS, rng)
    people = _people(messages, row, society)
    rows = range(len(row), len(names))
    ordered = operate(personas, rows, people, society, rng)
    club, cheered = cheer(people, len(row), rng)
    drafts = sorted([*people, *ordered.posts], key=lambda draft: (draft.at, draft.account))
    for number, draft in enumerate(drafts):
        draft.id = f"p{number}"
    acts = [
        (touch.at, touch.account, touch.kind, touch.post)
        for touch in society.interactions([Post(draft.at, draft.account, draft.id) for draft in drafts])
    ]
    reposts = [*ordered.reposts, *cheered.reposts]
    acts += [(at, account, "repost", Post(post.at, post.account, post.id)) for at, account, post in reposts]
    events = [_post_event(draft, names) for draft in drafts]
    events += [_act_event(number, act, names) for number, act in enumerate(acts)]
    events.sort(key=lambda event: (event["at"], event["account"], event["id"]))
    return Stream(events, _truth(names, personas, club))


def _people(messages: Sequence[Message], row: dict[str, int], society: Society) -> list[Draft]:
    drafts: list[Draft] = []
    for message in messages:
        answers = drafts[message.answers] if message.answers >= 0 else None
        link = None if answers else society.link(message.at)
        drafts.append(Draft(message.at, row[message.author], message.text, link, answers))
    return drafts


def _time(at: int) -> str:
    return datetime.fromtimestamp((START_MS + at) / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _post_event(draft: Draft, names: Sequence[str]) -> dict[str, Any]:
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


def _truth(names: Sequence[str], personas: Sequence[Persona], club: set[int]) -> list[dict[str, Any]]:
    """One row per account, in the form that `swarmlight evaluate` reads."""
    people = len(names) - len(personas)
    rows: list[dict[str, Any]] = [
        {"account": name, "label": 0, "campaign": None, "slice": "people-club" if row in club else "people"}
        for row, name in enumerate(names[:people])
    ]
    for persona in personas:
        part = f"campaign-{persona.campaign}" if persona.campaign else "lone"
        rows.append({"account": persona.account, "label": 1, "campaign": persona.campaign, "slice": part})
    return rows
