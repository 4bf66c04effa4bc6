"""The graph part of accounts: the graph model over the window of touches, every six hours of event time.

The window, its expectation and the edges are those of coordination; the answer is a function of the window, the groups
under test and the accounts' own evidence at that tick, and lies in the accounts' columns until the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.bundle import SavedWeights
from detector.text.reading import TextAbstain
from graph.account_graph import AccountGraph, account_graph
from graph.coordination import Coordination
from graph.sage import SageModel, own_columns
from graph.standing import standing
from graph.touches import HOUR_MS, CoordinationSettings
from graph.view import look
from streaming.assess.accounts import NEVER, Accounts
from streaming.assess.settings import AssessSettings
from streaming.assess.touches import acted_upon

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
        self.model = None if saved is None or "graph" in settings.without else SageModel.of(saved)
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
        view = look(window, tick_ms, self._accounts.name, self._settings)
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
        places = standing(own, speaks, accounts.posts[rows], accounts.language[rows])
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
