"""The sink `jsonl`, and how sinks are opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.errors import UsageError
from streaming.config import load_config
from streaming.pipeline import run_recording
from streaming.sinks import base
from streaming.sinks.base import open_sink
from tests.streaming.assess import societies
from tests.streaming.builders import write_lines

CONFIG = load_config(None, {})


def test_a_line_is_written_for_every_revision(tmp_path: Path) -> None:
    sink = open_sink(f"jsonl:{tmp_path / 'a.jsonl'}", CONFIG)
    sink.write("a", b'{"id":"a"}')
    sink.write("a", b'{"id":"a","revision":2}')
    sink.close()
    assert (tmp_path / "a.jsonl").read_bytes() == b'{"id":"a"}\n{"id":"a","revision":2}\n'


def test_standard_output_stays_open(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    sink = open_sink("jsonl:-", CONFIG)
    sink.write("a", b"{}")
    sink.close()
    print("more", flush=True)
    assert capfdbinary.readouterr().out == b"{}\nmore\n"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("jsonl", "name a file"),
        ("jsonl:", "name a file"),
        ("jsonl:{here}/no/x", "cannot be written"),
        ("x:y", "no sink"),
    ],
)
def test_a_target_that_cannot_be_used_is_refused(spec: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        open_sink(spec.format(here=tmp_path), CONFIG)


def test_what_opens_no_sink_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "load", lambda group, name: 7)
    with pytest.raises(UsageError, match="no function that opens a sink"):
        open_sink("x:y", CONFIG)


def test_every_sink_gets_every_revision_and_is_closed_when_a_run_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    class Broken:
        def write(self, alert_id: str, body: bytes) -> None:
            said.append("write")
            raise UsageError("full")

        def close(self) -> None:
            said.append("close")

    source = write_lines(tmp_path / "in.jsonl", societies.campaign(0, people=30, hours=10, rounds=40))
    files = [tmp_path / name for name in ("a", "b", "c")]
    unread = load_config(None, {"SWARMLIGHT_SECOND_STAGE_TEXTS_PER_S": "0", "SWARMLIGHT_MEANING_TEXTS_PER_S": "0"})
    result = run_recording([source], config=unread, alerts=files[0], sinks=[f"jsonl:{path}" for path in files[1:]])
    assert result.alerts
    assert {path.read_bytes() for path in files} == {b"".join(alert.body + b"\n" for alert in result.alerts)}
    monkeypatch.setattr(base, "load", lambda group, name: lambda target, config: Broken())
    with pytest.raises(UsageError, match="full"):
        run_recording([source], config=unread, sinks=["broken"])
    assert said == ["write", "close"]
