"""The demo from end to end: it catches what it planted, says so, and leaves nothing behind."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest
from rich.console import Console

from simulation.demo import run

pytest.importorskip("noida_db")
pytest.importorskip("chitchat_dataset")


def start(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    """The demo in a session of its own, with its temporary files under `tmp_path`."""
    return subprocess.Popen(
        [sys.executable, "-m", "streaming", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def left_behind(tmp_path: Path) -> list[str]:
    """Processes that name our temporary folder, and what is in it."""
    running = []
    for folder in Path("/proc").iterdir():
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(tmp_path) in command:
            running.append(command)
    return running + [str(path) for path in tmp_path.glob("swarmlight-demo-*")]


FOUND: Final = r"^campaign \w+: found as a campaign, [4-8] of 8 accounts"


def check(told: str, found: str = FOUND) -> None:
    """It announced who acts together while it played, and said at the end how they and the people fared."""
    assert re.search(r"^ +[\d.]+ s  (campaign|coordination) of \d+: ", told, flags=re.MULTILINE), told
    assert re.search(found, told, flags=re.MULTILINE), told
    assert re.search(r"^people flagged, which is wrong: \d+ of \d+$", told, flags=re.MULTILINE), told


@pytest.mark.slow
@pytest.mark.kafka
def test_the_demo_catches_a_campaign_and_tells_the_truth_about_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the encoder, which reads for most of a minute what the demo plays in seconds: groups show even so."""
    nothing_read = "second_stage_texts_per_s = 0\nmeaning_texts_per_s = 0\n"
    monkeypatch.setattr(run, "CONFIG", nothing_read + run.CONFIG)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    said = io.StringIO()
    assert run.Show(6, 0, wait=False, environ=os.environ, console=Console(file=said, width=200), feed=False).run() == 0
    check(said.getvalue(), rf"{FOUND}|^campaign \w+: found as coordination, not as machine-driven, [4-8] of 8 accounts")
    assert re.search(r"^planted accounts flagged: 2\d of 30 ", said.getvalue(), flags=re.MULTILINE), said.getvalue()
    assert left_behind(tmp_path) == []


@pytest.mark.slow
@pytest.mark.kafka
def test_the_command_does_all_that_with_the_second_stage(tmp_path: Path) -> None:
    demo = start(tmp_path, "--seconds", "6", "--no-wait")
    told, _ = demo.communicate(timeout=300)
    assert demo.returncode == 0, told
    check(told)
    # A link to a feed that has ended would open nothing.
    assert "/enter?token=" not in told
    assert "in a terminal, the console stays open on the campaign until Ctrl-C" in told


@pytest.mark.slow
@pytest.mark.kafka
def test_ctrl_c_ends_the_broker_and_the_worker_too(tmp_path: Path) -> None:
    demo = start(tmp_path, "--seconds", "600")
    deadline = time.monotonic() + 60
    while not any("noida-db" in each for each in left_behind(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1.0)
    demo.send_signal(signal.SIGINT)
    told, _ = demo.communicate(timeout=60)
    assert demo.returncode == 130, told
    assert left_behind(tmp_path) == []
