"""Groups under test: identity from tick to tick, whom they are compared with, and the list of campaigns.

`match` says which existing group a proposal continues, and `group_id` names a new one after the pair that met first.
`ControlSet` finds accounts comparable to a group that are no candidates themselves. `Campaigns` is the second list of
tests: a campaign is a group that is also shown to be machine-driven, by what its members write. Whom they meet enters
the e-value, what they write does not, so for a group that does not act together the choice says nothing about the bets,
and e-LOND over the chosen groups alone keeps the share of false campaigns at `target_fdr`. A group is chosen when its
texts first show machines, whatever its e-value is by then, and stays chosen.
"""

from __future__ import annotations

import bisect
import hashlib
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from graph.coincidences import NO_BLOCK, View
from graph.group_test import Bets, e_value, log_sum, log_threshold
from graph.trace_window import TraceWindow
from graph.traces import CoordinationSettings

CONTINUE_JACCARD: Final = 0.5
"""Overlap from which a proposed group is an existing one (the contract's number)."""


class FoundingPair(NamedTuple):
    """Where two members first met: names a <= b, the object, ms. Founds a group's id."""

    at_ms: int
    a: str
    b: str
    key: str


class Matching(NamedTuple):
    """What becomes of existing groups, both sides by index.

    Args:
        continued: proposal -> the existing groups it continues, oldest first; the others merge into the first.
        absorbed: (existing, proposal): no proposal continues it, but most of its members are in one that continues
            another group; it merges into that.
    """

    continued: dict[int, list[int]]
    absorbed: list[tuple[int, int]]


def match(existing: Sequence[set[int]], proposed: Sequence[set[int]]) -> Matching:
    """Match proposals (strongest first) to existing groups (oldest first).

    An existing group goes on in the proposal it shares the largest Jaccard overlap with, if that is at least 0.5 (of
    a split, the part with the larger overlap). A proposal continues the oldest of the groups that go on in it (a
    merge: the others are merged into it). Other proposals are new.
    """
    holders: dict[int, list[int]] = {}
    for place, members in enumerate(proposed):
        for member in members:
            holders.setdefault(member, []).append(place)
    continued: dict[int, list[int]] = {}
    left: list[tuple[int, dict[int, int]]] = []
    for index, members in enumerate(existing):
        shared: dict[int, int] = {}
        for member in members:
            for place in holders.get(member, ()):
                shared[place] = shared.get(place, 0) + 1
        overlap = {p: n / (len(members) + len(proposed[p]) - n) for p, n in shared.items()}
        best = min(overlap, key=lambda p: (-overlap[p], p), default=None)
        if best is not None and overlap[best] >= CONTINUE_JACCARD:
            continued.setdefault(best, []).append(index)
        else:
            left.append((index, shared))
    absorbed: list[tuple[int, int]] = []
    for index, shared in left:
        inside = [p for p, n in shared.items() if p in continued and 2 * n >= len(existing[index])]
        if inside:
            absorbed.append((index, min(inside, key=lambda p: (-shared[p], p))))
    return Matching(continued, absorbed)


def founding_pair(view: View, window: TraceWindow, members: Sequence[int]) -> FoundingPair:
    """Where two of `members` (rows) first acted on one object, earliest second trace first, ties by name.

    Args:
        view: the window in name order.
        window: the window.
        members: rows.
    """
    ranks = view.ranks(members)
    mine = view.traces_of(ranks)
    order = mine[np.lexsort((view.rank[mine], view.at[mine], view.slot[mine]))]
    best: FoundingPair | None = None
    first: tuple[int, int] | None = None  # (slot, rank) of the first member to act on the object at hand
    met = False
    for n in order.tolist():
        slot, rank, at = int(view.slot[n]), int(view.rank[n]), int(view.at[n])
        if first is None or first[0] != slot:
            first, met = (slot, rank), False
        elif not met and rank != first[1]:
            met = True
            a, b = sorted((view.names[first[1]], view.names[rank]))
            pair = FoundingPair(at, a, b, window.key(slot))
            best = pair if best is None or pair < best else best
    if best is None:  # joined by direct interactions alone
        a, b = sorted(view.names[r] for r in ranks)[:2]
        best = FoundingPair(int(view.at[mine].min()) if len(mine) else 0, a, b, "")
    return best


def group_id(pair: FoundingPair) -> str:
    """The group's id: a hash of its founding pair and their first shared object and time."""
    parts = "\x00".join((pair.a, pair.b, pair.key, str(pair.at_ms)))
    return hashlib.blake2b(parts.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


class Group(msgspec.Struct):
    """A proposed group, its bets, and what became of it."""

    id: str
    number: int  # order of creation, ties of a tick by strength
    since_ms: int  # when its founding pair met
    fixed_ms: int
    proposed_ms: int  # the last proposal that continued it
    strength: int
    bets: Bets
    reference: Bets | None = None
    hypothesis: int = 0  # e-LOND number, 0 until its first bet opens
    accepted_ms: int | None = None
    chosen: int = 0  # number among the groups tested as campaigns (`graph.groups`), 0 while it is none of them
    campaign_ms: int | None = None
    campaign_threshold: float = msgspec.field(
        default=0.0, name="campaign_bar"
    )  # log e-value (nats) when it was accepted
    merged_into: str | None = None

    @property
    def members(self) -> list[int]:
        """Rows of the members."""
        return list(self.bets.members)

    @property
    def log_e(self) -> float:
        """Log of the group's e-value, in nats."""
        return self.bets.log_value

    @property
    def accepted_among_all(self) -> bool:
        """Whether e-LOND accepted it as a discovery among all groups at `target_fdr`."""
        return self.accepted_ms is not None

    @property
    def accepted(self) -> bool:
        """Whether it was accepted in either list: among all groups, or among machine-driven ones."""
        return self.accepted_ms is not None or self.campaign_ms is not None


class Ended(NamedTuple):
    """A group that is under test no longer, and why: merged into another, or continued by no proposal for long."""

    id: str
    log_e: float
    hypothesis: int
    accepted: bool
    merged_into: str | None


class CampaignTick(NamedTuple):
    """What one tick did: how many groups were proposed, ids that are new, were accepted, and have ended."""

    at_ms: int
    proposed: int
    new: list[str]
    accepted: list[str]
    ended: list[Ended]


def inherit(group: Group, other: Group) -> None:
    """Merge `other`'s evidence into `group`: the mean of two e-processes is one, whatever their dependence."""
    ours, theirs = group.bets, other.bets
    worth = log_sum([ours.log_value, theirs.log_value]) - math.log(2.0)
    ours.log_e = [log_sum(pair) - math.log(2.0) for pair in zip(ours.log_e, theirs.log_e, strict=True)]
    # What the cells amount to now may be more: the difference is owed for good.
    ours.debt = min(0.0, worth - e_value(ours.log_e))
    ours.log_value = ours.debt + e_value(ours.log_e)
    if other.accepted_ms is not None:
        group.accepted_ms = min(group.accepted_ms or other.accepted_ms, other.accepted_ms)
        group.hypothesis = group.hypothesis or other.hypothesis
    if other.campaign_ms is not None and (group.campaign_ms is None or other.campaign_ms < group.campaign_ms):
        group.campaign_ms, group.campaign_threshold = other.campaign_ms, other.campaign_threshold
    group.chosen = group.chosen or other.chosen


IntArray = NDArray[np.int64]


class Comparison(NamedTuple):
    """Whom a group is compared with: ranks of comparable other accounts, and of a random group among them,
    ascending."""

    controls: list[int]
    reference: list[int]


class ControlSet:
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

        The reference set is, for each member, the account of the control set nearest in activity that is not taken yet.
        """
        controls = self._controls(ranks, settings)
        return Comparison(controls, self._reference(ranks, controls))

    def _controls(self, members: Sequence[int], settings: CoordinationSettings) -> list[int]:
        """Ranks of other accounts: `control_set_size`, and as many as the group has.

        Of its own community where that has half of `control_set_size`, else of the coarser one, likewise; members of
        other cores in the same community of soft edges last. Others would dilute its taste. Else filled with speakers
        of its language, then with anybody.
        """
        inside = set(members)
        size = settings.control_set_size + len(members)
        chosen: dict[int, None] = {}
        for source in self._sources(members):
            for rank in source:
                if len(chosen) >= size:
                    break
                if rank not in inside:
                    chosen[rank] = None
            if len(chosen) >= settings.control_set_size / 2:
                break
        return sorted(chosen)

    def _sources(self, members: Sequence[int]) -> Iterator[Iterable[int]]:
        """Where other accounts come from, the best source first; one is looked at where those before it had too few."""
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

    def _reference(self, members: Sequence[int], controls: Sequence[int]) -> list[int]:
        free = sorted(controls, key=lambda r: (self.activity[r], r))
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


class Campaigns(msgspec.Struct, array_like=True):
    """How many groups were tested as campaigns, and how many of them were found to be."""

    tested: int = 0
    found: int = 0

    def examine(self, groups: Iterable[Group], machine: Collection[int], fdr: float, now_ms: int) -> list[Group]:
        """Choose and accept, in the order of `groups`; the groups accepted now.

        Args:
            groups: under test.
            machine: numbers of those that are machine-driven as of now.
            fdr: share of the accepted that may be false.
            now_ms: of the tick.
        """
        accepted: list[Group] = []
        for group in groups:
            if group.hypothesis and not group.chosen and group.number in machine:
                self.tested += 1
                group.chosen = self.tested
            if group.chosen and group.campaign_ms is None:
                threshold = log_threshold(group.chosen, self.found, fdr)
                if group.log_e >= threshold:
                    group.campaign_ms, group.campaign_threshold = now_ms, threshold
                    self.found += 1
                    accepted.append(group)
        return accepted
