"""What the graph model may live on, and what not: each audit fails where the model has learned something else."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from functools import cache

import msgspec
import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_predict

from graph.links import SageModel, SageNet, own_columns
from graph.permutation import permute_accounts
from graph.traces import HOUR_MS, KINDS, Trace
from simulation.population_config import PopulationConfig
from simulation.validate import CONTROLS, judge
from simulation.world import World
from tests.training.twins import CAMPAIGNS, SIZE, example, traces_of
from training.links import TrainingPlan, fit, gain_nats, increments, logits
from training.links import judge as judgements
from training.metrics import auroc
from training.societies import Example, Own, society_toml

PLAN = TrainingPlan(width=16, bases=2, epochs=40)
TRAIN, TEST = (1, 2), (3, 4)
BLOCK_MS = 6 * HOUR_MS


@cache
def societies(seeds: tuple[int, ...], broken: bool = False) -> tuple[Example, ...]:
    return tuple(
        example(seed, permute_accounts(traces_of(seed), BLOCK_MS, seed) if broken else traces_of(seed))
        for seed in seeds
    )


@cache
def network() -> SageNet:
    torch.set_num_threads(1)
    return fit(societies(TRAIN), PLAN, 0)


def members_against_twins(net: SageNet, examples: tuple[Example, ...]) -> float:
    """Without any own evidence."""
    label, score = [], []
    for one in examples:
        n = len(one.label)
        both = one.part != "ordinary"
        label.append(one.label[both])
        score.append(logits(net, one, Own(np.zeros(n), np.zeros(n, bool), np.zeros(n)))[both])
    return auroc(np.concatenate(label), np.concatenate(score))


def gain(net: SageNet, examples: tuple[Example, ...]) -> float:
    """Mean nats per account that the raw logits add where nothing else is known."""
    given = judgements(net, examples, 0)
    given = given.take(given.silent)
    wide = np.array([-6.0, 6.0])
    return float(gain_nats(given, increments(given, wide, wide)).mean())


def test_joint_behaviour_tells_members_from_their_twins() -> None:
    assert members_against_twins(network(), societies(TEST)) > 0.8
    assert gain(network(), societies(TEST)) > 0.05


def test_shuffles_that_keep_degrees_and_times_remove_the_gain() -> None:
    assert abs(members_against_twins(network(), societies(TEST, broken=True)) - 0.5) < 0.1
    assert gain(network(), societies(TEST, broken=True)) < 0.2 * gain(network(), societies(TEST))


def permuted(rng: np.random.Generator) -> list[Example]:
    """The training societies with their labels exchanged among accounts that acted on about as many objects."""
    found = []
    for seed, one in zip(TRAIN, societies(TRAIN), strict=True):
        degree = np.bincount([trace.account for trace in traces_of(seed)])[one.graph.rows]
        place = np.arange(len(degree))
        for stratum in np.array_split(np.lexsort((rng.random(len(degree)), degree)), 8):
            place[stratum] = rng.permutation(stratum)
        found.append(replace(one, label=one.label[place], campaign=one.campaign[place]))
    return found


def test_labels_permuted_within_strata_of_activity_teach_nothing() -> None:
    rng = np.random.default_rng(0)
    nets = [fit(permuted(rng), PLAN, seed) for seed in range(8)]
    # Any function of who acts with whom sets members apart from twins, in one direction or the other.
    assert abs(np.mean([members_against_twins(net, societies(TEST)) for net in nets]) - 0.5) < 0.1


def test_accounts_without_edges_are_not_judged_whatever_else_is_known() -> None:
    one = societies(TEST)[0]
    bare = one.graph._replace(
        source=one.graph.source[:0], target=one.graph.target[:0], relation=one.graph.relation[:0],
        edge=one.graph.edge[:0],
    )  # fmt: skip
    knots = np.array([-9.0, 9.0])
    model = SageModel("graph", "0", SageNet.of(network().arrays()), knots, knots, {})
    found = model.run(bare, own_columns(np.ones(len(bare.rows)), np.ones(len(bare.rows), bool)))
    assert not found.judged.any()
    assert not found.increment.any()


def metadata(traces: list[Trace], rows: int) -> np.ndarray:
    """Counts, kinds, hours and degrees of the first `rows` accounts: everything but who acted with whom."""
    mine = [t for t in traces if t.account < rows]
    account = np.array([t.account for t in mine])
    at = np.array([t.at_ms for t in mine])
    popularity: dict[str, int] = {}
    for trace in traces:
        popularity[trace.key] = popularity.get(trace.key, 0) + 1
    known = np.array([popularity[t.key] for t in mine])
    columns = [np.bincount(account, minlength=rows)]
    columns += [np.bincount(account, np.array([t.kind for t in mine]) == kind, rows) for kind in range(KINDS)]
    columns += [np.bincount(account, at // HOUR_MS % 24 // 6 == part, rows) for part in range(4)]
    columns += [np.bincount(account, known, rows), np.bincount(account, known == 1, rows)]
    return np.stack(columns, axis=1).astype(float)


def test_metadata_alone_do_not_tell_members_of_these_societies_from_their_twins() -> None:
    both = 2 * CAMPAIGNS * SIZE
    table = np.concatenate([metadata(traces_of(seed), both) for seed in range(1, 9)])
    label = np.tile(np.arange(both) < both // 2, 8).astype(np.int64)
    boosted = HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=7, random_state=0)
    score = cross_val_predict(boosted, table, label, cv=5, method="predict_proba")[:, 1]
    assert auroc(label, score) <= CONTROLS


def twins_of(seed: int, **changes: float) -> float:
    """What gradient boosting on the simulator's metadata makes of members and twins of a training society."""
    toml = tomllib.loads(society_toml(np.random.default_rng([0, seed])))
    world = World(msgspec.convert({**toml, **changes}, PopulationConfig), seed)
    return judge(world, world.chunks()).controls


def test_metadata_alone_do_not_tell_members_of_a_training_society_from_their_twins() -> None:
    assert twins_of(0, accounts=1200, days=0.75, burn_in_hours=12.0) <= CONTROLS


@pytest.mark.slow
def test_metadata_alone_do_not_tell_members_of_training_societies_from_their_twins() -> None:
    assert np.mean([twins_of(seed) for seed in range(6)]) <= CONTROLS
