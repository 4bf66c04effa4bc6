"""Snapshots are what production would have counted, after the posts asked for and at the end."""

from __future__ import annotations

import numpy as np

from detector.account.features import language_code
from detector.account.statistics import AccountStatistics
from detector.text.features import TEXT_FEATURES, TextAbstain
from training.account_data import Events, snapshots


def events(account: list[int], abstain: list[int], second_stage: list[float] | None = None) -> Events:
    n = len(account)
    text_features = np.zeros(n, TEXT_FEATURES)
    text_features["llr"] = np.arange(n) * 100
    text_features["abstain"] = abstain
    return Events(
        account=np.array(account),
        at_ms=np.arange(n) * 1000,
        kind=np.zeros(n, np.int64),
        text_features=text_features,
        has_text=np.ones(n, bool),
        language=np.full(n, language_code("en"), np.uint16),
        links=np.zeros(n, np.int64),
        second_stage=np.full(n, np.nan) if second_stage is None else np.array(second_stage),
    )


def test_accounts_are_seen_after_the_posts_asked_for_and_at_their_end() -> None:
    given = events([0, 1, 0, 0, 1, 0, 0], [0] * 7)
    found = snapshots(given, 2, after=(1, 3))
    assert sorted(zip(found.account.tolist(), found.posts.tolist(), strict=True)) == [
        (0, 1), (0, 3), (0, 5), (1, 1), (1, 2),
    ]  # fmt: skip
    assert found.posts[found.last()].tolist() == [5, 2]
    assert found.posts[found.last(3)].tolist() == [3, 2]


def test_a_post_without_evidence_is_no_look() -> None:
    found = snapshots(events([0, 0, 0], [0, TextAbstain.TOO_SHORT, 0]), 1, after=None)
    assert found.posts.tolist() == [1, 2]


def test_an_account_without_evidence_is_not_there() -> None:
    found = snapshots(events([0, 1], [TextAbstain.LANGUAGE, 0]), 2)
    assert found.account.tolist() == [1]


def test_the_counting_is_that_of_production() -> None:
    given = events([0, 0, 0], [0, 0, 0], [np.nan, 1.5, np.nan])
    statistics = AccountStatistics(1)
    for i in range(3):
        statistics.observe(
            np.array([0]), given.at_ms[i : i + 1], given.kind[i : i + 1], given.text_features[i : i + 1],
            given.has_text[i : i + 1], given.language[i : i + 1], given.links[i : i + 1],
        )  # fmt: skip
        if i == 1:
            statistics.observe_second_stage(np.array([0]), np.array([1500], np.int16), given.text_features["llr"][1:2])
    found = snapshots(given, 1)
    direct = statistics.features(np.array([0]))
    last = found.features.take(found.last())
    assert set(last._fields) == set(direct._fields)
    for name in direct._fields:
        assert np.array_equal(getattr(last, name), getattr(direct, name))
