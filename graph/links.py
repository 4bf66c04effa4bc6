"""The graph model at work: a relational SAGE of two layers in plain NumPy, exact to the bit.

A layer is relu(h S + sum over basis b of (sum over relations r of c[r, b] m_r) B[b] + bias), where m_r is the weighted
mean of the neighbours in relation r (Hamilton et al. 2017, with the basis of Schlichtkrull et al. 2018): sum of
g_e h_source over 1 + sum of g_e, so that little evidence gives a small mean. The weight g_e of an edge in (0, 1) is
learned from its features. Between the layers a pair head says how probably the ends of a soft edge have the same
controller, and what those with the same controller show enters the node head.

Weights, activations and edge values are multiples of powers of two and bounded, so that all sums of products are exact
in 53 bits: the order of summation, the size of a batch and the processor change nothing. Only +, -, *, /, rint and
comparisons are used, all of which IEEE 754 defines to the bit. `training/links.py` is the same network in PyTorch
Geometric; a test holds one to the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from detector.errors import ModelError
from detector.models import SavedWeights
from detector.weights_io import take
from graph.account_graph import EDGE_FEATURES, RELATIONS, STRUCTURE, AccountGraph, on_grid
from graph.traces import KINDS

OWN: Final = 2
"""Columns of own evidence beside the structure: where text and behaviour place the account, and whether they do."""

READS: Final = "standing"
"""What own evidence enters as; a model that says otherwise was trained on other inputs."""

INPUTS: Final = STRUCTURE + OWN + 1
"""Structure, own evidence, and a constant."""

WEIGHT_GRID: Final = float(1 << 16)
WEIGHT_LIMIT: Final = 4.0
ACTIVATION_LIMIT: Final = 16.0
MIXED_LIMIT: Final = 64.0
"""Bounds that keep sums exact: 26 bits of activation, 18 of weight and 8 for up to 256 terms are 52 bits."""

_PAIRS: Final = 8192
"""Pairs looked at at once: their embeddings stay in the processor's cache."""

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Outcome(NamedTuple):
    """What the model says.

    Args:
        logit: of each node, before calibration, shape (n,); only candidates' mean anything.
        judged: whether the model says something of it: a candidate with an edge, shape (n,).
        increment: calibrated, in nats, whole millinats, 0 for all others, shape (n,).
        a, b, same: soft edges seen by the model (a < b) and how probably their ends have one controller, shape (p,).
    """

    logit: FloatArray
    judged: NDArray[np.bool_]
    increment: FloatArray
    a: IntArray
    b: IntArray
    same: FloatArray


def own_columns(standing: FloatArray, speaks: NDArray[np.bool_]) -> FloatArray:
    """(n, OWN) columns of own evidence, from `graph.account_graph`; 0 where it does not speak."""
    return on_grid(np.stack((standing * speaks, speaks.astype(np.float64)), axis=1))


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
    soft = graph.relation < KINDS
    code, inverse = np.unique(graph.target[soft] * n + graph.source[soft], return_inverse=True)
    columns = [np.bincount(inverse, graph.edge[soft, j], len(code)) for j in range(EDGE_FEATURES)]
    edge = np.minimum(np.stack(columns, axis=1), 4.0) / 4.0 if len(code) else np.zeros((0, EDGE_FEATURES))
    return SoftPairs(code % n, code // n, on_grid(edge))


def squash(values: FloatArray) -> FloatArray:
    """0.5 (1 + x / (1 + |x|)): a sigmoid that IEEE 754 defines to the bit."""
    out: FloatArray = 0.5 * (1.0 + values / (1.0 + np.abs(values)))
    return out


@dataclass(frozen=True)
class SageModel:
    """Weights of the network and of its calibration.

    Args:
        gate: (RELATIONS, EDGE_FEATURES + 1), of edge weights; the last column is the constant.
        self_1, basis_1, coef_1: (INPUTS, w), (B, INPUTS, w), (RELATIONS, B); bias is in the constant input.
        self_2, basis_2, coef_2, bias_2: (w, w), (B, w, w), (RELATIONS, B), (w,).
        pair: (2 w + EDGE_FEATURES + 1,): of products, of differences, of edge features, the constant.
        head: (w + 3 + 1,): of the embedding, of how many have the same controller, of what those show, of own evidence,
            the constant.
        knots, values: (k,) ascending: the calibration of the logit to an increment in nats, linear in between.
    """

    name: str
    version: str
    gate: FloatArray
    self_1: FloatArray
    basis_1: FloatArray
    coef_1: FloatArray
    self_2: FloatArray
    basis_2: FloatArray
    coef_2: FloatArray
    bias_2: FloatArray
    pair: FloatArray
    head: FloatArray
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
        shapes: dict[str, tuple[int | None, ...]] = {
            "gate": (RELATIONS, EDGE_FEATURES + 1),
            "self_1": (INPUTS, *width), "basis_1": (*bases, INPUTS, *width), "coef_1": (RELATIONS, *bases),
            "self_2": (*width, *width), "basis_2": (*bases, *width, *width), "coef_2": (RELATIONS, *bases),
            "bias_2": width, "pair": (2 * width[0] + EDGE_FEATURES + 1,), "head": (width[0] + 4,),
            "knots": (None,), "values": (None,),
        }  # fmt: skip
        taken = {name: np.asarray(take(arrays, name, shape, path), np.float64) for name, shape in shapes.items()}
        knots, values = taken["knots"], taken["values"]
        if len(knots) != len(values) or len(knots) < 2 or (np.diff(knots) <= 0).any():
            raise ModelError(f"the calibration in {path} is no increasing table: another release; train it again")
        for name in set(shapes) - {"knots", "values"}:
            taken[name] = rounded(taken[name])
        report = saved.meta.get("report")
        return cls(saved.name, saved.version, **taken, report=report if isinstance(report, dict) else {})

    def run(self, graph: AccountGraph, own: FloatArray) -> Outcome:
        """Judge the candidates of a graph.

        Args:
            own: shape (n, OWN), from `own_columns`.
        """
        n = len(graph.rows)
        gate = self.gate[:, -1][graph.relation]
        for j in range(EDGE_FEATURES):
            gate += graph.edge[:, j] * self.gate[:, j][graph.relation]
        weight = on_grid(squash(gate))
        cell = graph.target * RELATIONS + graph.relation
        total = np.bincount(cell, weight, n * RELATIONS)
        share = on_grid(weight / (1.0 + total[cell]))
        start = np.searchsorted(graph.target, np.arange(n + 1))

        def layer(h: FloatArray, own_part: FloatArray, basis: FloatArray, coef: FloatArray) -> FloatArray:
            out = h @ own_part
            for b in range(len(basis)):
                matrix = csr_matrix((on_grid(share * coef[graph.relation, b]), graph.source, start), shape=(n, n))
                mixed = np.clip(on_grid(np.asarray(matrix @ h)), -MIXED_LIMIT, MIXED_LIMIT)
                out += mixed @ basis[b]
            return out

        x = inputs_of(graph, own)
        h1 = _relu(layer(x, self.self_1, self.basis_1, self.coef_1))
        h2 = _relu(layer(h1, self.self_2, self.basis_2, self.coef_2) + self.bias_2)
        pairs = soft_pairs(graph)
        same = np.concatenate(
            [np.zeros(0)]
            + [
                self.same_controller(h1[pairs.source[part]], h1[pairs.target[part]], pairs.edge[part])
                for part in (slice(i, i + _PAIRS) for i in range(0, len(pairs.edge), _PAIRS))
            ]
        )
        many = np.bincount(pairs.target, same, n)
        shown = np.bincount(pairs.target, on_grid(same * own[pairs.source, 0]), n) / (1.0 + many)
        tail = on_grid(np.stack((many / (2.0 + many), shown, own[:, 0], np.ones(n)), axis=1))
        logit = np.concatenate((h2, tail), axis=1) @ self.head
        increment = np.rint(1000.0 * np.interp(logit, self.knots, self.values)) / 1000.0 + 0.0
        tied = np.zeros(n, bool)
        tied[graph.target] = True
        first = pairs.target < pairs.source
        judged = graph.candidate & tied
        return Outcome(
            logit, judged, np.where(judged, increment, 0.0),
            pairs.target[first], pairs.source[first], same[first],
        )  # fmt: skip

    def same_controller(self, one: FloatArray, other: FloatArray, edge: FloatArray) -> FloatArray:
        """How probably pairs have one controller, in (0, 1), from first-layer embeddings (p, w) and edge features."""
        w = one.shape[1]
        value = edge @ self.pair[2 * w : -1] + self.pair[-1]
        value += on_grid(one * other / ACTIVATION_LIMIT) @ self.pair[:w]
        value += np.abs(one - other) @ self.pair[w : 2 * w]
        return on_grid(squash(value))


def rounded(weights: FloatArray) -> FloatArray:
    """Weights on their grid and within their bound."""
    out: FloatArray = np.clip(np.rint(weights * WEIGHT_GRID) / WEIGHT_GRID, -WEIGHT_LIMIT, WEIGHT_LIMIT)
    return out


def _relu(values: FloatArray) -> FloatArray:
    return on_grid(np.clip(values, 0.0, ACTIVATION_LIMIT))
