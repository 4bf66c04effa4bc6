"""A batch of records expands to a bound at most, and what lies behind it is read."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record import MemoryRecords, MemoryRecordsBuilder

from streaming.kafka import decompression
from streaming.kafka.decompression import bound_batches

CODECS = [1, 3, 4]
"""Kafka's numbers of gzip, LZ4 and Zstandard."""


def packed(values: list[bytes], codec: int) -> bytes:
    """One batch of records, as a producer sends it."""
    builder = MemoryRecordsBuilder(magic=2, compression_type=codec, batch_size=1 << 30)
    for value in values:
        assert builder.append(1000, None, value) is not None
    builder.close()
    return bytes(builder.buffer())


def read(data: bytes) -> list[tuple[int, int, bytes]]:
    """(offset, timestamp, value) of all records."""
    bound_batches()
    records, found = MemoryRecords(data), []
    while (batch := records.next_batch()) is not None:
        assert batch.validate_crc()
        found += [(record.offset, record.timestamp, bytes(record.value)) for record in batch]
    return found


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=2000), min_size=1, max_size=20), st.sampled_from([0, *CODECS]))
def test_what_is_not_too_large_is_read_as_it_was_written(values: list[bytes], codec: int) -> None:
    assert read(packed(values, codec)) == [(number, 1000, value) for number, value in enumerate(values)]


@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_that_expands_too_far_is_one_record_at_its_last_offset(
    codec: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decompression, "LARGEST_BATCH_BYTES", 1 << 20)
    ((offset, stamp, value),) = read(packed([b"small", b"0" * (3 << 20), b"small"], codec))
    assert (offset, stamp) == (2, 1000)
    assert value == b"a batch of 3 records that expands to more than 1 MiB"


def test_the_bound_itself_is_still_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = packed([b"0" * 100_000], 1)
    monkeypatch.setattr(decompression, "LARGEST_BATCH_BYTES", 100_000)
    ((_, _, said),) = read(data)
    assert said.startswith(b"a batch of 1 records")
    monkeypatch.setattr(decompression, "LARGEST_BATCH_BYTES", 100_020)
    assert [len(value) for _, _, value in read(data)] == [100_000]


@pytest.mark.slow
@pytest.mark.parametrize("codec", CODECS)
def test_seven_hundred_megabytes_in_one_batch_cost_a_bounded_part_of_memory(codec: int) -> None:
    program = (
        "import resource, sys\n"
        "from tests.streaming.kafka.test_decompression import read\n"
        "data = sys.stdin.buffer.read()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert len(read(data)) == 1\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    data = packed([b"0" * 700_000_000], codec)
    done = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True, check=True)
    assert int(done.stdout) * 1024 < 3 * decompression.LARGEST_BATCH_BYTES
