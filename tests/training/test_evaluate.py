"""Evaluation says what its definitions say, on cases small enough to count by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.evaluate import (
    EvaluationTable,
    evaluation_table,
    flags,
    fold_of,
    held_out,
    intervals,
    once,
    pairs,
    pooled,
    ranking,
)
from training.metrics import auroc, average_precision, p_more_than, p_other_than, share_interval, tpr_at


def row(
    account: str, total: float, flagged: bool = False, posts: int | None = None, **ids: str | None
) -> dict[str, Any]:
    llr = {"text": total, "behaviour": 0.0, "coordination": 0.0, "graph": 0.0, "total": total}
    return {
        "account": account,
        "llr": llr,
        "flagged": flagged,
        "posts_at_flag": posts,
        "campaign": ids.get("campaign"),
        "group": ids.get("group"),
    }


TRUTH: dict[str, dict[str, Any]] = {
    "a": {"label": 1, "campaign": "x", "slice": "bots"},
    "b": {"label": 1, "campaign": "x", "slice": "bots"},
    "c": {"label": 1, "campaign": None, "slice": "lone"},
    "d": {"label": 0, "campaign": None, "slice": "people"},
    "e": {"label": 0, "campaign": None, "slice": "people"},
    "f": {"label": 0, "campaign": None, "slice": "people"},
}
SCORES = [
    row("a", 3.0, True, 4, campaign="k", group="k"),
    row("b", 1.0, True, 12, campaign="k", group="k"),
    row("d", 2.0, True, 3, group="k"),
    row("e", -1.0),
    row("f", -2.0),
]
"""c has no row."""


def test_an_account_without_a_row_counts_as_lowest_and_unflagged() -> None:
    given = evaluation_table(TRUTH, SCORES)
    assert given.score().tolist() == [3.0, 1.0, -3.0, 2.0, -1.0, -2.0]
    assert not given.flagged[2]


def test_ranking_by_hand() -> None:
    figures = ranking(evaluation_table(TRUTH, SCORES))
    # Of the 9 pairs, a beats all three people, b beats two, c none.
    assert figures["auroc"] == pytest.approx(5 / 9)
    # Walking down: a (1/1), d, b (2/3), e, f, c (3/6).
    assert figures["ap"] == pytest.approx((1 + 2 / 3 + 3 / 6) / 3)
    # At 1% of three people nobody may be exceeded: the cut is the highest person's 2.0.
    assert figures["tpr_at_1pct_fpr"] == pytest.approx(1 / 3)


def test_flags_by_hand() -> None:
    figures = flags(evaluation_table(TRUTH, SCORES), 0.01)
    assert (figures["flagged"], figures["false_flags"]) == (3, 1)
    assert figures["precision"] == pytest.approx(2 / 3)
    assert figures["recall"] == pytest.approx(2 / 3)
    assert figures["fpr"] == pytest.approx(1 / 3)
    assert figures["p_more_than_target"] == pytest.approx(1 - 0.99**3)
    assert [figures[f"flagged_by_{k}"] for k in (5, 10, 20)] == pytest.approx([1 / 3, 1 / 3, 2 / 3])


def test_pairs_by_hand() -> None:
    given = evaluation_table(TRUTH, SCORES)
    campaign = pairs(given, "campaign")
    group = pairs(given, "group")
    assert campaign is not None
    assert group is not None
    assert (campaign["precision"], campaign["recall"], campaign["found_half"]) == (1.0, 1.0, 1)
    assert group["precision"] == pytest.approx(1 / 3)
    assert group["recall"] == 1.0
    assert pairs(evaluation_table({"d": TRUTH["d"]}, SCORES[3:]), "group") is None


def test_a_part_alone_ranks_by_that_part() -> None:
    assert ranking(evaluation_table(TRUTH, SCORES), ("behaviour",))["auroc"] == pytest.approx((2 * 3 * 0.5) / 9)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), min_size=2, max_size=30))
def test_measures_are_their_definitions(pairs_given: list[tuple[int, int]]) -> None:
    label = np.array([y for y, _ in pairs_given])
    score = np.array([float(s) for _, s in pairs_given])
    ones, zeros = score[label == 1], score[label == 0]
    if not len(ones) or not len(zeros):
        assert np.isnan(auroc(label, score))
        return
    wins = [(x > y) + 0.5 * (x == y) for x in ones for y in zeros]
    assert auroc(label, score) == pytest.approx(np.mean(wins))
    precision = [((score >= cut) & (label == 1)).sum() / (score >= cut).sum() for cut in ones]
    assert average_precision(label, score) == pytest.approx(np.mean(precision))
    for fpr in (0.01, 0.3, 0.7):
        cuts = [cut for cut in zeros if (zeros > cut).mean() <= fpr]
        assert tpr_at(label, score, fpr) == pytest.approx((ones > min(cuts)).mean())


def test_the_exact_interval_and_tests() -> None:
    assert share_interval(0, 353)[0] == 0.0
    assert share_interval(0, 353)[1] == pytest.approx(1 - 0.025 ** (1 / 353))
    assert share_interval(5, 5)[1] == 1.0
    assert p_more_than(0, 100, 0.01) == 1.0
    assert p_more_than(10, 100, 0.01) < 1e-6
    assert p_other_than(1, 100, 0.01) > 0.5


def test_a_bootstrap_draws_campaigns_as_a_whole() -> None:
    truth = {f"m{i}": {"label": 1, "campaign": f"c{i // 10}"} for i in range(20)}
    truth |= {f"p{i}": {"label": 0, "campaign": None} for i in range(50)}
    scores = [row(name, 1.0 if name.startswith("m") else -1.0) for name in truth]
    given = evaluation_table(truth, scores)
    sizes: set[int] = set()

    def count(drawn: EvaluationTable) -> dict[str, float]:
        sizes.add(int((drawn.label == 1).sum()))
        return {"machines": float((drawn.label == 1).sum())}

    assert intervals(given, count, np.random.default_rng(0), 50)["machines"] == (20.0, 20.0)
    assert sizes == {20}


def test_every_account_is_measured_by_the_fold_that_does_not_know_it() -> None:
    runs = [evaluation_table(TRUTH, [row(name, float(fold)) for name in TRUTH]) for fold in range(3)]
    fold = np.array([0, 0, 1, 2, 1, 0])
    result = held_out(runs, fold)
    assert dict(zip(result.names, result.score().tolist(), strict=True)) == {
        name: float(f) for name, f in zip(TRUTH, fold, strict=True)
    }


def test_a_campaign_is_never_in_two_folds() -> None:
    assert len({fold_of(f"account {i}", "campaign", 5) for i in range(50)}) == 1
    assert {fold_of(f"account {i}", None, 5) for i in range(50)} == set(range(5))


def test_each_person_is_counted_once_over_two_streams() -> None:
    first, second = evaluation_table(TRUTH, SCORES), evaluation_table(TRUTH, SCORES)
    both = pooled([first, second])
    chosen = both.take(once([first, second]))
    assert sorted(chosen.names) == ["d", "e", "f"]
