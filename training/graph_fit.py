"""Fits the graph network: same controller for pairs, and for nodes what the graph adds to all other evidence."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from graph.account_graph import EDGE_FEATURES
from graph.sage import own_columns
from training.graph_data import Example, Own, drawn_evidence
from training.graph_net import GraphTensors, SageNet

NON_EDGES: Final = 2000
"""Random pairs without an edge in each step: far more than there are members of one campaign among them."""

STEP: Final = 3e-3
"""First step size of Adam; it falls to nothing along a cosine."""


@dataclass(frozen=True)
class Plan:
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


PLANS: Final = (Plan(width=32), Plan(width=16))
"""Those that selection compares, the first where nothing is selected."""

Say = Callable[[float], None]
"""Told the share that is done."""


def fit(
    examples: Sequence[Example], plan: Plan, seed: int, *, without: Collection[str] = (), say: Say | None = None
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
    net: SageNet, example: Example, graph: GraphTensors, rng: np.random.Generator, plan: Plan, without: Collection[str]
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
    """(n,) logits of the nodes as the shipped arithmetic gives them."""
    model = net.model(np.array([-1.0, 1.0]), np.array([-1.0, 1.0]))
    return model.run(example.graph, own_columns(own.standing, own.speaks)).logit
