"""Events as the contract's JSON lines: `id`, `account`, `at`, `kind` and what each has, no more.

Account names and words of links and hashtags are made up from numbers that say nothing about who an account is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from simulation.arrays import Ints, Json, stream
from simulation.catalogue import DOMAIN_BITS
from simulation.chunk import Chunk
from simulation.society import World
from simulation.texts.requests import Text
from streaming.events import format_time
from streaming.observations import Kind

SYLLABLES: Final = tuple(a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "ai", "en", "or"))
"""Made-up words are made of these, so that no real name comes up."""

SUFFIXES: Final = ("example", "test")
"""Top-level domains that are reserved (RFC 2606): no simulated link leads anywhere."""

_KINDS: Final = tuple(kind.name.lower() for kind in Kind)


class Renderer:
    """Writes the events of one world. `names` (accounts,): their names."""

    def __init__(self, world: World) -> None:
        self.names = names(len(world.people), world.seed)
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
        automated = ',"automated":true' if world.cast.flags["automated"][account] else ""
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
    rows = [world.cast.truth(account, name) for account, name in enumerate(names)]
    return sorted(rows, key=lambda row: str(row["account"]))
