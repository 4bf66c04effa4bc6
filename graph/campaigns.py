"""Machine-driven groups, tested in a list of their own.

A platform has hundreds of groups under test, nearly all of people, and e-LOND asks more of each the longer the list is.
A campaign is a group that is also shown to be machine-driven, by what its members write. Whom they meet enters the
e-value, what they write does not, so for a group that does not act together the choice says nothing about the bets, and
e-LOND over the chosen groups alone keeps the share of false campaigns at `target_fdr`. A group is chosen when its texts
first show machines, whatever its e-value is by then, and stays chosen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from graph.elond import log_bar
from graph.group import Group


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
                bar = log_bar(group.chosen, self.found, fdr)
                if group.log_e >= bar:
                    group.campaign_ms, group.campaign_bar = now_ms, bar
                    self.found += 1
                    accepted.append(group)
        return accepted
