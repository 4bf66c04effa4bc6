"""Whom a group is compared with: outsiders like its members, who are no candidates themselves."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from graph.touches import CoordinationSettings
from graph.view import NO_BLOCK, View

IntArray = NDArray[np.int64]


class Comparison(NamedTuple):
    """Whom a group is compared with: ranks of comparable outsiders, and of a random group among them, ascending."""

    pool: list[int]
    shadow: list[int]


class Outsiders:
    """Who is comparable to a group without being a candidate for it, in a fixed pseudo-random order of names.

    `levels` are communities of each account, the nearest first.

    Candidates are the other cores of the group's own community of soft edges: a campaign found in parts must not be
    explained away by the rest of it.
    """

    def __init__(
        self,
        view: View,
        levels: Sequence[IntArray],
        community: IntArray,
        found: Sequence[IntArray],
        seed: int,
        languages: Callable[[int], str] | None,
    ) -> None:
        self.view = view
        self.languages = languages
        self.activity = view.counts.sum(axis=1).tolist()
        self.community = community.tolist()
        self.in_core = [False] * len(view.rows)
        for members in found:
            for rank in members.tolist():
                self.in_core[rank] = True
        self.shuffled = np.random.default_rng(seed).permutation(len(view.rows)).tolist()
        self.levels: list[tuple[list[int], dict[int, list[int]]]] = []
        for label in levels:
            labels = label.tolist()
            by_label: dict[int, list[int]] = {}
            for rank in self.shuffled:
                by_label.setdefault(labels[rank], []).append(rank)
            self.levels.append((labels, by_label))

    def compare(self, ranks: Sequence[int], settings: CoordinationSettings) -> Comparison:
        """Whom the group of `ranks` is compared with.

        The shadow is, for each member, the account of the pool nearest in activity that is not taken yet.
        """
        pool = self._pool(ranks, settings)
        return Comparison(pool, self._shadow(ranks, pool))

    def _pool(self, members: Sequence[int], settings: CoordinationSettings) -> list[int]:
        """Ranks of outsiders: `pool_size`, and as many as the group has.

        Of its own community where that has half of `pool_size`, else of the coarser one, likewise; members of other
        cores in the same community of soft edges last. Others would dilute its taste. Else filled with speakers of its
        language, then with anybody.
        """
        inside = set(members)
        size = settings.pool_size + len(members)
        chosen: dict[int, None] = {}
        for source in self._sources(members):
            for rank in source:
                if len(chosen) >= size:
                    break
                if rank not in inside:
                    chosen[rank] = None
            if len(chosen) >= settings.pool_size / 2:
                break
        return sorted(chosen)

    def _sources(self, members: Sequence[int]) -> Iterator[Iterable[int]]:
        """Where outsiders come from, the best source first; one is looked at where those before it had too few."""
        in_core, community, own = self.in_core, self.community, self.community[members[0]]
        for label, by_label in self.levels:
            main = self._main(label, members)
            around = by_label[main] if main != NO_BLOCK else []
            yield (rank for rank in around if not (in_core[rank] and community[rank] == own))
            yield around
        yield self._speakers(members)
        yield self.shuffled

    def _main(self, label: Sequence[int], members: Sequence[int]) -> int:
        labels = [label[r] for r in members]
        main = max(sorted(set(labels)), key=labels.count)
        return main if 2 * labels.count(main) > len(labels) else NO_BLOCK

    def _speakers(self, members: Sequence[int]) -> list[int]:
        if self.languages is None:
            return []
        spoken = [self.languages(int(self.view.rows[r])) for r in members]
        main = max(sorted(set(spoken)), key=spoken.count)
        if not main:
            return []
        return [r for r in self.shuffled if self.languages(int(self.view.rows[r])) == main]

    def _shadow(self, members: Sequence[int], pool: Sequence[int]) -> list[int]:
        free = sorted(pool, key=lambda r: (self.activity[r], r))
        levels = [self.activity[r] for r in free]
        chosen: list[int] = []
        for member in members:
            if not free:
                break
            level = self.activity[member]
            place = min(bisect.bisect_left(levels, level), len(free) - 1)
            if place and levels[place] - level > level - levels[place - 1]:
                place -= 1
            chosen.append(free.pop(place))
            levels.pop(place)
        return sorted(chosen)
