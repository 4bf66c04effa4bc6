"""Finds the words of every event: whose they are, what they answer, and what they repeat.

Machines write from the moment they have taken an account over; before that, its texts are a person's. Words that many
use (a verbatim campaign, a share button's headline) are written once, by whoever comes first. Events that need the
words of others wait for these, so a source is asked in a few rounds a step.

`Personas` are who machine accounts pretend to be and what a model is asked, from `personas.toml`; an account keeps its
own. `vary` says the same a little differently, by rule: what operators did before they had models, and do where none is
set. It is weak on purpose, the words stay mostly the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import numpy as np

from detector.errors import ConfigError
from simulation import world as kinds
from simulation.content.base import Purpose, Request, Text, TextSource
from simulation.content.corpus import Corpus
from simulation.sampling import Ints, stream
from simulation.world import Chunk, World


class Personas(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Templates, and the lists that personas are put together from."""

    system: str
    brief: str
    post: str
    topic: str
    reply: str
    quote: str
    paraphrase: str
    improve: str
    ages: list[str]
    work: list[str]
    place: list[str]
    likes: list[str]
    style: list[str]
    everyday: list[str]
    briefs: list[str]

    @staticmethod
    @cache
    def shipped() -> Personas:
        """Those that come with the project."""
        text = files("simulation.content").joinpath("personas.toml").read_text(encoding="utf-8")
        return msgspec.toml.decode(text, type=Personas)

    @staticmethod
    def load(path: Path) -> Personas:
        """Those of a file of the same form.

        Raises:
            ConfigError: it cannot be read or lacks something.
        """
        try:
            return msgspec.toml.decode(path.read_text(encoding="utf-8"), type=Personas)
        except OSError as error:
            raise ConfigError(f"{path}: the personas cannot be read: {error.strerror}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: these are no personas: {error}") from None

    def about(self, seed: int, campaign: str) -> str:
        """What a campaign is for."""
        return self.briefs[int(stream(seed, "brief", campaign).integers(len(self.briefs)))]

    def system_prompt(self, seed: int, request: Request) -> str:
        """Who the account of a request is, and what it cares about."""
        rng = stream(seed, "persona", str(request.account))
        age, work, place, like, other, style = (
            options[int(rng.integers(len(options)))]
            for options in (self.ages, self.work, self.place, self.likes, self.likes, self.style)
        )
        who = f"{work}, {age}, living in {place}; you like {like}" + (f" and {other}" if other != like else "")
        about = self.brief.format(about=request.about) if request.about else ""
        return self.system.format(who=who, style=style, about=about).strip()

    def prompt(self, seed: int, request: Request) -> str:
        """What the account is asked to write."""
        if request.purpose == "post" and not request.about:
            options = self.everyday
            number = int(stream(seed, "topic", str(request.number)).integers(len(options)))
            return self.topic.format(about=options[number])
        if request.purpose in ("reply", "quote") and not request.before:
            return self.post
        template: str = getattr(self, request.purpose)
        return template.format(before=request.before.replace('"', "'"))


OPENINGS: Final = ("Honestly, ", "Look: ", "Just saying, ", "So, ", "Well, ", "I mean, ", "FYI ", "Again: ")

CLOSINGS: Final = (" Think about it.", " That's all.", " Enough said.", " Anyone else?", " Pass it on.", " Right?")

PAIRS: Final = (
    ("very", "really"), ("big", "huge"), ("people", "folks"), ("because", "since"), ("cannot", "can't"),
    ("do not", "don't"), ("is not", "isn't"), ("maybe", "perhaps"), ("always", "every time"), ("great", "brilliant"),
    ("start", "begin"), ("help", "support"), ("show", "prove"), ("need", "have to have"), ("good", "decent"),
)  # fmt: skip
"""Words that may stand for each other, either way."""


def vary(text: str, rng: np.random.Generator) -> str:
    """A variant of `text`; the same generator state gives the same one."""
    words = text
    for one, other in PAIRS:
        if rng.random() < 0.5:
            for old, new in ((one, other), (other, one)):
                padded = f" {words} "
                if f" {old} " in padded:
                    words = padded.replace(f" {old} ", f" {new} ", 1).strip()
                    break
    sentences = [part.strip() for part in words.replace("! ", "!|").replace(". ", ".|").replace("? ", "?|").split("|")]
    if len(sentences) > 1 and rng.random() < 0.4:
        first = int(rng.integers(1, len(sentences)))
        sentences = sentences[first:] + sentences[:first]
    words = " ".join(sentences)
    if rng.random() < 0.5:
        opening = OPENINGS[int(rng.integers(len(OPENINGS)))]
        words = opening + (words[:1].lower() + words[1:] if words[1:2].islower() else words)
    if rng.random() < 0.3:
        words += CLOSINGS[int(rng.integers(len(CLOSINGS)))]
    return words


Key: TypeAlias = tuple[str, int]

_word = re.compile(r"\w{4,}")

SHARED_KEPT: Final = 50_000
"""Texts that many use and that are remembered: the oldest are written anew if somebody still needs them."""


class TextWriter:
    """Gives the events of a world their texts, chunk by chunk, in order.

    Args:
        people: writes what people say, None for no texts of theirs.
        machines: writes what machines say.
    """

    def __init__(
        self, world: World, people: TextSource | None, machines: TextSource | None, personas: Personas
    ) -> None:
        self._world, self._people, self._machines, self._personas = world, people, machines, personas
        self._said: dict[int, Text] = {}  # by serial, for as long as an event is on the feed
        self._shared: dict[Key, Text] = {}
        self._rng = stream(world.seed, "words")

    def language(self, account: int) -> str:
        """In which a person writes, "" where that is unknown."""
        return self._people.language(account) if isinstance(self._people, Corpus) else ""

    def texts(self, chunk: Chunk) -> list[Text | None]:
        """A text for each event that has words, None for the others."""
        found: list[Text | None] = [None] * len(chunk)
        for i in np.flatnonzero(chunk.manner == kinds.GIVEN).tolist():
            post = self._world.given.given.posts[int(chunk.words[i])]
            found[i] = self._said[int(chunk.serial[i])] = Text(post.text, post.lang)
        speaking = np.flatnonzero(kinds.written(chunk.kind) & (chunk.manner != kinds.GIVEN))
        waiting = [i for i in speaking.tolist() if self._source(chunk, i) is not None]
        unsaid = set(chunk.serial[waiting].tolist())
        while waiting:
            ready, later = self._ready(chunk, waiting, unsaid)
            self._write(chunk, ready, found)
            unsaid.difference_update(chunk.serial[ready].tolist())
            waiting = later
        self._forget()
        return found

    def _is_machine(self, chunk: Chunk, i: int) -> bool:
        account = int(chunk.account[i])
        roles = self._world.roles
        return bool(roles.label[account]) and int(chunk.at[i]) >= int(roles.since_ms[account])

    def _source(self, chunk: Chunk, i: int) -> TextSource | None:
        return self._machines if self._is_machine(chunk, i) else self._people

    def _ready(self, chunk: Chunk, waiting: Sequence[int], unsaid: set[int]) -> tuple[list[int], list[int]]:
        """Those whose words need nothing that is still to be said, and the others. The first is always ready."""
        ready, later = [], []
        claimed: set[Key] = set()
        for i in waiting:
            key = shared_key(chunk, i)
            needs = int(chunk.words[i]) if chunk.manner[i] == kinds.COPIED else int(chunk.target[i])
            if needs in unsaid or (key is not None and key not in self._shared and key in claimed):
                later.append(i)
                continue
            if key is not None:
                claimed.add(key)
            ready.append(i)
        return ready, later

    def _write(self, chunk: Chunk, ready: Sequence[int], found: list[Text | None]) -> None:
        asked: dict[int, tuple[list[int], list[Request]]] = {}
        sources = {id(source): source for source in (self._people, self._machines) if source is not None}
        for i in ready:
            source = self._source(chunk, i)
            known = self._known(chunk, i, source)
            if known is not None:
                found[i] = known
            elif source is not None:
                events, requests = asked.setdefault(id(source), ([], []))
                events.append(i)
                requests.append(self._request(chunk, i))
        for number, (events, requests) in asked.items():
            for i, text in zip(events, sources[number].write(requests), strict=True):
                found[i] = text
        self._improve(chunk, [i for i in ready if found[i] is not None], found)
        for i in ready:
            text = found[i]
            if text is not None:
                self._said[int(chunk.serial[i])] = text
                key = shared_key(chunk, i)
                if key is not None:
                    self._shared.setdefault(key, text)

    def _known(self, chunk: Chunk, i: int, source: TextSource | None) -> Text | None:
        """The text of an event whose words somebody has said already, where they are to be repeated or varied."""
        manner = int(chunk.manner[i])
        if manner == kinds.COPIED:
            return self._said.get(int(chunk.words[i]))
        key = shared_key(chunk, i)
        base = self._shared.get(key) if key is not None else None
        if base is None or manner != kinds.PARAPHRASE:
            return base
        if source is not None and source.speaks:
            return None
        return Text(vary(base.words, self._rng), base.lang)

    def _request(self, chunk: Chunk, i: int) -> Request:
        account, serial, kind = int(chunk.account[i]), int(chunk.serial[i]), int(chunk.kind[i])
        campaign = self._world.roles.campaign[account]
        about = self._personas.about(self._world.seed, campaign) if campaign and chunk.task[i] >= 0 else ""
        key = shared_key(chunk, i)
        base = self._shared.get(key) if key is not None else None
        if base is not None:
            return Request(account, serial, "paraphrase", about, base.words)
        before = self._said.get(int(chunk.target[i]))
        purpose: Purpose = "post"
        if kind != kinds.POST:
            purpose = "reply" if kind == kinds.REPLY else "quote"
        return Request(account, serial, purpose, about, before.words if before else "")

    def _improve(self, chunk: Chunk, events: Sequence[int], found: list[Text | None]) -> None:
        """People who use writing help have what they wrote smoothed by the machines' model, where there is one.

        Where the model says something else, as small ones do, they keep their own words.
        """
        source = self._machines
        if source is None or not source.speaks:
            return
        helped = [
            i for i in events if self._world.roles.flags["helped"][chunk.account[i]] and not self._is_machine(chunk, i)
        ]
        wanted = [(i, text) for i in helped if (text := found[i]) is not None]
        requests = [
            Request(int(chunk.account[i]), int(chunk.serial[i]), "improve", "", text.words) for i, text in wanted
        ]
        for (i, text), better in zip(wanted, source.write(requests) if requests else [], strict=True):
            found[i] = Text(better.words, text.lang) if better and says_again(text.words, better.words) else text

    def _forget(self) -> None:
        feed: Ints = self._world.feed.serial
        oldest = int(feed[0]) if len(feed) else 0
        for serial in [serial for serial in self._said if serial < oldest]:
            del self._said[serial]
        for key in list(self._shared)[: max(0, len(self._shared) - SHARED_KEPT)]:
            del self._shared[key]


def says_again(before: str, after: str) -> bool:
    """Whether a text still has at least half of another's words, those of fewer than four letters left aside."""
    kept = set(_word.findall(before.lower()))
    return bool(kept) and 2 * len(kept & set(_word.findall(after.lower()))) >= len(kept)


def shared_key(chunk: Chunk, i: int) -> Key | None:
    """What a text that many use belongs to: a task, or a link for headlines; None for words of one's own."""
    manner = int(chunk.manner[i])
    if manner in (kinds.VERBATIM, kinds.PARAPHRASE):
        return "task", int(chunk.words[i])
    return ("link", int(chunk.words[i])) if manner == kinds.HEADLINE else None
