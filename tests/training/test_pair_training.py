"""The same-controller model in training: its weights, its cut, and groups against the truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detector.models import SavedWeights
from graph.groups import linked
from graph.pair_model import FEATURES, PairFeatures, PairModel
from graph.search import Accounts, among_suspects
from graph.traces import LIKE, LINK
from tests.training.made_up import silent, society
from training.pair_training import (
    Floats,
    GroupScores,
    Ints,
    PairCounts,
    accepted,
    best_cut,
    decoys_of,
    fit_pairs,
    fit_regression,
    fit_worth,
    group_scores,
    odds_by,
    odds_of,
    pair_areas,
    regression_judge,
    save_pair_model,
    searched,
    tallies,
)
from training.pairs import Example, Society, examples

WORDING = FEATURES.index("wording")


@pytest.fixture(scope="module")
def train() -> list[Example]:
    return list(examples([society(seed) for seed in range(4)], 2, 0))


@pytest.fixture(scope="module")
def unseen() -> list[Example]:
    return list(examples([society(seed) for seed in range(10, 13)], 2, 1))


def suspects(given: Society, places: list[int]) -> Example:
    """An example in which these accounts are suspects."""
    at = np.array(places)
    a, b = np.triu_indices(len(at), 1)
    campaign, crowd, known = given.campaign[at], given.crowd[at], given.known[at]
    own = np.where(np.isin(np.arange(len(given.accounts)), at), 1.0, -1.0)
    return Example(
        given, own, at, a, b, np.zeros((len(a), len(FEATURES))), (campaign[a] == campaign[b]) & (campaign[a] >= 0),
        (crowd[a] == crowd[b]) & (crowd[a] >= 0), ~(known[a] & known[b]),
    )  # fmt: skip


def joined(n: int, *groups: list[int]) -> Floats:
    """Log-odds that tie the members of each group, by place."""
    odds = np.full((n, n), -5.0)
    for members in groups:
        odds[np.ix_(members, members)] = 2.0
    np.fill_diagonal(odds, 0.0)
    return odds


def test_what_members_share_has_weight_and_nothing_shared_speaks_against_them(train: list[Example]) -> None:
    for each in train:
        each.x[:, LIKE] = np.where(each.y, 0.0, 1.0)  # a kind that members never share
    coefficients, intercept = fit_pairs(train)
    assert (coefficients >= 0).all()
    assert coefficients[LIKE] == 0
    assert coefficients[LINK] > 0.1
    assert coefficients[WORDING] > 1
    assert intercept < 0


def test_societies_whose_texts_are_not_compared_teach_actions_and_leave_words_as_they_are() -> None:
    spoken = list(examples([replace(society(seed), nats=society(seed).nats * 0) for seed in range(3)], 2, 0))
    acted = list(examples([silent(society(seed)) for seed in range(20, 23)], 2, 0))
    alone, intercept = fit_pairs(spoken)
    both, same = fit_pairs([*spoken, *acted])
    assert alone[LINK] == 0 < both[LINK]
    assert both[WORDING] == pytest.approx(alone[WORDING], rel=0.1)
    assert same == pytest.approx(intercept, rel=0.1)


def test_the_regression_as_a_function_gives_the_log_odds_of_its_columns(train: list[Example]) -> None:
    model = fit_regression(train)
    each = train[0]
    (by_judge,) = odds_by(regression_judge(model), [each])
    assert np.allclose(by_judge, odds_of(model.coefficients, model.intercept, each), atol=1e-5)


def test_campaigns_that_were_never_seen_are_found(train: list[Example], unseen: list[Example]) -> None:
    model = fit_regression(train)
    odds = odds_by(regression_judge(model), unseen)
    areas = pair_areas(unseen, odds)
    assert len(areas) == len(unseen)
    assert min(area for area, _ in areas) > 0.95
    found = group_scores(unseen, odds, model.cut)
    assert found.f1 > 0.8
    assert found.half > 0.8
    assert fit_worth(unseen, model).worth > 0


def test_pairs_in_groups_are_counted_for_the_campaign_with_most_members_there() -> None:
    given = society(0, "s", campaigns=2, size=4, crowd=3, people=5)
    each = suspects(given, list(range(12)))
    # Three of the first campaign with one of the second, and the rest of the second with one of the crowd.
    found = tallies([each], [joined(12, [0, 1, 2, 4], [5, 6, 7, 8])], 0.0)
    assert found == {("s", 0): PairCounts(3, 6, 6, 1, 1), ("s", 1): PairCounts(3, 6, 6, 1, 1)}
    scores = group_scores([each, each], [joined(12, [0, 1, 2, 3]), joined(12, [8, 9, 10])], 0.0)
    assert scores == GroupScores(1 / 4, 6 / 9, 6 / 24, 12 / 33)
    assert tallies([each], [joined(12, [8, 9, 10])], 0.0)["s", -1] == PairCounts(said=3)


def test_what_a_model_has_learned_from_is_not_counted() -> None:
    given = society(0, "s", campaigns=2, size=4, crowd=3, people=5)
    each = suspects(replace(given, known=given.campaign == 0), list(range(12)))
    assert not each.counted[(each.a < 4) & (each.b < 4)].any()
    assert each.counted[each.b >= 4].all()
    found = tallies([each], [joined(12, [0, 1, 2, 3], [4, 5, 6, 7])], 0.0)
    assert found == {("s", 1): PairCounts(6, 6, 6, 1, 1)}
    # A known member in a group of others is a wrong pair with each of them.
    assert tallies([each], [joined(12, [0, 4, 5, 6])], 0.0)["s", 1] == PairCounts(3, 6, 6, 1, 1)


def test_the_cut_is_the_best_of_those_that_are_pure() -> None:
    given = society(0, campaigns=2, size=4, crowd=3, people=5)
    each = suspects(given, list(range(12)))
    odds = joined(12, [0, 1, 2, 3], [4, 5, 6, 7])
    odds[np.ix_([0, 1, 2, 3], [8, 9])] = odds[np.ix_([8, 9], [0, 1, 2, 3])] = -1.0
    cut = best_cut([each], [odds])
    assert group_scores([each], [odds], cut).precision == 1.0
    assert [sorted(group.members) for group in linked(odds, cut)] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_accepted_groups_are_right_people_together_or_wrong() -> None:
    given = society(0, campaigns=2, size=4, crowd=6, people=120)
    each = suspects(given, list(range(20)))
    groups = ([0, 1, 2, 3], [8, 9, 10, 11], [4, 14, 15, 16])

    def judge(society: Society, places: Ints, own: Floats) -> Floats:
        odds = joined(len(society.accounts), *groups)
        return odds[np.ix_(places, places)]

    decoys = [decoys_of(each)]
    assert len(decoys[0]) == 20
    assert accepted([each], decoys, judge, 0.0, 0.05) == (1, 1, 1, 1, 2)
    known = each._replace(society=replace(given, known=given.campaign == 0))
    assert accepted([known], decoys, judge, 0.0, 0.05) == (0, 1, 1, 0, 1)
    assert accepted([each], [[]], judge, 0.0, 0.05) == (0, 0, 0, 0, 2)  # nobody to compare with


def test_a_search_in_training_is_the_search_at_work(train: list[Example], unseen: list[Example]) -> None:
    model = fit_regression(train)
    each = unseen[0]
    given = each.society
    suspect = np.isin(np.arange(len(given.accounts)), each.suspects)
    accounts = Accounts(np.arange(len(given.accounts)), suspect, each.own, given.posts, given.language)
    at_work = among_suspects(PairFeatures(given.nats, given.wording), accounts, model, 0)
    here = searched(each, decoys_of(each), regression_judge(model), model.cut)
    assert here == [(group.members, q) for group, q in zip(at_work.groups, at_work.q, strict=True)]
    assert min(q for _, q in here) <= 0.05


def test_a_decoy_is_judged_with_the_evidence_of_the_suspect_it_stands_for(unseen: list[Example]) -> None:
    seen: list[Floats] = []

    def judge(society: Society, places: Ints, own: Floats) -> Floats:
        seen.append(np.sort(own))
        return joined(len(places), [0, 1, 2])

    each = unseen[0]
    searched(each, decoys_of(each), judge, 0.0)
    assert len(seen) == 21
    assert all((own > 0).all() for own in seen)


def test_a_saved_model_is_the_one_that_runs_at_work(train: list[Example], tmp_path: Path) -> None:
    model = fit_regression(train)
    meta = save_pair_model(model, tmp_path, 7, {"some": "figures"})
    loaded = PairModel.of(SavedWeights.load(tmp_path / "graph"))
    assert loaded.coefficients.tolist() == model.coefficients.tolist()
    assert (loaded.intercept, loaded.cut, loaded.worth, loaded.most) == (
        model.intercept, model.cut, model.worth, model.most,
    )  # fmt: skip
    assert loaded.version == meta["version"]
    assert meta["seed"] == 7
