"""The graph model as it is trained: the network of `graph/sage.py` in PyTorch Geometric."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from detector.bundle import GRAPH
from detector.weights_io import save_weights
from graph.account_graph import EDGE_FEATURES, RELATIONS, AccountGraph
from graph.sage import ACTIVATION_LIMIT, INPUTS, MIXED_LIMIT, OWN, READS, SageModel, inputs_of, rounded, soft_pairs

SOFT_START = 0.5
"""Scale of the first coefficients of relations: all relations begin alike, and differ a little."""


@dataclass
class GraphTensors:
    """A graph as tensors; `inputs` has zeros where own evidence belongs."""

    inputs: Tensor
    ends: Tensor
    relation: Tensor
    edge: Tensor
    pair_ends: Tensor
    pair_edge: Tensor

    @classmethod
    def of(cls, graph: AccountGraph, dtype: torch.dtype = torch.float32) -> GraphTensors:
        """The tensors of a graph."""
        pairs = soft_pairs(graph)
        ones = np.ones((len(graph.edge), 1))
        return cls(
            torch.tensor(inputs_of(graph, np.zeros((len(graph.rows), OWN))), dtype=dtype),
            torch.tensor(np.stack((graph.source, graph.target))),
            torch.tensor(graph.relation),
            torch.tensor(np.concatenate((graph.edge, ones), axis=1), dtype=dtype),
            torch.tensor(np.stack((pairs.source, pairs.target))),
            torch.tensor(pairs.edge, dtype=dtype),
        )

    def with_own(self, own: Tensor) -> Tensor:
        """(n, INPUTS) inputs with these columns of own evidence."""
        inputs = self.inputs.clone()
        inputs[:, INPUTS - 1 - OWN : INPUTS - 1] = own
        return inputs


class WeightedSum(MessagePassing):  # type: ignore[misc] # torch_geometric has no types
    """Sum of the neighbours' rows times the edges' values."""

    def __init__(self) -> None:
        super().__init__(aggr="add")

    def forward(self, h: Tensor, ends: Tensor, value: Tensor) -> Tensor:
        """(n, w) from (n, w), (2, e) and (e,)."""
        result: Tensor = self.propagate(ends, h=h, value=value)
        return result

    def message(self, h_j: Tensor, value: Tensor) -> Tensor:
        """What one edge carries."""
        return h_j * value[:, None]


def squash(values: Tensor) -> Tensor:
    """As in `graph.sage`."""
    return 0.5 * (1.0 + values / (1.0 + values.abs()))


class SageNet(nn.Module):
    """The network; parameters are named as the arrays of `SageModel`."""

    def __init__(self, width: int, bases: int, seed: int) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(seed)

        def drawn(*shape: int, scale: float) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=random) * scale)

        def coefficients() -> nn.Parameter:
            start = SOFT_START * (torch.ones(RELATIONS, bases) + torch.randn(RELATIONS, bases, generator=random))
            return nn.Parameter(start)

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

    def forward(self, graph: GraphTensors, own: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(logit (n,), first layer (n, w), same controller of the soft pairs (q,))."""
        target = graph.ends[1]
        n = len(own)
        weight = squash((graph.edge * self.gate[graph.relation]).sum(dim=1))
        cell = target * RELATIONS + graph.relation
        total = torch.zeros(n * RELATIONS, dtype=weight.dtype).index_add(0, cell, weight)
        share = weight / (1.0 + total[cell])

        def layer(h: Tensor, own_part: Tensor, basis: Tensor, coef: Tensor) -> Tensor:
            out = h @ own_part
            for b in range(len(basis)):
                mixed = self.sum(h, graph.ends, share * coef[graph.relation, b])
                out = out + mixed.clamp(-MIXED_LIMIT, MIXED_LIMIT) @ basis[b]
            return out

        x = graph.with_own(own)
        h1 = layer(x, self.self_1, self.basis_1, self.coef_1).clamp(0.0, ACTIVATION_LIMIT)
        h2 = layer(h1, self.self_2, self.basis_2, self.coef_2) + self.bias_2
        h2 = h2.clamp(0.0, ACTIVATION_LIMIT)
        same = self.same_controller(h1, graph.pair_ends, graph.pair_edge)
        other, mine = graph.pair_ends
        many = torch.zeros(n, dtype=same.dtype).index_add(0, mine, same)
        shown = torch.zeros(n, dtype=same.dtype).index_add(0, mine, same * own[other, 0]) / (1.0 + many)
        tail = torch.stack((many / (2.0 + many), shown, own[:, 0], torch.ones(n, dtype=same.dtype)), dim=1)
        return torch.cat((h2, tail), dim=1) @ self.head, h1, same

    def same_controller(self, h1: Tensor, ends: Tensor, edge: Tensor) -> Tensor:
        """How probably pairs (2, p) with edge features (p, EDGE_FEATURES) have one controller."""
        one, other = h1[ends[0]], h1[ends[1]]
        constant = torch.ones((len(edge), 1), dtype=edge.dtype)
        joint = torch.cat((one * other / ACTIVATION_LIMIT, (one - other).abs(), edge, constant), dim=1)
        return squash(joint @ self.pair)

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """The weights as they ship."""
        return {name: rounded(value.detach().double().numpy()) for name, value in self.named_parameters()}

    def save(
        self, out: Path, knots: NDArray[np.float64], values: NDArray[np.float64], seed: int, **meta: Any
    ) -> dict[str, Any]:
        """Write weights and calibration as the graph model of the bundle in `out`, which is made; their meta.

        Args:
            knots, values: the calibration.
            seed: of training.
            meta: what else the file says: `version` in place of a digest of the arrays, `abstains`, `report`.
        """
        arrays = {**self.arrays(), "knots": knots, "values": values}
        digest = hashlib.sha256(b"".join(arrays[name].tobytes() for name in sorted(arrays))).hexdigest()[:8]
        said = {
            "name": GRAPH, "version": f"1.{digest}", "seed": seed, "reads": READS, "abstains": "", "report": {}, **meta
        }  # fmt: skip
        out.mkdir(parents=True, exist_ok=True)
        save_weights(out / GRAPH, arrays, said)
        return said

    def model(self, knots: NDArray[np.float64], values: NDArray[np.float64]) -> SageModel:
        """The model at work with these weights and this calibration."""
        return SageModel("graph", "0", **self.arrays(), knots=knots, values=values, report={})
