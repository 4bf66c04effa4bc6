"""The two searches for groups, each with its decoys.

*Among suspects*: accounts whose own posts already look like a machine's, with everything they have in common, wording
included; decoys are matched accounts that are not suspicious. *Among all*: every account, with its coincidences alone;
decoys are the same traces with accounts exchanged. The first finds campaigns, the second coordination of whomever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graph.coincidences import Coincidences, Uses, coincidences, pair_sums, same_minutes, shared_uses
from graph.decoys import DRAWS, cells, exchange, matched_draws, q_values
from graph.dense_groups import dense_groups, ties
from graph.groups import Proposal, linked
from graph.pair_model import PairFeatures, PairModel, kind_matrices
from graph.trace_memory import TraceView
from graph.wording import Wording

LEAST_CONTROLS: Final = 30
"""Controls below which nothing is accepted among suspects: too few to hold a community."""

_SLACK: Final = 1e-12
"""Of comparisons of sums of twentieths."""

LEAST_CONTRAST: Final = 2.0
"""Contrast below which a group among all accounts is none: members are tied to each other at least twice as strongly as
to the outsiders nearest to them, as whoever is tied half as strongly as members are would be one. How often a circle of
people reaches it all the same, in simulated societies with communities and crowds, is counted by
`training.null_societies`."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class FoundGroups(NamedTuple):
    """Groups of one search, best first.

    Args:
        groups: members are places in the names of what was searched.
        q: of each group.
        decoy_groups: mean number of groups that a draw of decoys showed.
    """

    groups: list[Proposal]
    q: list[float]
    decoy_groups: float


class Accounts(NamedTuple):
    """Suspects and controls, k accounts sorted by name; arrays of shape (k,).

    Args:
        places: in the view of their traces.
        suspect: whether it is a suspect; else it is a control.
        own: own evidence, nats.
        posts: posts with text.
        language: code of the main language.
    """

    places: Ints
    suspect: NDArray[np.bool_]
    own: Floats
    posts: Ints
    language: Ints


def pair_features(
    view: TraceView, accounts: Accounts, wording: Wording | None, now_ms: int
) -> tuple[PairFeatures, Coincidences]:
    """What every two accounts have in common, and the coincidences it was added up from.

    Args:
        view: traces on the accounts' objects.
        accounts: k of them.
        wording: of their posts, None where texts are not read.
        now_ms: as of when.
    """
    k, n = len(accounts.places), len(view.names)
    met = coincidences(view, now_ms, accounts.places)
    minutes = same_minutes(view, accounts.places)
    nats = kind_matrices(pair_sums(met, n), minutes, accounts.places, n)
    said = Wording(np.zeros(0, np.int64), np.zeros((0, 1), np.int8), k) if wording is None else wording
    return PairFeatures(nats, said.pairs()), met


def among_suspects(
    features: PairFeatures, accounts: Accounts, model: PairModel, seed: int, no_decoys: NDArray[np.bool_] | None = None
) -> FoundGroups:
    """Groups among suspects; members are places in `accounts`.

    Args:
        features: of the accounts.
        accounts: suspects and controls.
        model: of pairs.
        seed: of the draws of decoys.
        no_decoys: (k,) controls that are no decoys: they are known to act together, so that what a draw with them shows
            says nothing of chance.
    """
    suspects = np.flatnonzero(accounts.suspect)
    controls = np.flatnonzero(~accounts.suspect if no_decoys is None else ~(accounts.suspect | no_decoys))
    found = linked(model.log_odds(features.of(suspects)), model.cut)
    groups = [group._replace(members=suspects[group.members].tolist()) for group in found]
    if len(controls) < LEAST_CONTROLS or not groups:
        return FoundGroups(groups, [1.0] * len(groups), 0.0)
    decoys: list[list[float]] = []
    for draw in matched_draws(suspects, controls, accounts.posts, accounts.language, seed):
        odds = model.log_odds(features.of(draw.decoys))
        decoys.append([group.statistic for group in linked(odds, model.cut)])
    # Fewer decoys than suspects show fewer groups: theirs count for more.
    share = min(len(controls) / len(suspects), 1.0)
    q = q_values([group.statistic for group in groups], decoys, share)
    return FoundGroups(groups, q, sum(map(len, decoys)) / len(decoys) / share)


def among_all(
    view: TraceView,
    now_ms: int | None,
    seed: int,
    strata: Ints | None = None,
    draws: int = DRAWS,
    target_fdr: float = 0.05,
) -> FoundGroups:
    """Groups among all accounts by their coincidences; members are places in the view.

    Args:
        view: everybody's traces.
        now_ms: as of when; where None, meetings of long ago count as those of today.
        seed: of the exchanges and the communities.
        strata: within which accounts are exchanged for decoys, shape (n,); None for one.
        draws: of decoys.
        target_fdr: q up to which a group is accepted.
    """
    uses = shared_uses(view.at, view.account, view.kind, view.item)
    return among_uses(uses, len(view.names), now_ms, seed, strata=strata, draws=draws, target_fdr=target_fdr)


def among_uses(
    uses: Uses,
    accounts: int,
    now_ms: int | None,
    seed: int,
    *,
    strata: Ints | None = None,
    draws: int = DRAWS,
    target_fdr: float = 0.05,
) -> FoundGroups:
    """Groups among all accounts, from their uses of objects; members are places of accounts.

    A group below `LEAST_CONTRAST` is not accepted, and what decoys show below it does not count. Neither does a decoy
    that is mostly one of the groups: where members are nearly all that happens in their hours, exchanging hands their
    traces around among themselves, and says nothing about chance. Draws end as soon as none that is left could get
    anything accepted.

    Args:
        uses: of objects that several used.
        accounts: how many there are.
        now_ms: as of when; where None, meetings of long ago count as those of today.
        seed: of the exchanges and the communities.
        strata: within which accounts are exchanged for decoys, shape (accounts,); None for one.
        draws: of decoys.
        target_fdr: q up to which a group is accepted.
    """
    found = dense_groups(ties(uses, accounts, now_ms), seed)
    apart = [group for group in found if group.statistic >= LEAST_CONTRAST]
    statistics = [group.statistic for group in apart]
    number = np.full(accounts, -1, np.int64)
    for place, group in enumerate(apart):
        number[group.members] = place
    decoys: list[list[float]] = []
    cell = cells(uses.at, uses.kind, None if strata is None else strata[uses.account])
    while len(decoys) < draws and _may_accept(statistics, decoys, draws, target_fdr):
        drawn = exchange(uses.account, cell, seed * draws + len(decoys))
        shown = dense_groups(ties(uses._replace(account=drawn), accounts, now_ms), seed)
        decoys.append([one.statistic for one in shown if _is_chance(one, number)])
    q = q_values(statistics, decoys) if len(decoys) == draws else [1.0] * len(apart)
    return FoundGroups(found, q + [1.0] * (len(found) - len(apart)), sum(map(len, decoys)) / max(len(decoys), 1))


def _is_chance(decoy: Proposal, number: Ints) -> bool:
    """Whether a decoy group counts: it is apart from others, and not mostly one of the groups itself.

    Args:
        decoy: a group of decoys.
        number: of the group that an account is in, -1 for none, shape (accounts,).
    """
    of = number[decoy.members]
    of = of[of >= 0]
    itself = len(of) and 2 * int(np.bincount(of).max()) > len(decoy.members)
    return decoy.statistic >= LEAST_CONTRAST and not itself


def _may_accept(found: Sequence[float], decoys: Sequence[Sequence[float]], draws: int, target_fdr: float) -> bool:
    """Whether a group can still be accepted if the draws that are left show nothing as good.

    Args:
        found: statistics of the groups, best first.
        decoys: of the draws so far.
        draws: how many there will be.
        target_fdr: q up to which a group is accepted.
    """
    every = np.sort(np.array([value for draw in decoys for value in draw], np.float64))
    as_good = len(every) - np.searchsorted(every, np.array(found, np.float64), side="left")
    return bool(((1.0 + as_good) / draws <= target_fdr * np.arange(1, len(found) + 1) + _SLACK).any())
