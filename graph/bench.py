"""`python -m graph.bench`: the graph network on a large random graph, beside torch_geometric's own `SAGEConv`.

The rival has two `SAGEConv` layers of the same width over the same edges, with one relation and unit weights, in
float64 as well. What the network costs beyond it is what typed, weighted edges, pairs and exact sums cost.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.nn import SAGEConv

from detector.errors import UsageError
from detector.models import SavedWeights
from graph.account_graph import EDGE_FEATURES, RELATIONS, STRUCTURE, AccountGraph, on_grid
from graph.links import GraphTensors, SageModel, SageNet, own_columns, weight_shapes


def random_graph(nodes: int, edges: int, seed: int) -> AccountGraph:
    """Edges between random accounts, of all relations, half of them soft.

    Args:
        nodes: accounts.
        edges: directed edges.
        seed: of all that is drawn.
    """
    rng = np.random.default_rng(seed)
    source, target = rng.integers(0, nodes, (2, edges))
    relation = rng.integers(0, RELATIONS, edges)
    order = np.lexsort((source, relation, target))
    return AccountGraph(
        np.arange(nodes), [f"u{i:07d}" for i in range(nodes)], on_grid(rng.random((nodes, STRUCTURE))),
        np.ones(nodes, np.bool_), source[order], target[order], relation[order],
        on_grid(rng.random((edges, EDGE_FEATURES))),
    )  # fmt: skip


def random_model(width: int, bases: int, seed: int) -> SageModel:
    """A model that knows nothing; its cost is that of any other.

    Args:
        width: of both layers.
        bases: matrices that the relations share.
        seed: of the weights.
    """
    rng = np.random.default_rng(seed)
    shapes = weight_shapes(width, bases)
    drawn = {name: rng.normal(size=shape) / np.sqrt(shape[0]) for name, shape in shapes.items()}
    return SageModel("random", "0", SageNet.of(drawn), np.array([-9.0, 9.0]), np.array([-1.0, 1.0]), {})


def plain_sage(inputs: int, width: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Two layers of SAGE with means (Hamilton et al. 2017), from (n, inputs) and (2, e) to (n, width)."""
    first, second = SAGEConv(inputs, width).double(), SAGEConv(width, width).double()

    def run(x: Tensor, ends: Tensor) -> Tensor:
        with torch.inference_mode():
            out: Tensor = second(first(x, ends).relu(), ends)
            return out

    return run


def best_of(rounds: int, work: Callable[[], object]) -> float:
    """CPU seconds of the fastest of some rounds."""
    found = []
    for _ in range(rounds):
        begin = time.process_time()
        work()
        found.append(time.process_time() - begin)
    return min(found)


def main() -> None:
    """Print seconds and the ratio."""
    parser = argparse.ArgumentParser(
        prog="python -m graph.bench",
        description="Time the graph network on a large random graph, beside torch_geometric's SAGEConv.",
    )
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--edges", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3, help="the fastest of so many counts")
    parser.add_argument(
        "--models", type=Path, metavar="DIR", help="folder of graph.safetensors; random weights without"
    )
    given = parser.parse_args()
    model = SageModel.of(SavedWeights.load(given.models / "graph")) if given.models else random_model(32, 3, 0)
    if model is None:
        raise UsageError(f"the model in {given.models} abstains: there is nothing to time")
    graph = random_graph(given.nodes, given.edges, 0)
    own = own_columns(np.linspace(-1, 1, given.nodes), np.ones(given.nodes, np.bool_))
    tensors = GraphTensors.of(graph, torch.float64)
    rival = plain_sage(tensors.inputs.shape[1], model.net.width)
    ours = best_of(given.rounds, lambda: model.run(graph, own))
    plain = best_of(given.rounds, lambda: rival(tensors.inputs, tensors.ends))
    print(
        f"{given.nodes:,} nodes, {given.edges:,} edges, width {model.net.width}, CPU seconds, fastest of {given.rounds}"
    )
    print(f"graph network {ours:.2f} s, two SAGEConv layers {plain:.2f} s, ratio {ours / plain:.1f}")


if __name__ == "__main__":
    main()
