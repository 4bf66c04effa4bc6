"""The parts of a listener: queue, place, marks, growing files."""

from __future__ import annotations

import gzip
import threading
import time
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from streaming.live.backlog import RECORD_COST, Backlog
from streaming.live.base import LiveRecord, Lost, Progress, StreamPosition
from streaming.live.destinations import GrowingFile
from streaming.live.listener import MARKS_KEPT, DeduplicationWindow


def test_a_full_backlog_makes_whoever_fills_it_wait_and_keeps_the_order() -> None:
    backlog = Backlog(3 * (RECORD_COST + 1))
    thread = threading.Thread(target=lambda: [backlog.put(LiveRecord(b"%d" % number, number)) for number in range(9)])
    thread.start()
    deadline = time.monotonic() + 10
    while backlog.held < 3 * (RECORD_COST + 1) and time.monotonic() < deadline:
        time.sleep(0.001)
    assert thread.is_alive()
    taken: list[LiveRecord | Lost] = []
    while len(taken) < 9:
        taken += backlog.take(2, 5.0)
    thread.join()
    assert [each.value for each in taken if isinstance(each, LiveRecord)] == [b"%d" % number for number in range(9)]
    assert backlog.highest == 3 * (RECORD_COST + 1)
    assert backlog.held == 0


def test_a_record_larger_than_the_backlog_passes_and_a_closed_one_takes_nothing() -> None:
    backlog = Backlog(10)
    assert backlog.put(LiveRecord(b"x" * 1000, 0))
    closer = threading.Timer(0.05, backlog.close)
    closer.start()
    assert not backlog.put(LiveRecord(b"y", 1))
    assert len(backlog.take(5, 0.0)) == 1
    assert backlog.take(5, 0.0) == []


@given(st.lists(st.integers(0, 10_000), min_size=1), st.integers(1, 500))
def test_the_place_never_passes_what_was_not_taken_and_never_falls_behind_the_beginning(
    positions: list[int], overlap: int
) -> None:
    progress = Progress(StreamPosition(100), overlap)
    for position in positions:
        progress.take(position, "")
        assert progress.place.position == max(100, progress.newest - overlap)
    assert progress.newest == max([100, *positions])


@given(st.lists(st.integers(0, 300), min_size=1).map(sorted), st.integers(1, 50))
def test_a_token_to_go_on_from_is_older_than_the_overlap_or_the_first_there_was(
    positions: list[int], overlap: int
) -> None:
    progress = Progress(StreamPosition(), overlap)
    for number, position in enumerate(positions):
        progress.take(position, str(number))
    old = [number for number, position in enumerate(positions) if position < positions[-1] - overlap]
    assert progress.place.token == str(old[-1] if old else 0)


def test_marks_are_remembered_for_their_window_and_no_more_of_them_than_memory_allows() -> None:
    seen = DeduplicationWindow(10)
    assert seen.is_new(b"a", 0, 0)
    assert not seen.is_new(b"a", 5, 5)
    assert not seen.is_new(b"a", 10, 10)
    assert seen.is_new(b"a", 11, 11)
    for number in range(MARKS_KEPT + 100):
        seen.is_new(b"%d" % number, 11, 11)
    assert len(seen) <= MARKS_KEPT + 1
    again = DeduplicationWindow(10, seen.kept())
    assert not again.is_new(b"%d" % (MARKS_KEPT + 99), 12, 12)


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_growing_file_holds_whole_lines_after_each_commit_and_forgets_what_was_not_committed(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"out.jsonl{suffix}"
    file, size = GrowingFile(path, "--to", None), 0
    for number in range(3):
        file.write(b"line %d" % number)
        size = file.commit()
        assert path.stat().st_size == size
        file.write(b"never committed")
        file.rewind()
    file.write(b"neither")
    file.close()
    again = GrowingFile(path, "--to", size)
    again.write(b"line 3")
    again.commit()
    again.close()
    data = path.read_bytes()
    if suffix == ".gz":
        data = gzip.decompress(data)
    elif suffix == ".zst":
        data = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    assert data == b"".join(b"line %d\n" % number for number in range(4))
