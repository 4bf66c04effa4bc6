"""The graph network: who has the same controller as whom, and what an account's ties add to its other evidence.

One network serves training (float32, with gradients) and work (float64, exact to the bit). An `AccountGraph` and
columns of own evidence go in; logits of the nodes and probabilities of the soft pairs come out, and `SageModel` turns
the logits into calibrated nats.

A layer is relu(h S + sum over basis b of (sum over relations r of c[r, b] m_r) B[b] + bias), where m_r is the weighted
mean of the neighbours in relation r (Hamilton et al. 2017, with the basis of Schlichtkrull et al. 2018): sum of
g_e h_source over 1 + sum of g_e, so that little evidence gives a small mean. The weight g_e of an edge in (0, 1) is
learned from its features. Between the layers a pair head says how probably the ends of a soft edge have the same
controller, and what those with the same controller show enters the node head.

At work weights, activations and edge values are multiples of powers of two and bounded, so that all sums of products
are exact in the 53 bits of a float64: the order of nodes and edges, the size of a batch, the number of threads and the
processor change nothing. Besides these sums only +, -, *, /, rounding and comparisons of single values are used, all of
which IEEE 754 defines to the bit. In training mode nothing is rounded.

Importing this module imports torch; modules that may do without the network import it where they need it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from detector.errors import ModelError
from detector.models import SavedWeights
from detector.weights_io import take
from graph.account_graph import EDGE_FEATURES, GRID, RELATIONS, STRUCTURE, AccountGraph, on_grid
from graph.traces import MODELLED_KINDS

OWN: Final = 2
"""Columns of own evidence beside the structure: its within-stratum rank, and whether there is any."""

READS: Final = "standing"
"""Form in which own evidence enters, as the weights' file says it; a model of another was trained on other inputs."""

INPUTS: Final = STRUCTURE + OWN + 1
"""Structure, own evidence, and a constant."""

WEIGHT_GRID: Final = float(1 << 16)
WEIGHT_LIMIT: Final = 4.0
ACTIVATION_LIMIT: Final = 16.0
MIXED_LIMIT: Final = 64.0
"""Bounds that keep sums exact: 26 bits of activation, 18 of weight and 8 for up to 256 terms are 52 bits."""

FIRST_COEFFICIENT: Final = 0.5
"""Mean and scale of the first coefficients of relations: all relations begin alike, and differ a little."""

PAIRS_AT_ONCE: Final = 65_536
"""Pairs whose embeddings are compared at once: bounds memory to some 50 MB at width 32."""

# Said once a process, of products that are tested here to the bit.
warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class NetworkOutput(NamedTuple):
    """What the model says of a graph.

    Args:
        logit: of each node, before calibration, shape (n,); only candidates' mean anything.
        judged: whether the model says something of it: a candidate with an edge, shape (n,).
        increment: calibrated, in nats, whole millinats, 0 for all others, shape (n,).
        a: one end of each soft pair, the smaller, shape (p,).
        b: its other end, shape (p,).
        same: probability that both have one controller, shape (p,).
    """

    logit: FloatArray
    judged: NDArray[np.bool_]
    increment: FloatArray
    a: IntArray
    b: IntArray
    same: FloatArray


def own_columns(rank: FloatArray, speaks: NDArray[np.bool_]) -> FloatArray:
    """(n, OWN) columns of own evidence: its within-stratum rank, 0 where it does not speak, and whether it does."""
    return on_grid(np.stack((rank * speaks, speaks.astype(np.float64)), axis=1))


def inputs_of(graph: AccountGraph, own: FloatArray) -> FloatArray:
    """(n, INPUTS) of the nodes; ranks are centred."""
    return np.concatenate((2.0 * graph.features - 1.0, own, np.ones((len(own), 1))), axis=1)


class SoftPairs(NamedTuple):
    """The directed soft edges with their kinds added up, by (target, source): shapes (q,), (q,), (q, EDGE_FEATURES)."""

    source: IntArray
    target: IntArray
    edge: FloatArray


def soft_pairs(graph: AccountGraph) -> SoftPairs:
    """Pairs of the graph's soft edges, each kind's features added up and cut at 4."""
    n = len(graph.rows)
    soft = graph.relation < MODELLED_KINDS
    code, inverse = np.unique(graph.target[soft] * n + graph.source[soft], return_inverse=True)
    columns = [np.bincount(inverse, graph.edge[soft, j], len(code)) for j in range(EDGE_FEATURES)]
    edge = np.minimum(np.stack(columns, axis=1), 4.0) / 4.0 if len(code) else np.zeros((0, EDGE_FEATURES))
    return SoftPairs(code % n, code // n, on_grid(edge))


@dataclass
class GraphTensors:
    """An account graph as tensors.

    Args:
        inputs: shape (n, INPUTS), with zeros where own evidence belongs.
        ends: source and target of each edge, shape (2, e).
        cell: cell of the sparse matrix of sources by targets that each edge adds to, shape (e,).
        start: first cell of each target, and the end, shape (n + 1,).
        column: source of each cell, ascending within a target, shape (c,).
        relation: shape (e,).
        edge: edge features and a constant, shape (e, EDGE_FEATURES + 1).
        pair_ends: source and target of each soft pair, both directions, shape (2, q).
        pair_edge: shape (q, EDGE_FEATURES).
    """

    inputs: Tensor
    ends: Tensor
    cell: Tensor
    start: Tensor
    column: Tensor
    relation: Tensor
    edge: Tensor
    pair_ends: Tensor
    pair_edge: Tensor

    @classmethod
    def of(cls, graph: AccountGraph, dtype: torch.dtype = torch.float32) -> GraphTensors:
        """The tensors of a graph; float64 for work, float32 is enough for training."""
        pairs = soft_pairs(graph)
        n = len(graph.rows)
        code, cell = np.unique(graph.target * n + graph.source, return_inverse=True)
        edge = np.concatenate((graph.edge, np.ones((len(graph.edge), 1))), axis=1)
        return cls(
            torch.tensor(inputs_of(graph, np.zeros((n, OWN))), dtype=dtype),
            torch.tensor(np.stack((graph.source, graph.target))),
            torch.tensor(cell),
            torch.tensor(np.searchsorted(code, n * np.arange(n + 1))),
            torch.tensor(code % n),
            torch.tensor(graph.relation),
            torch.tensor(edge, dtype=dtype),
            torch.tensor(np.stack((pairs.source, pairs.target))),
            torch.tensor(pairs.edge, dtype=dtype),
        )

    def with_own(self, own: Tensor) -> Tensor:
        """(n, INPUTS) inputs with these columns of own evidence."""
        inputs = self.inputs.clone()
        inputs[:, INPUTS - 1 - OWN : INPUTS - 1] = own
        return inputs


class WeightedSum(MessagePassing):  # type: ignore[misc] # torch_geometric has no types
    """Sum of the neighbours' rows times the edges' values.

    In training edge by edge, which has gradients of the values; at work as one sparse product, five times as fast.
    """

    def __init__(self) -> None:
        super().__init__(aggr="add")

    def forward(self, h: Tensor, graph: GraphTensors, value: Tensor) -> Tensor:
        """The sum at each target.

        Args:
            h: rows of the nodes, shape (n, w).
            graph: whose edges these are.
            value: of each edge, shape (e,).

        Returns:
            shape (n, w).
        """
        if self.training:
            result: Tensor = self.propagate(graph.ends, h=h, value=value)
        else:
            # Edges of several relations between two accounts share a cell; their sum is exact, as all others.
            cells = value.new_zeros(len(graph.column)).index_add(0, graph.cell, value)
            size = (len(h), len(h))
            matrix = torch.sparse_csr_tensor(graph.start, graph.column, cells, size, check_invariants=True)
            result = self.propagate(matrix, h=h, value=value)
        return result

    def message(self, h_j: Tensor, value: Tensor) -> Tensor:
        """What one edge carries."""
        return h_j * value[:, None]

    def message_and_aggregate(self, edge_index: Tensor, h: Tensor) -> Tensor:
        """All sums at once; the values are in the sparse matrix."""
        return edge_index @ h


def squash(values: Tensor) -> Tensor:
    """0.5 (1 + x / (1 + |x|)): a sigmoid that IEEE 754 defines to the bit."""
    return 0.5 * (1.0 + values / (1.0 + values.abs()))


def rounded(weights: FloatArray) -> FloatArray:
    """Weights on their grid and within their bound."""
    out: FloatArray = np.clip(np.rint(weights * WEIGHT_GRID) / WEIGHT_GRID, -WEIGHT_LIMIT, WEIGHT_LIMIT)
    return out


def weight_shapes(width: int, bases: int) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter of `SageNet(width, bases)`."""
    return {
        "gate": (RELATIONS, EDGE_FEATURES + 1), "self_1": (INPUTS, width), "basis_1": (bases, INPUTS, width),
        "coef_1": (RELATIONS, bases), "self_2": (width, width), "basis_2": (bases, width, width),
        "coef_2": (RELATIONS, bases), "bias_2": (width,), "pair": (2 * width + EDGE_FEATURES + 1,),
        "head": (width + 4,),
    }  # fmt: skip


class SageNet(nn.Module):
    """The network of the module's docstring.

    Parameters, by the name they have in a file of weights, with w the width and B the number of bases:

    - `gate`: (RELATIONS, EDGE_FEATURES + 1), of edge weights; the last column is the constant.
    - `self_1`, `basis_1`, `coef_1`: (INPUTS, w), (B, INPUTS, w), (RELATIONS, B); the bias is in the constant input.
    - `self_2`, `basis_2`, `coef_2`, `bias_2`: (w, w), (B, w, w), (RELATIONS, B), (w,).
    - `pair`: (2 w + EDGE_FEATURES + 1,): of products, of differences, of edge features, the constant.
    - `head`: (w + 4,): of the embedding, of how many have the same controller, of what those show, of own evidence, the
      constant.

    Args:
        width: w, of both layers.
        bases: B, matrices that the relations share.
        seed: of the first weights.
    """

    def __init__(self, width: int, bases: int, seed: int = 0) -> None:
        super().__init__()
        self.width, self.bases = width, bases
        random = torch.Generator().manual_seed(seed)

        def drawn(*shape: int, scale: float) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=random) * scale)

        def coefficients() -> nn.Parameter:
            noise = torch.randn(RELATIONS, bases, generator=random)
            return nn.Parameter(FIRST_COEFFICIENT * (torch.ones(RELATIONS, bases) + noise))

        self.gate = drawn(RELATIONS, EDGE_FEATURES + 1, scale=0.1)
        self.self_1 = drawn(INPUTS, width, scale=INPUTS**-0.5)
        self.basis_1 = drawn(bases, INPUTS, width, scale=(bases * INPUTS) ** -0.5)
        self.coef_1 = coefficients()
        self.self_2 = drawn(width, width, scale=width**-0.5)
        self.basis_2 = drawn(bases, width, width, scale=(bases * width) ** -0.5)
        self.coef_2 = coefficients()
        self.bias_2 = nn.Parameter(torch.zeros(width))
        self.pair = drawn(2 * width + EDGE_FEATURES + 1, scale=0.1)
        self.head = drawn(width + 4, scale=0.01)
        self.sum = WeightedSum()

    @classmethod
    def of(cls, arrays: dict[str, FloatArray]) -> SageNet:
        """The network at work with these weights: float64, on the grid, without gradients.

        Args:
            arrays: an array of the right shape for each parameter.
        """
        net = cls(arrays["self_2"].shape[0], arrays["coef_1"].shape[1]).double().eval().requires_grad_(False)
        for name, value in net.named_parameters():
            value.copy_(torch.from_numpy(rounded(arrays[name])))
        return net

    def arrays(self) -> dict[str, FloatArray]:
        """The weights as they ship, by name."""
        return {name: rounded(value.detach().double().numpy()) for name, value in self.named_parameters()}

    def _grid(self, values: Tensor) -> Tensor:
        return values if self.training else torch.round(values * GRID) / GRID

    def forward(self, graph: GraphTensors, own: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Judge the nodes and pairs of a graph.

        Args:
            graph: its tensors, of the network's dtype.
            own: shape (n, OWN), from `own_columns`.

        Returns:
            the logit of each node, shape (n,); the first layer, (n, w); and how probably each soft pair has one
            controller, (q,).
        """
        target = graph.ends[1]
        n = len(own)
        weight = self._grid(squash((graph.edge * self.gate[graph.relation]).sum(dim=1)))
        cell = target * RELATIONS + graph.relation
        total = torch.zeros(n * RELATIONS, dtype=weight.dtype).index_add(0, cell, weight)
        share = self._grid(weight / (1.0 + total[cell]))

        def layer(h: Tensor, own_part: Tensor, basis: Tensor, coef: Tensor) -> Tensor:
            out = h @ own_part
            for b in range(len(basis)):
                mixed = self._grid(self.sum(h, graph, self._grid(share * coef[graph.relation, b])))
                out = out + mixed.clamp(-MIXED_LIMIT, MIXED_LIMIT) @ basis[b]
            return out

        x = graph.with_own(own)
        h1 = self._grid(layer(x, self.self_1, self.basis_1, self.coef_1).clamp(0.0, ACTIVATION_LIMIT))
        h2 = layer(h1, self.self_2, self.basis_2, self.coef_2) + self.bias_2
        h2 = self._grid(h2.clamp(0.0, ACTIVATION_LIMIT))
        same = self.same_controller(h1, graph.pair_ends, graph.pair_edge)
        other, mine = graph.pair_ends
        many = torch.zeros(n, dtype=same.dtype).index_add(0, mine, same)
        shown = torch.zeros(n, dtype=same.dtype).index_add(0, mine, self._grid(same * own[other, 0])) / (1.0 + many)
        ones = torch.ones(n, dtype=same.dtype)
        tail = self._grid(torch.stack((many / (2.0 + many), shown, own[:, 0], ones), dim=1))
        return torch.cat((h2, tail), dim=1) @ self.head, h1, same

    def same_controller(self, h1: Tensor, ends: Tensor, edge: Tensor) -> Tensor:
        """How probably pairs have one controller.

        Args:
            h1: first layer of the nodes, shape (n, w).
            ends: both ends of each pair, shape (2, p).
            edge: features of the pairs, shape (p, EDGE_FEATURES).

        Returns:
            shape (p,), in (0, 1).
        """
        w = self.width
        parts = []
        for start in range(0, max(len(edge), 1), PAIRS_AT_ONCE):
            some = slice(start, start + PAIRS_AT_ONCE)
            mine, theirs = h1[ends[0, some]], h1[ends[1, some]]
            value = self._grid(mine * theirs / ACTIVATION_LIMIT) @ self.pair[:w]
            value = value + (mine - theirs).abs() @ self.pair[w : 2 * w]
            parts.append(value + edge[some] @ self.pair[2 * w : -1] + self.pair[-1])
        return self._grid(squash(torch.cat(parts)))


@dataclass(frozen=True)
class SageModel:
    """The network at work, with its calibration.

    Args:
        name: of the model.
        version: of its weights.
        net: the network, from `SageNet.of`.
        knots: logits of the calibration, ascending, shape (k,).
        values: increments at the knots in nats, linear in between and constant beyond, shape (k,).
        report: what training measured, for the card.
    """

    name: str
    version: str
    net: SageNet
    knots: FloatArray
    values: FloatArray
    report: dict[str, Any]

    @classmethod
    def of(cls, saved: SavedWeights) -> SageModel | None:
        """The model in a bundle; None where it says of itself that it is to abstain.

        Raises:
            ModelError: it is of another release.
        """
        if saved.meta.get("abstains"):
            return None
        arrays, path = saved.arrays, saved.path
        if saved.meta.get("reads") != READS:
            raise ModelError(f"the graph model in {path} reads own evidence as another release did: train it again")
        width, bases = (np.shape(arrays.get(name, ()))[-1:] or (0,) for name in ("self_2", "coef_1"))
        shapes: dict[str, tuple[int | None, ...]] = dict(weight_shapes(width[0], bases[0]))
        shapes |= {"knots": (None,), "values": (None,)}
        taken = {name: np.asarray(take(arrays, name, shape, path), np.float64) for name, shape in shapes.items()}
        knots, values = taken.pop("knots"), taken.pop("values")
        if len(knots) != len(values) or len(knots) < 2 or (np.diff(knots) <= 0).any():
            raise ModelError(f"the calibration in {path} is no increasing table: another release; train it again")
        report = saved.meta.get("report")
        return cls(
            saved.name, saved.version, SageNet.of(taken), knots, values, report if isinstance(report, dict) else {}
        )

    def run(self, graph: AccountGraph, own: FloatArray) -> NetworkOutput:
        """Judge the candidates of a graph.

        Args:
            graph: the window's accounts and edges.
            own: shape (n, OWN), from `own_columns`.

        Returns:
            the same bits in whatever order, batch or number of threads.
        """
        tensors = GraphTensors.of(graph, torch.float64)
        with torch.inference_mode():
            logit, same = (
                values.numpy() for values in self.net(tensors, torch.from_numpy(np.ascontiguousarray(own)))[::2]
            )
        increment = np.rint(1000.0 * np.interp(logit, self.knots, self.values)) / 1000.0 + 0.0
        tied = np.zeros(len(graph.rows), bool)
        tied[graph.target] = True
        judged = graph.candidate & tied
        source, target = tensors.pair_ends.numpy()
        first = target < source
        return NetworkOutput(logit, judged, np.where(judged, increment, 0.0), target[first], source[first], same[first])
