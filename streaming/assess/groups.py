"""From an event to its traces: which objects the account met that another account could have met too.

Whether a group, as a group, is driven by machines: the second of the two statements that make a campaign.

The statistic is the mean, over the group's members with text, of what their own text and behaviour say (nats, bounded
like a total, without the coordination part, which is derived from it). It is held against groups of people of that
size. What is known of people are the running maxima of the calibration people, with mean m and standard deviation s; a
running maximum is at least the present value, so this errs on the side of people. Members of a real community are alike
(language, topic, style), and what they share does not average out: with correlation r, the mean of k of them has
variance s^2 (r + (1 - r) / k). The threshold is m + z s sqrt(r + (1 - r) / k), z the normal quantile of
1 - `target_fdr`.

A mean can be carried by two loud members, so at least half of the members with text must show evidence above zero.

The groups of `graph` as `assess` uses them: who belongs where, and what follows for each member.

The graph part of accounts: the graph model over the window of touches, every six hours of event time.

The window, its expectation and the edges are those of coordination; the answer is a function of the window, the groups
under test and the accounts' own evidence at that tick, and lies in the accounts' columns until the next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from detector.models import SavedWeights
from detector.text.features import TextAbstain
from detector.thresholds import Thresholds
from graph.account_graph import INTERACTIONS, AccountGraph, account_graph, within_stratum_rank
from graph.coincidences import build_view
from graph.coordination import Coordination, Edge, coordination_part
from graph.group_test import log_bar
from graph.groups import CampaignTick, Group
from graph.trace_kind import TracedEvent
from graph.traces import HOUR_MS, KIND_TABLE, CoordinationSettings, Trace, traces_of
from streaming.assess.settings import AssessSettings
from streaming.assess.store import NEVER, Accounts
from streaming.schema.entities import domain_of
from streaming.schema.observation import Kind, Observation

if TYPE_CHECKING:
    from graph.links import SageModel

OBJECTS_PER_KIND: Final = 8
"""Links, and accounts mentioned, taken of one event: more are a list, not a choice, and would flood the window."""

UNKNOWN: Final = -1
"""Row of an account that has none."""

_ACTIONS: Final = tuple(kind.name.lower() for kind in Kind)
_INTERACTIONS: Final = {name: place for place, name in enumerate(INTERACTIONS)}


def acted_upon(kind: int, key: str) -> tuple[int, str] | None:
    """(place in `INTERACTIONS`, name of the account) of an object that is somebody's, None of any other."""
    read = KIND_TABLE[kind].acted_upon
    act = None if read is None else read(key)
    how = None if act is None else _INTERACTIONS.get(act[0])
    return None if act is None or how is None else (how, act[1])


def observed_traces(seen: Observation, row: int, accounts: Accounts, cluster: str | None) -> Iterator[Trace]:
    """The traces of one event, next to each other as `graph` wants them.

    Args:
        seen: the event, no deletion.
        row: whose it is.
        accounts: rows of the accounts acted upon, where they have one.
        cluster: of nearly equal texts, None without one.
    """
    other = UNKNOWN
    if seen.target_account and seen.target_account != seen.account:
        found = accounts.find(seen.target_account)
        other = UNKNOWN if found is None else found
    urls = seen.urls[:OBJECTS_PER_KIND]
    domains = tuple(domain for domain in dict.fromkeys(map(domain_of, urls)) if domain)
    event = TracedEvent(
        seen.account, _ACTIONS[seen.kind], seen.target, seen.target_account, urls, domains, seen.hashtags,
        seen.mentions[:OBJECTS_PER_KIND], seen.text, cluster,
    )  # fmt: skip
    return traces_of(event, seen.at, row, other)


ALIKE: Final = 0.3
"""Correlation assumed between the evidence of people of one community. A 1% cut from one population of people flagged
4.6 to 6.5% of another, a shift of 0.7 standard deviations common to all of them; a correlation of 0.3 allows for one of
0.55 standard deviations two times out of three, and the running maxima leave room beyond."""

FEWEST: Final = 3
"""Members with text below which nothing is said about a group: two accounts are not a campaign."""

CEASE_NATS: Final = 0.0
"""A campaign once shown to be machine-driven stays one while its mean evidence is above this: it must speak for people
before the statement is taken back, so that an alert does not flicker around the threshold."""


@dataclass(frozen=True)
class Judgement:
    """What the texts of a group's members say of the group."""

    members: int
    """Members whose text gives evidence."""
    nats: float
    """Their mean evidence, 0.0 where there are too few."""
    threshold: float
    """What the mean has to exceed for groups of that size."""
    positive: int
    """Members with text whose evidence is above zero."""

    @property
    def machine(self) -> bool:
        """Whether the group is shown to be machine-driven."""
        return self.members >= FEWEST and self.nats > self.threshold and 2 * self.positive >= self.members

    @property
    def still_machine(self) -> bool:
        """Whether a group once shown to be machine-driven still counts as one."""
        return self.members >= FEWEST and self.nats > CEASE_NATS


class GroupJudge:
    """Judges groups against groups of the calibration people.

    Args:
        thresholds: with the running maxima of people, by population; the strictest population counts.
        target_fdr: share of groups of people that may pass.
    """

    def __init__(self, thresholds: Thresholds, target_fdr: float) -> None:
        self._z = -float(ndtri(target_fdr))
        self._people = [
            (float(np.mean(maxima)), float(np.std(maxima, ddof=1)) if len(maxima) > 1 else 0.0)
            for maxima in thresholds.maxima.values()
        ]
        self._known: dict[int, float] = {}

    def threshold(self, members: int) -> float:
        """What the mean evidence of `members` accounts has to exceed, nats."""
        if members not in self._known:
            spread = float(np.sqrt(ALIKE + (1.0 - ALIKE) / max(members, 1)))
            self._known[members] = max(mean + self._z * deviation * spread for mean, deviation in self._people)
        return self._known[members]

    def judge(self, evidence: NDArray[np.float64]) -> Judgement:
        """Judge a group by the text and behaviour evidence (nats) of its members with text, in any order."""
        k = len(evidence)
        nats = round(float(np.sort(evidence).mean()), 6) if k >= FEWEST else 0.0
        return Judgement(k, nats, self.threshold(k), int((evidence > 0).sum()))


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

    def add(self, touches: Sequence[Trace]) -> None:
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


EVERY_MS: Final = 6 * HOUR_MS
"""Event time between two looks, as between two lessons in communities: a look costs as much as two proposals of
groups, some 13 microseconds for each touch in the window, and ties change over days."""


class Connections(NamedTuple):
    """What the model says: nats of each of `rows`, ascending; it abstains on all others."""

    rows: NDArray[np.int64]
    nats: NDArray[np.float64]


class GraphTick(NamedTuple):
    """A graph with what was known of its accounts at a tick.

    Args:
        own: text and behaviour evidence of each node, nats, shape (n,); speaks: whether text gave evidence.
        groups: (places of the members in the graph, log e-value) of every group under test.
    """

    tick_ms: int
    graph: AccountGraph
    own: NDArray[np.float64]
    speaks: NDArray[np.bool_]
    groups: list[tuple[list[int], float]]


def _model(saved: SavedWeights) -> SageModel | None:
    """The model in a bundle. Importing it brings torch: some seconds and 200 MB that nobody else needs."""
    from graph.links import SageModel

    return SageModel.of(saved)


class GraphLooks:
    """Looks at the graph when it is time.

    Args:
        settings: of the run.
        saved: the bundle's graph weights, None without.
        accounts: rows and columns; only read.
        coordination: whose window and groups are looked at.

    Raises:
        ModelError: the weights are of another release.
    """

    def __init__(
        self,
        settings: AssessSettings,
        saved: SavedWeights | None,
        accounts: Accounts,
        coordination: Callable[[], Coordination],
    ) -> None:
        self.model = None if saved is None or "graph" in settings.without else _model(saved)
        self.watch: Callable[[GraphTick], None] | None = None
        self._settings = CoordinationSettings(target_fdr=settings.target_fdr)
        self._seed = settings.seed
        self._text = "text" not in settings.without
        self._accounts = accounts
        self._coordination = coordination
        self._last = NEVER

    @property
    def on(self) -> bool:
        """Whether anything would come of a look."""
        return self.model is not None or self.watch is not None

    def look(self, tick_ms: int, *, last: bool) -> Connections | None:
        """The graph part as of a campaign tick; None where it is not time for one."""
        if not self.on:
            return None
        window = self._coordination().window
        window.expire(tick_ms - self._settings.window_ms)
        if not (last or tick_ms - self._last >= EVERY_MS):
            return None
        if not len(window) or tick_ms - int(window.view()[0][0]) < self._settings.learn_ms:
            return None
        self._last = tick_ms
        view = build_view(window, tick_ms, self._accounts.name, self._settings)
        if view is None:
            return None
        groups = self._coordination().groups()
        members = [list(group.bets.members) for group in groups]
        graph = account_graph(view, members, self._settings, self._seed, acted_upon, window.key)
        accounts, rows = self._accounts, view.rows
        own = accounts.text[rows] + accounts.behaviour[rows]
        speaks = accounts.text_abstain[rows] == TextAbstain.NONE if self._text else np.zeros(len(rows), np.bool_)
        if self.watch is not None:
            named = [(view.ranks(rows), group.log_e) for rows, group in zip(members, groups, strict=True)]
            self.watch(GraphTick(tick_ms, graph, own, speaks, named))
        if self.model is None:
            return None
        from graph.links import own_columns

        places = within_stratum_rank(own, speaks, accounts.posts[rows], accounts.language[rows])
        found = self.model.run(graph, own_columns(places, speaks))
        said = np.flatnonzero(found.judged)
        said = said[np.argsort(rows[said])]
        return Connections(rows[said], found.increment[said])

    def state(self) -> dict[str, Any]:
        """For a snapshot; `restore` is the inverse."""
        return {"last": self._last}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self._last = state["last"]
