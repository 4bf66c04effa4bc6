"""The account model learns a planted difference, weighs groups as said, and is calibrated out of fold."""

from __future__ import annotations

import numpy as np
import pytest

from detector.account.features import BEHAVIOUR_DIM, BEHAVIOUR_NAMES, PAIRS, TEXT_DIM, TEXT_NAMES, AccountFeatures
from detector.account.model import text_inputs
from training.account import (
    behaviour_columns,
    calibrated,
    fit_behaviour,
    fit_text,
    fold_of,
    group_weight,
    linear_inputs,
    out_of_fold,
    row_weights,
    text_logit,
)
from training.account_training_set import STREAM, TrainingSet, concatenate
from training.boosting import BoostingSettings
from training.metrics import auroc

QUICK = BoostingSettings(
    max_iter=8, max_leaf_nodes=4, max_depth=2, learning_rate=0.3, l2_regularization=5.0, max_features=0.5
)


def training_set(group: str, accounts: int, seed: int, authored: bool = True) -> TrainingSet:
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
        second_stage=np.zeros(n, np.float32),
        events=count,
        written=count,
        posts=posts.astype(np.uint32),
        language=np.zeros(n, np.uint16),
        abstain=np.zeros(n, np.uint8),
    )
    return TrainingSet(
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
    rows = concatenate([training_set(f"{STREAM}/s", 10, 0), training_set("people/x", 60, 1)])
    weight = row_weights(rows)
    for posts in (1, 5, 20):
        at = rows.posts == posts
        assert weight[at & (rows.label == 1)].sum() == pytest.approx(weight[at & (rows.label == 0)].sum(), rel=0.01)
    real = rows.timed
    expected = group_weight(f"{STREAM}/s") / group_weight("people/x")
    assert weight[real].sum() / weight[~real].sum() == pytest.approx(expected, rel=0.01)


def test_a_planted_difference_is_found_in_accounts_not_seen() -> None:
    train, test = training_set("a", 80, 0), training_set("a", 80, 5)
    logit = text_logit(fit_text(train, QUICK), test)
    old = test.posts == 20
    assert auroc(test.label[old], logit[old]) > 0.85
    young = test.posts == 1
    assert np.abs(logit[young]).mean() < np.abs(logit[old]).mean()


def test_bags_without_an_author_tell_only_what_an_account_would_show() -> None:
    _, counts = linear_inputs(training_set("a", 4, 0))
    several = counts[:, PAIRS] > 0
    assert several.any()
    rows = training_set("a", 4, 0, authored=False)
    _, counts = linear_inputs(rows)
    assert not counts[rows.label == 0, PAIRS].any()
    machines = counts[rows.label == 1, PAIRS] > 0
    alike = TEXT_NAMES.index("self_similarity") - PAIRS.start
    assert not machines[:, alike].any()
    assert np.array_equal(np.delete(machines, alike, 1), np.delete(several[rows.label == 1], alike, 1))


def test_trees_cannot_read_the_mask_as_a_mark_of_people() -> None:
    # Spreads are noise here: only whether they are masked could tell the classes apart.
    train, test = training_set("a", 80, 0, authored=False), training_set("a", 80, 5)
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
    rows = concatenate([training_set(f"{STREAM}/s", 60, 0), training_set("b", 60, 1, authored=False)])
    head = fit_text(rows, QUICK)
    logit = np.where(rows.mixed, 50.0, 2.0 * rows.label - 1.0)
    assert calibrated(head, logit, rows)[0].line[1] > 0.9


def test_an_account_and_a_cluster_lie_in_one_fold() -> None:
    rows = concatenate([training_set(f"{STREAM}/s", 20, 0), training_set("b", 20, 1)])
    fold = fold_of(rows)
    for account in range(40):
        assert len(set(fold[rows.account == account])) == 1
    assert len(set(fold[rows.cluster == "b"])) == 1
    assert len(set(fold[rows.timed])) > 1


def test_evidence_that_does_not_hold_out_of_fold_is_calibrated_away() -> None:
    rows = training_set(f"{STREAM}/s", 60, 0)
    head = fit_text(rows, QUICK)
    noise = np.random.default_rng(0).normal(size=len(rows)) * 3
    assert calibrated(head, noise, rows)[0].line[1] < 0.2
    honest = out_of_fold(rows, lambda part: fit_text(part, QUICK))
    kept, llr = calibrated(head, honest, rows)
    assert 0.2 < kept.line[1] <= 1.0
    assert auroc(rows.label, llr) > 0.7


def test_behaviour_beside_text_says_less_than_alone_where_both_say_the_same() -> None:
    rows = training_set(f"{STREAM}/s", 200, 0)
    knows = np.where(rows.label == 1, 3.0, -3.0)
    alone, beside = fit_behaviour(rows, None), fit_behaviour(rows, knows)
    assert np.abs(beside.weight).max() < np.abs(alone.weight).max() / 2


def test_artefacts_of_the_contest_are_not_learned() -> None:
    learned = {BEHAVIOUR_NAMES[i] for i in behaviour_columns(training_set(f"{STREAM}/s", 20, 0))}
    assert "gap_log_sd" in learned
    assert not learned & {"linked_share", "hour_entropy", "quiet_hours"}


def test_one_head_has_not_met_the_streams_bots() -> None:
    rows = concatenate([training_set(f"{STREAM}/s", 40, 0), training_set("b", 40, 1)])
    assert len(fit_text(rows, QUICK).heads) == 2
    assert len(fit_text(training_set(f"{STREAM}/s", 40, 0), QUICK).heads) == 1
