"""The account model learns a planted difference, weighs groups as said, and is calibrated out of fold.

Oblivious trees learn what they should, the same each time, and score as the head in production does.
"""

from __future__ import annotations

import numpy as np
import pytest

from detector.account.features import BEHAVIOUR_DIM, BEHAVIOUR_NAMES, PAIRS, TEXT_DIM, TEXT_NAMES, AccountFeatures
from detector.account.model import Head, text_inputs
from training.account import (
    STREAM,
    BoostSettings,
    Learning,
    boost,
    calibrated,
    fit_behaviour,
    fit_text,
    fold_of,
    group_weight,
    learned_behaviour,
    linear_inputs,
    out_of_fold,
    row_weights,
    score,
    text_logit,
    together,
)
from training.metrics import auroc

QUICK = BoostSettings(trees=8, depth=2, rate=0.3, ridge=5.0, features=0.5, rows=1.0)


def learning(group: str, accounts: int, seed: int, authored: bool = True) -> Learning:
    """Accounts, every other a machine, seen after 1, 5 and 20 posts; a machine's post evidence is a nat higher."""
    rng = np.random.default_rng(seed)
    account = np.repeat(np.arange(accounts), 3)
    posts = np.tile([1, 5, 20], accounts)
    label = account % 2
    n = len(account)
    text = rng.normal(size=(n, TEXT_DIM)).astype(np.float32)
    text[:, TEXT_NAMES.index("llr_mean")] += 2.0 * label
    behaviour = rng.normal(size=(n, BEHAVIOUR_DIM)).astype(np.float32)
    behaviour[:, BEHAVIOUR_NAMES.index("gap_log_sd")] -= 2.0 * label
    count = posts.astype(np.float32)
    features = AccountFeatures(
        text=text,
        behaviour=behaviour,
        weight=count,
        expert=np.zeros(n, np.float32),
        events=count,
        written=count,
        posts=posts.astype(np.uint32),
        language=np.zeros(n, np.uint16),
        abstain=np.zeros(n, np.uint8),
    )
    return Learning(
        features=features,
        label=label,
        account=account,
        group=np.full(n, group),
        cluster=np.full(n, group),
        authored=np.full(n, authored),
        posts=posts,
        name=[f"{group}/{i}" for i in range(accounts)],
    )


def test_groups_weigh_as_said_and_classes_alike_at_every_age() -> None:
    rows = together([learning(f"{STREAM}/s", 10, 0), learning("people/x", 60, 1)])
    weight = row_weights(rows)
    for posts in (1, 5, 20):
        at = rows.posts == posts
        assert weight[at & (rows.label == 1)].sum() == pytest.approx(weight[at & (rows.label == 0)].sum(), rel=0.01)
    real = rows.timed
    expected = group_weight(f"{STREAM}/s") / group_weight("people/x")
    assert weight[real].sum() / weight[~real].sum() == pytest.approx(expected, rel=0.01)


def test_a_planted_difference_is_found_in_accounts_not_seen() -> None:
    train, test = learning("a", 80, 0), learning("a", 80, 5)
    logit = text_logit(fit_text(train, QUICK), test)
    old = test.posts == 20
    assert auroc(test.label[old], logit[old]) > 0.85
    young = test.posts == 1
    assert np.abs(logit[young]).mean() < np.abs(logit[old]).mean()


def test_bags_without_an_author_tell_only_what_an_account_would_show() -> None:
    _, counts = linear_inputs(learning("a", 4, 0))
    several = counts[:, PAIRS] > 0
    assert several.any()
    rows = learning("a", 4, 0, authored=False)
    _, counts = linear_inputs(rows)
    assert not counts[rows.label == 0, PAIRS].any()
    machines = counts[rows.label == 1, PAIRS] > 0
    alike = TEXT_NAMES.index("self_similarity") - PAIRS.start
    assert not machines[:, alike].any()
    assert np.array_equal(np.delete(machines, alike, 1), np.delete(several[rows.label == 1], alike, 1))


def test_trees_cannot_read_the_mask_as_a_mark_of_people() -> None:
    # Spreads are noise here: only whether they are masked could tell the classes apart.
    train, test = learning("a", 80, 0, authored=False), learning("a", 80, 5)
    flat = TEXT_NAMES.index("llr_mean")
    for rows in (train, test):
        rows.features.text[:, flat] = 0.0
    logit = text_logit(fit_text(train, QUICK), test)
    assert abs(auroc(test.label, logit) - 0.5) < 0.1
    unseen = test.take(test.label == 0)
    counts = text_inputs(unseen.features)[1]
    counts[:, PAIRS] = 0.0
    head = fit_text(train, QUICK)
    masked = head.logit(text_inputs(unseen.features)[0], counts)
    assert abs(float(np.mean(masked - text_logit(head, unseen)))) < 0.25


def test_mixtures_of_people_do_not_calibrate() -> None:
    rows = together([learning(f"{STREAM}/s", 60, 0), learning("b", 60, 1, authored=False)])
    head = fit_text(rows, QUICK)
    logit = np.where(rows.mixed, 50.0, 2.0 * rows.label - 1.0)
    assert calibrated(head, logit, rows)[0].line[1] > 0.9


def test_an_account_and_a_cluster_lie_in_one_fold() -> None:
    rows = together([learning(f"{STREAM}/s", 20, 0), learning("b", 20, 1)])
    fold = fold_of(rows)
    for account in range(40):
        assert len(set(fold[rows.account == account])) == 1
    assert len(set(fold[rows.cluster == "b"])) == 1
    assert len(set(fold[rows.timed])) > 1


def test_evidence_that_does_not_hold_out_of_fold_is_calibrated_away() -> None:
    rows = learning(f"{STREAM}/s", 60, 0)
    head = fit_text(rows, QUICK)
    noise = np.random.default_rng(0).normal(size=len(rows)) * 3
    assert calibrated(head, noise, rows)[0].line[1] < 0.2
    honest = out_of_fold(rows, lambda part: fit_text(part, QUICK))
    kept, llr = calibrated(head, honest, rows)
    assert 0.2 < kept.line[1] <= 1.0
    assert auroc(rows.label, llr) > 0.7


def test_behaviour_beside_text_says_less_than_alone_where_both_say_the_same() -> None:
    rows = learning(f"{STREAM}/s", 200, 0)
    knows = np.where(rows.label == 1, 3.0, -3.0)
    alone, beside = fit_behaviour(rows, None), fit_behaviour(rows, knows)
    assert np.abs(beside.weight).max() < np.abs(alone.weight).max() / 2


def test_artefacts_of_the_contest_are_not_learned() -> None:
    learned = {BEHAVIOUR_NAMES[i] for i in learned_behaviour(learning(f"{STREAM}/s", 20, 0))}
    assert "gap_log_sd" in learned
    assert not learned & {"linked_share", "hour_entropy", "quiet_hours"}


def test_one_head_has_not_met_the_streams_bots() -> None:
    rows = together([learning(f"{STREAM}/s", 40, 0), learning("b", 40, 1)])
    assert len(fit_text(rows, QUICK).heads) == 2
    assert len(fit_text(learning(f"{STREAM}/s", 40, 0), QUICK).heads) == 1


SMALL = BoostSettings(trees=40, depth=3, rate=0.3, ridge=1.0, features=1.0, rows=0.8)


def interaction(n: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 4))
    return x, ((x[:, 0] > 0) ^ (x[:, 1] > 0.5)).astype(np.int64)


def test_an_interaction_is_learned() -> None:
    x, y = interaction()
    trees = boost(x, y, np.ones(len(y)), SMALL)
    assert ((score(trees, x) > 0) == y).mean() > 0.95


def test_the_same_seed_gives_the_same_trees() -> None:
    x, y = interaction(300)
    first, second = (boost(x, y, np.ones(len(y)), SMALL, seed=3) for _ in range(2))
    assert np.array_equal(first.leaf, second.leaf)
    assert np.array_equal(first.feature, second.feature)


def test_weights_count_like_copies() -> None:
    settings = BoostSettings(trees=5, depth=2, ridge=1e-6, features=1.0, rows=1.0)
    x = np.array([[0.0], [1.0], [2.0], [3.0]])
    y = np.array([0, 1, 0, 1])
    weight = np.array([1.0, 2.0, 1.0, 1.0])
    copied = boost(np.repeat(x, [1, 2, 1, 1], axis=0), np.repeat(y, [1, 2, 1, 1]), np.ones(5), settings)
    assert np.allclose(score(boost(x, y, weight, settings), x), score(copied, x), atol=1e-3)


def test_a_constant_feature_is_never_asked() -> None:
    x, y = interaction(300)
    x[:, 2] = 7.0
    assert not (boost(x, y, np.ones(len(y)), SMALL).feature == 2).any()


def test_the_head_of_production_says_the_same() -> None:
    x, y = interaction(300)
    trees = boost(x, y, np.ones(len(y)), SMALL)
    head = Head(
        column=np.arange(4),
        centre=np.zeros(4),
        scale=np.ones(4),
        shrink=np.full(4, 1e-9),
        weight=np.zeros(4),
        question=trees.feature,
        cut=trees.cut,
        leaf=trees.leaf,
        mix=np.array([0.0, 0.0, 1.0]),
    )
    assert np.allclose(head.logit(x, np.full_like(x, 1e6)), score(trees, x), atol=0.3)
    assert np.array_equal(head.trees(x), score(trees, x))
