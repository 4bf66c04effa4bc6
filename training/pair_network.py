"""The graph neural network that stands beside the logistic regression on the same pairs: what it has to beat.

Nodes are the suspects of a society; their own evidence is left out, as the regression does not see it either (in these
societies it tells machines from people too well: with it the network gains by what it should not look at, whether an
account is a machine, and not who drives it). Edges are the pairs that the regression thinks likeliest,
with everything the two have in common. Two layers of message passing (GINE, Hu et al. 2020, in PyTorch Geometric) tell
every account what stands around it; a small network over both ends and the pair's columns gives its log-odds, as a
correction to the regression's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch_geometric.nn import GINEConv

from graph.pair_model import CAP_NATS, FEATURES, PairFeatures, PairModel, columns
from training.pair_training import CROWD_WEIGHT, Judge
from training.pairs import Example, Society

WIDTH: Final = 32
"""Width of the hidden layers: examples are some dozens of graphs, and a wider network learns them by heart."""

EDGES_EACH: Final = 8
"""Likeliest pairs of each suspect that are edges of the graph: more of them blur who stands with whom."""

MOST_PAIRS: Final = 4_000
"""Pairs of an example in one step, drawn anew in each: of some 10,000 in a society, 200,000 in the operation."""

EPOCHS: Final = 20
"""Rounds over the examples: after them the loss on societies left out does not fall any more."""

STEP: Final = 3e-3
DECAY: Final = 1e-4

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Pairs(NamedTuple):
    """Some pairs of accounts, as tensors.

    Args:
        ends: places of both, shape (2, m).
        columns: the model's, shape (m, columns).
        prior: log-odds by the regression, shape (m,).
    """

    ends: Tensor
    columns: Tensor
    prior: Tensor

    def take(self, chosen: Tensor) -> Pairs:
        """Some of them."""
        return Pairs(self.ends[:, chosen], self.columns[chosen], self.prior[chosen])


class NetworkInputs(NamedTuple):
    """What the network sees of n accounts: `nodes` of shape (n, 2), the edges of the graph, and the pairs to judge."""

    nodes: Tensor
    edges: Pairs
    pairs: Pairs


class PairNetwork(nn.Module):  # type: ignore[misc,unused-ignore] # torch
    """Log-odds of pairs from the graph around them.

    Args:
        mean, scale: of the pair columns in training, shape (columns,).
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Floats, scale: Floats) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))
        wide = len(FEATURES) + 1
        self.node = nn.Linear(2, WIDTH)
        self.layers = nn.ModuleList(
            GINEConv(nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH)), edge_dim=wide)
            for _ in range(2)
        )
        last = nn.Linear(WIDTH, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.head = nn.Sequential(nn.Linear(2 * WIDTH + wide, WIDTH), nn.ReLU(), last)

    def _seen(self, pairs: Pairs) -> Tensor:
        return torch.cat([(pairs.columns - self.mean) / self.scale, pairs.prior[:, None]], dim=1)

    def forward(self, given: NetworkInputs) -> Tensor:
        """Log-odds of the pairs to judge, shape (m,)."""
        ends, along = given.edges.ends, self._seen(given.edges)
        both, along = torch.cat([ends, ends.flip(0)], dim=1), torch.cat([along, along])
        x = self.node(given.nodes)
        for layer in self.layers:
            x = x + torch.relu(layer(x, both, along))
        a, b = x[given.pairs.ends[0]], x[given.pairs.ends[1]]
        seen = torch.cat([a + b, (a - b).abs(), self._seen(given.pairs)], dim=1)
        corrected: Tensor = given.pairs.prior + self.head(seen).squeeze(1)
        return corrected


def inputs(posts: Ints, a: Ints, b: Ints, x: Floats, prior: Floats) -> NetworkInputs:
    """The inputs of the network for n accounts.

    Args:
        posts: texts of each, shape (n,).
        a, b: both ends of every pair, a < b.
        x: columns of every pair.
        prior: log-odds of every pair by the regression.
    """
    n = len(posts)
    square = np.full((n, n), -np.inf)
    square[a, b] = square[b, a] = prior
    likeliest = np.argsort(-square, axis=1, kind="stable")[:, : min(EDGES_EACH, n - 1)]
    near = np.zeros((n, n), np.bool_)
    np.put_along_axis(near, likeliest, True, axis=1)
    best = np.take_along_axis(square, likeliest, axis=1).mean(axis=1)
    nodes = np.stack([np.log1p(posts), best], axis=1)
    pairs = Pairs(
        torch.tensor(np.stack([a, b])),
        torch.tensor(x, dtype=torch.float32),
        torch.tensor(prior, dtype=torch.float32),
    )
    edges = torch.tensor(np.flatnonzero((near | near.T)[a, b]))
    return NetworkInputs(torch.tensor(nodes, dtype=torch.float32), pairs.take(edges), pairs)


def fit_network(examples: Sequence[Example], model: PairModel, seed: int) -> PairNetwork:
    """Train the network.

    Args:
        examples: of training societies.
        model: the regression fitted on them, which the network corrects.
        seed: of weights and order.
    """
    torch.manual_seed(seed)
    x = np.concatenate([each.x for each in examples])
    net = PairNetwork(x.mean(axis=0), np.maximum(x.std(axis=0), 1e-3))
    optimiser = torch.optim.AdamW(net.parameters(), lr=STEP, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS * len(examples))
    given = [
        inputs(
            each.society.posts[each.suspects], each.a, each.b, each.x,
            each.x @ model.coefficients + model.intercept,
        )
        for each in examples
    ]  # fmt: skip
    truth = [torch.tensor(each.y, dtype=torch.float32) for each in examples]
    weight = [torch.tensor(np.where(each.crowded, CROWD_WEIGHT, 1.0), dtype=torch.float32) for each in examples]
    rng = np.random.default_rng(seed)
    for _ in range(EPOCHS):
        for n in rng.permutation(len(examples)).tolist():
            chosen = torch.tensor(rng.permutation(len(truth[n]))[:MOST_PAIRS])
            said = net(given[n]._replace(pairs=given[n].pairs.take(chosen)))
            loss = nn.functional.binary_cross_entropy_with_logits(said, truth[n][chosen], weight[n][chosen])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call] # torch
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    return net.eval()


def network_judge(net: PairNetwork, model: PairModel) -> Judge:
    """The network as a function.

    Args:
        net: trained.
        model: the regression that it corrects.
    """

    def judged(society: Society, places: Ints, own: Floats) -> Floats:
        n = len(places)
        out = np.zeros((n, n))
        if n < 2:
            return out
        a, b = np.triu_indices(n, 1)
        x = columns(PairFeatures(society.nats, society.wording), places[a], places[b])
        with torch.inference_mode():
            found = net(inputs(society.posts[places], a, b, x, x @ model.coefficients + model.intercept))
        out[a, b] = np.minimum(found.numpy().astype(np.float64), CAP_NATS)
        return out + out.T

    return judged
