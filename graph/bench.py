"""`python -m graph.bench`: the graph model on a large random graph, beside a bare SAGE on compressed sparse rows.

The bare SAGE has two layers of the same width, one relation and unit weights: one sparse product and two dense ones a
layer. What the model costs beyond it is what typed, weighted edges, pairs and exact sums cost.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from detector.errors import UsageError
from detector.models import SavedWeights
from graph.account_graph import EDGE_FEATURES, RELATIONS, STRUCTURE, AccountGraph, on_grid
from graph.links import INPUTS, SageModel, inputs_of, own_columns, rounded

FloatArray = NDArray[np.float64]


def random_graph(nodes: int, edges: int, seed: int) -> AccountGraph:
    """Edges between random accounts, of all relations, half of them soft."""
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
    """A model that knows nothing; its cost is that of any other."""
    rng = np.random.default_rng(seed)
    shapes = {
        "gate": (RELATIONS, EDGE_FEATURES + 1), "self_1": (INPUTS, width), "basis_1": (bases, INPUTS, width),
        "coef_1": (RELATIONS, bases), "self_2": (width, width), "basis_2": (bases, width, width),
        "coef_2": (RELATIONS, bases), "bias_2": (width,), "pair": (2 * width + EDGE_FEATURES + 1,),
        "head": (width + 4,),
    }  # fmt: skip
    drawn = {name: rounded(rng.normal(size=shape) / np.sqrt(shape[0])) for name, shape in shapes.items()}
    return SageModel("random", "0", **drawn, knots=np.array([-9.0, 9.0]), values=np.array([-1.0, 1.0]), report={})


def bare_sage(graph: AccountGraph, x: FloatArray, width: int, seed: int) -> FloatArray:
    """Two layers of SAGE with means (Hamilton et al. 2017), (n,)."""
    rng = np.random.default_rng(seed)
    n = len(x)
    count = np.maximum(np.bincount(graph.target, minlength=n), 1)
    start = np.searchsorted(graph.target, np.arange(n + 1))
    matrix = csr_matrix((1.0 / count[graph.target], graph.source, start), shape=(n, n))
    h = x
    for _ in range(2):
        mine, theirs = rng.normal(size=(2, h.shape[1], width))
        h = np.maximum(h @ mine + (matrix @ h) @ theirs, 0.0)
    out: FloatArray = h @ rng.normal(size=width)
    return out


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
    parser = argparse.ArgumentParser(prog="python -m graph.bench", description=__doc__)
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
    width = model.self_2.shape[0]
    graph = random_graph(given.nodes, given.edges, 0)
    own = own_columns(np.linspace(-1, 1, given.nodes), np.ones(given.nodes, np.bool_))
    x = inputs_of(graph, own)
    ours = best_of(given.rounds, lambda: model.run(graph, own))
    bare = best_of(given.rounds, lambda: bare_sage(graph, x, width, 0))
    print(f"{given.nodes:,} nodes, {given.edges:,} edges, width {width}, CPU seconds, fastest of {given.rounds}")
    print(f"graph model {ours:.2f} s, bare SAGE on compressed sparse rows {bare:.2f} s, ratio {ours / bare:.1f}")


if __name__ == "__main__":
    main()
