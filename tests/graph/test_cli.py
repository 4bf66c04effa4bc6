"""`swarmlight coordinate` and its input."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from detector.errors import UsageError
from graph.permutation import injection_trial, null_trial, permute_accounts, upper_rate
from graph.traces import HOUR_MS, LINK, REPOST, Columns, CoordinationSettings, Records, Trace, read_records
from streaming.cli import invoke
from tests.graph.society import name_of, society


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


ROWS: list[dict[str, object]] = [
    {"account": "b", "object": "x", "at": "1970-01-01T00:00:01Z"},
    {"account": "a", "object": "y", "at": 500, "kind": "link"},
]


def test_formats_agree(tmp_path: Path) -> None:
    plain = read_records([write(tmp_path / "r.jsonl", ROWS)], Columns())
    assert plain.names == ["a", "b"]
    assert plain.traces == [Trace(500, 0, LINK, "y"), Trace(1000, 1, REPOST, "x")]
    assert read_records([write(tmp_path / "r.jsonl.gz", ROWS)], Columns()) == plain
    with (tmp_path / "r.csv").open("w", newline="", encoding="utf-8") as lines:
        table = csv.DictWriter(lines, ["account", "object", "at", "kind"])
        table.writeheader()
        table.writerows(ROWS)
    assert read_records([tmp_path / "r.csv"], Columns()) == plain


@pytest.mark.parametrize(
    "row",
    [
        {"account": "", "object": "x", "at": 1},
        {"account": "a", "at": 1},
        {"account": "a", "object": "x", "at": "yesterday"},
        {"account": "a", "object": "x", "at": "2024-01-01T00:00:00"},
        {"account": "a", "object": "x", "at": True},
        {"account": "a", "object": "x", "at": 1e300},
        {"account": "a", "object": "x", "at": 1, "kind": "telepathy"},
    ],
)
def test_a_bad_record_is_named(tmp_path: Path, row: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"r\.jsonl, record 2: field"):
        read_records([write(tmp_path / "r.jsonl", [*ROWS[:1], row])], Columns())


@pytest.mark.parametrize("name", ["missing.jsonl", "odd.txt"])
def test_an_unreadable_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "odd.txt").write_text("x")
    with pytest.raises(UsageError, match=name):
        read_records([tmp_path / name], Columns())


def test_swapping_keeps_who_was_active_and_what_was_popular_in_every_block() -> None:
    traces = society(1, [40], 0.0, hours=20)
    moved = permute_accounts(traces, 6 * HOUR_MS, seed=1)
    assert moved != traces

    def margins(part: list[Trace]) -> list[Counter[tuple[int, object]]]:
        blocks = [(t.at_ms // (6 * HOUR_MS), t) for t in part]
        return [Counter((b, t.account) for b, t in blocks), Counter((t.at_ms, t.key) for _, t in blocks)]

    assert margins(moved) == margins(traces)


def test_trials_find_what_is_injected_and_nothing_else() -> None:
    records = Records(society(3, [120], 0.0, per_day=5, hours=60), [name_of(row) for row in range(120)])
    settings = CoordinationSettings()
    null = null_trial(records, 6 * HOUR_MS, 0, settings)
    assert null.accepted == 0
    assert null.hypotheses > 5
    assert null.mean_e <= 1.0
    found = injection_trial(records, 6 * HOUR_MS, 8, 12, 0, settings, days=1.0)
    assert found.accepted
    assert found.members >= 6


def test_upper_rate_is_exact() -> None:
    assert upper_rate(0, 50) == pytest.approx(0.0582, abs=1e-4)
    assert upper_rate(1, 50) == pytest.approx(0.0914, abs=1e-4)
    assert upper_rate(3, 3) == 1.0


def test_command_writes_groups_and_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, object]] = [
        {"account": name_of(t.account), "object": t.key, "at": t.at_ms} for t in society(4, [40], 0.0, hours=20)
    ]
    source, out = write(tmp_path / "r.jsonl", rows), tmp_path / "out.json"
    assert invoke(["coordinate", "--input", str(source), "--out", str(out)]) == 0
    assert json.loads(out.read_text())["groups"] == []
    assert (
        invoke(["coordinate", "--input", str(source), "--min-shared", "1", "--window-s", "60", "--out", str(out)]) == 0
    )
    assert json.loads(out.read_text())["pairs"]
    assert "pairs of" in capsys.readouterr().out


@pytest.mark.parametrize(
    "extra", [["--columns", "a,b"], ["--kind", "telepathy"], ["--plant", "x"], ["--null-seeds", "1", "--block-h", "0"]]
)
def test_unusable_arguments_are_refused(tmp_path: Path, extra: list[str]) -> None:
    source = write(tmp_path / "r.jsonl", ROWS)
    with pytest.raises(UsageError):
        invoke(["coordinate", "--input", str(source), *extra])
