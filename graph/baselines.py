"""What groups are compared with from the moment they are fixed: control sets, reference sets and baseline rates.

`compare` gives a group its control set, comparable accounts that are no candidates, and one group in three a reference
set, a random group of the same size and activity. `learn` estimates a group's baseline rates: how much more often than
activity and popularity explain the control set comes to what the group opened. They begin with what members and
controls had in common in the window before and are learned on from the control set's visits. `Dispersion` keeps
how much more reference sets vary than bets expect, by kind. `Followers` finds the groups that an account belongs to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from graph.coincidences import View, distinct
from graph.group_test import CLOSED, FIXED, LEARNED, VISITED, Bets
from graph.groups import ControlSet, Group
from graph.trace_window import TraceWindow
from graph.traces import KINDS, CoordinationSettings

INFLATION_PRIOR: Final = 20.0
"""Expected hits of prior weight at no overdispersion, so that a handful of reference sets' bets does not swing it."""

INFLATION_HALF: Final = 5000.0
"""Expected hits per kind after which the reference sets' older record is halved: it follows the platform, slowly."""


class Dispersion(msgspec.Struct, array_like=True):
    """Sums over the reference sets' bets, by kind, shape (KINDS,) each."""

    squares: list[float] = msgspec.field(default_factory=lambda: [0.0] * KINDS)
    expected: list[float] = msgspec.field(default_factory=lambda: [0.0] * KINDS)
    hits: list[float] = msgspec.field(default_factory=lambda: [0.0] * KINDS)

    def inflation(self) -> list[float]:
        """Overdispersion of the reference sets' hits by kind, at least 1, shape (KINDS,).

        The larger of the upper half's variance over the expectation and of hits over the expectation, both shrunk to 1.
        (Where hits fall short of the expectation, bets are safe already.)
        """
        prior = INFLATION_PRIOR
        return [
            max(1.0, (s + prior) / (e + prior), (h + prior) / (e + prior))
            for s, e, h in zip(self.squares, self.expected, self.hits, strict=True)
        ]

    def record(self, kind: int, hits: int, mu: float) -> None:
        """Add one reference set's settled bet: further members met, and how many were expected.

        Args:
            kind: number of the kind.
            hits: further members met.
            mu: how many were expected.
        """
        self.squares[kind] += max(hits - mu, 0.0) ** 2
        self.expected[kind] += mu
        self.hits[kind] += hits
        if self.expected[kind] > INFLATION_HALF:
            self.squares[kind] /= 2
            self.expected[kind] /= 2
            self.hits[kind] /= 2


class Followers:
    """Looks accounts up in `groups` (number -> group), which the caller changes and then calls `reset`."""

    def __init__(self, groups: Mapping[int, Group]) -> None:
        self._groups = groups
        self._members: tuple[NDArray[np.int64], list[tuple[int, bool]]] | None = None
        self._lookup: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
        self._targets: list[dict[int, int]] = []

    def count_activity(self, row: NDArray[np.int32], cells: NDArray[np.int64]) -> None:
        """Add the new traces to the activity of every group, reference set and control set that their
        account is in."""
        rows, codes = self._index()
        order = np.argsort(row, kind="stable")
        ordered = row[order]
        left, right = np.searchsorted(rows, ordered, "left"), np.searchsorted(rows, ordered, "right")
        times = right - left
        total = int(times.sum())
        if not total:
            return
        offset = np.arange(total) - np.repeat(np.cumsum(times) - times, times)
        code = codes[np.repeat(left, times) + offset]
        base = int(cells.min())
        span = int(cells.max()) - base + 1
        key, count = np.unique(code * span + np.repeat(cells[order] - base, times), return_counts=True)
        for k, n in zip(key.tolist(), count.tolist(), strict=True):
            target = self._targets[k // span]
            cell = k % span + base
            target[cell] = target.get(cell, 0) + n

    def _index(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(rows in ascending order, place in `_targets` of the activity they add to)."""
        if self._lookup is None:
            rows: list[int] = []
            codes: list[int] = []
            self._targets = []
            for number in sorted(self._groups):
                group = self._groups[number]
                for bets in (group.bets, group.reference):
                    if bets is None:
                        continue
                    for accounts, target in (
                        (list(bets.members), bets.active),
                        (list(bets.controls), bets.control_active),
                    ):
                        rows += accounts
                        codes += [len(self._targets)] * len(accounts)
                        self._targets.append(target)
            order = np.argsort(np.array(rows, np.int64), kind="stable")
            self._lookup = np.array(rows, np.int64)[order], np.array(codes, np.int64)[order]
        return self._lookup

    def reset(self) -> None:
        """Groups changed: who is followed is to be looked up anew."""
        self._lookup = None
        self._members = None

    def memberships(
        self, row: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], list[tuple[int, bool]]]:
        """Which groups the accounts of `row` are in: of place n, those of the list from start[n] to stop[n], as (group
        number, whether as a reference set), in order of their numbers.

        Returns:
            start, stop, shape (n,) each, and the list.
        """
        if self._members is None:
            rows: list[int] = []
            each: list[tuple[int, bool]] = []
            for number in sorted(self._groups):
                group = self._groups[number]
                for reference, bets in ((False, group.bets), (True, group.reference)):
                    if bets is not None:
                        rows += bets.members
                        each += [(number, reference)] * len(bets.members)
            found = np.array(rows, np.int64)
            order = np.argsort(found, kind="stable")
            self._members = found[order], [each[place] for place in order.tolist()]
        known, groups = self._members
        return np.searchsorted(known, row, "left"), np.searchsorted(known, row, "right"), groups


VISITS_PRIOR: Final = 5.0
"""Expected visits of the control set at which a group's own baseline rate counts as much as everybody's."""

TRIM_ROUNDS: Final = 3
TRIM_FACTOR: Final = 2.5
TRIM_VISITS: Final = 3.0
TRIM_SHARE: Final = 0.15
"""An account of the control set is left out when it came more than 2.5 times as often as its share of the control
set's visits, and three times more: activity within a community varies by less than that around an account's usual."""

MAX_BASELINE_RATE: Final = 50.0
"""Largest baseline rate: beyond it f reaches its limit for any group."""


def learn_due(groups: Sequence[Group], *, everybody: bool) -> None:
    """Learn the baseline rates of groups and reference sets that were fixed anew, or of all with new visits."""
    least = VISITED if everybody else FIXED
    due = [
        bets for group in groups for bets in (group.bets, group.reference) if bets is not None and bets.stale >= least
    ]
    if not due:
        return
    visits, expected = [INFLATION_PRIOR] * KINDS, [INFLATION_PRIOR] * KINDS
    for group in groups:
        for kind in range(KINDS):
            visits[kind] += group.bets.trimmed_visits[kind]
            expected[kind] += group.bets.trimmed_expected[kind]
    prior = [v / e for v, e in zip(visits, expected, strict=True)]
    for bets in due:
        learn(bets, prior)


def learn(bets: Bets, prior: Sequence[float]) -> None:
    """Learn the baseline rate from the visits so far: how much more often than expected the control set came, at
    least 1, by kind.

    One standard error is added: a core is keener than the rest of its community, and bets must not find that out.

    Accounts of the control set that came far more often than the rest of it are left out: they may belong to the group.

    Before there are visits, the baseline rate is how often members met the control set in the window before it
    was fixed; it counts as much as `VISITS_PRIOR` expected visits.

    Args:
        prior: baseline rate over all groups by kind, which in turn counts as much as `VISITS_PRIOR` expected
            co-occurrences.
    """
    bets.stale = LEARNED
    by_row: dict[int, int] = {}
    for visit, count in bets.visits.items():
        by_row[visit // KINDS] = by_row.get(visit // KINDS, 0) + count
    usual_share = 1.0 / max(len(bets.controls), 1)
    expected = sum(bets.visits_expected)
    out: set[int] = set()
    for _ in range(TRIM_ROUNDS):
        kept = 1.0 - sum(bets.controls.get(row, usual_share) for row in out)
        came = sum(count for row, count in by_row.items() if row not in out)
        rate = (came + VISITS_PRIOR) / (max(kept, 0.0) * expected + VISITS_PRIOR)
        far = {
            row
            for row, count in by_row.items()
            if count > TRIM_FACTOR * rate * bets.controls.get(row, usual_share) * expected + TRIM_VISITS
        }
        if far == out:
            break
        out = far
    if len(out) > TRIM_SHARE * len(bets.controls):  # so many are a community, not the rest of a group
        out = set()
    kept = max(1.0 - sum(bets.controls.get(row, usual_share) for row in out), 0.0)
    bets.trimmed_visits = [0.0] * KINDS
    for visit, count in bets.visits.items():
        if visit // KINDS not in out:
            bets.trimmed_visits[visit % KINDS] += count
    bets.trimmed_expected = [kept * value for value in bets.visits_expected]
    met = bets.co_occurrence_rates or [(0.0, 0.0)] * KINDS
    before = [(m + VISITS_PRIOR * p) / (o + VISITS_PRIOR) for (m, o), p in zip(met, prior, strict=True)]
    bets.baseline_rate = [
        min(max((v + math.sqrt(v) + VISITS_PRIOR * b) / (e + VISITS_PRIOR), 1.0), MAX_BASELINE_RATE)
        for v, e, b in zip(bets.trimmed_visits, bets.trimmed_expected, before, strict=True)
    ]


REFERENCE_EVERY: Final = 3
"""One group in three has a reference set: enough for the dispersion of a platform, and a reference set costs as much
as its group."""


def compare(
    group: Group, view: View, control_set: ControlSet, window: TraceWindow, now_ms: int, settings: CoordinationSettings
) -> None:
    """Find whom the group is compared with from now on, and what all of them usually do.

    Args:
        group: under test.
        view: the window in name order.
        control_set: of the last proposal.
        window: the window.
        now_ms: of the tick.
        settings: of coordination.
    """
    ranks = view.ranks(list(group.bets.members))
    if not ranks:
        return
    controls, reference = control_set.compare(ranks, settings)
    _follow(group.bets, view, ranks, controls, window, settings)
    if group.reference is None and group.number % REFERENCE_EVERY == 0 and len(reference) >= settings.min_size:
        group.reference = Bets(dict.fromkeys(view.rows[reference].tolist(), now_ms))
        _follow(group.reference, view, reference, sorted(set(controls) - set(reference)), window, settings)


def _follow(
    bets: Bets,
    view: View,
    members: Sequence[int],
    controls: Sequence[int],
    window: TraceWindow,
    settings: CoordinationSettings,
) -> None:
    """Take up from the view (by rank) what members and control set did so far; a new control set's visits begin
    from nothing.

    What members acted on before is not bet on: they were proposed for meeting there.
    """
    before = bets.controls
    bets.base, bets.control_base = view.base_rates(members), view.base_rates(controls)
    bets.share, bets.controls = view.shares(members), view.shares(controls)
    bets.active = view.activity(members, settings.activity_bin_ms)
    bets.control_active = view.activity(controls, settings.activity_bin_ms)
    if 2 * len(bets.controls.keys() & before) < len(bets.controls):
        bets.visits, bets.visits_expected = {}, [0.0] * KINDS
    bets.stale = FIXED
    met, chance = view.co_occurrence_rates(members, controls)
    bets.co_occurrence_rates = [(m, o) for m, o in zip(met.tolist(), chance.tolist(), strict=True)]
    uids = window.uids(distinct(view.slot[view.traces_of(members)])).tolist()
    bets.seen.update(dict.fromkeys([uid for uid in uids if uid not in bets.seen], CLOSED))
