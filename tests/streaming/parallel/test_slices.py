"""Slices and their parts: nothing lost, and all of an account in one shard."""

from __future__ import annotations

import pytest

from detector.errors import LogError
from streaming.parallel.slices import (
    PostSlice,
    decode_line,
    decode_part,
    decode_scored,
    encode_line,
    encode_record,
    shard_of,
    slices,
    split,
)
from streaming.sources.base import FieldProblem, Oversize, SourceRecord
from tests.streaming.builders import event, record


def records(count: int) -> list[SourceRecord]:
    return [SourceRecord(i, -1, record(event(f"a{i % 7}", at=i, id=str(i)))) for i in range(count)]


def test_slices_cover_all_records_once_and_the_last_closes_the_partition() -> None:
    cut = list(slices(records(23), 5, partition=1, partitions=3, size=10))
    assert [(each.start, each.end, len(each.records), each.last) for each in cut] == [
        (0, 10, 10, False),
        (10, 20, 10, False),
        (20, 23, 3, False),
        (23, 23, 0, True),
    ]
    assert {(each.partition, each.partitions, each.now_ms) for each in cut} == {(1, 3, 5)}


def test_offsets_that_hold_no_record_are_covered() -> None:
    held = [each for each in records(30) if each.offset % 3]
    cut = list(slices(held, 5, size=10))
    assert [(each.start, each.end) for each in cut] == [(0, 15), (15, 30), (30, 30)]


def test_all_of_an_account_goes_to_one_shard_and_dead_records_somewhere() -> None:
    dead = [
        SourceRecord(90, -1, b"{not json"),
        SourceRecord(91, -1, b'{"account": 7}'),
        SourceRecord(92, -1, b'{"account": "a1"', oversize=Oversize(9, "00")),
        SourceRecord(93, -1, b"x", problem=FieldProblem("at", "is missing")),
    ]
    whole = PostSlice(0, 1, 0, 94, 5, [*records(90), *dead])
    parts = split(whole, 4)
    assert sorted(each.offset for part in parts for each in part.slice.records) == list(range(94))
    assert {part.parts for part in parts} == {len(parts)}
    of: dict[bytes, set[int]] = {}
    for part in parts:
        for each in part.slice.records:
            of.setdefault(each.value.partition(b"account")[2][:8], set()).add(part.shard)
            assert shard_of(each, 4) == part.shard
    assert all(len(shards) == 1 for name, shards in of.items() if b'"a' in name)
    assert len({part.shard for part in parts}) > 1


def test_a_slice_without_records_has_one_part() -> None:
    (part,) = split(PostSlice(0, 1, 7, 7, 5, [], last=True), 4)
    assert (part.parts, part.slice.last) == (1, True)


def test_what_crosses_processes_comes_back_as_it_was() -> None:
    whole = PostSlice(0, 1, 0, 2, 5, [SourceRecord(0, 3, b"\xff\x00", "f:", 9), *records(2)[1:]])
    assert decode_line(encode_line(whole)) == whole
    (part, *_) = split(whole, 2)
    assert decode_part(encode_record(part)) == part


def test_what_is_none_of_this_release_is_refused() -> None:
    with pytest.raises(LogError, match="run one release everywhere"):
        decode_part(b"\x93\x01")
    with pytest.raises(LogError, match="run one release everywhere"):
        decode_scored(b"")
    with pytest.raises(LogError, match="run one release everywhere"):
        decode_line("[1, 2")
