"""The measurement of the sort writes a mixed recording of each time once, and reads it in order."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

from streaming.schema.event import parse
from streaming.sources.bench import EVENT_MS, START_MS, read_in_order, write_mixed
from tests.streaming.sources.formats import NOW


def test_a_mixed_recording_has_each_time_once_and_is_read_in_order(tmp_path: Path) -> None:
    path = tmp_path / "mixed.jsonl"
    write_mixed(path, 500)
    lines = path.read_bytes().splitlines()
    times = [json.loads(line)["at"] for line in lines]
    assert sorted(times) == [START_MS + EVENT_MS * n for n in range(500)]
    assert sum(a > b for a, b in pairwise(times)) > 100
    assert parse(lines[0], now_ms=NOW).text
    assert read_in_order(path) == 500
