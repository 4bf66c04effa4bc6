"""Coincidences: pairs of accounts that used the same objects near each other in time, and how surprising that is.

Only an account's first use of an object counts, and an object counts once for a pair. Two uses coincide within the
kind's window; each is held against at most `NEAREST` uses before it. With n other accounts that used the object in the
window w before the later use, and a lag of t, the chance that somebody came so close is

    1 - exp(-(n + 1/2) (t + t0) / w),

the Poisson chance at the object's own rate with half a use as prior. That this one came so close is less likely, the
less so the more it does of the kind: the exponent is multiplied by a / c, where a is the geometric mean of the two
accounts' activity over that of the mean account, and c how many accounts an object is before the eyes of. Taken as
everybody, c would make any meeting on a large platform a wonder, and as one it would leave none in a small group that
pushes its own link; it is the square root of the accounts that did anything of the kind. The surprise is -ln of the
chance in nats, at most `LARGEST_NATS`, and halves with every `HALF_LIFE_MS` of age.

Three kinds are derived. *Copied*: two accounts both published nearly what a third one published, in whatever order;
the third account is the object. *Contact*: one acted upon the other; its chance is that of as many dealings placed at
random between accounts that act, and are acted upon, as often (a configuration model). *Minutes*: publishing in the
same ten minutes, as the excess over what the hours of both explain, in standard deviations.

Independence is the wrong null, people of one community coincide all the time: surprise only ranks pairs. How large it
gets where nobody acts together is what decoys say (`graph.decoys`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graph.trace_memory import TraceView
from graph.traces import (
    CONTACT,
    COPIED,
    DAY_MS,
    DIRECT_KINDS,
    DOMAIN,
    FOLLOW,
    KINDS,
    LIKE,
    MINUTE_MS,
    NEAR_DUPLICATE,
    REPOST,
    WINDOW_MS,
)

NEAREST: Final = 25
"""Uses of one object before it that a use is held against: bounds pairs, and what lies between is no coincidence."""

LARGEST_NATS: Final = 6.0
"""Surprise of one object, at most: a single shared object proves nothing, however rare."""

LEAST_NATS: Final = 0.05
"""Surprise below which a coincidence is left out: everybody meets on what everybody uses."""

LAG_MS: Final = MINUTE_MS
"""t0 of the formula: many platforms give times in minutes, and the network takes seconds."""

HALF_LIFE_MS: Final = 21 * DAY_MS
"""Age at which a coincidence counts half: operators change their accounts' errands over weeks."""

COPIES: Final = 8
"""Accounts with nearly the same text that one text counts as copied from: more of them are a meme."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Coincidences(NamedTuple):
    """One row for each object that two accounts coincided on, shape (n,); places in the names of the view.

    Args:
        a: place of one account.
        b: place of the other, a < b.
        kind: of the object.
        item: number of the object in the view, of `contact` too; of `copied` the place of an account.
        at: time of the later use, ms.
        nats: surprise.
    """

    a: Ints
    b: Ints
    kind: Ints
    item: Ints
    at: Ints
    nats: Floats


class PairSums(NamedTuple):
    """Coincidences by pair.

    Args:
        a, b: places of the accounts, a < b, sorted, shape (m,).
        nats: surprise by kind, shape (m, KINDS).
    """

    a: Ints
    b: Ints
    nats: Floats


def coincidences(view: TraceView, now_ms: int | None, among: Ints | None = None) -> Coincidences:
    """All coincidences in a view but those of `minutes`.

    Args:
        view: the traces.
        now_ms: as of when they are weighed; where None, those of long ago count as those of today.
        among: places of the accounts whose pairs are wanted; all where None. Everybody's traces tell the rates.
    """
    n = len(view.names)
    wanted = np.ones(n, np.bool_)
    if among is not None:
        wanted = np.zeros(n, np.bool_)
        wanted[among] = True
    uses = _first_uses(_sorted(Uses(view.item, view.account, view.at, view.kind)), n)
    found = _weighed([_meetings(uses, wanted), _copied(uses, wanted), _contacts(view, wanted)], now_ms)
    order = np.lexsort((found.item, found.kind, found.b, found.a))
    return Coincidences._make(column[order] for column in found)


def pair_sums(found: Coincidences, accounts: int) -> PairSums:
    """Add coincidences up by pair and kind.

    Args:
        found: sorted by pair.
        accounts: how many the view has.
    """
    code = found.a * accounts + found.b
    pairs, which = np.unique(code, return_inverse=True)
    nats = np.zeros((len(pairs), KINDS))
    np.add.at(nats, (which, found.kind), found.nats)
    return PairSums(pairs // max(accounts, 1), pairs % max(accounts, 1), nats)


class Uses(NamedTuple):
    """Uses of objects, sorted by object and time, n of them, all arrays of shape (n,).

    Args:
        item: number of the object.
        account: place of the account.
        at: time, ms.
        kind: of the object.
    """

    item: Ints
    account: Ints
    at: Ints
    kind: Ints


def shared_uses(at: Ints, account: Ints, kind: Ints, item: Ints) -> Uses:
    """The uses that somebody can coincide with: of objects used more than once.

    Links to one site are left out, which say what the links say.

    Args:
        at: times, ms, shape (n,).
        account: places of the accounts.
        kind: of the objects.
        item: numbers of the objects.
    """
    kept = np.flatnonzero((np.bincount(item)[item] > 1) & (kind != DOMAIN)) if len(item) else np.zeros(0, np.int64)
    order = kept[np.lexsort((account[kept], at[kept], item[kept]))]
    whole = (column[order].astype(np.int64) for column in (item, account, at, kind))
    return Uses(*whole)


def meetings(uses: Uses, accounts: int, now_ms: int | None) -> tuple[Ints, Ints, Floats]:
    """Coincidences of accounts on objects, and on whose words they copied: (a, b, nats), a < b, in no order.

    Args:
        uses: of the objects.
        accounts: how many there are.
        now_ms: as of when they are weighed; where None, those of long ago count as those of today.
    """
    once, everybody = _first_uses(uses, accounts), np.ones(accounts, np.bool_)
    found = _weighed([_meetings(once, everybody), _copied(once, everybody)], now_ms)
    return found.a, found.b, found.nats


def _sorted(uses: Uses) -> Uses:
    """By object, time and account."""
    order = np.lexsort((uses.account, uses.at, uses.item))
    return Uses(*(column[order] for column in uses))


def _first_uses(uses: Uses, accounts: int) -> Uses:
    """The first use of each object by each account, of uses sorted by object and time, in that order."""
    order = np.argsort(uses.item * accounts + uses.account, kind="stable")
    item, account = uses.item[order], uses.account[order]
    first = np.r_[True, (item[1:] != item[:-1]) | (account[1:] != account[:-1])] if len(item) else np.zeros(0, np.bool_)
    places = np.sort(order[first])
    return Uses(*(column[places] for column in uses))


def _weighed(parts: Sequence[Coincidences], now_ms: int | None) -> Coincidences:
    """All of them with their age taken off, without those that hardly surprise."""
    a, b, kind, item, at, nats = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    if now_ms is not None:
        nats = nats * 0.5 ** ((now_ms - at) / HALF_LIFE_MS)
    kept = np.flatnonzero(nats >= LEAST_NATS)
    return Coincidences(a[kept], b[kept], kind[kept], item[kept], at[kept], nats[kept])


_NOBODY: Final = np.zeros(0, np.int64)
_NONE: Final = Coincidences(_NOBODY, _NOBODY, _NOBODY, _NOBODY, _NOBODY, np.zeros(0))


def _meetings(uses: Uses, wanted: NDArray[np.bool_]) -> Coincidences:
    """Coincidences of uses sorted by object, time and account; pairs of `wanted` accounts alone."""
    item, account, at, kind = uses
    if len(item) < 2:
        return _NONE
    windows = np.array(WINDOW_MS, np.int64)[kind]
    activity = _activity(account, kind, len(wanted))
    # Others' uses in the window before each, or at the same time, but for one, the other of a pair: searched for in one
    # ascending sequence, as objects lie far apart in it.
    first_at = int(at.min())
    stride = int(at.max()) - first_at + int(windows.max()) + 2
    line = item * stride + (at - first_at)
    begin = np.searchsorted(line, np.maximum(line - windows, item * stride))
    others = np.searchsorted(line, line, side="right") - begin - 2
    # Pairs are looked for among wanted accounts' uses alone: strangers between two of them hide nothing.
    mine = np.flatnonzero(wanted[account])
    out: list[tuple[Ints, Ints]] = []
    begun = np.arange(len(mine))  # those that a use as many steps before may still be near to
    for step in range(1, NEAREST + 1):
        begun = begun[begun + step < len(mine)]
        earlier, later = mine[begun], mine[begun + step]
        near = (item[later] == item[earlier]) & (at[later] - at[earlier] <= windows[later])
        if not near.any():
            break
        out.append((earlier[near], later[near]))
        begun = begun[near]
    if not out:
        return _NONE
    earlier, later = (np.concatenate(side) for side in zip(*out, strict=True))
    rate = (others[later] + 0.5) / windows[later]
    expected = rate * (at[later] - at[earlier] + LAG_MS) * np.sqrt(activity[earlier] * activity[later])
    nats = np.clip(-np.log(-np.expm1(-expected)), 0.0, LARGEST_NATS)
    one, two = account[earlier], account[later]
    return Coincidences(np.minimum(one, two), np.maximum(one, two), kind[later], item[later], at[later], nats)


def _activity(account: Ints, kind: Ints, accounts: int) -> Floats:
    """Objects that the account of each use used of that kind, over the mean and the circle of all that used any."""
    cells = np.zeros((KINDS, accounts), np.int64)
    np.add.at(cells, (kind, account), 1)
    users = np.maximum((cells > 0).sum(axis=1), 1)
    mean = cells.sum(axis=1) / users
    out: Floats = cells[kind, account] / (mean * np.sqrt(users))[kind]
    return out


def _copied(uses: Uses, wanted: NDArray[np.bool_]) -> Coincidences:
    """Accounts that published nearly what the same other accounts published."""
    item, account, at, kind = uses
    texts = np.flatnonzero(kind == NEAR_DUPLICATE)
    who: list[Ints] = []
    of: list[Ints] = []
    when: list[Ints] = []
    for step in range(1, COPIES + 1):
        later, earlier = texts[step:], texts[:-step]
        same = item[later] == item[earlier]
        if not same.any():
            break
        who += [account[later[same]], account[earlier[same]]]
        of += [account[earlier[same]], account[later[same]]]
        when += [at[later[same]], at[later[same]]]
    if not who:
        return _NONE
    copier, source, times = np.concatenate(who), np.concatenate(of), np.concatenate(when)
    copies = _sorted(Uses(source, copier, times, np.full(len(source), COPIED, np.int64)))
    return _meetings(_first_uses(copies, len(wanted)), wanted)


def _contacts(view: TraceView, wanted: NDArray[np.bool_]) -> Coincidences:
    """Accounts that acted upon each other, one row for each thing acted upon."""
    direct = np.flatnonzero(np.isin(view.kind, DIRECT_KINDS) & (view.other >= 0) & (view.other != view.account))
    if not len(direct):
        return _NONE
    order = direct[np.lexsort((view.at[direct], view.item[direct], view.account[direct]))]
    account, item = view.account[order], view.item[order]
    order = order[np.r_[True, (account[1:] != account[:-1]) | (item[1:] != item[:-1])]]
    actor, other = view.account[order], view.other[order]
    n = len(view.names)
    acts, received = np.bincount(actor, minlength=n), np.bincount(other, minlength=n)
    both = np.flatnonzero(wanted[actor] & wanted[other])
    expected = acts[actor[both]] * received[other[both]] / len(order)
    nats = np.clip(-np.log(-np.expm1(-expected)), 0.0, LARGEST_NATS)
    one, two = actor[both], other[both]
    kind = np.full(len(both), CONTACT, np.int64)
    item, at = view.item[order[both]], view.at[order[both]]
    return Coincidences(np.minimum(one, two), np.maximum(one, two), kind, item, at, nats)


BIN_MS: Final = 10 * MINUTE_MS
"""Posts this near count as of the same minutes: scripted rounds take minutes, and people's chance meetings are few."""


def same_minutes(view: TraceView, among: Ints) -> NDArray[np.float32]:
    """How many more ten-minute bins two accounts both published in than their hours explain, shape (k, k).

    In standard deviations of the number expected, with one bin's variance added; 0 on the diagonal and where negative.
    Expected is n_a n_b times the sum over bins of the squared share of all accounts' bins.

    Args:
        view: the traces.
        among: places of k accounts.
    """
    publishing = np.flatnonzero(~np.isin(view.kind, (LIKE, FOLLOW, REPOST)))
    k = len(among)
    if not len(publishing):
        return np.zeros((k, k), np.float32)
    bins = view.at[publishing] // BIN_MS
    numbers, place = np.unique(bins, return_inverse=True)
    cells = np.unique(view.account[publishing] * len(numbers) + place)
    share = np.bincount(cells % len(numbers), minlength=len(numbers)) / len(cells)
    row_of = np.full(len(view.names), -1, np.int64)
    row_of[among] = np.arange(k)
    rows = row_of[cells // len(numbers)]
    shown = np.zeros((k, len(numbers)), np.float32)
    shown[rows[rows >= 0], (cells % len(numbers))[rows >= 0]] = 1.0
    both = (shown @ shown.T).astype(np.float64)  # whole numbers far below 2^24: exact in any order
    often = shown.sum(axis=1, dtype=np.float64)
    expected = np.outer(often, often) * float((share**2).sum())
    out = np.maximum((both - expected) / np.sqrt(expected + 1.0), 0.0)
    np.fill_diagonal(out, 0.0)
    return out.astype(np.float32)
