"""The same-controller model: log-odds that one controller drives both accounts of a pair of suspects.

A logistic regression on what the pair has in common: surprise by kind of coincidence (`graph.coincidences`) and
likeness of what they say (`graph.wording`). How much each looks like a machine is left out: it would tie all machines
together, whoever drives them. Weights are saved with the bundle (`graph.json`, `graph.safetensors`) by `swarmlight
train graph`, which holds a graph neural network beside it on campaigns, operators and generators left out.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.errors import ModelError
from detector.models import SavedWeights
from graph.coincidences import PairSums
from graph.traces import BUILT_IN, MINUTES

WORDING: Final = "wording"

FEATURES: Final = (*(kind.name for kind in BUILT_IN), WORDING)
"""Columns in the order of the weights. Kinds that packages add take part in the search among all accounts alone."""

WORDING_RANGE: Final = (-0.6, 1.0)
"""Likeness beyond which it says no more: equal texts are a trace of their own."""

CAP_NATS: Final = 3.0
"""Log-odds of a pair, at most, when groups are formed: one loud pair must not carry a group."""

TIED_LIKE: Final = 0.25
"""Share of a group's members that may be tied to the others less than an account that gains beside them: the loosest
members are tied no more than bystanders are."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class PairFeatures(NamedTuple):
    """What every two of k accounts have in common.

    Args:
        nats: surprise by built-in kind, shape (kinds, k, k), symmetric; `minutes` in standard deviations.
        wording: likeness, shape (k, k).
    """

    nats: NDArray[np.float32]
    wording: NDArray[np.float32]

    def of(self, places: Ints) -> PairFeatures:
        """Of some of the accounts."""
        square = np.ix_(places, places)
        return PairFeatures(
            np.ascontiguousarray(self.nats[:, places][:, :, places]),
            self.wording[square],
        )


def kind_matrices(pairs: PairSums, minutes: NDArray[np.float32], among: Ints, accounts: int) -> NDArray[np.float32]:
    """The surprise of every two of k accounts by built-in kind, shape (kinds, k, k), symmetric.

    Args:
        pairs: sums of coincidences, by places in a view.
        minutes: of `same_minutes`, shape (k, k).
        among: places of the k accounts in the view.
        accounts: how many the view has.
    """
    place = np.full(accounts, -1, np.int64)
    place[among] = np.arange(len(among))
    a, b = place[pairs.a], place[pairs.b]
    inside = (a >= 0) & (b >= 0)
    out = np.zeros((len(BUILT_IN), len(among), len(among)), np.float32)
    for kind in range(len(BUILT_IN)):
        out[kind][a[inside], b[inside]] = pairs.nats[inside, kind]
        out[kind][b[inside], a[inside]] = pairs.nats[inside, kind]
    out[MINUTES] = minutes
    return out


def columns(features: PairFeatures, a: Ints, b: Ints) -> Floats:
    """The model's columns for some pairs, shape (pairs, len(FEATURES)).

    Args:
        features: of the accounts.
        a, b: places of the two accounts of each pair.
    """
    out = np.empty((len(a), len(FEATURES)))
    for kind in range(len(BUILT_IN)):
        out[:, kind] = np.log1p(features.nats[kind][a, b])
    out[:, -1] = np.clip(features.wording[a, b], *WORDING_RANGE)
    return out


class PairModel:
    """Weights of the logistic regression.

    Args:
        coefficients: shape (len(FEATURES),).
        intercept: log-odds of a pair with nothing in common.
        cut: mean log-odds below which groups are not joined.
        worth: nats that an account gains for each nat of its mates' evidence, weighed by the odds of one controller.
        most: nats that it gains so at most.
        version: of the weights.
    """

    def __init__(
        self, coefficients: Floats, intercept: float, *, cut: float, worth: float, most: float, version: str = ""
    ) -> None:
        self.coefficients = coefficients
        self.intercept = intercept
        self.cut, self.worth, self.most, self.version = cut, worth, most, version

    @classmethod
    def of(cls, saved: SavedWeights) -> PairModel:
        """The model in a bundle.

        Raises:
            ModelError: the weights are of another release.
        """
        meta = saved.meta
        if list(meta.get("features", ())) != list(FEATURES) or saved.arrays["coefficients"].shape != (len(FEATURES),):
            raise ModelError(
                f"{saved.path}.json is no same-controller model of this release: train it again with "
                "`swarmlight train graph`"
            )
        return cls(
            saved.arrays["coefficients"].astype(np.float64), float(meta["intercept"]), cut=float(meta["cut"]),
            worth=float(meta["worth"]), most=float(meta["most"]), version=saved.version,
        )  # fmt: skip

    def meta(self) -> dict[str, Any]:
        """What is saved beside the coefficients."""
        return {
            "features": list(FEATURES), "intercept": self.intercept, "cut": self.cut, "worth": self.worth,
            "most": self.most,
        }  # fmt: skip

    def log_odds(self, features: PairFeatures) -> Floats:
        """Log-odds of every two accounts, at most `CAP_NATS`, symmetric, 0 on the diagonal, shape (k, k)."""
        k = len(features.wording)
        out = np.full((k, k), self.intercept)
        for kind in range(len(BUILT_IN)):
            if self.coefficients[kind]:
                out += self.coefficients[kind] * np.log1p(features.nats[kind].astype(np.float64))
        out += self.coefficients[-1] * np.clip(features.wording.astype(np.float64), *WORDING_RANGE)
        np.minimum(out, CAP_NATS, out=out)
        np.fill_diagonal(out, 0.0)
        return out


class MateEvidence(NamedTuple):
    """What groups say about each of k accounts, nats, never below 0, each of shape (k,).

    Args:
        mates: from the other members of its group.
        near: from a group that it is no member of, and is tied to as three of four members are, or likelier than not.
    """

    mates: Floats
    near: Floats


def worth_of_mates(
    log_odds: Floats, own: Floats, group: Ints, sure: Floats, *, worth: float, most: float
) -> MateEvidence:
    """What accounts gain from the members of their group, or from those of a group that they are tied to all the same.

    Another account counts by the probability of one controller times its own evidence between 0 and 1 nat: a single
    mate gives little, only many speak for a campaign. What an account says itself does not enter, so that quiet members
    are found by their mates.

    Args:
        log_odds: of every two accounts, shape (k, k).
        own: own evidence, nats, shape (k,).
        group: number of each account's group, -1 for none, shape (k,).
        sure: chance that the account's group is one, 1 - q, shape (k,).
        worth: nats for each nat so weighed.
        most: the largest amount.
    """
    together = 1.0 / (1.0 + np.exp(-log_odds))
    np.fill_diagonal(together, 0.0)
    weighed = together * np.clip(own, 0.0, 1.0)
    mates, near = np.zeros(len(own)), np.zeros(len(own))
    outside = group < 0
    for number in np.unique(group[~outside]).tolist():
        members = np.flatnonzero(group == number)
        gain = sure[members[0]] * weighed[:, members].sum(axis=1)
        mates[members] = gain[members]
        if len(members) > 1:
            inside = log_odds[np.ix_(members, members)].copy()
            np.fill_diagonal(inside, 0.0)
            least = float(np.quantile(inside.sum(axis=1) / (len(members) - 1), TIED_LIKE))
            tied = outside & (log_odds[:, members].mean(axis=1) >= min(least, 0.0))
            near[tied] = np.maximum(near[tied], gain[tied])
    return MateEvidence(_bounded(worth * mates, most), _bounded(worth * near, most))


def _bounded(nats: Floats, most: float) -> Floats:
    """Nats in whole thousandths, at most `most`."""
    return np.asarray(np.round(np.minimum(nats, most), 3) + 0.0, np.float64)
