"""Co-occurrences, what was expected of them, soft edges, and the definition of CooRTweet."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from graph.coincidences import (
    CoOccurrences,
    co_occurrences,
    coordinated_pairs,
    expectation,
    residuals,
    soft_edges,
    sum_pairs,
)
from graph.traces import DOMAIN, FAST_REPOST, HOUR_MS, LINK, REPOST, Columns, CoordinationSettings, Trace, read_records

DATA = Path(os.environ.get("SWARMLIGHT_DATA", Path(__file__).parents[2] / "../shared/data"))
RUSSIAN = DATA / "graph/coortweet_russian_2021/data.parquet"


def shares(*traces: tuple[int, int, str]) -> list[Trace]:
    return [Trace(at, account, REPOST, key) for at, account, key in traces]


def test_an_object_counts_once_and_the_limit_is_included() -> None:
    traces = shares((0, 1, "x"), (60, 2, "x"), (61, 2, "x"), (100, 1, "y"), (160, 2, "y"))
    assert coordinated_pairs(traces, 60, 2) == {(1, 2): 2}
    assert coordinated_pairs(traces, 59, 1) == {}


def test_accounts_are_not_paired_with_themselves() -> None:
    assert coordinated_pairs(shares((0, 1, "x"), (1, 1, "x")), 60, 1) == {}


@pytest.mark.skipif(not RUSSIAN.exists(), reason="needs SWARMLIGHT_DATA with graph/coortweet_russian_2021")
def test_the_published_sample_has_32_pairs_of_58_accounts() -> None:
    pytest.importorskip("pyarrow")
    columns = Columns("author_id", "shared_object_id", "created_at_unix", "", REPOST, seconds=True)
    pairs = coordinated_pairs(read_records([RUSSIAN], columns).traces, 60_000, 2)
    assert (len(pairs), len({account for pair in pairs for account in pair})) == (32, 58)


SETTINGS = CoordinationSettings()


def met(traces: list[tuple[int, int, int]], kind: int, now_ms: int = 0, **changes: int) -> CoOccurrences:
    """Co-occurrences of (at, rank, slot)."""
    at, rank, slot = (np.array(column, np.int64) for column in zip(*traces, strict=True))
    kinds = np.full(int(slot.max()) + 1, kind, np.int64)
    settings = CoordinationSettings(**changes) if changes else SETTINGS
    return co_occurrences(at, rank, slot, kinds, now_ms or int(at.max()), settings)


def test_each_pair_meets_once_per_object_however_often_they_touch_it() -> None:
    found = met([(0, 0, 0), (1, 1, 0), (2, 0, 0), (3, 1, 0)], LINK)
    assert list(zip(found.a, found.b, strict=True)) == [(0, 1)]


def test_who_comes_first_does_not_matter() -> None:
    first = met([(0, 0, 0), (1000, 1, 0)], LINK)
    second = met([(0, 1, 0), (1000, 0, 0)], LINK)
    assert (first.a, first.b, first.weight) == (second.a, second.b, second.weight)


def test_meetings_in_step_weigh_more() -> None:
    near = met([(0, 0, 0), (1000, 1, 0)], LINK)
    far = met([(0, 0, 0), (4 * HOUR_MS, 1, 0)], LINK)
    assert near.weight[0] > 1.5 * far.weight[0]


def test_too_late_is_no_meeting() -> None:
    assert len(met([(0, 0, 0), (2 * HOUR_MS, 1, 0)], DOMAIN).a) == 0


def test_fast_reposts_are_a_kind_of_their_own() -> None:
    found = met([(0, 0, 0), (30_000, 1, 0), (500_000, 2, 0)], REPOST)
    kinds = {(int(a), int(b)): int(k) for a, b, k in zip(found.a, found.b, found.kind, strict=True)}
    assert kinds == {(0, 1): FAST_REPOST, (1, 2): REPOST, (0, 2): REPOST}


def test_pairs_stay_within_the_budget() -> None:
    crowd = [(n, n, 0) for n in range(300)]
    assert len(met(crowd, LINK).a) <= 300 * SETTINGS.neighbours
    assert len(met(crowd, LINK, pair_budget=600).a) <= 600


def test_expectations_add_up_to_what_was_observed() -> None:
    rng = np.random.default_rng(1)
    traces = sorted((int(t), int(r), int(s)) for t, r, s in rng.integers(0, [10**7, 20, 30], (400, 3)))
    found = met(traces, LINK)
    model = expectation(found, np.zeros(20, np.int64))
    every = np.arange(20)
    expected = model.of(LINK, every[:, None], every[None, :]).sum() / 2
    assert expected == pytest.approx(found.weight.sum(), rel=0.01)


def test_communities_explain_meetings_inside_them() -> None:
    rng = np.random.default_rng(2)
    block = np.repeat([1, 2], 60)
    traces = []
    for account in range(120):
        for _ in range(10):
            thing = int(rng.integers(0, 40)) + 40 * (int(block[account]) - 1)
            traces.append((int(rng.integers(0, 10**7)), account, thing))
    found = met(sorted(traces), LINK)
    pairs = sum_pairs(found, 120)
    plain, _ = residuals(pairs, expectation(found, np.zeros(120, np.int64)))
    known, _ = residuals(pairs, expectation(found, block))
    assert known.mean() < plain.mean()


def test_each_account_keeps_its_strongest_edges() -> None:
    others = np.arange(1, 31)
    star = CoOccurrences(np.zeros(30, np.int64), others, np.zeros(30, np.int64), np.ones(30))
    edges = soft_edges(star, np.arange(1.0, 31.0), 31, top=5)
    # The hub keeps five; every other account keeps its only edge.
    assert len(edges.a) == 30
    chain = soft_edges(CoOccurrences(star.a, star.b, star.kind, star.weight), np.full(30, -1.0), 31, top=5)
    assert len(chain.a) == 0
