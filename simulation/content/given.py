"""Posts that exist before the simulation and are written by its accounts.

`[given]` of a configuration names them. In: the demo's own (`demo`) or a file (`posts:FILE`). Out: `Given`, authors and
their posts, which `simulation.world` gives to accounts (`Placed`). What a person wrote appears at its own time of day
and answers what it answered. What was written for a machine appears, in order, whenever its account is to write.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from detector.data_splits import pseudonym
from detector.errors import EventError, UsageError
from detector.times import AT_MAX
from simulation.content import chitchat
from simulation.population_config import GivenPosts
from simulation.sampling import DAY_MS, Flags, Ints
from streaming.schema.event import parse
from streaming.schema.observation import Kind
from streaming.sources.files import RecordingFiles

NONE: Final = "none"
DEMO: Final = "demo"

PSEUDONYM_CHARACTERS: Final = 8
"""Of the names of the demo's people: enough that no two of a few hundred are the same."""

LONE: Final = "lone"
"""The operator whose accounts write the posts that were written for no campaign."""


class Persona(msgspec.Struct, frozen=True):
    """One planted account: its operator's campaign, what it was made out to be, and its posts in order."""

    account: str
    campaign: str | None
    persona: str = ""
    posts: tuple[str, ...] = ()


@dataclass(frozen=True)
class GivenPost:
    """One post. `at_ms`: after the start, -1 for no time of its own; `answers`: index of a post, -1 for none."""

    author: int
    text: str
    lang: str = ""
    at_ms: int = -1
    answers: int = -1


@dataclass(frozen=True)
class Given:
    """Authors and posts. `operator`: who drives each author, "" for people, whose posts are in order of time."""

    names: list[str] = field(default_factory=list)
    operator: list[str] = field(default_factory=list)
    posts: list[GivenPost] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.posts)


def planted() -> list[Persona]:
    """The accounts that were written for this project, in the order of the file."""
    text = resources.files("simulation.content").joinpath("planted.jsonl").read_text(encoding="utf-8")
    return [msgspec.json.decode(line, type=Persona) for line in text.splitlines()]


def read_given(settings: GivenPosts, seed: int) -> Given:
    """The posts that a simulated population names.

    Raises:
        UsageError: a source does not exist, cannot be read, or names an account twice.
    """
    found = Given()
    if settings.people == DEMO:
        _add_messages(found, chitchat.people(seed))
    elif settings.people != NONE:
        _add_recording(found, _path("people", settings.people))
    if settings.machines == DEMO:
        _add_personas(found, planted(), "en")
    elif settings.machines != NONE:
        _add_personas(found, _personas(_path("machines", settings.machines)), "")
    repeated = sorted({name for name in found.names if found.names.count(name) > 1})
    if repeated:
        raise UsageError(f"given posts: the account {repeated[0]!a} is there twice; give every account one name")
    return found


def _path(key: str, source: str) -> Path:
    scheme, _, rest = source.partition(":")
    if scheme != "posts" or not rest:
        raise UsageError(f"given.{key} = {source!a}: name none, demo or posts:FILE")
    return Path(rest)


def _add_messages(found: Given, messages: Iterable[chitchat.Message]) -> None:
    numbers: dict[str, int] = {}
    for message in messages:
        if message.author not in numbers:
            numbers[message.author] = len(found.names)
            found.names.append(f"user_{pseudonym(message.author)[:PSEUDONYM_CHARACTERS]}")
            found.operator.append("")
        found.posts.append(GivenPost(numbers[message.author], message.text, "en", message.at, message.answers))


def _add_recording(found: Given, path: Path) -> None:
    """Posts and replies of a recording, from midnight of its first day on."""
    events = []
    with RecordingFiles([path]) as records:
        for record in records:
            try:
                event = parse(record.value, now_ms=AT_MAX)
            except EventError:
                continue
            if event.text and event.kind in (Kind.POST, Kind.REPLY):
                events.append(event)
    if not events:
        raise UsageError(f"{path}: no post or reply with a text in it")
    events.sort(key=lambda event: (event.at, event.account, event.id))
    midnight = events[0].at // DAY_MS * DAY_MS
    numbers: dict[str, int] = {}
    places: dict[str, int] = {}
    for event in events:
        if event.account not in numbers:
            numbers[event.account] = len(found.names)
            found.names.append(event.account)
            found.operator.append("")
        answers = places.get(event.target or "", -1) if event.kind == Kind.REPLY else -1
        places[event.id] = len(found.posts)
        post = GivenPost(numbers[event.account], event.text or "", event.lang or "", event.at - midnight, answers)
        found.posts.append(post)


def _personas(path: Path) -> list[Persona]:
    rows = []
    with RecordingFiles([path]) as records:
        for record in records:
            try:
                rows.append(msgspec.json.decode(record.value, type=Persona))
            except msgspec.MsgspecError as error:
                raise UsageError(
                    f"{record.source}: write one account a line, with `account`, `campaign` and `posts`: {error}"
                ) from None
    return rows


def _add_personas(found: Given, personas: Iterable[Persona], lang: str) -> None:
    for persona in personas:
        found.posts.extend(GivenPost(len(found.names), text, lang) for text in persona.posts)
        found.names.append(persona.account)
        found.operator.append(persona.campaign or LONE)


class Placed:
    """Given posts in the hands of accounts, and how far each account has got.

    Args:
        given: the posts.
        rows: shape (authors,), the account that writes each author's posts; -1 for none, whose posts are left out.
        accounts: how many there are.
        start_ms: when the simulated population starts.
    """

    def __init__(self, given: Given, rows: Ints, accounts: int, start_ms: int) -> None:
        self.given, self.rows = given, rows
        author = np.array([post.author for post in given.posts], np.int64)
        at = np.array([post.at_ms for post in given.posts], np.int64)
        row = rows[author] if len(author) else author
        self.answers = np.array([post.answers for post in given.posts], np.int64)
        timed = np.flatnonzero((row >= 0) & (at >= 0))
        timed = timed[np.argsort(at[timed], kind="stable")]
        self._timed, self._timed_at, self._timed_row = timed, start_ms + at[timed], row[timed]
        self.timed: Flags = np.zeros(accounts, bool)  # accounts that write at given times, and then only
        self.timed[row[timed]] = True
        self.ordered: Flags = np.zeros(accounts, bool)  # accounts that write given posts at times of the simulator
        self._left: dict[int, list[int]] = {}
        for post in np.flatnonzero((row >= 0) & (at < 0))[::-1].tolist():
            self._left.setdefault(int(row[post]), []).append(post)
        self.ordered[list(self._left)] = True
        self.number = np.full(len(given.posts), -1, np.int64)  # of each post on the feed, once it is written

    def due(self, begin_ms: int, end_ms: int) -> tuple[Ints, Ints, Ints]:
        """Accounts, times and indices of the posts with times in [begin, end)."""
        low, high = np.searchsorted(self._timed_at, (begin_ms, end_ms))
        return self._timed_row[low:high], self._timed_at[low:high], self._timed[low:high]

    def next_of(self, account: int) -> int:
        """Index of the next post of an account without times, which is then said; -1 where all is said."""
        left = self._left.get(account)
        return left.pop() if left else -1
