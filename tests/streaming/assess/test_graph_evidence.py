"""The graph component in the state machine: who gets one, why others do not, and that the log alone decides it."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.evidence import COMPONENTS
from detector.models import Models, SavedWeights
from graph.account_graph import AccountGraph, within_stratum_rank
from graph.links import READS, NetworkOutput, SageModel, own_columns, weight_shapes
from streaming.assess import AssessSettings
from tests.streaming.assess import harness, societies
from tests.streaming.assess.fakes import models

WIDTH, BASES = 8, 2


def weights(seed: int = 0, **meta: Any) -> SavedWeights:
    """A graph model that knows nothing, and says much."""
    rng = np.random.default_rng(seed)
    shapes = weight_shapes(WIDTH, BASES)
    arrays = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    arrays |= {"knots": np.array([-20.0, 20.0]), "values": np.array([-2.0, 2.0])}
    return SavedWeights("graph", "1", arrays, {"reads": READS, **meta}, Path("graph"))


def bundle(saved: SavedWeights | None = None) -> Models:
    return replace(models(second_stage=object()), graph=saved or weights())


STREAM = societies.campaign(0, people=30, hours=14, rounds=14)
OBSERVED = harness.score(STREAM)


def play(
    seed: int = 0, partitions: int = 1, settings: AssessSettings = harness.SETTINGS, **more: Any
) -> harness.Played:
    parts = harness.logs(more.pop("observed", OBSERVED), partitions, random.Random(seed))
    entries = list(harness.interleaved(parts, random.Random(seed)))
    places = range(0, len(entries), more.pop("every", len(entries) + 1))
    return harness.play(entries, settings, partitions, more.pop("bundle", bundle()), snapshots=places)


@pytest.fixture(scope="module")
def plain() -> harness.Played:
    return play()


def test_tied_accounts_get_a_part_and_others_a_reason(plain: harness.Played) -> None:
    rows = plain.scores().values()
    said = [row for row in rows if row.llr.graph != 0.0]
    assert len(said) > 5
    assert all("graph" not in row.abstained for row in said)
    reasons = {row.abstained["graph"] for row in rows if "graph" in row.abstained}
    assert reasons <= {"no strong ties to others", "not looked at yet"}
    for row in rows:
        llr = row.llr
        assert llr.total == pytest.approx(sum(getattr(llr, name) for name in COMPONENTS), abs=1e-9)


def test_partitions_and_snapshots_change_nothing(plain: harness.Played) -> None:
    spread = play(5, partitions=4, every=40)
    assert spread.said() == plain.said()
    assert harness.picture(spread.assess, log=False) == harness.picture(plain.assess, log=False)


def test_left_out_or_abstaining_as_a_whole_it_says_so_and_changes_nothing_else() -> None:
    without = play(settings=replace(harness.SETTINGS, without=frozenset({"graph"})))
    never = play(bundle=bundle(weights(abstains="no gain on held-out societies")))
    assert len(without.scores()) > 30
    for name, row in without.scores().items():
        assert row.abstained["graph"] == "switched off"
        assert never.scores()[name].abstained["graph"] == "no graph model"
        assert row.llr == never.scores()[name].llr


def test_it_works_without_coordination(plain: harness.Played) -> None:
    alone = play(settings=replace(harness.SETTINGS, without=frozenset({"coordination"}))).scores()
    said = {name for name, row in plain.scores().items() if row.llr.graph != 0.0}
    assert len(said & {name for name, row in alone.items() if row.llr.graph != 0.0}) > len(said) / 2


def test_without_text_words_do_not_matter() -> None:
    settings = replace(harness.SETTINGS, without=frozenset({"text"}))
    other = [{**item, "text": "quite other words stand here now"} if "text" in item else item for item in STREAM]
    one, two = play(settings=settings).scores(), play(settings=settings, observed=harness.score(other)).scores()
    assert {name: row.llr.graph for name, row in one.items()} == {name: row.llr.graph for name, row in two.items()}


def test_the_model_reads_where_accounts_stand_among_accounts_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[tuple[AccountGraph, np.ndarray]] = []
    run = SageModel.run

    def watched(model: SageModel, graph: AccountGraph, own: np.ndarray) -> NetworkOutput:
        looks.append((graph, own))
        return run(model, graph, own)

    monkeypatch.setattr(SageModel, "run", watched)
    played = play()
    accounts = played.assess.state.accounts
    row_of = {accounts.name(row): row for row in accounts.live().tolist()}
    graph, own = looks[-1]  # the last look is at the end, after which nothing changes
    rows = np.array([row_of[name] for name in graph.names])
    speaks = accounts.text_abstain[rows] == 0
    evidence = accounts.text[rows] + accounts.behaviour[rows]
    expected = within_stratum_rank(evidence, speaks, accounts.posts[rows], accounts.language[rows])
    assert np.array_equal(own, own_columns(expected, speaks))
    assert np.ptp(own[:, 0]) > 1
