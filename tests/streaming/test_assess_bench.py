"""What an event costs `assess`: the stream that is played, and the table."""

from __future__ import annotations

import pytest

from streaming import assess_bench
from streaming.assess_bench import DAY_MS, KINDS, main, observations
from streaming.schema.observation import Kind


def test_the_stream_is_in_order_and_as_dense_every_day() -> None:
    batches = list(observations(6_000, 100, 20.0, 0))
    every = [one for batch in batches for one in batch]
    assert [one.offset for one in every] == list(range(6_000))
    times = [one.at for one in every]
    assert times == sorted(times)
    assert times[-1] - times[0] == pytest.approx(3 * DAY_MS, rel=0.01)
    assert {Kind(one.kind) for one in every} == set(KINDS)
    assert all(bool(one.urls) == (one.kind == Kind.POST) for one in every)
    assert len({one.account for one in every}) > 80


@pytest.mark.slow
def test_the_table_has_a_row_for_each_doubling(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(assess_bench, "FIRST", 1_000)
    monkeypatch.setattr(assess_bench, "BATCH", 500)
    assert main(["--events", "2000", "--accounts", "50", "--growth", "1000"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said[:3]] == ["events", "1,000", "2,000"]
    assert "to begin from it" in said[-2]
    assert "times the cheapest before" in said[-1]
    assert main(["--events", "100"]) == 2
