"""The graph component of accounts: the graph model over the window of traces, every six hours of event time.

The window, its expectation and the edges are those of coordination; the answer is a function of the window, the groups
under test and the accounts' own evidence at that tick, and lies in the accounts' columns until the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.models import SavedWeights
from detector.text.features import TextAbstain
from graph.account_graph import AccountGraph, account_graph, within_stratum_rank
from graph.coincidences import build_view
from graph.traces import HOUR_MS
from streaming.assess.event_traces import acted_upon
from streaming.assess.groups import GroupState, coordination_settings
from streaming.assess.settings import AssessSettings
from streaming.assess.store import AccountTable

if TYPE_CHECKING:
    from graph.links import SageModel

EVERY_MS: Final = 6 * HOUR_MS
"""Event time between two looks, as between two rounds of communities: a look costs as much as two proposals of groups,
some 13 microseconds for each trace in the window, and ties change over days."""


class GraphComponent(NamedTuple):
    """What the model says: nats of each of `rows`, ascending; it abstains on all others."""

    rows: NDArray[np.int64]
    nats: NDArray[np.float64]


class GraphTick(NamedTuple):
    """A graph with what was known of its accounts at a tick.

    Args:
        tick_ms: the tick.
        graph: the accounts of the window and their ties, n nodes.
        own: text and behaviour evidence of each node, nats, shape (n,).
        speaks: whether a node's text gave evidence, shape (n,).
        groups: (places of the members in the graph, log e-value) of every group under test.
    """

    tick_ms: int
    graph: AccountGraph
    own: NDArray[np.float64]
    speaks: NDArray[np.bool_]
    groups: list[tuple[list[int], float]]


GraphWatch = Callable[[GraphTick], None]
"""Told every account graph."""


def load_graph_model(settings: AssessSettings, saved: SavedWeights | None) -> SageModel | None:
    """The graph model of a run, None without weights or where the component is left out.

    Importing it brings torch: some seconds and 200 MB that nobody else needs.

    Args:
        settings: of the run.
        saved: the bundle's graph weights.

    Raises:
        ModelError: the weights are of another release.
    """
    if saved is None or "graph" in settings.without:
        return None
    from graph.links import SageModel

    return SageModel.of(saved)


class GraphEvidence:
    """Builds the account graph when it is time, and has the model judge it.

    Args:
        settings: of the run.
        model: the bundle's graph model, None without or where it is left out.
        accounts: the account table; only read.
        groups: whose window and groups are looked at, and which remembers when that was.
        watch: told every graph, also where there is no model.
    """

    def __init__(
        self,
        settings: AssessSettings,
        model: SageModel | None,
        accounts: AccountTable,
        groups: GroupState,
        watch: GraphWatch | None,
    ) -> None:
        self._model = model
        self._watch = watch
        self._settings = coordination_settings(settings)
        self._seed = settings.seed
        self._text = "text" not in settings.without
        self._accounts = accounts
        self._groups = groups

    @property
    def on(self) -> bool:
        """Whether anything would come of a look."""
        return self._model is not None or self._watch is not None

    def component(self, tick_ms: int, *, last: bool) -> GraphComponent | None:
        """The graph component as of a campaign tick; None where it is not time for one.

        Args:
            tick_ms: a campaign tick.
            last: whether the input is over, when it is always time.
        """
        if not self.on:
            return None
        coordination = self._groups.coordination
        window = coordination.window
        window.expire(tick_ms - self._settings.window_ms)
        if not (last or tick_ms - self._groups.graph_tick_ms >= EVERY_MS):
            return None
        if not len(window) or tick_ms - int(window.view()[0][0]) < self._settings.learn_ms:
            return None
        self._groups.graph_tick_ms = tick_ms
        view = build_view(window, tick_ms, self._accounts.name, self._settings)
        if view is None:
            return None
        groups = coordination.groups()
        members = [list(group.bets.members) for group in groups]
        graph = account_graph(view, members, self._settings, self._seed, acted_upon, window.key)
        accounts, rows = self._accounts, view.rows
        own = accounts.text[rows] + accounts.behaviour[rows]
        speaks = accounts.text_abstain[rows] == TextAbstain.NONE if self._text else np.zeros(len(rows), np.bool_)
        if self._watch is not None:
            named = [(view.ranks(rows), group.log_e) for rows, group in zip(members, groups, strict=True)]
            self._watch(GraphTick(tick_ms, graph, own, speaks, named))
        if self._model is None:
            return None
        from graph.links import own_columns

        places = within_stratum_rank(own, speaks, accounts.posts[rows], accounts.language[rows])
        found = self._model.run(graph, own_columns(places, speaks))
        said = np.flatnonzero(found.judged)
        said = said[np.argsort(rows[said])]
        return GraphComponent(rows[said], found.increment[said])
