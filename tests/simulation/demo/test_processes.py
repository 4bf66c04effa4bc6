"""The demo's processes end for certain, and say why when they end by themselves."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import BrokerError, SwarmlightError, UsageError
from simulation.content import chitchat
from simulation.content.chitchat import Message
from simulation.demo import processes
from simulation.demo.processes import QUIET_MS, Child, free_port, listening, quiet_environ, schedule, wait_for
from streaming.cli import invoke

SLEEPS = "import time; print('up', flush=True); time.sleep(600)"

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)


def child(tmp_path: Path, program: str) -> Child:
    return Child("worker", [sys.executable, "-c", program], tmp_path, os.environ)


def up(started: Child) -> bool:
    return started.tail().startswith("up")


def test_a_process_ends_with_its_context(tmp_path: Path) -> None:
    with child(tmp_path, SLEEPS) as started:
        wait_for(started, lambda: up(started), 20)
        assert started.status() is None
    assert started.status() is not None


def test_a_process_that_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE_S", 0.3)
    with child(tmp_path, STUBBORN) as started:
        wait_for(started, lambda: up(started), 20)
    assert started.status() == -9


def test_what_a_process_started_ends_with_it(tmp_path: Path) -> None:
    script = f"import subprocess, sys; subprocess.call([sys.executable, '-c', {SLEEPS!r}])"
    with child(tmp_path, script) as started:
        wait_for(started, lambda: up(started), 20)
        group = os.getpgid(started.pid)
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)


def test_a_process_that_ends_by_itself_is_told_with_its_last_words(tmp_path: Path) -> None:
    with (
        child(tmp_path, "import sys; sys.exit('no \\x1b[31m broker')") as started,
        pytest.raises(SwarmlightError, match=r"worker ended with status 1: no \\x1b\[31m broker"),
    ):
        wait_for(started, lambda: False, 20)


def test_waiting_has_an_end(tmp_path: Path) -> None:
    with child(tmp_path, SLEEPS) as started, pytest.raises(BrokerError, match="not ready"):
        wait_for(started, lambda: False, 0.1)


def test_a_free_port_is_free_until_somebody_listens() -> None:
    port = free_port()
    assert not listening(port)
    with socket.create_server(("127.0.0.1", port)):
        assert listening(port)


def test_the_demos_processes_get_no_configuration_of_ours() -> None:
    assert quiet_environ({"SWARMLIGHT_SEED": "1", "PATH": "x"}) == {"PATH": "x"}


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=50).map(sorted), st.floats(5, 500))
def test_a_schedule_fills_its_time_in_order(times: list[int], seconds: float) -> None:
    due = schedule(times, seconds)
    assert len(due) == len(times)
    assert due[0] == 0
    assert due == sorted(due)
    assert due[-1] == pytest.approx(seconds if times[-1] > times[0] else 0)


def test_long_pauses_are_cut() -> None:
    hour = 3_600_000
    assert schedule([0, QUIET_MS, QUIET_MS + 10 * hour, 2 * QUIET_MS + 10 * hour], 30.0) == [0, 10, 20, 30]


@pytest.mark.parametrize("argv", [["--seconds", "1"], ["--seconds", "nan"], ["--seed", "-1"]])
def test_unusable_arguments_are_refused(argv: list[str]) -> None:
    with pytest.raises(UsageError):
        invoke(["demo", *argv])


def test_the_stream_is_written_with_its_truth_or_an_error_says_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    messages = [Message(at * 60_000, f"p{at % 9}", "the same words every time") for at in range(500)]
    monkeypatch.setattr(chitchat, "people", lambda seed: messages)
    path = tmp_path / "x.jsonl"
    assert invoke(["demo", "--write", str(path)]) == 0
    assert "108 accounts" in capsys.readouterr().err
    truth = [json.loads(line) for line in Path(f"{path}.truth").read_text().splitlines()]
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert {event["account"] for event in events} <= {row["account"] for row in truth}
    with pytest.raises(UsageError, match="cannot be written"):
        invoke(["demo", "--write", str(tmp_path / "none" / "x.jsonl")])
