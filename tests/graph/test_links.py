"""The graph network: at work the same bits in any order, batch and number of threads, and what it was in training."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from detector.errors import ModelError
from detector.models import SHIPPED, SavedWeights
from graph.account_graph import RELATIONS, AccountGraph, account_graph, stratified_ranks
from graph.bench import random_graph, random_model
from graph.coincidences import build_view
from graph.links import READS, GraphTensors, SageModel, SageNet, own_columns, weight_shapes
from graph.trace_window import TraceWindow
from graph.traces import HOUR_MS, LINK, REPOST, CoordinationSettings, Trace
from tests.graph.society import in_order, name_of, society, with_group

SETTINGS = CoordinationSettings()
END = 48 * HOUR_MS

EXACT = ("1.cb839661", "90bb24b550cad9c8")
"""Version of the shipped weights, and what of their answer on a random graph is compared."""


def acted_upon(kind: int, key: str) -> tuple[int, str] | None:
    """In these societies the repost `o17` is of a post of the seventeenth account."""
    return (1, name_of(int(key[1:]) % 200)) if kind == REPOST and key[0] == "o" else None


def graph_of(traces: list[Trace], names: dict[int, str]) -> AccountGraph:
    window = TraceWindow()
    window.add(traces)
    view = build_view(window, END, names.__getitem__, SETTINGS)
    assert view is not None
    return account_graph(view, [], SETTINGS, 0, acted_upon, window.key)


def town(seed: int = 1) -> list[Trace]:
    return with_group(society(seed, (80, 120), 0.6), range(0, 60, 5), 12, seed)


NAMES = {row: name_of(row) for row in range(200)}


def network(seed: int = 0, width: int = 16) -> SageNet:
    """A network as training leaves it, with a head that says something."""
    net = SageNet(width, 3, seed)
    with torch.no_grad():
        net.head.mul_(100.0)
    return net


def model(seed: int = 0, width: int = 16) -> SageModel:
    net = SageNet.of(network(seed, width).arrays())
    return SageModel("graph", "0", net, np.array([-50.0, 50.0]), np.array([-5.0, 5.0]), {})


def own_of(graph: AccountGraph) -> np.ndarray:
    places = np.array([sum(map(ord, name)) % 7 - 3.0 for name in graph.names]) / 3.0
    return own_columns(places, places != 0)


def test_at_work_it_says_what_it_says_in_training() -> None:
    graph = graph_of(town(), NAMES)
    own = own_of(graph)
    net = SageNet.of(network().arrays()).train()
    logit, _, same = net(GraphTensors.of(graph, torch.float64), torch.tensor(own))
    found = model().run(graph, own)
    assert graph.candidate.sum() > 50
    assert len(set(graph.relation.tolist())) >= 3
    assert np.ptp(found.logit) > 0.1
    np.testing.assert_allclose(found.logit, logit.detach().numpy(), atol=1e-5, rtol=0)
    assert abs(found.same.mean() - float(same.detach().mean())) < 0.05


def test_gradients_reach_every_weight() -> None:
    graph = graph_of(town(), NAMES)
    net = network().train()
    logit, _, same = net(GraphTensors.of(graph), torch.tensor(own_of(graph), dtype=torch.float32))
    (logit.square().mean() + same.mean()).backward()
    weights = dict(net.named_parameters())
    assert weights.keys() == weight_shapes(16, 3).keys()
    for name, value in weights.items():
        assert tuple(value.shape) == weight_shapes(16, 3)[name], name
        assert value.grad is not None, name
        assert value.grad.abs().sum() > 0, name


def test_what_the_network_computes_does_not_depend_on_the_order_of_nodes_and_edges() -> None:
    graph = graph_of(town(), NAMES)
    own = own_of(graph)
    plain = model().run(graph, own)
    rng = np.random.default_rng(1)
    node, edge = rng.permutation(len(graph.rows)), rng.permutation(len(graph.edge))
    place = np.argsort(node)
    moved = AccountGraph(
        graph.rows[node], [graph.names[i] for i in node], graph.features[node], graph.candidate[node],
        place[graph.source][edge], place[graph.target][edge], graph.relation[edge], graph.edge[edge],
    )  # fmt: skip
    found = model().run(moved, own[node])
    assert found.logit.tobytes() == plain.logit[node].tobytes()
    assert found.increment.tobytes() == plain.increment[node].tobytes()

    def pairs(a: np.ndarray, b: np.ndarray, same: np.ndarray) -> dict[tuple[int, ...], float]:
        ends = np.sort(np.stack((a, b)), axis=0).T.tolist()
        return {tuple(both): value for both, value in zip(ends, same.tolist(), strict=True)}

    # A pair is reported from its smaller end, so those seen from one end only are others now.
    before, after = pairs(plain.a, plain.b, plain.same), pairs(node[found.a], node[found.b], found.same)
    common = before.keys() & after.keys()
    assert len(common) > 100
    assert {pair: before[pair] for pair in common} == {pair: after[pair] for pair in common}


def test_graphs_judged_together_get_what_each_gets_alone() -> None:
    one, two = graph_of(town(1), NAMES), graph_of(town(2), NAMES)
    n = len(one.rows)
    both = AccountGraph(
        np.arange(n + len(two.rows)), [*one.names, *(f"{name}'" for name in two.names)],
        np.concatenate((one.features, two.features)), np.concatenate((one.candidate, two.candidate)),
        np.concatenate((one.source, two.source + n)), np.concatenate((one.target, two.target + n)),
        np.concatenate((one.relation, two.relation)), np.concatenate((one.edge, two.edge)),
    )  # fmt: skip
    together = model().run(both, np.concatenate((own_of(one), own_of(two)))).logit
    alone = [model().run(graph, own_of(graph)).logit for graph in (one, two)]
    assert together.tobytes() == np.concatenate(alone).tobytes()


def test_the_number_of_threads_changes_nothing() -> None:
    graph = random_graph(2000, 60_000, 0)
    own = own_of(graph)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(random_model(32, 3, 0).run(graph, own))
    finally:
        torch.set_num_threads(before)
    assert found[0].logit.tobytes() == found[1].logit.tobytes()
    assert found[0].same.tobytes() == found[1].same.tobytes()


def test_the_shipped_weights_say_what_they_said_when_they_were_made() -> None:
    saved = SavedWeights.load(SHIPPED / "graph")
    shipped = SageModel.of(saved)
    assert shipped is not None
    graph = random_graph(300, 4000, 5)
    found = shipped.run(graph, own_of(graph))
    digest = hashlib.sha256(found.logit.tobytes() + found.same.tobytes() + found.increment.tobytes()).hexdigest()
    # The bits of the NumPy network that these weights were made with: anything else is another model.
    assert (saved.version, digest[:16]) == EXACT


def test_rows_and_order_of_arrival_change_nothing() -> None:
    traces = town()
    shuffled = np.random.default_rng(3).permutation(200)
    renamed = [t._replace(account=int(shuffled[t.account])) for t in traces]
    names = {int(shuffled[row]): name for row, name in NAMES.items()}
    late = in_order(traces)
    # Accounts that acted on at the same moment may come in either order.
    late.sort(key=lambda t: (t.at_ms, -t.account))
    results = []
    for given, called in ((traces, NAMES), (renamed, names), (late, NAMES)):
        graph = graph_of(given, called)
        found = model().run(graph, own_of(graph))
        results.append((graph.names, graph.features.tobytes(), graph.edge.tobytes(), found.logit.tobytes()))
    assert results[0] == results[1] == results[2]


def test_the_answer_for_an_account_is_the_same_to_the_bit_in_any_batch() -> None:
    graph = graph_of(town(), NAMES)
    own = own_of(graph)
    whole = model().run(graph, own).logit
    accounts = np.flatnonzero(graph.candidate)[::17].tolist()
    assert len(accounts) > 3
    for account in accounts:
        near = {account} | set(graph.source[graph.target == account].tolist())
        edges = np.isin(graph.target, list(near))
        some = sorted(near | set(graph.source[edges].tolist()))
        place = np.full(len(graph.rows), -1)
        place[some] = np.arange(len(some))
        part = AccountGraph(
            graph.rows[some], [graph.names[i] for i in some], graph.features[some], graph.candidate[some],
            place[graph.source[edges]], place[graph.target[edges]], graph.relation[edges], graph.edge[edges],
        )  # fmt: skip
        assert model().run(part, own[some]).logit[place[account]] == whole[account]


def test_edges_are_typed_seen_from_both_ends_and_few() -> None:
    graph = graph_of(town(), NAMES)
    assert (graph.edge >= 0).all()
    assert (graph.edge <= 1).all()
    assert graph.relation.max() < RELATIONS
    count = np.bincount(graph.target * RELATIONS + graph.relation)
    assert count.max() <= 10
    wanted = set(graph.source[graph.candidate[graph.target]].tolist()) | set(np.flatnonzero(graph.candidate).tolist())
    assert set(graph.target.tolist()) <= wanted


def test_accounts_without_ties_are_not_judged() -> None:
    traces = [*town(), Trace(END - HOUR_MS, 200, LINK, "alone")]
    graph = graph_of(traces, NAMES | {200: "zz"})
    found = model().run(graph, own_of(graph))
    place = graph.names.index("zz")
    assert (found.judged[place], found.increment[place]) == (False, 0.0)
    assert np.abs(found.increment[found.judged]).max() > 0


def test_a_window_in_which_nobody_met_judges_nobody() -> None:
    graph = graph_of([Trace(n, n, LINK, f"own{n}") for n in range(5)], NAMES)
    found = model().run(graph, own_of(graph))
    assert len(graph.rows) == 5
    assert not found.judged.any()


def test_weights_of_another_release_are_refused_and_abstaining_ones_are_none() -> None:
    knots = {"knots": np.array([0.0, 1.0]), "values": np.array([0.0, 1.0])}
    saved = SavedWeights("graph", "1", {**network().arrays(), **knots}, {"reads": READS}, Path("graph"))
    assert SageModel.of(saved) is not None
    assert SageModel.of(replace(saved, meta={"abstains": "no gain"})) is None
    for name, value in (("gate", np.zeros((3, 3))), ("self_2", np.zeros(4)), ("knots", np.array([1.0, 0.0]))):
        with pytest.raises(ModelError):
            SageModel.of(replace(saved, arrays={**saved.arrays, name: value}))
    with pytest.raises(ModelError):
        SageModel.of(replace(saved, arrays=knots))
    with pytest.raises(ModelError, match="own evidence"):
        SageModel.of(replace(saved, meta={}))


def test_ranks_do_not_depend_on_how_active_accounts_are() -> None:
    rng = np.random.default_rng(0)
    activity = np.repeat([2, 40, 700], 200)
    values = (rng.random(600) * activity)[:, None]
    ranks = stratified_ranks(values, activity)[:, 0]
    assert abs(ranks[:200].mean() - 0.5) < 0.01
    assert abs(ranks[400:].mean() - 0.5) < 0.01
    assert abs(np.corrcoef(ranks, activity)[0, 1]) < 0.01
