"""Of the traces of a table those that are wanted: searches find with them what they find with all."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from detector.errors import UsageError
from graph.bench import write_posts
from graph.co_sharing import PairsFound, find_pairs, pairs_want
from graph.coordination import find_groups
from graph.exports import write_edges, write_json
from graph.tables import read_tables
from graph.trace_table import EVERYTHING, SHARED, TraceTable, Wanted
from graph.traces import KIND_NAMES, LINK, REPOST

NOW_MS = 1_800_000_000_000

T = 1_623_881_091


def read(path: Path, wanted: Wanted = EVERYTHING) -> TraceTable:
    return read_tables([path], kind=REPOST, now_ms=NOW_MS, wanted=wanted)


def pairs(found: PairsFound) -> list[tuple[Any, ...]]:
    return sorted((pair["a"], pair["b"], pair["count"]) for pair in found.pairs)


@pytest.fixture(scope="module")
def posts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("posts") / "posts.csv"
    write_posts(path, 4000, 300, 3)
    return path


@pytest.mark.parametrize(("window_s", "max_object"), [(0, 20_000), (60, 30), (3600, 20_000)])
def test_pairs_are_found_in_a_part_of_the_traces_as_in_all(posts: Path, window_s: float, max_object: int) -> None:
    every, some = read(posts), read(posts, pairs_want(window_s, max_object))
    assert len(some.at) < len(every.at)
    assert some.reading == every.reading
    expected, found = (find_pairs(table, 1, window_s, max_object) for table in (every, some))
    assert expected.pairs
    assert pairs(found) == pairs(expected)
    assert found.left_out == expected.left_out
    assert (found.left_out["objects"] > 0) is (max_object == 30)
    listed = list(found.pairs)
    assert [found.pairs[0], found.pairs[-1], *found.pairs[1:3]] == [listed[0], listed[-1], *listed[1:3]]
    assert found.pairs.most(5) == sorted(listed, key=lambda pair: -pair["count"])[:5]


@pytest.mark.slow
def test_millions_of_pairs_are_no_memory_but_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [f"u{who},{item},{T + 1000 * item + who % 50}" for item in range(2) for who in range(400)]
    path.write_text("account,object,at\n" + "\n".join(rows))
    table = read(path, pairs_want(60))
    tracemalloc.start()
    found = find_pairs(table, 2, 60)
    write_edges(tmp_path / "e.csv", found.network)
    write_json(tmp_path / "p.json", {"pairs": found.pairs})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.pairs) == 400 * 399 // 2
    assert json.loads((tmp_path / "p.json").read_text())["pairs"] == list(found.pairs)
    assert peak < 300 * len(found.pairs), "a record of each alone would take as much"


def test_groups_are_found_in_a_part_of_the_traces_as_in_all(posts: Path) -> None:
    every, some = read(posts), read(posts, SHARED)
    assert len(some.at) < len(every.at)
    expected = find_groups(every, seed=1)
    assert expected.groups
    assert find_groups(some, seed=1).groups == expected.groups


def test_an_account_alone_counts_as_near_itself_and_makes_no_pair(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"account,object,at\na,x,{T}\na,x,{T + 1}\nb,x,{T + 600}\na,y,{T}\n")
    table = read(path, pairs_want(60))
    assert table.at.tolist() == [T * 1000, (T + 1) * 1000]
    assert list(find_pairs(table, 1, 60).pairs) == []


def test_kinds_that_are_wanted_alone_are_given_and_the_others_counted(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"account,object,at,kind\na,x,{T},link\nb,y,{T},repost\n")
    table = read(path, Wanted(kinds=(LINK,)))
    assert [KIND_NAMES[kind] for kind in table.kind] == ["link"]
    assert table.reading.traces == 2
    with pytest.raises(UsageError, match="no record of that kind"):
        read(path, Wanted(kinds=(KIND_NAMES.index("hashtag"),)))
