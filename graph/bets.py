"""Bets on a frozen group: do its members meet on objects more than outsiders' behaviour explains?

When a member first touches an object, a clock starts. Until the kind's window ends, every further touch of the object,
by whomever, is a member's with probability f: the members' share of the activity at that time, times their affinity
to what they touch. X counts the further members (each once). The bet multiplies by theta^X exp(-(theta - 1) mu) with
mu = sum over the touches of log(1 + (theta - 1) f) / (theta - 1): the likelihood ratio of members being theta times as
likely (in odds) against f, whose mean is at most 1 where f is not too small. A bet ends early when X reaches the cap
(a stopping time). Source: Ramdas, Grunwald, Vovk & Shafer 2023, "Game-theoretic statistics and safe anytime-valid
inference".

Affinity is learned from the group's *pool*, outsiders of its coarse community: how much more often than activity and
popularity explain they come to the objects that the group opened before. Candidates are left out of the pool. On top
comes the overdispersion of random groups of the pool (their hits against the same expectation).

What one event touches is one observation: its objects (and each object's short and long window) form one *bundle*,
whose factor is the mean over them, and an event that meets an open object opens nothing of its own. Members also do
what everybody does, so a bundle is bet on with a stake w of what is owned, (1 - w) + w * factor. The e-value is a
mixture over theta, stake and strategy: half on all kinds together, half spread over the kinds, so that a group
which behaves like everybody in one kind does not lose there what it shows in another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from graph.touches import BET_WINDOW_MS, SYNCHRONY_MS, TOUCH_KINDS, CoordinationSettings
from graph.window import TouchWindow

THETAS: Final = (2.0, 4.0, 8.0)
STAKES: Final = (1.0, 0.1, 0.02)
"""Stakes mixed over: everything a group does is coordinated, a tenth of it, or one object in fifty. An object on which
nothing happens costs at most -log(1 - w)."""

CELLS: Final = len(THETAS) * len(STAKES)
"""e-values per strategy: theta changes slowest."""

ALL_KINDS: Final = TOUCH_KINDS
"""The strategy over all kinds; strategies below it are the kinds'."""

CLOSED: Final = -1
"""In `Bets.seen`: the object was met before and is not bet on again."""

MAX_SHARE: Final = 0.9
"""Largest f: above it nearly every touch is expected to be a member's and a bet could say nothing anyway."""

VISITS_PRIOR: Final = 5.0
"""Expected visits of the pool at which a group's own affinity counts as much as everybody's."""

TRIM_ROUNDS: Final = 3
TRIM_FACTOR: Final = 2.5
TRIM_VISITS: Final = 3.0
TRIM_SHARE: Final = 0.15
"""An account of the pool is left out when it came more than 2.5 times as often as its share of the pool's visits, and
three times more: activity within a community varies by less than that around an account's usual."""

MAX_AFFINITY: Final = 50.0
"""Largest affinity: beyond it f reaches `MAX_SHARE` for any group."""

MIN_FACTOR: Final = 1e-9
"""Smallest factor of one bundle. Raising a factor to it adds at most as much to its mean: nothing against rounding."""

LEAST_ACTIVITY: Final = 0.25
"""Touches per time bin that members are taken to make besides those on the object itself: f is never nothing."""

WALK_CAP: Final = 2000
"""Touches of one object that a settlement reads; an object beyond it is settled as if no member had come."""

NOBODY: Final = -1
"""The opener of a bundle whose account was forgotten."""

SLOT_MASK: Final = (1 << 32) - 1

_LOG_THETA: Final = tuple(math.log(theta) for theta in THETAS)


class Item(msgspec.Struct, array_like=True):
    """One object within one window; `hits` are the times (ms) at which further members came; `value` once settled."""

    uid: int
    kind: int
    window_ms: int
    hits: list[int]
    value: list[float] = []


class Bundle(msgspec.Struct, array_like=True):
    """What one member's event put on the table; `ordinal` is that event's last touch."""

    start_ms: int
    opener: int
    ordinal: int
    items: list[Item]
    met: list[int] = []  # members counted so far


class Bets(msgspec.Struct, array_like=True):
    """The running bets of one frozen group. Rows are the caller's."""

    members: dict[int, int]  # row -> since when (ms) it is a member; it counts in bundles that started after that
    pool: list[int] = []  # comparable outsiders
    base: list[float] = []  # members' touches per ms by kind before the freeze, shape (TOUCH_KINDS,)
    pool_base: list[float] = []  # the pool's
    share: dict[int, float] = {}  # row -> its share of the members' touches before the freeze
    pool_share: dict[int, float] = {}  # the same of the pool's
    bundles: dict[int, Bundle] = {}
    seen: dict[int, int] = {}  # uid -> number of its open bundle, or CLOSED
    active: dict[int, int] = {}  # activity cell -> members' touches
    pool_active: dict[int, int] = {}
    visits: dict[int, int] = {}  # row * TOUCH_KINDS + kind -> objects of the group that the pool's account came to
    visits_expected: list[float] = msgspec.field(default_factory=lambda: [0.0] * TOUCH_KINDS)
    # As `learn` left them, by kind: visits and expected visits of the trimmed pool, and the affinity they amount to.
    kin: list[float] = msgspec.field(default_factory=lambda: [0.0] * TOUCH_KINDS)
    kin_expected: list[float] = msgspec.field(default_factory=lambda: [0.0] * TOUCH_KINDS)
    affinity: list[float] = msgspec.field(default_factory=lambda: [1.0] * TOUCH_KINDS)
    stale: bool = True  # there are visits that `learn` has not seen
    opened: int = 0
    log_e: list[float] = msgspec.field(default_factory=lambda: [0.0] * ((TOUCH_KINDS + 1) * CELLS))
    log_value: float = 0.0  # log of the e-value (nats): `mixture(log_e)`
    hits: int = 0
    expected: float = 0.0
    tested: int = 0  # bundles that anybody at all joined


def activity_cell(kind: int, at_ms: int, bin_ms: int) -> int:
    """The key of (kind, time bin) in activity counts."""
    return at_ms // bin_ms * TOUCH_KINDS + kind


def mixture(log_e: Sequence[float]) -> float:
    """Log of the weighted mean of the strategies' e-values, given as logs, shape ((TOUCH_KINDS + 1) * CELLS,)."""
    single, joint = math.log(0.5 / (TOUCH_KINDS * CELLS)), math.log(0.5 / CELLS)
    terms = [(joint if i >= ALL_KINDS * CELLS else single) + value for i, value in enumerate(log_e)]
    top = max(terms)
    return top + math.log(sum(math.exp(t - top) for t in terms))


def meet(
    bets: Bets,
    row: int,
    at_ms: int,
    touched: Sequence[tuple[int, int, int]],
    window: TouchWindow,
    settings: CoordinationSettings,
) -> int:
    """One event of member `row`: count it in the earliest open bundle it meets, or open a bundle.

    Args:
        touched: (ordinal, slot, kind) of the event's touches.

    Returns:
        the number of the bundle that was opened or that is now ready to be settled in part, -1 for none.
    """
    uids = [window.uid(slot) for _, slot, _ in touched]
    known = [bets.seen.get(uid) for uid in uids]
    numbers = sorted({number for number in known if number is not None and number >= 0})
    for number in numbers:
        bundle = bets.bundles[number]
        if row == bundle.opener or row in bundle.met:
            return CLOSED
        if bets.members[row] <= bundle.start_ms:
            _count(bundle, row, at_ms, uids)
            for uid, before in zip(uids, known, strict=True):
                if before is None:
                    bets.seen[uid] = CLOSED
            return number
    fresh = [n for n, before in enumerate(known) if before is None]
    items: list[Item] = []
    for n in fresh:
        ordinal, slot, kind = touched[n]
        if _fresh(bets, slot, ordinal, window, settings):
            items += [Item(uids[n], kind, span, []) for span in (SYNCHRONY_MS, BET_WINDOW_MS[kind])]
            bets.seen[uids[n]] = bets.opened
        else:
            bets.seen[uids[n]] = CLOSED
    if not items:
        return CLOSED
    number = bets.opened
    bets.opened += 1
    bets.bundles[number] = Bundle(at_ms, row, touched[-1][0], items)
    return number


def _count(bundle: Bundle, row: int, at_ms: int, uids: Sequence[int]) -> None:
    bundle.met.append(row)
    for item in bundle.items:
        if item.uid in uids and not item.value and at_ms <= bundle.start_ms + item.window_ms:
            item.hits.append(at_ms)


def _fresh(bets: Bets, slot: int, ordinal: int, window: TouchWindow, settings: CoordinationSettings) -> bool:
    """Whether no member touched the object before, and it is not too popular: known when the clock starts."""
    walked = 0
    for before, _, row in window.chain(slot):
        if before >= ordinal:
            continue
        walked += 1
        if row in bets.members or walked > settings.popular:
            return False
    return True


def close(
    bets: Bets,
    number: int,
    now_ms: int,
    window: TouchWindow,
    totals: Mapping[int, int],
    inflation: Sequence[float],
    settings: CoordinationSettings,
    end: bool = False,
) -> list[tuple[int, int, float]]:
    """Settle the items of a bundle whose window is over or whose cap is reached, and the bundle once all are settled.

    Args:
        now_ms: the tick; everything before it is known.
        totals: everybody's touches by activity cell.
        inflation: overdispersion by kind, at least 1; f is multiplied with it.
        end: settle everything as of now (end of input).

    Returns:
        (kind, X, mu) of the kinds' full windows settled now that anybody else could have joined.
    """
    bundle = bets.bundles.get(number)
    if bundle is None:
        return []
    out: list[tuple[int, int, float]] = []
    for item in bundle.items:
        if item.value:
            continue
        capped = len(item.hits) >= settings.hit_cap
        if not (capped or end or bundle.start_ms + item.window_ms < now_ms):
            continue
        until = item.hits[settings.hit_cap - 1] if capped else bundle.start_ms + item.window_ms
        hits, mu, value = _settle(bets, bundle, item, until, window, totals, inflation, settings)
        item.value = value
        if mu > 0 and item.window_ms != SYNCHRONY_MS:
            out.append((item.kind, hits, mu))
    if all(item.value for item in bundle.items):
        _multiply(bets, bundle)
        del bets.bundles[number]
        for uid in {item.uid for item in bundle.items}:
            bets.seen[uid] = CLOSED
        bets.tested += bool(out)
    for _, hits, mu in out:
        bets.hits += hits
        bets.expected += mu
    return out


def _settle(
    bets: Bets,
    bundle: Bundle,
    item: Item,
    until_ms: int,
    window: TouchWindow,
    totals: Mapping[int, int],
    inflation: Sequence[float],
    settings: CoordinationSettings,
) -> tuple[int, float, list[float]]:
    """(X, mu, log factor for each theta) of one object within (start, until]."""
    slot = item.uid & SLOT_MASK
    if not window.alive(item.uid) or int(window.last[slot]) <= bundle.ordinal:
        return 0, 0.0, [0.0] * len(THETAS)
    bin_ms = settings.activity_bin_ms
    in_pool = set(bets.pool)
    came: dict[int, int] = {}
    # Touches of this object by activity cell, at any time: they are no part of what else was done.
    on_it: dict[int, list[int]] = {activity_cell(item.kind, bundle.start_ms, bin_ms): [1, 1, 0]}
    walked = 0
    for ordinal, at, row in window.chain(slot):
        if ordinal <= bundle.ordinal or walked > WALK_CAP:
            break
        walked += 1
        counts = on_it.setdefault(activity_cell(item.kind, at, bin_ms), [0, 0, 0])
        counts[0] += 1
        counts[1] += row in bets.members
        counts[2] += row in in_pool
        if at <= until_ms and row != bundle.opener:
            came[row] = at  # newest first: the last one written is the account's first
    hits = min(len(item.hits), settings.hit_cap) if walked <= WALK_CAP else 0
    touches: dict[int, int] = {}  # activity cell -> further accounts
    kin: list[int] = []
    for row, at in came.items():
        cell = activity_cell(item.kind, at, bin_ms)
        touches[cell] = touches.get(cell, 0) + 1
        if row in in_pool:
            kin.append(row)
    # The opener cannot come again, and is likely to be the busiest member: what remains is the others' activity.
    rest = 1.0 - bets.share.get(bundle.opener, 0.0)
    base, pool_base = rest * bets.base[item.kind] * bin_ms, bets.pool_base[item.kind] * bin_ms
    shares: list[tuple[int, float]] = []
    kin_expected = 0.0
    for cell, further in touches.items():
        total_on, members_on, pool_on = on_it[cell]
        total = max(totals.get(cell, 0) - total_on, 0)
        active, pool_active = max(bets.active.get(cell, 0) - members_on, 0), bets.pool_active.get(cell, 0) - pool_on
        shares.append((further, _share(rest * active, base, total - active)))
        kin_expected += further * _share(max(pool_active, 0), pool_base, total - pool_active)
    affinity = bets.affinity[item.kind]
    mu = affinity * sum(n * f for n, f in shares)
    value = [
        hits * log_theta - _cost(shares, theta, affinity * inflation[item.kind])
        for theta, log_theta in zip(THETAS, _LOG_THETA, strict=True)
    ]
    if item.window_ms != SYNCHRONY_MS:
        for row in kin:
            visit = row * TOUCH_KINDS + item.kind
            bets.visits[visit] = bets.visits.get(visit, 0) + 1
        bets.visits_expected[item.kind] += kin_expected
        bets.stale = True
    return hits, mu, value


def forget(bets: Bets, row: int) -> None:
    """Forget an account; what it did to the e-values stays."""
    for by_row in (bets.members, bets.share, bets.pool_share):
        by_row.pop(row, None)
    bets.pool = [r for r in bets.pool if r != row]
    bets.visits = {visit: n for visit, n in bets.visits.items() if visit // TOUCH_KINDS != row}
    for bundle in bets.bundles.values():
        bundle.opener = NOBODY if bundle.opener == row else bundle.opener
        bundle.met = [r for r in bundle.met if r != row]


def learn(bets: Bets, prior: Sequence[float]) -> None:
    """Learn the affinity from the visits so far: how much more often than expected the pool came, at least 1, by kind.

    One standard error is added: a core is keener than the rest of its community, and bets must not find that out.

    Accounts of the pool that came far more often than the rest of it are left out: they may belong to the group.

    Args:
        prior: affinity over all groups by kind; it counts as much as `VISITS_PRIOR` expected visits.
    """
    bets.stale = False
    by_row: dict[int, int] = {}
    for visit, count in bets.visits.items():
        by_row[visit // TOUCH_KINDS] = by_row.get(visit // TOUCH_KINDS, 0) + count
    usual_share = 1.0 / max(len(bets.pool), 1)
    expected = sum(bets.visits_expected)
    out: set[int] = set()
    for _ in range(TRIM_ROUNDS):
        kept = 1.0 - sum(bets.pool_share.get(row, usual_share) for row in out)
        came = sum(count for row, count in by_row.items() if row not in out)
        rate = (came + VISITS_PRIOR) / (max(kept, 0.0) * expected + VISITS_PRIOR)
        out = {
            row
            for row, count in by_row.items()
            if count > TRIM_FACTOR * rate * bets.pool_share.get(row, usual_share) * expected + TRIM_VISITS
        }
    if len(out) > TRIM_SHARE * len(bets.pool):  # so many are a community, not the rest of a group
        out = set()
    kept = max(1.0 - sum(bets.pool_share.get(row, usual_share) for row in out), 0.0)
    bets.kin = [0.0] * TOUCH_KINDS
    for visit, count in bets.visits.items():
        if visit // TOUCH_KINDS not in out:
            bets.kin[visit % TOUCH_KINDS] += count
    bets.kin_expected = [kept * value for value in bets.visits_expected]
    bets.affinity = [
        min(max((v + math.sqrt(v) + VISITS_PRIOR * p) / (e + VISITS_PRIOR), 1.0), MAX_AFFINITY)
        for v, e, p in zip(bets.kin, bets.kin_expected, prior, strict=True)
    ]


def _share(seen: float, usual: float, others: float) -> float:
    """Share of the activity in a bin that is a group's: what it was seen doing, its usual rate, and the others."""
    mine = max(seen, _typical(seen, usual)) + LEAST_ACTIVITY
    return mine / (mine + max(others, 0.0))


def _typical(seen: float, usual: float) -> float:
    """Activity in a bin, given what was seen in it and what is usual: posterior mean of a Poisson rate whose prior is
    exponential with mean `usual`. What was seen alone is too noisy, what is usual is too old."""
    return (1.0 + seen) * usual / (1.0 + usual)


def _cost(touches: Sequence[tuple[int, float]], theta: float, inflation: float) -> float:
    return sum(n * math.log1p((theta - 1.0) * min(inflation * f, MAX_SHARE)) for n, f in touches)


def _multiply(bets: Bets, bundle: Bundle) -> None:
    """Multiply a settled bundle into the e-values: the mean over its items, per strategy."""
    for strategy in {item.kind for item in bundle.items} | {ALL_KINDS}:
        values = [item.value for item in bundle.items if strategy in (ALL_KINDS, item.kind)]
        place = strategy * CELLS
        for n in range(len(THETAS)):
            factor = sum(math.exp(value[n]) for value in values) / len(values)
            for stake in STAKES:
                # A factor may be too small for a float: a group never loses more than this at once.
                bets.log_e[place] += math.log(max(1.0 - stake + stake * factor, MIN_FACTOR))
                place += 1
    bets.log_value = mixture(bets.log_e)
