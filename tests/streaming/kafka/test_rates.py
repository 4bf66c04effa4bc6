"""`make bench-worker` in small, and how it counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming.loadtest import main as load_test
from tests.streaming.builders import event, write_lines
from tests.streaming.kafka import rates
from tests.streaming.kafka.brokers import kafka_home
from tests.streaming.kafka.rates import LATENESS_S, TICK_S, delays, lines, main

STEP = TICK_S * 1000


def test_a_record_is_cut_around_its_time(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"id":"1","account":"ann","at":"2026-01-01T00:00:00Z","kind":"post","text":"\\"at\\":"}\n')
    (line,) = lines(path)
    assert line == (b"ann", b'{"id":"1","account":"ann","at":"', b'","kind":"post","text":"\\"at\\":"}')


def test_a_delay_begins_when_a_tick_could_be_decided_and_ends_with_the_first_commit_that_holds_it() -> None:
    decided = {STEP: STEP / 1000 + LATENESS_S + 0.5, 3 * STEP: 3 * STEP / 1000 + LATENESS_S + 1.0}
    assert delays(decided, 1, 3 * STEP).tolist() == pytest.approx([0.5, TICK_S + 1.0, 1.0])
    assert delays(decided, 1, 9 * STEP).tolist() == pytest.approx([0.5, TICK_S + 1.0, 1.0])  # the rest is not decided
    assert delays({}, 1, 3 * STEP).tolist() == []


def test_without_a_broker_it_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KAFKA_HOME", raising=False)
    assert main(["--input", "events.jsonl"]) == 2
    assert "KAFKA_HOME" in capsys.readouterr().err


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.skipif(kafka_home() is None, reason="needs Apache Kafka: set KAFKA_HOME to its folder, and have Java 17")
def test_a_stream_at_a_rate_is_decided_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = write_lines(
        tmp_path / "events.jsonl",
        [
            event(f"u{number % 40}", at=1000 * number, text=f"what a day number {number} this is")
            for number in range(400)
        ],
    )
    assert load_test(["--input", str(recording), "--copies", "10", "--output", str(tmp_path / "copies.jsonl")]) == 0
    monkeypatch.setattr(rates, "WARM_S", 6.0)
    monkeypatch.setattr(rates, "PROMISED_S", 60.0)
    monkeypatch.setattr(rates, "FEW", 500)
    given = [
        "--input",
        str(recording),
        "--prepared",
        str(tmp_path / "copies.jsonl"),
        "--rate",
        "100",
        "--seconds",
        "30",
    ]
    assert main(given) == 0
    said = capsys.readouterr().out
    assert "sent 100 events a second for 30 s" in said or "sent 99 events a second for 30 s" in said
    assert "consume, decode and produce alone" in said
    assert "catching up" in said
