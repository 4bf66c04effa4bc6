"""Where simulated events go: JSON lines of the contract, the truth about accounts, and the topic `posts`.

Account names and words of links and hashtags are made up from numbers that say nothing about who an account is; authors
of given posts keep their names. `KafkaSink` is the load generator: it sends events to Kafka at a given rate.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import numpy as np
from kafka.errors import KafkaError

from detector.errors import BrokerError, UsageError
from detector.times import format_time
from simulation.content.base import Text
from simulation.objects import DOMAIN_BITS
from simulation.sampling import Ints, Json, stream
from simulation.world import Chunk, World
from streaming.config import KafkaConfig
from streaming.kafka.client import Clients, Topics, close
from streaming.schema.observation import Kind

SYLLABLES: Final = tuple(a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "ai", "en", "or"))
"""Made-up words are made of these, so that no real name comes up."""

SUFFIXES: Final = ("example", "test")
"""Top-level domains that are reserved (RFC 2606): no simulated link leads anywhere."""

_KINDS: Final = tuple(kind.name.lower() for kind in Kind)


class Renderer:
    """Writes the events of one world. `names` (accounts,): their names."""

    def __init__(self, world: World) -> None:
        self.names = names(len(world.people), world.seed)
        for row, name in zip(world.given.rows.tolist(), world.given.given.names, strict=True):
            if row >= 0:
                self.names[row] = name
        self._world = world
        self._shown = np.zeros(len(world.people), bool)
        self._domains: dict[int, str] = {}

    def lines(self, chunk: Chunk, texts: Sequence[Text | None] | None = None) -> bytes:
        """The events of a chunk as JSON lines."""
        rows = self.rows(chunk, texts)
        return ("\n".join(rows) + "\n").encode() if rows else b""

    def rows(self, chunk: Chunk, texts: Sequence[Text | None] | None = None) -> list[str]:
        """The events of a chunk, each as JSON; a text carries the event's hashtag and link at its end.

        Args:
            chunk: the events.
            texts: one for each event, None for none.
        """
        new = ~self._shown[chunk.account]
        first = np.zeros(len(chunk), bool)
        first[np.unique(chunk.account, return_index=True)[1]] = True
        introducing = np.flatnonzero(new & first)
        self._shown[chunk.account] = True
        names = self.names
        kinds = [f'","kind":"{kind}"' for kind in _KINDS]
        rows = [
            f'{{"id":"e{serial:x}","at":{at},"account":"{names[account]}{kinds[kind]}'
            for serial, at, account, kind in zip(
                chunk.serial.tolist(), chunk.at.tolist(), chunk.account.tolist(), chunk.kind.tolist(), strict=True
            )
        ]
        aimed = np.flatnonzero(chunk.target_account >= 0)
        for i, target, whom in zip(
            aimed.tolist(), chunk.target[aimed].tolist(), chunk.target_account[aimed].tolist(), strict=True
        ):
            event = f',"target":"e{target:x}"' if target >= 0 else ""
            rows[i] += f'{event},"target_account":"{names[whom]}"'
        linked = np.flatnonzero(chunk.link >= 0)
        for i, code in zip(linked.tolist(), chunk.link[linked].tolist(), strict=True):
            rows[i] += f',"urls":["{self.link(code)}"]'
        tagged = np.flatnonzero(chunk.tag >= 0)
        for i, code in zip(tagged.tolist(), chunk.tag[tagged].tolist(), strict=True):
            rows[i] += f',"hashtags":["{tag(code)}"]'
        if texts is not None:
            for i, text in enumerate(texts):
                if text is not None:
                    rows[i] += self._text(text, int(chunk.tag[i]), int(chunk.link[i]))
        for i in introducing.tolist():
            rows[i] += f',"profile":{self._profile(int(chunk.account[i]))}'
        return [row + "}" for row in rows]

    def _text(self, text: Text, hashtag: int, link: int) -> str:
        words = text.words
        if hashtag >= 0:
            words += f" #{tag(hashtag)}"
        if link >= 0:
            words += f" {self.link(link)}"
        lang = f',"lang":{_quoted(text.lang)}' if text.lang else ""
        return f',"text":{_quoted(words)}{lang}'

    def link(self, code: int) -> str:
        """The address that a link's number stands for."""
        domain = code & ((1 << DOMAIN_BITS) - 1)
        host = self._domains.get(domain)
        if host is None:
            host = self._domains[domain] = f"https://{word(domain * 7919 + 104729)}.{SUFFIXES[domain % 2]}/"
        return f"{host}{code >> DOMAIN_BITS:x}"

    def _profile(self, account: int) -> str:
        world = self._world
        people = world.people
        age_ms = int(people.age_days[account] * 86_400_000)
        made = format_time(max(world.start_ms - age_ms, 0))
        degree = int(world.graph.start[account + 1] - world.graph.start[account])
        automated = ',"automated":true' if world.roles.flags["automated"][account] else ""
        return (
            f'{{"name":"{self.names[account]}","created_at":"{made}","followers":{world.graph.followers[account]},'
            f'"following":{degree},"posts":{int(people.rate[account] * people.age_days[account])}{automated}}}'
        )


def names(accounts: int, seed: int) -> list[str]:
    """Names in an order that says nothing: the numbers of the accounts, shuffled."""
    order: Ints = stream(seed, "names").permutation(accounts)
    return [f"u{number:06d}" for number in order.tolist()]


def _quoted(text: str) -> str:
    """As a JSON string; what is no character (a lone surrogate) becomes a question mark."""
    return msgspec.json.encode(text.encode("utf-8", "replace").decode()).decode()


def word(number: int) -> str:
    """A made-up word, different for every number."""
    base, parts = len(SYLLABLES), []
    while True:
        number, rest = divmod(number, base)
        parts.append(SYLLABLES[rest])
        if not number:
            return "".join(parts)


def tag(code: int) -> str:
    """The hashtag that a number stands for."""
    return word((code >> DOMAIN_BITS) + len(SYLLABLES))


def truth(world: World, names: Sequence[str]) -> list[Json]:
    """The truth about every account, in the order of their names."""
    rows = [world.roles.truth(account, name) for account, name in enumerate(names)]
    return sorted(rows, key=lambda row: str(row["account"]))


SLICE: Final = 200
"""Events between looks at the clock: 2 ms at the fastest rate one process reaches."""

FLUSH_S: Final = 60.0
"""For the last events to be acknowledged."""


class Pace:
    """Keeps to a number of events a second, on average since the first; 0 is as fast as can be."""

    def __init__(
        self, rate: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._rate, self._clock, self._sleep = rate, clock, sleep
        self._begun: float | None = None
        self.sent = 0

    def sending(self, events: int) -> None:
        """Wait until as many events more are due."""
        if self._begun is None:
            self._begun = self._clock()
        if self._rate > 0:
            early = self._begun + self.sent / self._rate - self._clock()
            if early > 0:
                self._sleep(early)
        self.sent += events

    def reached(self) -> float:
        """Events a second so far."""
        elapsed = self._clock() - self._begun if self._begun is not None else 0.0
        return self.sent / elapsed if elapsed > 0 else 0.0


class KafkaSink:
    """Sends events, keyed by account, so that an account's events keep their order.

    Raises:
        BrokerError: the broker is away, or refuses.
        UsageError: the topic is missing and cannot be made.
    """

    def __init__(self, kafka: KafkaConfig, pace: Pace) -> None:
        self._clients = Clients(kafka)
        self.pace = pace
        self.topic = Topics(kafka.topic_prefix).posts
        self._make_topic(kafka)
        self._producer = self._clients.producer()
        self._failed: list[BaseException] = []

    def _make_topic(self, kafka: KafkaConfig) -> None:
        with self._clients.admin() as admin, self._clients.explained("looking for the topic"):
            if self.topic in admin.list_topics():
                return
            wanted = {"num_partitions": kafka.partitions, "replication_factor": kafka.replication_factor}
            try:
                admin.create_topics({self.topic: wanted}, wait_for_metadata=True)
            except KafkaError as error:
                raise UsageError(
                    f"topic {self.topic} is missing and could not be created ({type(error).__name__}): create it"
                ) from error

    def send(self, accounts: Sequence[str], rows: Sequence[str]) -> None:
        """Send events of these accounts, in order, not faster than the pace allows."""
        with self._clients.explained("sending events"):
            for first in range(0, len(rows), SLICE):
                part = slice(first, first + SLICE)
                self.pace.sending(len(rows[part]))
                for account, row in zip(accounts[part], rows[part], strict=True):
                    sent = self._producer.send(self.topic, row.encode(), key=account.encode())
                    sent.add_errback(self._failed.append)
                self._check()

    def close(self) -> None:
        """Wait until everything is acknowledged."""
        try:
            with self._clients.explained("waiting for the last events"):
                self._producer.flush(timeout=FLUSH_S)
            self._check()
        finally:
            close(self._producer)

    def _check(self) -> None:
        if self._failed:
            raise BrokerError(
                f"{len(self._failed)} events were not taken by the broker, the first because of "
                f"{type(self._failed[0]).__name__}; is there room for them, and may this user write to {self.topic}?"
            )
