"""The groups of `graph` as `assess` uses them: who belongs where, and what follows for each member."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from graph.coordination import Coordination
from graph.elond import log_bar
from graph.evidence import Edge
from graph.group import CampaignTick, Group
from graph.part import coordination_part
from graph.touches import CoordinationSettings, Touch
from streaming.assess.accounts import NEVER
from streaming.assess.settings import AssessSettings

MOST_EDGES: Final = 20_000
"""Edges of one group that its details show: those of two hundred members who all met, some ten pages."""

LARGEST_LOG_E: Final = 690.0
"""Logarithm at which e-values are cut when written: JSON numbers end at exp(709)."""


def e_value(log_e: float) -> float:
    """An e-value as it is written: finite, eight digits."""
    return float(f"{math.exp(min(log_e, LARGEST_LOG_E)):.8g}")


class Groups:
    """Coordination, the accepted groups of its last tick, and who belongs to which.

    A group is named in `of_row` once its own e-value reaches 1 / target_fdr (Ville's inequality: a group that does not
    act together gets there with probability target_fdr at most); it is `accepted`, and alerted, by e-LOND over all, or
    as a campaign by e-LOND over those that are machine-driven.

    Args:
        settings: of the run.
    """

    def __init__(self, settings: AssessSettings) -> None:
        self._settings = CoordinationSettings(target_fdr=settings.target_fdr)
        self._seed = settings.seed
        self._every_ms = settings.campaign_tick_ms
        self.on = "coordination" not in settings.without
        self.traced = False
        self.coordination = Coordination(self._settings, self._seed)
        self.accepted: list[Group] = []
        self.of_row: dict[int, Group] = {}
        self._bars: dict[str, float] = {}
        self._last_touch = NEVER

    def add(self, touches: Sequence[Touch]) -> None:
        """Take touches in event order."""
        if self.gathers and touches:
            self.coordination.add(touches)
            self._last_touch = touches[-1].at_ms

    @property
    def gathers(self) -> bool:
        """Whether touches are wanted: by groups, or (`traced`) by the graph model alone."""
        return self.on or self.traced

    def next_tick(self, after_ms: int) -> int | None:
        """The next campaign tick that can change anything without further events; None when all is settled."""
        if self._last_touch == NEVER:
            return None
        settings = self._settings
        tick = (after_ms // self._every_ms + 1) * self._every_ms
        patience = max(settings.patience_ms, settings.accepted_patience_ms)
        return tick if tick <= self._last_touch + settings.window_ms + patience + self._every_ms else None

    def tick(
        self, tick_ms: int, names: Callable[[int], str], languages: Callable[[int], str], *, end: bool
    ) -> CampaignTick:
        """Run a campaign tick and read the groups anew."""
        done = self.coordination.tick(tick_ms, names, languages, end=end)
        groups = {group.id: group for group in self.coordination.groups()}
        earlier = self.coordination.discoveries - len(done.accepted)
        for place, accepted in enumerate(done.accepted):
            if accepted in groups:
                self._bars[accepted] = self._bar(groups[accepted], earlier + place)
        self._read()
        return done

    def examine(self, machine: Callable[[Group], bool], tick_ms: int) -> None:
        """Test the groups that are `machine`-driven as campaigns."""
        fresh = [group for group in self.coordination.groups() if group.hypothesis and not group.chosen]
        self.coordination.examine({group.number for group in fresh if machine(group)}, tick_ms)
        self._read()

    def _bar(self, group: Group, earlier: int) -> float:
        return log_bar(max(group.hypothesis, 1), earlier, self._settings.target_fdr)

    def _read(self) -> None:
        groups = self.coordination.groups()
        self.accepted = [group for group in groups if group.stands]
        # Named in --scores by a test of its own; an alert needs acceptance among all groups tested.
        alone = -math.log(self._settings.target_fdr)
        named = [group for group in groups if group.stands or group.log_e >= alone]
        self.of_row = {}
        for group in sorted(named, key=lambda group: (group.stands, group.log_e, -group.number)):
            for row in group.members:
                self.of_row[row] = group

    def bar(self, group: Group) -> float:
        """Log of the e-value at which e-LOND accepted a group; of one that inherited its acceptance, its bar today."""
        if group.campaign_ms is not None:
            return group.campaign_bar
        return self._bars.setdefault(group.id, self._bar(group, self.coordination.discoveries))

    def parts(self, evidence: Callable[[NDArray[np.int64]], NDArray[np.float64]]) -> dict[int, float]:
        """Coordination part (nats) of every member of a group under test.

        Args:
            evidence: text and behaviour LLR (n,) of (n,) rows, nats.
        """
        groups = [(group.members, group.log_e) for group in self.coordination.groups()]
        rows = np.unique(np.array([row for members, _ in groups for row in members], np.int64))
        return coordination_part(groups, dict(zip(rows.tolist(), evidence(rows).tolist(), strict=True)))

    def edges_within(self, members: Sequence[int]) -> list[Edge]:
        """What the members had in common, strongest first."""
        return self.coordination.edges_within(members, MOST_EDGES)

    def forget(self, rows: Iterable[int]) -> None:
        """Accounts left."""
        for row in rows:
            self.coordination.forget_account(row)
        self._read()

    def forget_events(self, events: Iterable[tuple[int, int]]) -> None:
        """Events, as (row, time), were deleted."""
        for row, at_ms in events:
            self.coordination.forget_event(row, at_ms)

    def state(self) -> dict[str, Any]:
        """For a snapshot; `restore` is the inverse."""
        return {
            "coordination": self.coordination.arrays(),
            "bars": dict(self._bars),
            "last_touch": self._last_touch,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self.coordination = Coordination.from_arrays(state["coordination"], self._settings, self._seed)
        self._bars = dict(state["bars"])
        self._last_touch = state["last_touch"]
        self._read()
