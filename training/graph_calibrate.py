"""From the network's logit to an increment in nats, on societies that it has not seen, and what the increment is worth.

Campaigns are the sampling unit: intervals come from resampling campaigns, and people one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from training.graph_data import Example, Own, drawn_evidence
from training.graph_fit import logits
from training.graph_net import SageNet
from training.scoring import auroc

CUTS: Final = (0.0, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 1.0)
"""Quantiles of people's logits between which an increment is estimated."""

DRAWS: Final = 2
"""Draws of own evidence that calibrate."""

BOOTSTRAP: Final = 100
"""Draws behind a bound or an interval."""

BOUND: Final = 0.05
"""An increment is the bound nearest 0 of its 90% interval, and 0 where that holds 0: only what is supported counts."""

NEWTON_STEPS: Final = 30
RIDGE: Final = 0.5
"""Strength of the pull of a bin's increment towards 0, as of half a machine and half a person."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Judgements:
    """Accounts with what is known of them, arrays of shape (n,).

    Args:
        logit: of the network; judged: whether it says anything.
        own: text and behaviour; coordination: that part; prior: training logit.
        label, cluster, part: truth; clusters are campaigns, people are each their own.
        silent: whether no own evidence was shown to the network.
    """

    logit: Floats
    judged: NDArray[np.bool_]
    own: Floats
    coordination: Floats
    prior: Floats
    label: Ints
    cluster: Ints
    part: NDArray[np.str_]
    silent: NDArray[np.bool_]

    def take(self, chosen: NDArray[Any]) -> Judgements:
        """Those of `chosen`, a mask or places."""
        return Judgements(**{name: value[chosen] for name, value in vars(self).items()})

    @property
    def offset(self) -> Floats:
        """What all other evidence says, with the training prior."""
        return self.own + self.coordination + self.prior


def clusters(examples: Sequence[Example]) -> list[Ints]:
    """(n,) of each example, what is drawn together: a campaign, or one person. No number stands in two examples."""
    found: list[Ints] = []
    begin = 0
    for example in examples:
        n, campaigns = len(example.label), int(example.campaign.max()) + 1
        found.append(begin + np.where(example.campaign >= 0, example.campaign, campaigns + np.arange(n)))
        begin = int(found[-1].max()) + 1
    return found


def judge(net: SageNet, examples: Sequence[Example], seed: int, draws: int = 1) -> Judgements:
    """What a network says of all nodes of graphs: `draws` times with own evidence, and as often without."""
    rng = np.random.default_rng(seed)
    parts: list[Judgements] = []
    for example, cluster in zip(examples, clusters(examples), strict=True):
        n = len(example.label)
        tied = np.zeros(n, bool)
        tied[example.graph.target] = True
        for speaks in (True, False) * draws:
            own: Own = drawn_evidence(example, rng, speaks=speaks)
            parts.append(
                Judgements(
                    logits(net, example, own),
                    example.graph.candidate & tied,
                    own.llr,
                    own.coordination,
                    np.full(n, example.prior_logit),
                    example.label,
                    cluster,
                    example.part,
                    np.full(n, not speaks),
                )
            )
    return joined(parts)


def joined(parts: Sequence[Judgements]) -> Judgements:
    """One after another."""
    return Judgements(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})


def calibration(given: Judgements, seed: int) -> tuple[Floats, Floats]:
    """(knots, values): the increment in nats at some logits, never falling, linear in between and constant beyond."""
    rng = np.random.default_rng(seed)
    some = given.take(given.judged)
    edges = np.unique(np.quantile(some.logit[some.label == 0], CUTS))
    place = np.clip(np.searchsorted(edges, some.logit, side="right") - 1, 0, len(edges) - 2)
    knots, values, weights = [], [], []
    for number in range(len(edges) - 1):
        mine = some.take(place == number)
        drawn = np.array([_increment(mine, w) for w in resampled(mine.cluster, rng)])
        low, high = np.quantile(drawn, [BOUND, 1 - BOUND])
        knots.append(float(np.median(mine.logit)))
        values.append(low if low > 0 else high if high < 0 else 0.0)
        weights.append(len(mine.label))
    increments = rising(np.array(values), np.array(weights, np.float64))
    found, first = np.unique(np.array(knots), return_index=True)
    return found, increments[first]


def resampled(cluster: Ints, rng: np.random.Generator) -> list[Floats]:
    """`BOOTSTRAP` times a weight for each place, (n,): how often its cluster was drawn."""
    names, place = np.unique(cluster, return_inverse=True)
    return [rng.poisson(1.0, len(names)).astype(np.float64)[place] for _ in range(BOOTSTRAP)]


def _increment(given: Judgements, weight: Floats) -> float:
    """The constant that, added to all other evidence, makes it say as many machines as there are (Newton)."""
    x = 0.0
    for _ in range(NEWTON_STEPS):
        p = 1.0 / (1.0 + np.exp(-(given.offset + x)))
        slope = float((weight * p * (1 - p)).sum()) + RIDGE
        x += float(np.clip((float((weight * (given.label - p)).sum()) - RIDGE * x) / slope, -1.0, 1.0))
    return x


def rising(values: Floats, weights: Floats) -> Floats:
    """The nearest values, weighted, that never fall (pooling adjacent violators)."""
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        blocks.append((value, weight, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, u, m), (b, v, n) = blocks[-2:]
            blocks[-2:] = [((a * u + b * v) / (u + v), u + v, m + n)]
    return np.repeat([value for value, _, _ in blocks], [count for _, _, count in blocks])


def increments(given: Judgements, knots: Floats, values: Floats) -> Floats:
    """(n,) the graph part; 0 where the model is silent."""
    return np.where(given.judged, np.interp(given.logit, knots, values), 0.0)


def gain_nats(given: Judgements, graph: Floats) -> Floats:
    """(n,) what the graph part adds to the log-likelihood of each account's label, classes at equal weight, nats."""
    sign = 2.0 * given.label - 1.0
    before = -np.logaddexp(0.0, -sign * (given.own + given.coordination))
    after = -np.logaddexp(0.0, -sign * (given.own + given.coordination + graph))
    share = max(float(given.label.mean()), 1e-9)
    weight = np.where(given.label == 1, 0.5 / share, 0.5 / max(1.0 - share, 1e-9))
    out: Floats = weight * (after - before)
    return out


def with_interval(given: Judgements, measure: Callable[[Ints], float], seed: int) -> list[float]:
    """[value, low, high]: a measure of places of accounts, with its 95% interval over campaigns and people."""
    rng = np.random.default_rng(seed)
    names, cluster = np.unique(given.cluster, return_inverse=True)
    order = np.argsort(cluster, kind="stable")
    start = np.searchsorted(cluster[order], np.arange(len(names) + 1))
    machine = np.zeros(len(names), bool)
    machine[cluster[given.label == 1]] = True
    drawn = []
    for _ in range(BOOTSTRAP):
        chosen = np.concatenate([rng.choice(c, len(c)) for c in (np.flatnonzero(machine), np.flatnonzero(~machine))])
        count = start[chosen + 1] - start[chosen]
        places = order[
            np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(start[chosen], count)
        ]
        drawn.append(measure(places))
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return [float(measure(np.arange(len(given.label)))), float(low), float(high)]


def ablation(given: Judgements, graph: Floats, seed: int) -> dict[str, list[float]]:
    """AUROC of own evidence, with coordination, and with the graph; gain in AUROC and in nats; with intervals."""
    nats = gain_nats(given, graph)
    sums = {"own": given.own, "+ coordination": given.own + given.coordination}
    sums["+ graph"] = sums["+ coordination"] + graph

    def of(score: Floats) -> Callable[[Ints], float]:
        return lambda places: auroc(given.label[places], score[places])

    result = {name: with_interval(given, of(score), seed) for name, score in sums.items()}
    before, after = of(sums["+ coordination"]), of(sums["+ graph"])
    result["gain in AUROC"] = with_interval(given, lambda places: after(places) - before(places), seed)
    result["gain in nats"] = with_interval(given, lambda places: float(nats[places].mean()), seed)
    return result
