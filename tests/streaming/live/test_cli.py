"""The command `swarmlight listen`: into a file and into the stages, ended by a signal, gone on with afterwards."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from streaming.cli import main
from streaming.config import load_config
from streaming.live.cli import RateLine
from streaming.live.listener import StreamCounts
from streaming.live.stages import ALERTS, SCORES
from streaming.playback import configured_models
from tests.streaming.live.platforms import JetstreamServer


def ended_when(done: Callable[[], bool], number: signal.Signals = signal.SIGTERM) -> threading.Thread:
    """A thread that sends this process a signal once something is so."""

    def watch() -> None:
        deadline = time.monotonic() + 100
        while not done() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def _reached(cursor: Path, position: int) -> bool:
    """Whether everything up to a position is safe."""
    return cursor.exists() and json.loads(cursor.read_text())["newest"] >= position


def listen(server: JetstreamServer, *words: str) -> int:
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(server.time_us(0) / 1e6 - 1))
    return main(["listen", "bluesky", "--host", server.url, "--since", since, *words])


@pytest.mark.usefixtures("clean_environ")
def test_a_signal_ends_it_in_order_and_the_last_line_accounts_for_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with JetstreamServer(200, rubbish_every=50) as server:
        thread = ended_when(lambda: _reached(tmp_path / "out.jsonl.gz.cursor.json", server.time_us(199)), signal.SIGINT)
        assert listen(server, "--to", "out.jsonl.gz", "--dead-letters", "dead.jsonl") == 0
        thread.join()
    lines_said = capsys.readouterr().err.splitlines()
    (said,) = [line for line in lines_said if line.startswith("received 204: ")]
    assert said.startswith("received 204: 200 events, 0 skipped, 4 dead, 0 repeated; events in out.jsonl.gz")
    assert "out.jsonl.gz.cursor.json" in said
    with gzip.open(tmp_path / "out.jsonl.gz") as lines:
        assert len(lines.read().splitlines()) == 200
    assert len((tmp_path / "dead.jsonl").read_bytes().splitlines()) == 4
    main(["run", "out.jsonl.gz", "--summary", "summary.json", "--without", "text", "graph"])
    assert json.loads((tmp_path / "summary.json").read_text())["accepted"] == 200


@pytest.mark.usefixtures("clean_environ")
def test_the_stages_here_go_on_with_what_they_knew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (
        ("STATE__SNAPSHOT_EVERY_S", "1"),
        ("MEANING_TEXTS_PER_S", "0"),
        ("SECOND_STAGE_TEXTS_PER_S", "0"),
    ):
        monkeypatch.setenv(f"SWARMLIGHT_{name}", value)
    models = configured_models(load_config(None, {}))
    monkeypatch.setattr("streaming.live.stages.configured_models", lambda config: models)
    folder = tmp_path / "live"
    with JetstreamServer(600, step_us=1_000_000) as server:
        for connections in (1, 2):

            def done(wanted: int = connections) -> bool:
                return len(server.connections) >= wanted and _reached(folder / "cursor.json", server.time_us(599))

            thread = ended_when(done)
            assert listen(server, "--to", "stages", "--folder", str(folder)) == 0
            thread.join()
    first, second = (line for line in capsys.readouterr().err.splitlines() if line.startswith("received"))
    assert "received 600: 600 events" in first
    known = re.search(r"(\d+) accounts, 0 flagged", first)
    assert known is not None
    assert 470 <= int(known[1]) < 600  # the others are younger than the allowed lateness and a tick, and wait
    assert " 0 events, 0 skipped, 0 dead" in second
    assert known[0] in second
    assert len((folder / SCORES).read_bytes().splitlines()) == int(known[1])
    assert (folder / ALERTS).read_bytes() == b""
    assert len(list(folder.glob("state-*.snapshot"))) <= 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "say where events go"),
        (["--to", "kafka", "--console"], "leave --to out"),
        (["--to", "out.jsonl", "--sink", "jsonl:x"], "of --to stages"),
        (["--to", "kafka", "--dead-letters", "x"], "topic dead-letters"),
        (["--to", "out.jsonl", "--seconds", "0"], "above 0"),
        (["--to", "out.jsonl", "--since", "soon"], "no time"),
        (["--to", "out.jsonl", "--host", "https://x"], "wss://HOST"),
        (["--to", "none/out.jsonl", "--cursor", "c.json"], "cannot be written"),
    ],
)
@pytest.mark.usefixtures("clean_environ")
def test_options_that_cannot_work_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["listen", "bluesky", "--host", "ws://127.0.0.1:9/subscribe", *words]) == 2
    assert said in capsys.readouterr().err


class Terminal(io.StringIO):
    """A terminal, or not."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def test_the_rate_is_shown_on_a_terminal_and_now_and_then_in_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    shown: dict[bool, str] = {}
    for terminal in (True, False):
        now[0] = 0.0
        stream = Terminal(terminal)
        line = RateLine(stream)
        for second in range(1, 62):
            now[0] = float(second)
            line.advanced(StreamCounts(received=second * 500), time.time_ns() // 1000, 1 << 20)
        line.said("cut \x1b[31m")
        shown[terminal] = stream.getvalue()
    assert shown[True].count(" 500/s ") == 61
    assert shown[False].count(" 500/s ") == 1
    assert "30,000 received" in shown[False]
    assert "1.0 MiB waiting" in shown[False]
    assert "\x1b[31m" not in shown[True]


@pytest.mark.slow
@pytest.mark.usefixtures("clean_environ")
def test_the_console_runs_beside_the_stages_and_ends_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("SWARMLIGHT_FEED__PORT", str(port))
    monkeypatch.chdir(tmp_path)

    def healthy() -> bool:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
        return False

    with JetstreamServer(100) as server:
        thread = ended_when(lambda: server.sent >= 100 and healthy())
        assert listen(server, "--console") == 0
        thread.join()
    assert not healthy()
    assert (tmp_path / "swarmlight-live" / "console.db").is_file()
