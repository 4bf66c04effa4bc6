"""The same-controller model of pairs, and what mates are worth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detector.errors import ModelError
from detector.models import SavedWeights
from graph.coincidences import coincidences, pair_sums, same_minutes
from graph.pair_model import (
    CAP_NATS,
    FEATURES,
    WORDING_RANGE,
    PairFeatures,
    PairModel,
    columns,
    kind_matrices,
    worth_of_mates,
)
from graph.traces import BUILT_IN, LINK, MINUTES
from tests.graph.views import HOUR, NOW, Use, view_of


def features(k: int = 12, seed: int = 1) -> PairFeatures:
    rng = np.random.default_rng(seed)
    nats = rng.gamma(0.3, 2.0, (len(BUILT_IN), k, k)).astype(np.float32)
    wording = rng.normal(-0.2, 0.8, (k, k)).astype(np.float32)
    nats, wording = np.maximum(nats, nats.transpose(0, 2, 1)), np.maximum(wording, wording.T)
    return PairFeatures(nats, wording)


def model(seed: int = 2, **changes: float) -> PairModel:
    coefficients = np.random.default_rng(seed).normal(0.0, 0.5, len(FEATURES))
    return PairModel(coefficients, changes.get("intercept", -4.0), cut=0.5, worth=0.5, most=2.0)


def saved(trained: PairModel, **changes: object) -> SavedWeights:
    meta = {**trained.meta(), **changes}
    return SavedWeights("graph", "v1", {"coefficients": trained.coefficients}, meta, Path("weights/graph"))


def test_log_odds_are_the_columns_times_the_weights() -> None:
    """The model is fitted on `columns` and applied by `log_odds`."""
    given, trained = features(), model(intercept=3.0)
    a, b = np.triu_indices(12, 1)
    fitted = columns(given, a, b) @ trained.coefficients + trained.intercept
    odds = trained.log_odds(given)
    assert odds[a, b] == pytest.approx(np.minimum(fitted, CAP_NATS), abs=1e-5)
    assert fitted.min() < CAP_NATS < fitted.max()
    assert np.array_equal(odds, odds.T)
    assert not odds.diagonal().any()


def test_columns_are_the_same_whichever_account_is_named_first() -> None:
    a, b = np.triu_indices(12, 1)
    assert np.array_equal(columns(features(), a, b), columns(features(), b, a))


def test_no_pair_is_beyond_the_cap() -> None:
    odds = model(intercept=50.0).log_odds(features())
    assert (odds[~np.eye(12, dtype=bool)] == CAP_NATS).all()


def test_likeness_beyond_its_range_says_no_more() -> None:
    given, trained = features(), model()
    further = given._replace(wording=np.where(given.wording > WORDING_RANGE[1], np.float32(9.0), given.wording))
    assert (further.wording != given.wording).any()
    assert np.array_equal(trained.log_odds(further), trained.log_odds(given))


def test_features_of_some_accounts_are_those_of_all() -> None:
    given, trained = features(), model()
    places = np.array([7, 2, 9])
    assert np.array_equal(trained.log_odds(given.of(places)), trained.log_odds(given)[np.ix_(places, places)])


def test_surprise_is_laid_out_by_kind_for_the_accounts_asked_about() -> None:
    uses = [Use("a", 0, LINK, "x"), Use("b", 1, LINK, "x"), Use("c", 2, LINK, "x"), Use("d", 3, LINK, "x")]
    view = view_of(uses)
    sums = pair_sums(coincidences(view, NOW + HOUR), len(view.names))
    among = np.array([3, 0, 1])
    minutes = same_minutes(view, among)
    found = kind_matrices(sums, minutes, among, len(view.names))
    assert found.shape == (len(BUILT_IN), 3, 3)
    of_pair = {(int(a), int(b)): float(nats[LINK]) for a, b, nats in zip(sums.a, sums.b, sums.nats, strict=True)}
    assert found[LINK][0, 1] == found[LINK][1, 0] == pytest.approx(of_pair[0, 3])
    assert found[LINK][1, 2] == pytest.approx(of_pair[0, 1])
    assert np.array_equal(found[MINUTES], minutes)
    assert not found[LINK].diagonal().any()


def test_a_saved_model_is_the_model() -> None:
    trained = model()
    again = PairModel.of(saved(trained))
    assert np.array_equal(again.log_odds(features()), trained.log_odds(features()))
    assert (again.cut, again.worth, again.most, again.version) == (0.5, 0.5, 2.0, "v1")


@pytest.mark.parametrize("changes", [{"features": list(FEATURES[:-1])}, {"features": [*FEATURES[1:], "emoji"]}])
def test_weights_of_another_release_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="train graph"):
        PairModel.of(saved(model(), **changes))
    with pytest.raises(ModelError, match=r"graph\.json"):
        PairModel.of(replace(saved(model()), arrays={"coefficients": np.zeros(3)}))
    with pytest.raises(ModelError, match=r"graph\.json"):
        PairModel.of(replace(saved(model()), meta={}))


def odds(k: int = 9) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return model(intercept=0.0).log_odds(features(k))


ONE_GROUP = np.zeros(40, np.int64)
SURE = np.ones(40)


def test_what_mates_are_worth_is_bounded_and_never_negative() -> None:
    together = np.full((40, 40), CAP_NATS)
    found = worth_of_mates(together, np.full(40, 5.0), ONE_GROUP, SURE, worth=0.5, most=2.0)
    assert found.mates.tolist() == [2.0] * 40
    assert found.near.tolist() == [0.0] * 40
    people = worth_of_mates(odds(), np.full(9, -3.0), ONE_GROUP[:9], SURE[:9], worth=0.5, most=2.0)
    assert people.mates.tolist() == [0.0] * 9
    assert not np.signbit(people.mates).any()


def test_a_mate_counts_by_its_own_evidence_up_to_one_nat_the_odds_and_how_sure_the_group_is() -> None:
    together = np.array([[0.0, np.log(3.0), -np.inf], [np.log(3.0), 0.0, 0.0], [-np.inf, 0.0, 0.0]])
    own = np.array([7.0, 0.4, 2.0])
    found = worth_of_mates(together, own, ONE_GROUP[:3], np.full(3, 0.5), worth=0.5, most=2.0)
    assert found.mates.tolist() == [round(0.25 * 0.75 * 0.4, 3), round(0.25 * (0.75 + 0.5), 3), 0.25 * 0.5 * 0.4]


def test_an_account_tied_to_a_group_like_its_members_gains_as_one() -> None:
    together = np.full((5, 5), -1.0)
    together[3, :] = together[:, 3] = -0.5  # tied more than the members are
    together[4, :] = together[:, 4] = -1.5  # and less
    np.fill_diagonal(together, 0.0)
    group = np.array([7, 7, 7, -1, -1])
    found = worth_of_mates(together, np.ones(5), group, np.full(5, 0.8), worth=0.5, most=2.0)
    member, near = 1 / (1 + np.exp(1.0)), 1 / (1 + np.exp(0.5))
    assert found.mates.tolist() == [round(0.5 * 0.8 * 2 * member, 3)] * 3 + [0.0, 0.0]
    assert found.near.tolist() == [0.0] * 3 + [round(0.5 * 0.8 * 3 * near, 3), 0.0]


def test_an_accounts_own_evidence_does_not_count_for_itself() -> None:
    own = np.linspace(-1.0, 2.0, 9)
    before = worth_of_mates(odds(), own, ONE_GROUP[:9], SURE[:9], worth=0.5, most=2.0).mates
    for account in range(9):
        changed = own.copy()
        changed[account] = 4.0
        after = worth_of_mates(odds(), changed, ONE_GROUP[:9], SURE[:9], worth=0.5, most=2.0).mates
        assert after[account] == before[account]
        assert (after >= before).all()
