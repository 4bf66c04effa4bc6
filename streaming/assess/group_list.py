"""Which groups there are, from search to search: which one goes on, merges, begins, is accepted, and is let go of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from graph.groups import Among, Group, Proposal, group_id, match
from graph.trace_memory import TraceMemory
from graph.traces import DAY_MS
from streaming.assess.store import NEVER

NAMED_Q: Final = 0.25
"""q up to which a group is named in `--scores`: three of four such groups are more than chance. An alert asks for
`target_fdr`."""

PATIENCE_MS: Final = 7 * DAY_MS
"""How long a group that no search finds any more stays listed: it may come back."""

PASSES: Final = 2
"""Searches in a row that a group must pass to be accepted: searches are many, and one of them is passed by chance more
often than `target_fdr` says. The last search of a recording accepts by itself, as no other can follow; among all
accounts, where it informs alone, only if it is the only one."""


class TalkingPointPost(msgspec.Struct, array_like=True, frozen=True):
    """One member's words for a talking point: row of the member, key of the event."""

    row: int
    key: bytes


class Listed(msgspec.Struct):
    """A group with what its alert shows.

    Args:
        group: members, strength, q, and since when.
        points: posts of each talking point, the most typical first.
        decoy_groups: mean number of groups that a draw of decoys showed in that search.
    """

    group: Group
    points: list[list[TalkingPointPost]] = []
    decoy_groups: float = 0.0


class GroupBook(msgspec.Struct):
    """Which groups there are, and when was searched for them.

    Args:
        listed: oldest first.
        created: groups ever listed.
        first_ms: time of the first trace.
        last_trace_ms: time of the last.
        searched_ms: tick of the last search among suspects.
        searched_size: traces and vectors ever taken in by then.
        searched_all_ms: tick of the last search among all.
        searched_all_size: traces ever taken in by then.
    """

    listed: list[Listed] = []
    created: int = 0
    first_ms: int = NEVER
    last_trace_ms: int = NEVER
    searched_ms: int = NEVER
    searched_size: int = 0
    searched_all_ms: int = NEVER
    searched_all_size: int = 0


class Ended(NamedTuple):
    """A group that is listed no longer, and the group that it is now part of."""

    id: str
    merged_into: str | None


class Candidate(NamedTuple):
    """A group as a search found it, with its q, talking points and what decoys showed."""

    proposal: Proposal
    q: float
    points: list[list[TalkingPointPost]]
    decoy_groups: float


@dataclass(eq=False)
class GroupState:
    """What is remembered of groups: the traces, and the groups found in them."""

    memory: TraceMemory = field(default_factory=TraceMemory)
    book: GroupBook = field(default_factory=GroupBook)
    of_row: dict[int, Group] = field(init=False)
    """Row of an account -> the group it is named with in `--scores`."""

    def __post_init__(self) -> None:
        self.read()

    def read(self) -> None:
        """Read `of_row` anew from the groups listed: accepted ones before others, campaigns before coordination."""
        named = [each.group for each in self.book.listed if each.group.accepted or each.group.q <= NAMED_Q]
        self.of_row = {}
        for group in sorted(named, key=_weight):
            for row in group.members:
                self.of_row[row] = group

    def enter(
        self,
        found: Sequence[Candidate],
        tick_ms: int,
        *,
        among: Among,
        name: Callable[[int], str],
        target_fdr: float,
        enough: bool,
    ) -> list[Ended]:
        """Enter what a search found: groups go on, merge, begin.

        Args:
            found: groups of a search, best first; members are rows.
            tick_ms: of the search.
            among: which search it was.
            name: of an account, by row.
            target_fdr: q up to which a group passes.
            enough: whether a group that passes this search alone is accepted.
        """
        book = self.book
        mine = [each for each in book.listed if each.group.among == among]
        members = [each.proposal.members for each in found]
        matching = match([set(each.group.members) for each in mine], [set(each) for each in members])
        ended: list[Ended] = []
        gone: set[int] = set()
        into: dict[int, Listed] = {}
        for place, candidate in enumerate(found):
            going_on = matching.continued.get(place, [])
            if going_on:
                listed = mine[going_on[0]]
                for other in going_on[1:]:
                    _inherit(listed.group, mine[other].group)
                    ended.append(Ended(mine[other].group.id, listed.group.id))
                    gone.add(mine[other].group.number)
            else:
                called = group_id(among, tick_ms, [name(row) for row in members[place]])
                listed = Listed(Group(called, book.created, among, tick_ms, tick_ms, [], [], 0.0, 1.0))
                book.created += 1
                book.listed.append(listed)
            group = listed.group
            group.seen_ms, group.members = tick_ms, members[place]
            group.strength = [round(each, 3) for each in candidate.proposal.strength]
            group.statistic, group.q = round(candidate.proposal.statistic, 3), round(candidate.q, 6)
            listed.points, listed.decoy_groups = candidate.points, candidate.decoy_groups
            group.passed = group.passed + 1 if group.q <= target_fdr else 0
            if group.accepted_ms is None and (group.passed >= PASSES or (enough and group.passed)):
                group.accepted_ms = tick_ms
            into[place] = listed
        for index, place in matching.absorbed:
            _inherit(into[place].group, mine[index].group)
            ended.append(Ended(mine[index].group.id, into[place].group.id))
            gone.add(mine[index].group.number)
        for each in mine:
            unseen = each.group.seen_ms != tick_ms and each.group.number not in gone
            if unseen and not each.group.accepted:
                ended.append(Ended(each.group.id, None))
                gone.add(each.group.number)
        book.listed = [each for each in book.listed if each.group.number not in gone]
        return ended

    def drop_stale(self, tick_ms: int) -> list[Ended]:
        """Let go of groups that no search has found for `PATIENCE_MS`."""
        book = self.book
        stale = {each.group.number for each in book.listed if tick_ms - each.group.seen_ms > PATIENCE_MS}
        ended = [Ended(each.group.id, None) for each in book.listed if each.group.number in stale]
        book.listed = [each for each in book.listed if each.group.number not in stale]
        return ended

    def forget_accounts(self, gone: Collection[int]) -> None:
        """Accounts left: no group has them, and no talking point their words."""
        for each in self.book.listed:
            group = each.group
            kept = [n for n, row in enumerate(group.members) if row not in gone]
            group.members = [group.members[n] for n in kept]
            group.strength = [group.strength[n] for n in kept]
            each.points = _without(each.points, lambda post: post.row in gone)
        self.read()

    def forget_posts(self, gone: Collection[tuple[int, bytes]]) -> None:
        """Events, as (row, key), were deleted: their words leave the talking points."""
        for each in self.book.listed:
            each.points = _without(each.points, lambda post: (post.row, post.key) in gone)


def _weight(group: Group) -> tuple[bool, bool, float, int]:
    return group.accepted, group.among == "suspects", -group.q, -group.number


def _inherit(group: Group, other: Group) -> None:
    """`other` is now part of `group`: what was accepted stays so."""
    if other.accepted_ms is not None:
        group.accepted_ms = min(group.accepted_ms or other.accepted_ms, other.accepted_ms)
    if other.machine_ms is not None:
        group.machine_ms = min(group.machine_ms or other.machine_ms, other.machine_ms)
    group.found_ms = min(group.found_ms, other.found_ms)


def _without(
    points: list[list[TalkingPointPost]], gone: Callable[[TalkingPointPost], bool]
) -> list[list[TalkingPointPost]]:
    """The talking points without some posts; one that a single member is left with is none."""
    left = [[post for post in each if not gone(post)] for each in points]
    return [each for each in left if len({post.row for post in each}) > 1]
