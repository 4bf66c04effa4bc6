"""Training of the graph network, calibration of its logits, and what the calibrated increments are worth.

Examples are account graphs of simulated societies with the truth of each account (`training/societies.py`). `fit`
trains the network of `graph/links.py` on two targets: whether the ends of a pair have the same controller, and for
nodes whether a machine writes, with all other evidence as an offset. `calibration` turns logits into increments in nats
on societies that the network has not seen; `ablation` measures what they add on further ones. Campaigns are the
sampling unit of every interval: campaigns are resampled as a whole, people one by one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from detector.models import GRAPH
from detector.weights_io import save_weights
from graph.account_graph import EDGE_FEATURES
from graph.links import READS, GraphTensors, SageModel, SageNet, own_columns
from training.metrics import auroc
from training.societies import Example, Own, drawn_evidence


def save_network(
    net: SageNet, out: Path, knots: NDArray[np.float64], values: NDArray[np.float64], seed: int, **meta: Any
) -> dict[str, Any]:
    """Write weights and calibration as the graph model of a bundle.

    Args:
        net: the trained network.
        out: folder of the bundle, which is made.
        knots: logits of the calibration, ascending.
        values: increments at the knots, nats.
        seed: of training.
        meta: what else the file says: `version` in place of a digest of the arrays, `abstains`, `report`.

    Returns:
        all that the file says of the model.
    """
    arrays = {**net.arrays(), "knots": knots, "values": values}
    digest = hashlib.sha256(b"".join(arrays[name].tobytes() for name in sorted(arrays))).hexdigest()[:8]
    said = {"name": GRAPH, "version": f"1.{digest}", "seed": seed, "reads": READS, "abstains": "", "report": {}, **meta}
    out.mkdir(parents=True, exist_ok=True)
    save_weights(out / GRAPH, arrays, said)
    return said


NON_EDGES: Final = 2000
"""Random pairs without an edge in each step: far more than there are members of one campaign among them."""

STEP: Final = 3e-3
"""First step size of Adam; it falls to nothing along a cosine."""


@dataclass(frozen=True)
class TrainingPlan:
    """How to train.

    Args:
        width, bases: of the network.
        epochs: passes over all graphs.
        pairs: weight of the pair loss against the node loss.
    """

    width: int = 32
    bases: int = 3
    epochs: int = 36
    pairs: float = 1.0

    def __str__(self) -> str:
        return f"width {self.width}, {self.bases} bases, {self.epochs} epochs, pairs {self.pairs:g}"


PLANS: Final = (TrainingPlan(width=32), TrainingPlan(width=16))
"""Those that selection compares, the first where nothing is selected."""

ProgressCallback = Callable[[float], None]
"""Told the share that is done."""


def fit(
    examples: Sequence[Example],
    plan: TrainingPlan,
    seed: int,
    *,
    without: Collection[str] = (),
    say: ProgressCallback | None = None,
) -> SageNet:
    """Train a network.

    Args:
        examples: graphs of training societies.
        seed: of weights, order and evidence.
        without: operator families whose accounts are left out of every loss; they stay in the graphs.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = SageNet(plan.width, plan.bases, seed)
    optimiser = torch.optim.Adam(net.parameters(), lr=STEP)
    steps = plan.epochs * len(examples)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(steps, 1))
    tensors = [GraphTensors.of(example.graph) for example in examples]
    net.train()
    done = 0
    for _ in range(plan.epochs):
        for i in rng.permutation(len(examples)).tolist():
            loss = _loss(net, examples[i], tensors[i], rng, plan, without)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call] # torch
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            done += 1
            if say is not None:
                say(done / steps)
    net.eval()
    return net


def _loss(
    net: SageNet,
    example: Example,
    graph: GraphTensors,
    rng: np.random.Generator,
    plan: TrainingPlan,
    without: Collection[str],
) -> Tensor:
    own = drawn_evidence(example, rng, speaks=bool(rng.random() < 0.5))
    columns = torch.tensor(own_columns(own.standing, own.speaks), dtype=torch.float32)
    logit, first, same = net(graph, columns)
    judged = example.graph.candidate & ~np.isin(example.part, list(without))
    nodes = torch.tensor(np.flatnonzero(judged))
    offset = torch.tensor(own.llr + own.coordination + example.prior_logit, dtype=torch.float32)
    label = torch.tensor(example.label, dtype=torch.float32)
    node_loss = functional.binary_cross_entropy_with_logits((logit + offset)[nodes], label[nodes])
    ends = graph.pair_ends.numpy()
    chosen = torch.tensor(np.flatnonzero(~np.isin(example.part[ends], list(without)).any(axis=0)))
    pair_loss = functional.binary_cross_entropy(same[chosen], _same(example, ends)[chosen])
    other = rng.choice(np.flatnonzero(judged), (2, NON_EDGES)) if judged.any() else np.zeros((2, 0), np.int64)
    far = net.same_controller(first, torch.tensor(other), torch.zeros((other.shape[1], EDGE_FEATURES)))
    far_loss = functional.binary_cross_entropy(far, _same(example, other))
    total: Tensor = node_loss + plan.pairs * (pair_loss + far_loss)
    return total


def _same(example: Example, ends: NDArray[np.int64]) -> Tensor:
    one, other = example.campaign[ends[0]], example.campaign[ends[1]]
    machines = (example.label[ends[0]] == 1) & (example.label[ends[1]] == 1)
    return torch.tensor((one == other) & (one >= 0) & machines & (ends[0] != ends[1]), dtype=torch.float32)


def logits(net: SageNet, example: Example, own: Own) -> NDArray[np.float64]:
    """(n,) logits of the nodes as the shipped arithmetic gives them.

    Args:
        net: trained.
        example: a graph.
        own: evidence of its accounts.
    """
    flat = np.array([-1.0, 1.0])
    model = SageModel(GRAPH, "0", SageNet.of(net.arrays()), flat, flat, {})
    return model.run(example.graph, own_columns(own.standing, own.speaks)).logit


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
        own: text and behaviour; coordination: that component; prior: training logit.
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
    """What a network says of all nodes of graphs: `draws` times with own evidence, and as often without.

    Args:
        net: trained.
        examples: graphs.
        seed: of the drawn evidence.
        draws: of evidence for each graph.
    """
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
    """(n,) the graph component; 0 where the model is silent.

    Args:
        given: accounts.
        knots: logits of the calibration.
        values: increments at the knots, nats.
    """
    return np.where(given.judged, np.interp(given.logit, knots, values), 0.0)


def gain_nats(given: Judgements, graph: Floats) -> Floats:
    """(n,) what the graph component adds to the log-likelihood of each account's label, classes weighing alike."""
    sign = 2.0 * given.label - 1.0
    before = -np.logaddexp(0.0, -sign * (given.own + given.coordination))
    after = -np.logaddexp(0.0, -sign * (given.own + given.coordination + graph))
    share = max(float(given.label.mean()), 1e-9)
    weight = np.where(given.label == 1, 0.5 / share, 0.5 / max(1.0 - share, 1e-9))
    out: Floats = weight * (after - before)
    return out


def with_interval(given: Judgements, measure: Callable[[Ints], float], seed: int) -> list[float]:
    """[value, low, high]: a measure of places of accounts, with its 95% interval over campaigns and people.

    Args:
        given: accounts.
        measure: of places in `given`.
        seed: of the resampling.
    """
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
    """AUROC of own evidence, with coordination, and with the graph; gain in AUROC and in nats; with intervals.

    Args:
        given: accounts.
        graph: increment of each, nats.
        seed: of the resampling.
    """
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
