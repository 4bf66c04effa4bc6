"""The lab's commands about feeds: what they print and write, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from simulation.feeds import bench
from simulation.feeds.bench import measure
from simulation.sampling import Json
from streaming.cli import main, run_function


def test_reading_writes_who_saw_what_and_says_how_much(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "seen.parquet"
    command = [
        "lab",
        "read",
        "--preset",
        "town",
        "--feeds",
        "engagement=0.5,chronological=0.5",
        "--exposures",
        str(out),
    ]
    assert main([*command, "--accounts", "200", "--days", "0.2"]) == 0
    rows = duckdb.connect().execute("SELECT count(*) FROM read_parquet(?)", [str(out)]).fetchall()[0][0]
    printed = capsys.readouterr().out
    assert rows > 100
    assert f"{rows:,} exposures" in printed
    assert "chronological" in printed


def test_the_benchmark_counts_what_was_acted_out_and_prints_a_row_a_size(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes are measured in this process here; tests/simulation/test_bench.py has the processes of their own."""
    rows: list[Json] = []

    def here(module: str, arguments: list[str], what: str) -> Json:
        assert (module, arguments[:3], what) == (
            "simulation.feeds.bench",
            ["--preset", "town", "--accounts"],
            "feeds of 100 accounts",
        )
        rows.append(measure("town", 100, 0.1))
        return rows[-1]

    monkeypatch.setattr(bench, "apart", here)
    assert main(["lab", "bench", "--preset", "town", "--accounts", "100", "--days", "0.1"]) == 0
    assert f"{rows[0]['exposures']:,}" in capsys.readouterr().out
    assert rows[0]["exposures"] > rows[0]["events"] > 50
    assert min(rows[0]["wall_s"], rows[0]["cpu_s"], rows[0]["peak_mib"]) > 0


def test_one_size_is_printed_as_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "measure", lambda *given: {"given": given})
    arguments = ["--preset", "town", "--accounts", "100", "--days", "0.1"]
    assert run_function(bench.one_size, "bench", arguments) == 0
    assert json.loads(capsys.readouterr().out) == {"given": ["town", 100, 0.1]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bench", "--days", "0"], "--days 0: give a number above 0"),
        (["read", "--exposures", "x.parquet", "--days", "nan"], "--days nan"),
        (["read", "--exposures", "x.parquet", "--feeds", "best"], "no feed algorithm 'best'"),
        (["read", "--exposures", "no/where/x.parquet", "--accounts", "50", "--days", "0.1"], "cannot be written"),
    ],
)
def test_what_cannot_be_used_is_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", *arguments]) == 2
    assert message in capsys.readouterr().err
