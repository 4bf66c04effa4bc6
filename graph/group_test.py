"""The test of a fixed group: do its members meet on new objects more than other accounts' behaviour explains?

When a member first uses an object, a clock starts. Until the kind's window ends, every further trace of the object, by
whomever, is a member's with probability f: the members' share of the activity at that time, times their baseline rate
(`graph/baselines.py`), or the share that members had in the author's other posts where that is larger (`AuthorRates`).
X counts the further members, each once. The bet multiplies by theta^X exp(-(theta - 1) mu) with mu = sum over the
traces of log(1 + (theta - 1) f) / (theta - 1): the likelihood ratio of members being theta times as likely (in odds)
against f, whose mean is at most 1 where f is not too small. A bet ends early when X reaches the cap (a stopping time).
Source: Ramdas, Grunwald, Vovk & Shafer 2023, "Game-theoretic statistics and safe anytime-valid inference".

The objects of one event, and each object's short and long window, form one bundle, whose factor is a weighted mean; an
event that meets an open object opens nothing of its own. A bundle is of one class (published, answered, shared,
liked). A class has an e-process for each cell of a grid of odds (theta) and stakes (w), and one that never bets; their
weighted mean M finds the best cell by itself. A bundle multiplies the cells of its class alone, so the product of the M
over classes is an e-process too. The e-value is half that product and half the mean of the M.

Groups are accepted by e-LOND, online control of the false-discovery rate with e-values under any dependence (Xu &
Ramdas 2024): hypothesis t, in the order of first bets, is accepted once its e-value reaches 1 / (fdr * gamma_t *
(discoveries so far + 1)), with sum of gamma_t at most 1. With e-processes the rule may be applied at any time.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from graph.trace_kind import CLASSES
from graph.trace_window import FREE, NO_AUTHOR, TraceWindow
from graph.traces import (
    BET_WINDOW_MS,
    HOUR_MS,
    KIND_TABLE,
    KINDS,
    SYNCHRONY_MS,
    CoordinationSettings,
)

GAMMA_SUM: Final = 2.0
"""Upper bound of the sum over t >= 1 of 1 / (t (1 + ln t)^2): 1 for t = 1 plus the integral from 1, which is 1."""


def gamma(number: int) -> float:
    """Share of the error budget that hypothesis `number` (from 1) has. Falls slowly, so that late ones have some."""
    return 1.0 / (GAMMA_SUM * number * (1.0 + math.log(number)) ** 2)


def log_threshold(number: int, discoveries: int, fdr: float) -> float:
    """The log e-value (nats) at which hypothesis `number` is accepted after `discoveries` earlier acceptances.

    Args:
        number: of the hypothesis, from 1.
        discoveries: accepted before it.
        fdr: share of the accepted that may be false.
    """
    return -math.log(fdr * gamma(number) * (discoveries + 1))


AUTHOR_PRIOR: Final = 2.0
"""Traces of the author's other posts at which they count as much as activity and baseline rate."""

AUTHOR_LAST: Final = 200
"""Traces of an author's posts that are read, the newest: more say no more."""

REFRESH_MS: Final = HOUR_MS
"""How often the record is read anew."""


class AuthorRates:
    """Who acted on whose posts, as of the last full hour before `now_ms`; the same whenever in that hour it is made."""

    def __init__(self, window: TraceWindow, now_ms: int, settings: CoordinationSettings) -> None:
        self.until_ms = now_ms // REFRESH_MS * REFRESH_MS
        at, row, slot = window.view()
        low = int(np.searchsorted(at, self.until_ms - settings.window_ms + REFRESH_MS))
        high = int(np.searchsorted(at, self.until_ms))
        at, row, slot = at[low:high], row[low:high], slot[low:high]
        author = window.author[slot]
        known = np.flatnonzero((author != NO_AUTHOR) & (row != FREE))
        order = known[np.argsort(author[known], kind="stable")]
        self._author: NDArray[np.int64] = author[order]
        self._at, self._row, self._slot = at[order], row[order], slot[order]

    def share(self, author: int, slot: int, before_ms: int, opener: int, members: Collection[int]) -> tuple[int, int]:
        """(traces by `members`, traces by anybody) of the author's posts but the one in `slot`, before `before_ms`;
        those of `opener` left out.

        Args:
            author: hash of the account whose posts they are.
            slot: of the post that is left out.
            before_ms: traces from then on do not count.
            opener: row that is left out.
            members: rows.
        """
        low, high = np.searchsorted(self._author, (author, author + 1)).tolist()
        high = low + int(np.searchsorted(self._at[low:high], before_ms))
        low = max(low, high - AUTHOR_LAST)
        mine = total = 0
        for row, other in zip(self._row[low:high].tolist(), self._slot[low:high].tolist(), strict=True):
            if other != slot and row != opener:
                total += 1
                mine += row in members
        return mine, total


THETAS: Final = (4.0, 16.0)
"""Odds: members come so many times more often than expected."""

STAKES: Final = (0.5, 0.1, 0.02)
"""Stakes: half of what a group does is coordinated, a tenth of it, or one object in fifty. An object on which nothing
happens costs at most -log(1 - w)."""

NEVER_BETS: Final = 0.2
"""Weight of the cell that never bets: the least that is left of a class."""

CELLS: Final = len(THETAS) * len(STAKES)
"""Cells of a class besides the one that never bets: theta changes slowest."""

MIN_FACTOR: Final = 1e-9
"""Smallest factor of one bundle. Raising a factor to it adds at most as much to its mean: nothing against rounding."""

_LOG_NEVER: Final = math.log(NEVER_BETS)
_LOG_CELL: Final = math.log((1.0 - NEVER_BETS) / CELLS)


def class_of(kinds: Collection[int]) -> int:
    """The class of an event by the kinds of all that it acts on."""
    return max(KIND_TABLE[kind].event_class for kind in kinds)


def no_bets() -> list[float]:
    """Log e-values before any bet, shape (CLASSES * CELLS,)."""
    return [0.0] * (CLASSES * CELLS)


def multiply(log_e: list[float], turn: int, values: Sequence[tuple[float, Sequence[float]]]) -> None:
    """Multiply a settled bundle of class `turn` into the cells.

    Args:
        values: (weight, log factor for each theta) of each item; weights sum to 1.
    """
    place = turn * CELLS
    for n in range(len(THETAS)):
        factor = sum(weight * math.exp(value[n]) for weight, value in values)
        for stake in STAKES:
            # A factor may be too small for a float: a group never loses more than this at once.
            log_e[place] += math.log(max(1.0 - stake + stake * factor, MIN_FACTOR))
            place += 1


def by_class(log_e: Sequence[float]) -> list[float]:
    """Log of each class's e-value."""
    return [
        log_sum([_LOG_NEVER, *(_LOG_CELL + value for value in log_e[place : place + CELLS])])
        for place in range(0, CLASSES * CELLS, CELLS)
    ]


def e_value(log_e: Sequence[float]) -> float:
    """Log of the e-value that the cells amount to."""
    classes = by_class(log_e)
    return log_sum([math.log(0.5) + math.fsum(classes), *(math.log(0.5 / CLASSES) + m for m in classes)])


def log_sum(terms: Sequence[float]) -> float:
    """Log of the sum of what `terms` are the logs of."""
    top = max(terms)
    return top + math.log(math.fsum(math.exp(t - top) for t in terms))


CLOSED: Final = -1
"""In `Bets.seen`: the object was met before and is not bet on again."""

LEARNED, VISITED, FIXED = range(3)
"""In `Bets.stale`: baseline rate is learned; there are visits since; it was fixed anew and is to be learned at once."""

MAX_SHARE: Final = 0.9
"""Largest f: above it nearly every trace is expected to be a member's and a bet could say nothing anyway."""

LEAST_ACTIVITY: Final = 0.25
"""Traces per time bin that members are taken to make besides those on the object itself: f is never nothing."""

SHORT_SHARE: Final = 0.3
"""Share of an object's bet that is placed on the ten minutes of `SYNCHRONY_MS`: scripted rounds show even on popular
objects; slow campaigns need the rest."""

COARSE_WEIGHT: Final = 0.1
"""Weight of a domain or a mention in a bundle, against 1 for the rest: a link says it better."""

WALK_CAP: Final = 2000
"""Traces of one object that a settlement reads; an object beyond it is settled as if no member had come."""

NOBODY: Final = -1
"""The opener of a bundle whose account was forgotten."""

SLOT_MASK: Final = (1 << 32) - 1

_LOG_THETA: Final = tuple(math.log(theta) for theta in THETAS)
_NOTHING: Final = (0.0,) * len(THETAS)
_COARSE: Final = frozenset(number for number, kind in enumerate(KIND_TABLE) if kind.coarse)


class TracedObject(NamedTuple):
    """One object that an event acted on: ordinal of the trace, kind, uid, and traces of it before (of anybody)."""

    ordinal: int
    kind: int
    uid: int
    before: int


class Item(msgspec.Struct, array_like=True):
    """One object that is bet on; `hits` are the times (ms) at which further members came."""

    uid: int
    kind: int
    hits: list[int]


class Bundle(msgspec.Struct, array_like=True):
    """What one member's event put on the table; `ordinal` is that event's last trace, `turn` its class."""

    start_ms: int
    opener: int
    ordinal: int
    turn: int
    items: list[Item]
    met: list[int] = []  # members counted so far


class Bets(msgspec.Struct, array_like=True):
    """The running bets of one fixed group. Rows are the caller's."""

    members: dict[int, int]  # row -> since when (ms) it is a member; it counts in bundles that started after that
    base: list[float] = []  # members' traces per ms by kind before it was fixed, shape (KINDS,)
    control_base: list[float] = []  # the control set's
    share: dict[int, float] = {}  # row -> its share of the members' traces before it was fixed
    controls: dict[int, float] = {}  # row -> its share of the control set's traces before it was fixed
    bundles: dict[int, Bundle] = {}
    seen: dict[int, int] = {}  # uid -> number of its open bundle, or CLOSED
    active: dict[int, int] = {}  # activity cell -> members' traces
    control_active: dict[int, int] = {}
    visits: dict[int, int] = {}  # row * KINDS + kind -> objects of the group that the control set's account came to
    visits_expected: list[float] = msgspec.field(default_factory=lambda: [0.0] * KINDS)
    # As `learn` left them, by kind: visits and expected visits of the trimmed control set, and the rate they give.
    trimmed_visits: list[float] = msgspec.field(default_factory=lambda: [0.0] * KINDS)
    trimmed_expected: list[float] = msgspec.field(default_factory=lambda: [0.0] * KINDS)
    baseline_rate: list[float] = msgspec.field(default_factory=lambda: [1.0] * KINDS)
    # By kind: how often members met the control set before it was fixed, and how often they were to.
    co_occurrence_rates: list[tuple[float, float]] = []
    stale: int = FIXED  # whether `learn` has seen everything
    opened: int = 0
    log_e: list[float] = msgspec.field(default_factory=no_bets)
    debt: float = 0.0  # nats that a merge took off the e-value
    log_value: float = 0.0  # log of the e-value (nats)
    hits: int = 0
    expected: float = 0.0
    tested: int = 0  # bundles that anybody at all joined


def activity_cell(kind: int, at_ms: int, bin_ms: int) -> int:
    """The key of (kind, time bin) in activity counts.

    Args:
        kind: number of the kind.
        at_ms: time.
        bin_ms: length of a time bin.
    """
    return at_ms // bin_ms * KINDS + kind


def meet(bets: Bets, row: int, at_ms: int, objects: Sequence[TracedObject], popular: int) -> int:
    """One event of member `row`: count it in the earliest open bundle it meets, or open a bundle.

    Args:
        popular: an object that was acted on more often than this before is not bet on.

    Returns:
        the number of the bundle that was opened or met, `CLOSED` for none.
    """
    seen = bets.seen
    known = [seen.get(trace.uid) for trace in objects]
    for number in sorted({n for n in known if n is not None and n >= 0}):
        bundle = bets.bundles[number]
        if row == bundle.opener or row in bundle.met:
            return CLOSED
        if bets.members[row] <= bundle.start_ms:
            _count(bundle, row, at_ms, [trace.uid for trace in objects])
            for trace, before in zip(objects, known, strict=True):
                if before is None:
                    seen[trace.uid] = CLOSED
            return number
    items: list[Item] = []
    for trace, before in zip(objects, known, strict=True):
        if before is None:
            if trace.before <= popular:
                items.append(Item(trace.uid, trace.kind, []))
            seen[trace.uid] = bets.opened if trace.before <= popular else CLOSED
    if not items:
        return CLOSED
    number = bets.opened
    bets.opened += 1
    turn = class_of({trace.kind for trace in objects})
    bets.bundles[number] = Bundle(at_ms, row, objects[-1].ordinal, turn, items)
    return number


def _count(bundle: Bundle, row: int, at_ms: int, uids: Sequence[int]) -> None:
    bundle.met.append(row)
    for item in bundle.items:
        if item.uid in uids and at_ms <= bundle.start_ms + BET_WINDOW_MS[item.kind]:
            item.hits.append(at_ms)


def due_ms(bundle: Bundle) -> int:
    """When the last window of the bundle ends."""
    items = bundle.items
    if len(items) == 1:
        return bundle.start_ms + BET_WINDOW_MS[items[0].kind]
    return bundle.start_ms + max(BET_WINDOW_MS[item.kind] for item in items)


def capped(bundle: Bundle, hit_cap: int) -> bool:
    """Whether so many further members came to an object that the bundle ends early."""
    return any(len(item.hits) >= hit_cap for item in bundle.items)


class Settled(NamedTuple):
    """What came of one item that anybody else could have joined: further members, and how many were expected."""

    kind: int
    hits: int
    mu: float


class Record:
    """What is known of everybody's traces at a tick, to settle bets with.

    Args:
        window: the traces.
        author_rates: who acted on whose posts.
        totals: everybody's traces by activity cell.
        inflation: overdispersion by kind, at least 1; f is multiplied with it.
    """

    def __init__(
        self,
        window: TraceWindow,
        author_rates: AuthorRates,
        totals: Mapping[int, int],
        inflation: Sequence[float],
        settings: CoordinationSettings,
    ) -> None:
        self.totals, self.inflation, self.settings = totals, inflation, settings
        self._window, self._author_rates = window, author_rates
        self._chains: dict[int, list[tuple[int, int, int]]] = {}

    def after(self, uid: int, ordinal: int) -> list[tuple[int, int, int]]:
        """(ordinal, at, row) of the object's traces after `ordinal`, newest first; none where it has left."""
        slot = uid & SLOT_MASK
        if int(self._window.last[slot]) <= ordinal or not self._window.alive(uid):
            return []
        chain = self._chains.get(uid)
        if chain is None:
            chain = self._chains[uid] = list(islice(self._window.chain(slot), WALK_CAP + 1))
        place = 0
        while place < len(chain) and chain[place][0] > ordinal:
            place += 1
        return chain[:place]

    def author_rate(self, bets: Bets, bundle: Bundle, item: Item) -> tuple[int, int]:
        """(traces by members, traces by anybody) of other posts of the object's author, before the bundle began.

        Args:
            bets: of the group.
            bundle: that is settled.
            item: object of it.
        """
        slot = item.uid & SLOT_MASK
        author = int(self._window.author[slot])
        if author == NO_AUTHOR:
            return 0, 0
        return self._author_rates.share(author, slot, bundle.start_ms, bundle.opener, bets.members)


def close(bets: Bets, number: int, record: Record) -> list[Settled]:
    """Settle a bundle, whose windows are over or whose cap is reached, as of now. `log_value` is left to the caller.

    Args:
        bets: of the group.
        number: of the bundle.
        record: what everybody did.
    """
    bundle = bets.bundles.pop(number, None)
    if bundle is None:
        return []
    out: list[Settled] = []
    values: list[tuple[float, Sequence[float]]] = []
    cap = record.settings.hit_cap
    stop = min((item.hits[cap - 1] for item in bundle.items if len(item.hits) >= cap), default=None)
    weights = [COARSE_WEIGHT if item.kind in _COARSE else 1.0 for item in bundle.items]
    whole = sum(weights)
    for item, weight in zip(bundle.items, weights, strict=True):
        bets.seen[item.uid] = CLOSED
        later = record.after(item.uid, bundle.ordinal)
        if not later:
            values.append((weight / whole, _NOTHING))
            continue
        settled, long, short = _settle(bets, bundle, item, stop, later, record)
        values += [((1.0 - SHORT_SHARE) * weight / whole, long), (SHORT_SHARE * weight / whole, short)]
        if settled.mu > 0:
            out.append(settled)
            bets.hits += settled.hits
            bets.expected += settled.mu
    if out:
        bets.tested += 1
        multiply(bets.log_e, bundle.turn, values)
    return out


def _settle(
    bets: Bets, bundle: Bundle, item: Item, stop: int | None, later: Sequence[tuple[int, int, int]], record: Record
) -> tuple[Settled, list[float], list[float]]:
    """(outcome, log factor for each theta within the kind's window, and within the short one) of one object.

    Args:
        stop: when the cap was reached, ms; nothing after it counts.
        later: traces of the object after the bundle's event, newest first.
    """
    kind, bin_ms, start = item.kind, record.settings.activity_bin_ms, bundle.start_ms
    members, controls = bets.members, bets.controls
    until = start + BET_WINDOW_MS[kind] if stop is None else min(stop, start + BET_WINDOW_MS[kind])
    soon = min(until, start + SYNCHRONY_MS)
    came: dict[int, int] = {}
    # Traces of this object by activity cell, at any time: they are no part of what else was done.
    on_it: dict[int, list[int]] = {activity_cell(kind, start, bin_ms): [1, 1, 0]}
    for _, at, row in later:
        cell = activity_cell(kind, at, bin_ms)
        counts = on_it.get(cell)
        if counts is None:
            counts = on_it[cell] = [0, 0, 0]
        counts[0] += 1
        counts[1] += row in members
        counts[2] += row in controls
        if at <= until and row != bundle.opener:
            came[row] = at  # newest first: the last one written is the account's first
    cells: dict[int, list[int]] = {}  # activity cell -> further accounts, those within the short window, no members
    for row, at in came.items():
        counts = cells.setdefault(activity_cell(kind, at, bin_ms), [0, 0, 0])
        counts[0] += 1
        counts[1] += at <= soon
        counts[2] += row not in members
        if row in controls:
            visit = row * KINDS + kind
            bets.visits[visit] = bets.visits.get(visit, 0) + 1
    # The opener cannot come again, and is likely to be the busiest member: what remains is the others' activity.
    rest = 1.0 - bets.share.get(bundle.opener, 0.0)
    base, control_base = rest * bets.base[kind] * bin_ms, bets.control_base[kind] * bin_ms
    shares: list[tuple[int, int, float]] = []
    trimmed_expected = mu = 0.0
    baseline_rate = bets.baseline_rate[kind]
    inflated = baseline_rate * record.inflation[kind]
    by_author, of_author = record.author_rate(bets, bundle, item)
    for cell, (further, soon_further, outside) in cells.items():
        total_on, members_on, controls_on = on_it[cell]
        total = max(record.totals.get(cell, 0) - total_on, 0)
        active, control_active = (
            max(bets.active.get(cell, 0) - members_on, 0),
            bets.control_active.get(cell, 0) - controls_on,
        )
        f = _share(rest * active, base, total - active)
        expected = max(inflated * f, (by_author + AUTHOR_PRIOR * inflated * f) / (of_author + AUTHOR_PRIOR))
        shares.append((further, soon_further, min(expected, MAX_SHARE)))
        mu += further * min(max(baseline_rate * f, expected / record.inflation[kind]), MAX_SHARE)
        # Of those who are no members: where members come more than expected, all others' share is smaller.
        trimmed_expected += outside * _share(max(control_active, 0), control_base, total - active - control_active)
    bets.visits_expected[kind] += trimmed_expected
    bets.stale = max(bets.stale, VISITED)
    cap = record.settings.hit_cap
    counted = len(later) <= WALK_CAP
    hits = min(sum(at <= until for at in item.hits), cap) if counted else 0
    hits_soon = min(sum(at <= soon for at in item.hits), cap) if counted else 0
    long: list[float] = []
    short: list[float] = []
    for theta, log_theta in zip(THETAS, _LOG_THETA, strict=True):
        costs = [math.log1p((theta - 1.0) * f) for _, _, f in shares]
        long.append(hits * log_theta - sum(n * c for (n, _, _), c in zip(shares, costs, strict=True)))
        short.append(hits_soon * log_theta - sum(n * c for (_, n, _), c in zip(shares, costs, strict=True)))
    return Settled(kind, hits, mu), long, short


def worth(bets: Bets) -> float:
    """Log of the e-value (nats) that all settled bets amount to."""
    return bets.debt + e_value(bets.log_e)


def forget(bets: Bets, row: int) -> None:
    """Forget an account; what it did to the e-values stays."""
    for by_row in (bets.members, bets.share, bets.controls):
        by_row.pop(row, None)
    bets.visits = {visit: n for visit, n in bets.visits.items() if visit // KINDS != row}
    for bundle in bets.bundles.values():
        bundle.opener = NOBODY if bundle.opener == row else bundle.opener
        bundle.met = [r for r in bundle.met if r != row]


def _share(seen: float, usual: float, others: float) -> float:
    """Share of the activity in a bin that is a group's: what it was seen doing, its usual rate, and the others."""
    mine = max(seen, _typical(seen, usual)) + LEAST_ACTIVITY
    return mine / (mine + max(others, 0.0))


def _typical(seen: float, usual: float) -> float:
    """Activity in a bin, given what was seen in it and what is usual: posterior mean of a Poisson rate whose prior is
    exponential with mean `usual`. What was seen alone is too noisy, what is usual is too old."""
    return (1.0 + seen) * usual / (1.0 + usual)
