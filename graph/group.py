"""A group under test, and what ticks tell of groups."""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from graph.bets import Bets
from graph.stakes import e_value, log_sum


class Group(msgspec.Struct):
    """A proposed group, its bets, and what became of it."""

    id: str
    number: int  # order of creation, ties of a tick by strength
    since_ms: int  # when its founding pair met
    frozen_ms: int
    proposed_ms: int  # the last proposal that continued it
    strength: int
    bets: Bets
    shadow: Bets | None = None
    hypothesis: int = 0  # e-LOND number, 0 until its first bet opens
    accepted_ms: int | None = None
    chosen: int = 0  # number among the groups tested as campaigns (`graph.campaigns`), 0 while it is none of them
    campaign_ms: int | None = None
    campaign_bar: float = 0.0  # log e-value (nats) at which it was accepted as a campaign
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
    def accepted(self) -> bool:
        """Whether e-LOND accepted it as a discovery among all groups at `target_fdr`."""
        return self.accepted_ms is not None

    @property
    def stands(self) -> bool:
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
        group.campaign_ms, group.campaign_bar = other.campaign_ms, other.campaign_bar
    group.chosen = group.chosen or other.chosen
