"""The job on a cluster of Apache Flink: equal to `swarmlight run`, with a kill and a rescale (`make flink-setup`)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from detector.errors import UsageError
from streaming.cli import main
from streaming.flink.cli import flink_command
from tests.streaming.assess import societies
from tests.streaming.builders import write_lines

ROOT = Path(__file__).resolve().parents[3]

FLINK = Path(os.environ.get("SWARMLIGHT_FLINK_PYTHON", str(ROOT / ".venv-flink" / "bin" / "python")))
"""Interpreter of the environment that has Flink."""


def missing() -> str:
    if not FLINK.exists():
        return "there is no environment with Apache Flink: make flink-setup"
    return "" if shutil.which("java") else "there is no Java"


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.skipif(bool(missing()), reason=missing() or "-")
def test_jobs_find_what_run_finds_at_any_parallelism_after_a_kill_and_a_rescale(tmp_path: Path) -> None:
    items: list[dict[str, Any] | bytes] = [*societies.campaign(0, people=120, hours=10, rounds=40), b"this is no event"]
    stream = write_lines(tmp_path / "in.jsonl", items)
    command = [str(FLINK), "-m", "streaming.flink.check", str(stream), "--run-python", sys.executable]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    rows = done.stdout.splitlines()
    assert [row.split()[-1] for row in rows] == ["equal"] * 6, done.stdout
    assert "killed" in rows[4]
    assert "savepoint at parallelism 2 to 4" in rows[5]


def test_without_flink_the_command_says_where_to_find_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if "pyflink" in sys.modules:
        pytest.skip("Flink is installed here")
    stream = write_lines(tmp_path / "in.jsonl", [])
    assert main(["flink", str(stream), "--out", str(tmp_path / "out")]) == 2
    assert "make flink-setup" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"parallelism": 0}, "at least 1"),
        ({"parallelism": 5, "shards": 4}, "at most --shards"),
        ({"savepoint": "file:///x"}, "--work"),
    ],
)
def test_numbers_that_make_no_job_are_refused(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        flink_command(["in.jsonl"], out=tmp_path / "out", **options)
