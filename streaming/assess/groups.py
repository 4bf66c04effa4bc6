"""The searches for groups as `assess` runs them: when, among whom, and what members gain.

Both searches of `graph.search` are functions of the state at a campaign tick: the memory of traces, the vectors of what
suspects and controls wrote, and everybody's own evidence. They run when there is enough that is new, and at the end.
What lies between two searches does not change, but for members that leave.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from detector.models import SavedWeights
from graph.coincidences import Coincidences, coincidences
from graph.groups import Among, Group
from graph.narratives import Narratives
from graph.pair_model import PairModel, worth_of_mates
from graph.search import Accounts, FoundGroups, among_all, among_suspects, pair_features
from graph.trace_memory import TraceView
from graph.traces import DAY_MS, HOUR_MS, Trace
from graph.wording import Wording, talking_points
from streaming.assess.group_list import PATIENCE_MS, Candidate, Ended, GroupState, Listed, TalkingPointPost
from streaming.assess.meaning_reading import are_suspects, draw
from streaming.assess.settings import AssessSettings
from streaming.assess.store import NEVER, PERMITTED, AccountTable

MOST_SUSPECTS: Final = 768
"""Suspects looked at, those with the strongest evidence: a search compares all their posts with each other, so its time
grows with the square of this."""

MOST_CONTROLS: Final = 512
"""Controls looked at beside them."""

SEARCH_EVERY_MS: Final = 6 * HOUR_MS
"""Event time after which suspects are searched again if anything is new."""

GROWN: Final = 0.25
"""Share by which traces and vectors must have grown for a search before that: campaigns that break out are found in the
first hours, and a quiet platform is not searched for nothing."""

SEARCH_ALL_EVERY_MS: Final = DAY_MS
"""Least event time between searches among all accounts, which cost more and inform rather than flag."""

SEARCH_ALL_WITHIN_MS: Final = 7 * DAY_MS
"""After so long they come if anything is new. Before, the traces must have grown by `GROWN`: a search looks at all that
is remembered, and once a day its share of an event's cost would grow with the memory until that is full, for weeks."""

LEAST_NEW: Final = 50
"""New traces and vectors below which nothing is searched before `SEARCH_EVERY_MS`."""

POINTS: Final = 5
"""Talking points kept of a group."""

SAME_POINT: Final = 0.35
"""Likeness from which two posts make one talking point. Not fitted: it decides what an alert shows, no more."""


class SearchEvidence(NamedTuple):
    """What a search says of accounts: nats of each of `rows`, ascending; 0 for all others.

    Args:
        rows: accounts.
        coordination: from the members of their own group.
        graph: from a group that it is no member of, and is tied to as members are.
    """

    rows: NDArray[np.int64]
    coordination: NDArray[np.float64]
    graph: NDArray[np.float64]


class Searched(NamedTuple):
    """What a campaign tick did.

    Args:
        evidence: of accounts, None where suspects were not searched.
        ended: groups that are gone.
    """

    evidence: SearchEvidence | None
    ended: list[Ended]


class SuspectSearch(NamedTuple):
    """What a search among suspects was run on: told to a watcher, such as training.

    Args:
        tick_ms: the tick.
        names: of the k accounts, sorted.
        accounts: suspects and controls.
        wording: likeness of what they say, shape (k, k).
        nats: surprise by kind, shape (kinds, k, k).
    """

    tick_ms: int
    names: list[str]
    accounts: Accounts
    wording: NDArray[np.float32]
    nats: NDArray[np.float32]


SearchWatch = Callable[[SuspectSearch], None]
"""Told every search among suspects."""


def load_pair_model(settings: AssessSettings, saved: SavedWeights | None) -> PairModel | None:
    """The same-controller model of a run; None without weights or where coordination is left out.

    Args:
        settings: of the run.
        saved: the bundle's graph weights.

    Raises:
        ModelError: the weights are of another release.
    """
    return None if saved is None or "coordination" in settings.without else PairModel.of(saved)


class Groups:
    """Takes traces, searches, and keeps the list of groups.

    Args:
        settings: of the run.
        state: the part of the state that this class changes.
        accounts: the account table; only read.
        narratives: vectors of what suspects and controls wrote; only read.
        model: of pairs; without one only all accounts are searched.
        watch: told every search among suspects, also where there is no model.
    """

    def __init__(
        self,
        settings: AssessSettings,
        state: GroupState,
        accounts: AccountTable,
        narratives: Narratives,
        model: PairModel | None,
        watch: SearchWatch | None = None,
    ) -> None:
        self._settings = settings
        self._state = state
        self._accounts = accounts
        self._narratives = narratives
        self._model = model
        self._watch = watch
        self.on = "coordination" not in settings.without

    @property
    def listed(self) -> list[Listed]:
        """All groups, oldest first."""
        return self._state.book.listed

    @property
    def accepted(self) -> list[Listed]:
        """Groups that are or were beyond what decoys show."""
        return [each for each in self._state.book.listed if each.group.accepted]

    def by_chance(self) -> dict[str, tuple[float, float]]:
        """Search -> the mean q of the groups it has accepted, 0 where there are none; what decoys showed in it last."""
        found: dict[str, tuple[float, float]] = {}
        for among in get_args(Among):
            listed = [each for each in self._state.book.listed if each.group.among == among]
            accepted = [each.group.q for each in listed if each.group.accepted]
            newest = max(listed, key=lambda each: each.group.seen_ms, default=None)
            share = sum(accepted) / len(accepted) if accepted else 0.0
            found[among] = (share, 0.0 if newest is None else newest.decoy_groups)
        return found

    @property
    def of_row(self) -> dict[int, Group]:
        """Row of an account -> its group."""
        return self._state.of_row

    def add(self, traces: Sequence[Trace]) -> None:
        """Take traces in event order."""
        if self.on and traces:
            self._state.memory.add(traces)
            book = self._state.book
            book.last_trace_ms = traces[-1].at_ms
            if book.first_ms == NEVER:
                book.first_ms = traces[0].at_ms

    def left_at(self, moments: Collection[tuple[int, int]]) -> dict[int, set[tuple[int, str]]]:
        """(kind, key) of what rows left traces on at some moments (row, ms), by row."""
        return self._state.memory.left_at(moments)

    def next_tick(self, after_ms: int) -> int | None:
        """The next campaign tick that can change anything without further events; None when all is settled."""
        book = self._state.book
        every = self._settings.campaign_tick_ms
        if not book.listed or book.last_trace_ms == NEVER:
            return None
        last = max(each.group.seen_ms for each in book.listed)
        tick = (after_ms // every + 1) * every
        return tick if tick <= last + PATIENCE_MS + every else None

    def tick(self, tick_ms: int, *, end: bool) -> Searched:
        """Search where it is time to.

        Args:
            tick_ms: a campaign tick.
            end: whether the input is over, when it is always time.
        """
        evidence = None
        ended: list[Ended] = []
        if self._due_all(tick_ms, end):
            ended += self._search_all(tick_ms, end=end)
        if self._due(end):
            evidence, ended_too = self._search_suspects(tick_ms, end=end)
            ended += ended_too
        ended += self._state.drop_stale(tick_ms)
        self._state.read()
        return Searched(evidence, ended)

    # -- when --------------------------------------------------------------------------------------------------

    def _size(self) -> int:
        return self._state.memory.added + len(self._narratives)

    def _due(self, end: bool) -> bool:
        book = self._state.book
        new = self._size() - book.searched_size
        if (self._model is None and self._watch is None) or new <= 0:
            return False
        if end or book.searched_ms == NEVER:
            return end or new >= LEAST_NEW
        held = len(self._state.memory) + len(self._narratives)
        return new >= max(LEAST_NEW, GROWN * held) or book.last_trace_ms - book.searched_ms >= SEARCH_EVERY_MS

    def _due_all(self, tick_ms: int, end: bool) -> bool:
        book = self._state.book
        if self._state.memory.added <= book.searched_all_size:
            return False
        since = book.first_ms if book.searched_all_ms == NEVER else book.searched_all_ms
        new = self._state.memory.added - book.searched_all_size
        grown = new >= GROWN * len(self._state.memory)
        return end or tick_ms - since >= (SEARCH_ALL_EVERY_MS if grown else SEARCH_ALL_WITHIN_MS)

    # -- among suspects ----------------------------------------------------------------------------------------

    def _search_suspects(self, tick_ms: int, *, end: bool) -> tuple[SearchEvidence, list[Ended]]:
        book = self._state.book
        book.searched_ms, book.searched_size = tick_ms, self._size()
        rows, suspect = self._suspects_and_controls()
        nothing = np.zeros(0)
        if int(suspect.sum()) < 2:
            ended = self._enter([], tick_ms, "suspects", enough=end)
            return SearchEvidence(np.zeros(0, np.int64), nothing, nothing), ended
        table = self._accounts
        view = self._state.memory.view(table.name, tick_ms, rows)
        place_of = {int(row): n for n, row in enumerate(view.rows.tolist())}
        accounts = Accounts(
            np.array([place_of[row] for row in rows.tolist()], np.int64),
            suspect,
            table.text[rows] + table.behaviour[rows],
            table.posts[rows],
            table.language[rows].astype(np.int64),
        )
        gathered = self._narratives.gather(rows.tolist())
        order_of = np.zeros(int(rows.max()) + 1, np.int64)
        order_of[rows] = np.arange(len(rows))
        wording = Wording(order_of[gathered.owner], gathered.matrix, len(rows)) if len(gathered.owner) else None
        features, _ = pair_features(view, accounts, wording, tick_ms)
        if self._watch is not None:
            names = [table.name(row) for row in rows.tolist()]
            self._watch(SuspectSearch(tick_ms, names, accounts, features.wording, features.nats))
        if self._model is None:
            return SearchEvidence(np.zeros(0, np.int64), nothing, nothing), []
        together = np.isin(rows, np.array(sorted(self._known_together()), np.int64))
        found = among_suspects(features, accounts, self._model, self._settings.seed, together)
        points = []
        for group in found.groups:
            said = [] if wording is None else talking_points(wording, np.array(group.members), SAME_POINT, POINTS)
            points.append(
                [
                    [TalkingPointPost(int(gathered.owner[post]), gathered.keys[post]) for post in each.posts]
                    for each in said
                ]
            )
        ended = self._enter(_candidates(found, rows, points), tick_ms, "suspects", enough=end)
        return self._evidence(rows, suspect, self._model.log_odds(features), accounts.own), ended

    def _known_together(self) -> set[int]:
        """Rows of accounts that the search among all shows to act together: people's crowds, and what is no suspect."""
        return {
            row
            for each in self._state.book.listed
            if each.group.among == "all" and each.group.q <= self._settings.target_fdr
            for row in each.group.members
        }

    def _suspects_and_controls(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Rows of suspects and controls in the order of their names, and which are suspects."""
        table = self._accounts
        live = table.live()
        counted = (table.posts[live] > 0) & (table.automated[live] != 1)
        counted &= table.suppression_threshold[live] != PERMITTED
        live = live[counted]
        suspect = are_suspects(table, live)
        suspects, others = live[suspect], live[~suspect]
        if len(suspects) > MOST_SUSPECTS:
            evidence = dict(zip(suspects.tolist(), (table.text + table.behaviour)[suspects].tolist(), strict=True))
            strongest = sorted(suspects.tolist(), key=lambda row: (-evidence[row], table.name(row)))
            suspects = np.array(strongest[:MOST_SUSPECTS], np.int64)
        read = others[np.isin(others, self._narratives.rows())]
        controls = read if len(read) else others
        if len(controls) > MOST_CONTROLS:
            seed = self._settings.seed
            drawn = sorted(controls.tolist(), key=lambda row: draw(table.name(row), seed))
            controls = np.array(drawn[:MOST_CONTROLS], np.int64)
        rows = np.array(sorted([*suspects.tolist(), *controls.tolist()], key=table.name), np.int64)
        return rows, np.isin(rows, suspects)

    def _evidence(
        self,
        rows: NDArray[np.int64],
        suspect: NDArray[np.bool_],
        log_odds: NDArray[np.float64],
        own: NDArray[np.float64],
    ) -> SearchEvidence:
        """What accounts gain from suspects: from those of their own group, or of one they are tied to all the same.

        Controls gain too: among them are the quiet members of campaigns.

        Args:
            rows: of suspects and controls.
            suspect: which of them are suspects; the others speak for nobody.
            log_odds: of every two.
            own: their own evidence.
        """
        own = np.where(suspect, own, 0.0)
        model = self._model
        assert model is not None
        group, sure = np.full(len(rows), -1, np.int64), np.zeros(len(rows))
        place = {row: n for n, row in enumerate(rows.tolist())}
        for each in self._state.book.listed:
            if each.group.among == "suspects":
                members = [place[row] for row in each.group.members if row in place]
                group[members], sure[members] = each.group.number, 1.0 - each.group.q
        found = worth_of_mates(log_odds, own, group, sure, worth=model.worth, most=model.most)
        order = np.argsort(rows)
        return SearchEvidence(rows[order], found.mates[order], found.near[order])

    # -- among all ---------------------------------------------------------------------------------------------

    def _search_all(self, tick_ms: int, *, end: bool) -> list[Ended]:
        book = self._state.book
        only = end and book.searched_all_ms == NEVER
        book.searched_all_ms, book.searched_all_size = tick_ms, self._state.memory.added
        table = self._accounts
        view = self._state.memory.view(table.name, tick_ms)
        strata = table.language[view.rows].astype(np.int64)
        found = among_all(view, tick_ms, self._settings.seed, strata)
        return self._enter(_candidates(found, view.rows, [[] for _ in found.groups]), tick_ms, "all", enough=only)

    def _enter(self, found: Sequence[Candidate], tick_ms: int, among: Among, *, enough: bool) -> list[Ended]:
        name, target_fdr = self._accounts.name, self._settings.target_fdr
        return self._state.enter(found, tick_ms, among=among, name=name, target_fdr=target_fdr, enough=enough)

    # -- for alerts --------------------------------------------------------------------------------------------

    def traces_of(self, members: Sequence[int], tick_ms: int) -> tuple[TraceView, Coincidences]:
        """The traces on what members used, and all coincidences that a member takes part in."""
        rows = np.array(sorted(members), np.int64)
        view = self._state.memory.view(self._accounts.name, tick_ms, rows)
        met = coincidences(view, tick_ms)
        inside = np.isin(view.rows, rows)
        mine = inside[met.a] | inside[met.b]
        return view, Coincidences._make(column[mine] for column in met)

    # -- leaving -----------------------------------------------------------------------------------------------

    def forget(self, rows: Iterable[int]) -> None:
        """Accounts left."""
        gone = set(rows)
        if gone:
            self._state.memory.forget(gone)
        self._state.forget_accounts(gone)

    def forget_names(self, names: Collection[str]) -> None:
        """Accounts were deleted: nothing that names them stays, whoever dealt with them."""
        if names:
            self._state.memory.forget_names(names)

    def forget_events(self, events: Iterable[tuple[int, int]], keys: Iterable[tuple[int, bytes]] = ()) -> None:
        """Events were deleted.

        Args:
            events: (row, time) of those that left traces.
            keys: (row, key) of all.
        """
        moments = set(events)
        if moments:
            self._state.memory.forget_moments(moments)
        self._state.forget_posts(set(keys))


def _candidates(
    found: FoundGroups, rows: NDArray[np.int64], points: Sequence[list[list[TalkingPointPost]]]
) -> list[Candidate]:
    return [
        Candidate(proposal._replace(members=rows[proposal.members].tolist()), q, said, round(found.decoy_groups, 3))
        for proposal, q, said in zip(found.groups, found.q, points, strict=True)
    ]
