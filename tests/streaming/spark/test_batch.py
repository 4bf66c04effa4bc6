"""`swarmlight batch`: equal to `swarmlight run` over the same Parquet file (`pip install 'swarmlight[batch]'`)."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pytest

from detector.errors import UsageError
from streaming.cli import main
from streaming.parallel.results import FILES
from streaming.spark.cli import batch_command
from tests.streaming.assess import societies
from tests.streaming.builders import write_lines

MISSING = "pyspark is not installed" if find_spec("pyspark") is None else "" if shutil.which("java") else "no Java"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(bool(MISSING), reason=MISSING or "-")
def test_an_archive_in_parquet_gives_what_run_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "in.jsonl", societies.campaign(0, people=30, hours=10, rounds=40))
    duckdb.sql("copy (from read_json('in.jsonl', format = 'newline_delimited')) to 'posts.parquet'")
    assert main(["batch", "posts.parquet", "--out", "results"]) == 0
    names = ("alerts", "details", "scores")
    files = [word for name in names for word in (f"--{name}", f"run-{FILES[name]}")]
    assert main(["run", "--format", "auto", "posts.parquet", *files]) == 0
    for name in names:
        found = (tmp_path / "results" / FILES[name]).read_bytes()
        assert found == (tmp_path / f"run-{FILES[name]}").read_bytes()
        assert found


def test_without_spark_the_command_says_how_to_install_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.spark.cli.find_spec", lambda name: None)
    assert main(["batch", str(tmp_path / "posts.parquet"), "--out", str(tmp_path / "out")]) == 2
    assert "swarmlight[batch]" in capsys.readouterr().err
    with pytest.raises(UsageError, match="at least 1"):
        batch_command(["posts.parquet"], out=tmp_path / "out", cores=0)
