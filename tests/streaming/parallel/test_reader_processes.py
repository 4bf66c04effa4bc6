"""Processes that read texts beside a run: how many, in what order, and what becomes of a run whose process is killed.

That a run with them says what one without says is in tests/streaming/test_run.py, with the shipped models.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from detector.errors import ModelError
from detector.models import SHIPPED, load_models
from streaming.assess import Assess, AssessSettings
from streaming.config import load_config
from streaming.parallel.reader_processes import SLICES_AHEAD, ReaderProcesses, processes_for
from streaming.playback import live_reranker, play, scorer_of
from streaming.schema.score import ScoreRecord
from streaming.sinks.base import Step
from streaming.sources.base import SourceRecord
from tests.streaming import builders
from tests.streaming.assess import societies

NOW = builders.T0 + 10**11

SETTINGS = AssessSettings.from_config(load_config(None, {}), ("text", "coordination"))
"""Without what makes each process load an encoder."""


def recording(repeats: int) -> list[SourceRecord]:
    values: list[bytes] = []
    for number in range(repeats):
        values += [builders.record(item) for item in societies.campaign(number, people=8, machines=4, hours=4)]
        values += [b"no event %d" % place for place in range(5)]
    return [SourceRecord(offset, -1, value) for offset, value in enumerate(values)]


def outcome(steps: list[Step], assess: Assess) -> tuple[list[bytes], list[ScoreRecord], list[str]]:
    alerts = [alert.body for step in steps for output in step.outputs for alert in output.alerts]
    return alerts, list(assess.scores()), [letter.sha256 for step in steps for letter in step.letters]


def test_what_is_said_is_what_one_process_says_and_dead_letters_keep_their_order() -> None:
    records, models = recording(4), load_models(SHIPPED, "")
    live = live_reranker(models)
    alone, spread = Assess(SETTINGS, models, 1), Assess(SETTINGS, models, 1)
    expected = outcome(list(play(records, alone, scorer_of(models, SETTINGS), live, lambda: NOW)), alone)
    with ReaderProcesses(SETTINGS, None, "", 2) as readers:
        found = outcome(list(readers.play(records, spread, live, NOW)), spread)
    assert found == expected
    assert len(expected[1]) == 12
    assert len(expected[2]) == 20


def test_a_run_whose_process_is_killed_ends_with_what_to_do() -> None:
    models = load_models(SHIPPED, "")
    with ReaderProcesses(SETTINGS, None, "", 1) as readers:
        steps = readers.play(recording(2 * SLICES_AHEAD * 5), Assess(SETTINGS, models, 1), live_reranker(models), NOW)
        next(steps)
        (killed,) = readers.pids
        os.kill(killed, signal.SIGKILL)
        with pytest.raises(ModelError, match="--processes 1 reads in this one"):
            list(steps)


def test_a_run_that_is_stopped_waits_for_nobody() -> None:
    models = load_models(SHIPPED, "")
    with ReaderProcesses(SETTINGS, None, "", 2) as readers:
        next(readers.play(recording(20), Assess(SETTINGS, models, 1), live_reranker(models), NOW))
        pids = readers.pids
        assert len(pids) == 2
        assert all(map(is_running, pids))
        begun = time.monotonic()
    assert time.monotonic() - begun < 1.0
    wait_for_the_end(pids)


def wait_for_the_end(pids: list[int]) -> None:
    deadline = time.monotonic() + 20
    while any(map(is_running, pids)):
        assert time.monotonic() < deadline, "it waits for work that nobody gives"
        time.sleep(0.05)


def test_no_process_outlives_whoever_started_it() -> None:
    code = """
import os, signal
from tests.streaming.parallel.test_reader_processes import NOW, SETTINGS, recording
from detector.models import SHIPPED, load_models
from streaming.assess import Assess
from streaming.parallel.reader_processes import ReaderProcesses
from streaming.playback import live_reranker
if __name__ == "__main__":
    models = load_models(SHIPPED, "")
    readers = ReaderProcesses(SETTINGS, None, "", 1)
    next(readers.play(recording(20), Assess(SETTINGS, models, 1), live_reranker(models), NOW))
    print(*readers.pids, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=False)
    assert ended.returncode == -signal.SIGKILL
    (pid,) = map(int, ended.stdout.split())
    wait_for_the_end([pid])


def is_running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")


@pytest.mark.parametrize(
    ("records", "cores", "expected"), [(0, 8, 1), (999, 8, 1), (2_500, 8, 2), (10**7, 2, 2), (10**9, 64, 16)]
)
def test_there_are_as_many_as_pay(records: int, cores: int, expected: int) -> None:
    assert processes_for(records, cores) == expected
