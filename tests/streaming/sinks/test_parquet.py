"""The sink `parquet`, read back."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from detector.errors import UsageError
from streaming.config import load_config
from streaming.sinks.base import LiveSink, open_live_sink, open_sink
from streaming.sinks.parquet import COLUMNS, ParquetFile
from tests.streaming.sinks.alerts import alert

CONFIG = load_config(None, {})

BODIES = [
    alert("a1", members=["ann"]),
    alert("c'1", members=["ann", "bob\ud83d".encode("utf-8", "replace").decode()], kind="campaign"),
    alert("a1", 2, members=[], status="withdrawn"),
]


def rows(path: str) -> list[dict[str, object]]:
    with duckdb.connect() as database:
        found = database.execute(f"SELECT * FROM '{path}' ORDER BY id, revision")
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def test_every_revision_is_a_row_of_a_file_that_is_there_once_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "it's.parquet"
    path.write_bytes(b"earlier")
    sink = open_sink(f"parquet:{path}", CONFIG)
    for body in BODIES:
        sink.write(json.loads(body)["id"], body)
    assert path.read_bytes() == b"earlier"
    sink.close()
    path = path.rename(tmp_path / "its.parquet")
    found = rows(str(path))
    assert list(found[0]) == list(COLUMNS)
    assert [(row["id"], row["revision"], row["status"]) for row in found] == [
        ("a1", 1, "open"), ("a1", 2, "withdrawn"), ("c'1", 1, "open"),
    ]  # fmt: skip
    assert str(found[0]["at"]) == "2026-01-05 10:00:00"
    assert found[0]["accounts"] == ["ann"]
    assert (found[0]["posterior"], found[1]["posterior"], found[0]["total"]) == (0.9, None, 5.0)
    assert [str(row["alert"]).encode() for row in found] == [BODIES[0], BODIES[2], BODIES[1]]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["its.parquet"]


def test_a_run_without_alerts_has_a_file_without_rows(tmp_path: Path) -> None:
    open_sink(f"parquet:{tmp_path}/none.parquet", CONFIG).close()
    assert rows(f"{tmp_path}/none.parquet") == []


def test_a_failed_run_leaves_an_earlier_file_and_what_there_is_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    path.write_bytes(b"earlier")
    sink = ParquetFile(path)
    sink.write("a1", BODIES[0])
    kept = sink.abandon()
    sink.close()
    assert path.read_bytes() == b"earlier"
    assert kept is not None
    assert len(rows(str(kept.rename(tmp_path / "kept.parquet")))) == 1


def test_a_folder_gets_a_file_with_each_flush(tmp_path: Path) -> None:
    sink = open_live_sink(f"parquet:{tmp_path}/alerts/", CONFIG)
    assert isinstance(sink, LiveSink)
    sink.flush()
    for body in BODIES:
        sink.write("x", body)
        sink.flush()
    sink.close()
    assert len(list((tmp_path / "alerts").iterdir())) == 3
    assert len(rows(f"{tmp_path}/alerts/*.parquet")) == 3


@pytest.mark.parametrize(
    ("spec", "said"), [("parquet:", "name a file"), ("parquet:none/x.parquet", "cannot be written")]
)
def test_what_cannot_be_written_is_refused_when_it_is_opened(spec: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        open_sink(spec, CONFIG)


def test_a_file_is_none_for_a_deployment_that_lives(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only at the end of a run"):
        open_live_sink(f"jsonl:{tmp_path}/alerts.jsonl", CONFIG)
