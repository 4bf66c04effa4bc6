"""The measurement of the simulator: one size here, several in processes of their own, and what is refused."""

from __future__ import annotations

import json
import shutil
import sys

import pytest

from simulation.bench import main, measure


def test_a_measurement_counts_the_events_that_were_rendered() -> None:
    row = measure("town", 100, 0.25)
    assert row["events"] > 50
    assert row["bytes"] > 50 * row["events"]
    assert min(row["wall_s"], row["cpu_s"], row["build_s"], row["peak_mib"]) > 0
    assert measure("town", 100, 0.25)["bytes"] == row["bytes"]


def test_one_size_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--preset", "town", "--accounts", "100", "--days", "0.25", "--one"]) == 0
    assert json.loads(capsys.readouterr().out)["events"] == measure("town", 100, 0.25)["events"]


def test_sizes_are_measured_apart_and_memory_is_held_against_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--preset", "town", "--accounts", "100", "200", "--days", "0.1"]) == 0
    out = capsys.readouterr().out
    assert "town, 0.1 days, no texts" in out
    assert "for each further account" in out


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--preset", "tow"], 2, "none of town"),
        (["--accounts", "0"], 2, "accounts"),
        (["--accounts", "100", "--days", "-1"], 2, "--days"),
        (["--accounts", "100", "--days", "nan"], 2, "--days"),
    ],
)
def test_what_cannot_be_measured_is_said(
    arguments: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == status
    assert message in capsys.readouterr().err


def test_a_measurement_that_fails_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    assert main(["--accounts", "100"]) == 1
    assert "measuring 100 accounts ended with status 1" in capsys.readouterr().err
