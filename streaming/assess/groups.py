"""The groups of `graph` as `assess` uses them: who belongs where, and what follows for each member."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from graph.coordination import Coordination, Edge, coordination_components
from graph.group_test import log_threshold
from graph.groups import CampaignTick, Group
from graph.traces import CoordinationSettings, Trace
from streaming.assess.settings import AssessSettings
from streaming.assess.store import NEVER

MOST_EDGES: Final = 20_000
"""Edges of one group that its details show: those of two hundred members who all met, some ten pages."""

LARGEST_LOG_E: Final = 690.0
"""Logarithm at which e-values are cut when written: JSON numbers end at exp(709)."""


def e_value(log_e: float) -> float:
    """An e-value as it is written: finite, eight digits."""
    return float(f"{math.exp(min(log_e, LARGEST_LOG_E)):.8g}")


def coordination_settings(settings: AssessSettings) -> CoordinationSettings:
    """What `graph` is told of the settings of the run."""
    return CoordinationSettings(target_fdr=settings.target_fdr)


@dataclass(eq=False)
class GroupState:
    """What is remembered of groups.

    Args:
        coordination: the state machine of `graph`, with the window of traces and the groups under test.
        thresholds: log e-value at which e-LOND accepted a group, by its id.
        last_trace_ms: time of the last trace.
        graph_tick_ms: tick at which the graph model last looked at the window.
    """

    coordination: Coordination
    thresholds: dict[str, float] = field(default_factory=dict)
    last_trace_ms: int = NEVER
    graph_tick_ms: int = NEVER
    accepted: list[Group] = field(init=False)
    """Groups accepted by e-LOND, among all or among the machine-driven ones: those that have alerts."""
    of_row: dict[int, Group] = field(init=False)
    """Row of an account -> the group it is named with in `--scores`."""

    def __post_init__(self) -> None:
        self.read()

    @classmethod
    def begin(cls, settings: AssessSettings) -> GroupState:
        """No traces and no groups yet."""
        return cls(Coordination(coordination_settings(settings), settings.seed))

    def read(self) -> None:
        """Read `accepted` and `of_row` anew from the groups under test.

        A group is named once its own e-value reaches 1 / target_fdr: by Ville's inequality a group that does not act
        together gets there with probability target_fdr at most. An alert needs more, acceptance by e-LOND.
        """
        groups = self.coordination.groups()
        self.accepted = [group for group in groups if group.accepted]
        alone = -math.log(self.coordination.settings.target_fdr)
        named = [group for group in groups if group.accepted or group.log_e >= alone]
        self.of_row = {}
        for group in sorted(named, key=lambda group: (group.accepted, group.log_e, -group.number)):
            for row in group.members:
                self.of_row[row] = group


class Groups:
    """Gives traces to `graph`, runs its campaign ticks, and reads its groups.

    Args:
        settings: of the run.
        state: the part of the state that this class changes.
        gathers: whether traces are wanted: by groups, or by the graph model alone.
    """

    def __init__(self, settings: AssessSettings, state: GroupState, *, gathers: bool) -> None:
        self._settings = coordination_settings(settings)
        self._every_ms = settings.campaign_tick_ms
        self._state = state
        self.on = "coordination" not in settings.without
        self.gathers = gathers

    @property
    def accepted(self) -> list[Group]:
        """Groups that have alerts."""
        return self._state.accepted

    @property
    def of_row(self) -> dict[int, Group]:
        """Row of an account -> its group."""
        return self._state.of_row

    def add(self, traces: Sequence[Trace]) -> None:
        """Take traces in event order."""
        if self.gathers and traces:
            self._state.coordination.add(traces)
            self._state.last_trace_ms = traces[-1].at_ms

    def next_tick(self, after_ms: int) -> int | None:
        """The next campaign tick that can change anything without further events; None when all is settled."""
        last = self._state.last_trace_ms
        if last == NEVER:
            return None
        settings = self._settings
        tick = (after_ms // self._every_ms + 1) * self._every_ms
        patience = max(settings.patience_ms, settings.accepted_patience_ms)
        return tick if tick <= last + settings.window_ms + patience + self._every_ms else None

    def tick(
        self, tick_ms: int, names: Callable[[int], str], languages: Callable[[int], str], *, end: bool
    ) -> CampaignTick:
        """Run a campaign tick and read the groups anew.

        Args:
            tick_ms: the tick.
            names: of the accounts, by row.
            languages: of the accounts, by row; "" where unknown.
            end: whether the input is over.
        """
        state = self._state
        done = state.coordination.tick(tick_ms, names, languages, end=end)
        groups = {group.id: group for group in state.coordination.groups()}
        earlier = state.coordination.discoveries - len(done.accepted)
        for place, accepted in enumerate(done.accepted):
            if accepted in groups:
                state.thresholds[accepted] = self._threshold_today(groups[accepted], earlier + place)
        state.read()
        return done

    def to_examine(self) -> list[Group]:
        """Groups under test that were not yet tested as campaigns in this round."""
        return [group for group in self._state.coordination.groups() if group.hypothesis and not group.chosen]

    def examine(self, machine_driven: Iterable[Group], tick_ms: int) -> None:
        """Test groups that are machine-driven as campaigns."""
        self._state.coordination.examine({group.number for group in machine_driven}, tick_ms)
        self._state.read()

    def _threshold_today(self, group: Group, earlier: int) -> float:
        return log_threshold(max(group.hypothesis, 1), earlier, self._settings.target_fdr)

    def threshold(self, group: Group) -> float:
        """Log e-value at which e-LOND accepted a group; of one that inherited its acceptance, the value of today."""
        if group.campaign_ms is not None:
            return group.campaign_threshold
        state = self._state
        return state.thresholds.setdefault(group.id, self._threshold_today(group, state.coordination.discoveries))

    def coordination_components(self, own: NDArray[np.float64]) -> dict[int, float]:
        """Coordination component (nats) of every member of a group under test, by row.

        Args:
            own: text and behaviour LLR of every row, nats, shape (capacity,).
        """
        groups = [(group.members, group.log_e) for group in self._state.coordination.groups()]
        rows = np.unique(np.array([row for members, _ in groups for row in members], np.int64))
        return coordination_components(groups, dict(zip(rows.tolist(), own[rows].tolist(), strict=True)))

    def edges_within(self, members: Sequence[int]) -> list[Edge]:
        """What the members had in common, strongest first."""
        return self._state.coordination.edges_within(members, MOST_EDGES)

    def forget(self, rows: Iterable[int]) -> None:
        """Accounts left."""
        for row in rows:
            self._state.coordination.forget_account(row)
        self._state.read()

    def forget_events(self, events: Iterable[tuple[int, int]]) -> None:
        """Events, as (row, time), were deleted."""
        for row, at_ms in events:
            self._state.coordination.forget_event(row, at_ms)
