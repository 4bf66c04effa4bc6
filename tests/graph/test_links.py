"""The graph model at work: equal to the trained network, and to the bit whatever the batch, rows or arrival order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from detector.errors import ModelError
from detector.models import SavedWeights
from graph.account_graph import RELATIONS, AccountGraph, account_graph, stratified_ranks
from graph.coincidences import look
from graph.links import READS, SageModel, own_columns
from graph.trace_window import TraceWindow
from graph.traces import HOUR_MS, CoordinationSettings, Trace, TraceKind
from tests.graph.society import in_order, name_of, planted, society
from training.links import GraphTensors, SageNet

SETTINGS = CoordinationSettings()
END = 48 * HOUR_MS


def acted_upon(kind: int, key: str) -> tuple[int, str] | None:
    """In these societies the repost `o17` is of a post of the seventeenth account."""
    return (1, name_of(int(key[1:]) % 200)) if kind == TraceKind.REPOST and key[0] == "o" else None


def graph_of(touches: list[Trace], names: dict[int, str]) -> AccountGraph:
    window = TraceWindow()
    window.add(touches)
    view = look(window, END, names.__getitem__, SETTINGS)
    assert view is not None
    return account_graph(view, [], SETTINGS, 0, acted_upon, window.key)


def town(seed: int = 1) -> list[Trace]:
    return planted(society(seed, (80, 120), 0.6), range(0, 60, 5), 12, seed)


NAMES = {row: name_of(row) for row in range(200)}


def model(seed: int = 0, width: int = 16) -> tuple[SageNet, SageModel]:
    net = SageNet(width, 3, seed)
    with torch.no_grad():
        net.head.mul_(100.0)
        for name, value in net.model(np.array([-50.0, 50.0]), np.array([-5.0, 5.0])).__dict__.items():
            if name in dict(net.named_parameters()):
                getattr(net, name).copy_(torch.tensor(value))
    return net, net.model(np.array([-50.0, 50.0]), np.array([-5.0, 5.0]))


def own_of(graph: AccountGraph) -> np.ndarray:
    places = np.array([sum(map(ord, name)) % 7 - 3.0 for name in graph.names]) / 3.0
    return own_columns(places, places != 0)


def test_numpy_says_what_torch_says() -> None:
    graph = graph_of(town(), NAMES)
    net, numpy_model = model()
    own = own_of(graph)
    net.double().eval()
    logit, _, same = net(GraphTensors.of(graph, torch.float64), torch.tensor(own))
    found = numpy_model.run(graph, own)
    assert graph.candidate.sum() > 50
    assert len(set(graph.relation.tolist())) >= 3
    assert np.ptp(found.logit) > 0.1
    np.testing.assert_allclose(found.logit, logit.detach().numpy(), atol=1e-5, rtol=0)
    assert abs(found.same.mean() - float(same.detach().mean())) < 0.05


def test_rows_and_order_of_arrival_change_nothing() -> None:
    touches = town()
    shuffled = np.random.default_rng(3).permutation(200)
    renamed = [t._replace(account=int(shuffled[t.account])) for t in touches]
    names = {int(shuffled[row]): name for row, name in NAMES.items()}
    late = in_order(touches)
    # Accounts that touched at the same moment may come in either order.
    late.sort(key=lambda t: (t.at_ms, -t.account))
    _, numpy_model = model()
    results = []
    for given, called in ((touches, NAMES), (renamed, names), (late, NAMES)):
        graph = graph_of(given, called)
        found = numpy_model.run(graph, own_of(graph))
        results.append((graph.names, graph.features.tobytes(), graph.edge.tobytes(), found.logit.tobytes()))
    assert results[0] == results[1] == results[2]


def test_the_answer_for_an_account_is_the_same_to_the_bit_in_any_batch() -> None:
    graph = graph_of(town(), NAMES)
    _, numpy_model = model()
    own = own_of(graph)
    whole = numpy_model.run(graph, own).logit
    for account in np.flatnonzero(graph.candidate)[::17].tolist():
        near = {account} | set(graph.source[graph.target == account].tolist())
        edges = np.isin(graph.target, list(near))
        some = sorted(near | set(graph.source[edges].tolist()))
        place = np.full(len(graph.rows), -1)
        place[some] = np.arange(len(some))
        part = AccountGraph(
            graph.rows[some], [graph.names[i] for i in some], graph.features[some], graph.candidate[some],
            place[graph.source[edges]], place[graph.target[edges]], graph.relation[edges], graph.edge[edges],
        )  # fmt: skip
        assert numpy_model.run(part, own[some]).logit[place[account]] == whole[account]


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
    touches = [*town(), Trace(END - HOUR_MS, 200, TraceKind.LINK, "alone")]
    graph = graph_of(touches, NAMES | {200: "zz"})
    _, numpy_model = model()
    found = numpy_model.run(graph, own_of(graph))
    place = graph.names.index("zz")
    assert (found.judged[place], found.increment[place]) == (False, 0.0)
    assert np.abs(found.increment[found.judged]).max() > 0


def test_a_window_in_which_nobody_met_judges_nobody() -> None:
    graph = graph_of([Trace(n, n, TraceKind.LINK, f"own{n}") for n in range(5)], NAMES)
    _, numpy_model = model()
    found = numpy_model.run(graph, own_of(graph))
    assert len(graph.rows) == 5
    assert not found.judged.any()


def test_weights_of_another_release_are_refused_and_abstaining_ones_are_none() -> None:
    net, _ = model()
    knots = {"knots": np.array([0.0, 1.0]), "values": np.array([0.0, 1.0])}
    saved = SavedWeights("graph", "1", {**net.arrays(), **knots}, {"reads": READS}, Path("graph"))
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
