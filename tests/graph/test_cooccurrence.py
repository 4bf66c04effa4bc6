"""CooRTweet's definition."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from graph.cooccurrence import coordinated_pairs
from graph.records import Columns, read_records
from graph.touches import Touch, TraceKind

DATA = Path(os.environ.get("SWARMLIGHT_DATA", Path(__file__).parents[2] / "../shared/data"))
RUSSIAN = DATA / "graph/coortweet_russian_2021/data.parquet"


def shares(*touches: tuple[int, int, str]) -> list[Touch]:
    return [Touch(at, account, TraceKind.REPOST, key) for at, account, key in touches]


def test_an_object_counts_once_and_the_limit_is_included() -> None:
    touches = shares((0, 1, "x"), (60, 2, "x"), (61, 2, "x"), (100, 1, "y"), (160, 2, "y"))
    assert coordinated_pairs(touches, 60, 2) == {(1, 2): 2}
    assert coordinated_pairs(touches, 59, 1) == {}


def test_accounts_are_not_paired_with_themselves() -> None:
    assert coordinated_pairs(shares((0, 1, "x"), (1, 1, "x")), 60, 1) == {}


@pytest.mark.skipif(not RUSSIAN.exists(), reason="needs SWARMLIGHT_DATA with graph/coortweet_russian_2021")
def test_the_published_sample_has_32_pairs_of_58_accounts() -> None:
    pytest.importorskip("pyarrow")
    columns = Columns("author_id", "shared_object_id", "created_at_unix", "", TraceKind.REPOST, seconds=True)
    pairs = coordinated_pairs(read_records([RUSSIAN], columns).touches, 60_000, 2)
    assert (len(pairs), len({account for pair in pairs for account in pair})) == (32, 58)
