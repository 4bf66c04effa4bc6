"""Scores and alerts as CSV and Parquet: every field in its column, nothing that is run, and whole or not at all."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import duckdb
import pytest

from detector.errors import UsageError
from streaming.schema.alert import AlertRecord, MemberRecord, encode
from streaming.schema.flat_rows import ALERTS, SCORES
from streaming.schema.score import LlrRecord, ScoreRecord, encode_score
from streaming.sinks.jsonl import JsonLines
from streaming.sinks.table_file import TableFile, result_file

HOSTILE = "=cmd|' /C calc'!A0\n\"\u202e,;\x00"


def score(name: str, **more: Any) -> ScoreRecord:
    given: dict[str, Any] = {"posterior": 0.25, "llr": LlrRecord(1.5, 0.25, 0.0, 0.0, 1.75), "abstained": {},
                             "posts": 3, "flagged": False}  # fmt: skip
    return ScoreRecord(account=name, **(given | more))


def written(path: Path, scores: list[ScoreRecord]) -> Path:
    file = TableFile(path, "--scores", SCORES)
    for each in scores:
        file.write(encode_score(each) + b"\n")
    file.publish()
    return path


def parquet(path: Path) -> tuple[dict[str, str], list[dict[str, Any]]]:
    with duckdb.connect() as database:
        result = database.execute("SELECT * FROM read_parquet(?)", [str(path)])
        columns = {str(column[0]): str(column[1]) for column in result.description or ()}
        return columns, [dict(zip(columns, row, strict=True)) for row in result.fetchall()]


FLAGGED = score("ben", flagged=True, flagged_at="2026-01-01T00:00:00Z", posts_at_flag=2, group="g1", group_q=0.04)
SILENT = score("a\nb", abstained={"text": "no text", "graph": "no ties"})


def test_parquet_has_types_and_nothing_where_there_is_nothing(tmp_path: Path) -> None:
    columns, rows = parquet(written(tmp_path / "scores.parquet", [FLAGGED, SILENT]))
    assert list(columns) == list(SCORES.columns)
    assert (columns["posts"], columns["total"], columns["flagged"]) == ("BIGINT", "DOUBLE", "BOOLEAN")
    assert rows[0] == {
        "account": "ben", "total": 1.75, "text": 1.5, "behaviour": 0.25, "coordination": 0.0, "graph": 0.0,
        "posterior": 0.25, "posts": 3, "flagged": True, "flagged_at": "2026-01-01T00:00:00Z", "posts_at_flag": 2,
        "campaign": None, "group": "g1", "group_q": 0.04, "abstained": None,
    }  # fmt: skip
    assert (rows[1]["account"], rows[1]["posts_at_flag"]) == ("a\nb", None)
    assert rows[1]["abstained"] == "graph: no ties; text: no text"


def test_csv_has_the_same_rows_as_text(tmp_path: Path) -> None:
    path = written(tmp_path / "scores.csv", [FLAGGED, SILENT])
    with path.open(encoding="utf-8", newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["account"], first["flagged"], first["group_q"], first["campaign"]) == ("ben", "true", "0.04", "")
    assert (second["account"], second["posts_at_flag"]) == ("a\nb", "")


def test_a_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    assert parquet(written(tmp_path / "scores.parquet", []))[1] == []
    assert parquet(tmp_path / "scores.parquet")[0].keys() == SCORES.columns.keys()
    assert written(tmp_path / "scores.csv", []).read_text().split(",")[0] == "account"


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_names_of_strangers_stay_what_they_are_and_are_run_by_no_spreadsheet(tmp_path: Path, ending: str) -> None:
    path = written(tmp_path / f"scores{ending}", [score(HOSTILE), score("-1.5"), score("@ann")])
    if ending == ".parquet":
        names = [row["account"] for row in parquet(path)[1]]
        assert names == [HOSTILE, "-1.5", "@ann"]
        return
    with path.open(encoding="utf-8", newline="") as file:
        names = [row["account"] for row in csv.DictReader(line.replace("\0", "?") for line in file)]
    assert names == ["'" + HOSTILE.replace("\0", "?"), "-1.5", "@ann"]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_an_earlier_table_stays_until_the_new_one_is_whole(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"scores{ending}"
    path.write_bytes(b"earlier")
    file = TableFile(path, "--scores", SCORES)
    file.write(encode_score(FLAGGED))
    kept = file.abandon()
    assert path.read_bytes() == b"earlier"
    assert kept == tmp_path / f"scores{ending}.partial"
    if ending == ".parquet":
        assert [row["account"] for row in parquet(kept)[1]] == ["ben"]
    else:
        assert len(kept.read_text().splitlines()) == 2


def test_alerts_are_rows_of_their_own(tmp_path: Path) -> None:
    alert = AlertRecord(
        v=3, id="c1", kind="campaign", revision=2, status="open", at="2026-01-01T00:00:00Z",
        members=[MemberRecord("ann"), MemberRecord('b"o,b')], why=["They act together.", "They post at once."],
        decoy_q=0.01,
    )  # fmt: skip
    sink = JsonLines(tmp_path / "alerts.parquet", "--alerts", ALERTS)
    sink.write(alert.id, encode(alert))
    sink.close()
    columns, (row,) = parquet(tmp_path / "alerts.parquet")
    assert list(columns) == list(ALERTS.columns)
    assert (row["id"], row["revision"], row["members"], row["accounts"]) == ("c1", 2, 2, '["ann", "b\\"o,b"]')
    assert (row["why"], row["limits"], row["decoy_q"]) == ("They act together. They post at once.", None, 0.01)


def test_other_endings_are_lines(tmp_path: Path) -> None:
    file = result_file(tmp_path / "scores.jsonl", "--scores", SCORES)
    file.write(encode_score(FLAGGED) + b"\n")
    file.publish()
    assert (tmp_path / "scores.jsonl").read_bytes() == encode_score(FLAGGED) + b"\n"


def test_a_folder_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--scores .* cannot be written"):
        TableFile(tmp_path / "no" / "scores.csv", "--scores", SCORES)
