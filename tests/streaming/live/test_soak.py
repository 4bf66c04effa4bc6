"""`make listen-soak` in small, and that it notices what it is there to notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.streaming.live.soak import Soaked, faults, soak

LAST = "received 13: 10 events, 0 skipped, 1 dead, 2 repeated after 2 cuts; events in x"
GOOD = Soaked(10, 10, 0, 0, 1, 1, 2, LAST, 0, 60.0, 1.0, [(10.0 * number, 80.0) for number in range(10)])


def test_a_soak_without_fault_has_none() -> None:
    assert faults(GOOD) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"missing": 1, "written": 9}, "1 events are missing"),
        ({"twice": 1, "written": 11}, "1 are there more than once"),
        ({"last_line": GOOD.last_line.replace("13", "14")}, "does not add up"),
        ({"dead": 2}, "does not add up"),
        ({"last_line": "no such host"}, "ended with 'no such host'"),
        ({"status": 1}, "status 1"),
        ({"memory_mib": [(10.0 * number, 80.0 + 5 * number) for number in range(10)]}, "memory grew"),
    ],
)
def test_every_fault_is_noticed(change: dict[str, object], said: str) -> None:
    assert said in " ".join(faults(GOOD._replace(**change)))  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_minute_at_five_hundred_a_second_with_cuts(tmp_path: Path) -> None:
    soaked = soak(tmp_path, seconds=60, rate=500, cuts=5, rubbish_every=500)
    assert faults(soaked) == []
    assert soaked.cuts == 5
