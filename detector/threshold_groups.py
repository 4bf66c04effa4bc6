"""Groups of accounts that have thresholds of their own: by main language, mean length of texts, and number of texts.

An account falls into a group by what it wrote itself, so that its threshold can be told before anything is known of its
kind. A group's parent is the same language and length, that one's the same language, and the last one everybody.
`group_thresholds` gives every group a threshold from people who were in it at some time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from detector.account.features import language_code
from detector.text.features import LOG_WORDS_MAX

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

LENGTH_EDGES_WORDS: Final = (8, 18)
"""Mean words of a text at which the next group begins: chat below, posts, and long posts above. Edges of the bands in
which text evidence is calibrated (`detector.text.calibration`)."""

TEXTS_EDGES: Final = (6, 15)
"""Texts with evidence at which the next group begins: evidence of a few, of a dozen, and settled."""

LENGTHS: Final = len(LENGTH_EDGES_WORDS) + 1
ACTIVITIES: Final = len(TEXTS_EDGES) + 1
CELLS: Final = LENGTHS * ACTIVITIES
"""Groups of one language."""

_LENGTH_EDGES: Final = (np.log1p(LENGTH_EDGES_WORDS) / np.log1p(LOG_WORDS_MAX)).astype(np.float32)

PRESENT: Final = 20
"""People who have to be in a group for it to have a threshold of its own: with fewer, no rate that anybody asks for
would be told from none."""

MOST_OF_A_POPULATION: Final = 0.05
"""Share of any one population of calibration people that may pass at most: beyond it, people of that kind would have to
be ranked only."""

LEAST_USED: Final = 0.85
"""People that finer groups have to let pass for each that coarser ones do: else they find fewer machines."""

SHARES: Final = tuple(step / 20 for step in range(20, 9, -1))
"""Parts of the rate asked for that a group may be given, tried in this order. People pass through several groups, so
each is given less than all of them together."""

DEPTHS: Final = (3, 2, 1, 0)
"""How fine groups may be: language x length x texts, language x length, language, everybody. Tried in this order."""


def cells(log_words: NDArray[np.floating], texts: NDArray[np.integer]) -> Indices:
    """Number of the group within a language, 0 to `CELLS` - 1, (n,).

    Args:
        log_words: (n,) mean of the style feature `log_words` over an account's texts.
        texts: (n,) texts that gave evidence.
    """
    length = np.searchsorted(_LENGTH_EDGES, log_words.astype(np.float32), side="right")
    return length * ACTIVITIES + np.searchsorted(TEXTS_EDGES, texts, side="right")


_LENGTH_NAMES: Final = tuple(
    f"{low} to {high - 1} words" if high else f"{low} words or more"
    for low, high in zip((0, *LENGTH_EDGES_WORDS), (*LENGTH_EDGES_WORDS, 0), strict=True)
)
_TEXTS_NAMES: Final = tuple(
    f"{low} to {high - 1} texts" if high else f"{low} texts or more"
    for low, high in zip((0, *TEXTS_EDGES), (*TEXTS_EDGES, 0), strict=True)
)


def cell_name(cell: int) -> str:
    """A group within a language in words."""
    return f"{_LENGTH_NAMES[cell // ACTIVITIES]}, {_TEXTS_NAMES[cell % ACTIVITIES]}"


@dataclass(frozen=True)
class Looks:
    """The highest total of every person of a population in every group they were in.

    Args:
        person: (m,) number of the person, from 0.
        language: (m,) `language_code` of the main language at the time.
        cell: (m,) group within the language.
        highest: (m,) highest total there, nats.
    """

    person: Indices
    language: NDArray[np.uint16]
    cell: Indices
    highest: Floats

    @property
    def people(self) -> int:
        """How many there are."""
        return int(self.person.max(initial=-1)) + 1

    def maxima(self) -> Floats:
        """(people,) the highest total of each person anywhere."""
        highest = np.full(self.people, -np.inf)
        np.maximum.at(highest, self.person, self.highest)
        return highest


class Source(NamedTuple):
    """Where a threshold comes from: the `rank`-th highest of `people`."""

    threshold: float
    rank: int
    people: int

    def interval(self) -> tuple[float, float]:
        """95% band of the realised rate over the draw of these people: Beta(rank, people + 1 - rank)."""
        shape = (self.rank, self.people + 1 - self.rank)
        return float(betaincinv(*shape, 0.025)), float(betaincinv(*shape, 0.975))


Group = tuple[int, int]
"""(language code, cell)."""


@dataclass(frozen=True)
class GroupThresholds:
    """A threshold for every group of the calibrated languages.

    Args:
        share: rate that each group was given.
        depth: how fine groups are, of `DEPTHS`.
        everybody: threshold where a group has none of its own.
        groups: group -> where its threshold comes from.
    """

    share: float
    depth: int
    everybody: Source
    groups: Mapping[Group, Source]
    _slot: NDArray[np.int64] = field(repr=False)
    _table: Floats = field(repr=False)

    @classmethod
    def of(cls, share: float, depth: int, everybody: Source, groups: Mapping[Group, Source]) -> GroupThresholds:
        """The thresholds, with the table that `thresholds` looks them up in.

        Args:
            share: rate that each group was given.
            depth: how fine groups are.
            everybody: where a group has none of its own.
            groups: group -> where its threshold comes from.
        """
        languages = sorted({language for language, _ in groups})
        slot = np.zeros(1 << 16, np.int64)
        table = np.full((len(languages) + 1, CELLS), everybody.threshold)
        for number, language in enumerate(languages, 1):
            slot[language] = number
        for (language, cell), source in groups.items():
            table[slot[language], cell] = source.threshold
        return cls(share, depth, everybody, dict(groups), slot, table)

    def thresholds(self, languages: NDArray[np.uint16], cell: Indices) -> Floats:
        """(n,) threshold of accounts with these main languages in these groups."""
        return self._table[self._slot[languages], cell]

    def source(self, language: int, cell: int) -> Source:
        """Where the threshold of an account comes from."""
        return self.groups.get((language, cell), self.everybody)


class _Node(NamedTuple):
    """The people in one group, their highest totals from the top."""

    ordered: Floats

    def at(self, share: float) -> Source | None:
        """The threshold at a rate; None where the people do not support it."""
        rank = int(np.floor(share * (len(self.ordered) + 1) + 1e-9))
        return Source(float(self.ordered[rank - 1]), rank, len(self.ordered)) if rank >= 1 else None


_Key = tuple[int, ...]


def _parents(language: int, cell: int) -> tuple[_Key, ...]:
    """A group and its parents, the finest first."""
    return (language, cell // ACTIVITIES, cell), (language, cell // ACTIVITIES), (language,), ()


def _nodes(looks: Looks) -> dict[_Key, _Node]:
    highest: dict[_Key, dict[int, float]] = {}
    for person, language, cell, total in zip(
        looks.person.tolist(), looks.language.tolist(), looks.cell.tolist(), looks.highest.tolist(), strict=True
    ):
        for key in _parents(language, cell):
            people = highest.setdefault(key, {})
            people[person] = max(people.get(person, -np.inf), total)
    return {key: _Node(np.sort(np.array(list(people.values())))[::-1]) for key, people in highest.items()}


def pooled(populations: Mapping[str, Looks]) -> Looks:
    """The people of all populations as one, numbered on."""
    parts = list(populations.values())
    starts = np.cumsum([0, *(looks.people for looks in parts)])[:-1]
    return Looks(
        np.concatenate([looks.person + start for looks, start in zip(parts, starts, strict=True)]),
        np.concatenate([looks.language for looks in parts]),
        np.concatenate([looks.cell for looks in parts]),
        np.concatenate([looks.highest for looks in parts]),
    )


def group_thresholds(
    populations: Mapping[str, Looks], languages: Collection[str], target_fpr: float
) -> GroupThresholds | None:
    """Thresholds by group; None where the people do not support the rate.

    In a group the people of all populations speak together, by their order statistic in the finest of the group and its
    parents where they support the rate: what an account looks like decides, not which collection it is from. People
    pass through several groups as they write, so the rate of each may have to be lowered; ranks are whole numbers, so
    fine groups waste some of it. Of each depth of groups (`DEPTHS`) the part of the rate (`SHARES`) is taken by which
    most people passed the threshold of a group they were in, but no more than the rate asked for reached it, and of no
    population more than `MOST_OF_A_POPULATION`; and of the depths the finest by which `LEAST_USED` as many passed as
    by any.

    Args:
        populations: name -> people.
        languages: primary tags calibrated.
        target_fpr: share of people that may be flagged anywhere.
    """
    if not any(looks.people for looks in populations.values()):
        return None
    everyone = pooled(populations)
    nodes = _nodes(everyone)
    codes = sorted(language_code(tag) for tag in languages)
    most = max(target_fpr, MOST_OF_A_POPULATION)
    found: dict[int, tuple[int, GroupThresholds]] = {}
    for depth in DEPTHS:
        for part in SHARES if depth else (1.0,):
            made = _at(nodes, codes, part * target_fpr, depth)
            if made is None or _reached(everyone, made, codes) > target_fpr * (everyone.people + 1) + 1e-9:
                continue
            passed = int(passing(everyone, made, languages).sum())
            kept = all(
                passing(looks, made, languages).sum() <= max(1.0, most * looks.people) for looks in populations.values()
            )
            if kept and (depth not in found or passed > found[depth][0]):
                found[depth] = passed, made
    most_passed = max((passed for passed, _ in found.values()), default=0)
    return next((made for passed, made in found.values() if passed >= LEAST_USED * most_passed), None)


def _at(nodes: Mapping[_Key, _Node], codes: list[int], share: float, depth: int) -> GroupThresholds | None:
    everybody = nodes[()].at(share)
    if everybody is None:
        return None
    groups: dict[Group, Source] = {}
    for language in codes if depth else []:
        for cell in range(CELLS):
            for key in _parents(language, cell)[len(DEPTHS) - 1 - depth :]:
                node = nodes.get(key)
                said = None if node is None or len(node.ordered) < PRESENT else node.at(share)
                if said is not None:
                    groups[language, cell] = said
                    break
    return GroupThresholds.of(share, depth, everybody, groups)


def _reached(looks: Looks, made: GroupThresholds, codes: list[int]) -> int:
    """People who reached the threshold of some group they were in, those who set one included."""
    reached = (looks.highest >= made.thresholds(looks.language, looks.cell)) & np.isin(looks.language, codes)
    return len(np.unique(looks.person[reached]))


def passing(looks: Looks, made: GroupThresholds, languages: Collection[str]) -> NDArray[np.bool_]:
    """Who would be flagged: whose total passed the threshold of a group of a calibrated language while they were in it.

    Args:
        looks: of people.
        made: the thresholds.
        languages: primary tags calibrated.

    Returns:
        (people,) booleans.
    """
    codes = [language_code(tag) for tag in languages]
    above = (looks.highest > made.thresholds(looks.language, looks.cell)) & np.isin(looks.language, codes)
    out = np.zeros(looks.people, np.bool_)
    out[looks.person[above]] = True
    return out
