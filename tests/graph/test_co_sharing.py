"""Pairs by definition: CooRTweet's, and the same whatever the memory allowed."""

from __future__ import annotations

import os
import time
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph import co_sharing as module
from graph.co_sharing import SharedPairs, co_sharing
from graph.tables import read_tables
from graph.traces import REPOST

DATA = Path(os.environ.get("SWARMLIGHT_DATA", Path(__file__).parents[2] / "../shared/data"))
RUSSIAN = DATA / "graph/coortweet_russian_2021/data.parquet"

Rows = list[tuple[int, int, int]]


def pairs(rows: Rows, window_ms: int, min_shared: int, max_object: int = 1000) -> SharedPairs:
    """Of (at, account, object)."""
    at, account, item = np.array(rows, np.int64).reshape(-1, 3).T
    return co_sharing(
        at, account.astype(np.int32), item, window_ms=window_ms, min_shared=min_shared, max_object=max_object
    )


def counts(found: SharedPairs) -> dict[tuple[int, int], int]:
    return {(a, b): n for a, b, n in zip(found.a.tolist(), found.b.tolist(), found.shared.tolist(), strict=True)}


def by_hand(rows: Rows, window_ms: int, min_shared: int) -> dict[tuple[int, int], int]:
    met = {
        (min(a, b), max(a, b), x)
        for (s, a, x), (t, b, y) in combinations(rows, 2)
        if x == y and a != b and abs(s - t) <= window_ms
    }
    return {pair: n for pair, n in Counter((a, b) for a, b, _ in met).items() if n >= min_shared}


def test_an_object_counts_once_and_the_limit_is_included() -> None:
    rows = [(0, 1, 0), (60, 2, 0), (61, 2, 0), (100, 1, 1), (160, 2, 1)]
    assert counts(pairs(rows, 60, 2)) == {(1, 2): 2}
    assert counts(pairs(rows, 59, 1)) == {}


def test_accounts_are_not_paired_with_themselves() -> None:
    assert counts(pairs([(0, 1, 0), (1, 1, 0)], 60, 1)) == {}


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5), st.integers(0, 3)), max_size=30),
    st.integers(0, 12),
    st.integers(1, 3),
    st.sampled_from([(1, 1), (3, 4), (1000, 1000)]),
)
def test_it_is_the_definition_whatever_the_memory_allowed(
    rows: Rows, window_ms: int, min_shared: int, bounds: tuple[int, int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PORTION", bounds[0])
        patch.setattr(module, "PAIRS_AT_ONCE", bounds[1])
        for order in (rows, sorted(rows)):
            assert counts(pairs(order, window_ms, min_shared)) == by_hand(rows, window_ms, min_shared)


def test_an_object_of_too_many_is_left_out_and_counted() -> None:
    rows = [(0, account, 0) for account in range(5)] + [(9, 1, 1), (9, 2, 1)]
    found = pairs(rows, 60, 1, max_object=4)
    assert counts(found) == {(1, 2): 1}
    assert (found.capped, found.capped_traces) == (1, 5)


def test_thousands_on_one_object_take_seconds_not_gigabytes() -> None:
    begin = time.process_time()
    found = pairs([(n, n, x) for x in range(2) for n in range(2000)], 60_000, 2, max_object=3000)
    assert len(found.a) == 2000 * 1999 // 2
    assert time.process_time() - begin < 10


@pytest.mark.skipif(not RUSSIAN.exists(), reason="needs SWARMLIGHT_DATA with graph/coortweet_russian_2021")
def test_the_published_sample_has_32_pairs_of_58_accounts() -> None:
    columns = "author_id,shared_object_id,created_at_unix"
    table = read_tables([RUSSIAN], columns=columns, kind=REPOST, now_ms=1_800_000_000_000)
    found = co_sharing(table.at, table.account, table.object, window_ms=60_000, min_shared=2)
    assert (len(found.a), len(np.union1d(found.a, found.b))) == (32, 58)
