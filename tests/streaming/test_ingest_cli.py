"""`swarmlight ingest`: recordings of any format become post events, and every record is accounted for."""

from __future__ import annotations

import gzip
import json
import signal
from pathlib import Path

import pytest

from detector.errors import UnusableError, UsageError
from streaming.cli import invoke, main
from streaming.ingest_cli import ingest
from streaming.schema.event import Event
from streaming.score import event_of
from streaming.sources.base import SourceRecord
from tests.streaming.builders import T0, event, lines
from tests.streaming.sources import test_bluesky as bluesky


def recording(folder: Path) -> Path:
    items = [bluesky.jetstream(bluesky.post(text=f"number {i}"), key=f"k{i}") for i in (1, 2, 3)]
    for i, item in enumerate(items):
        item["time_us"] = (T0 + 1000 * (3 - i)) * 1000
    others = [bluesky.jetstream({"x": 1}, collection="app.bsky.graph.block")] * 2
    path = folder / "jetstream.jsonl"
    path.write_bytes(lines([*items, *others, b'{"did": "did:plc:x"']))
    return path


def test_a_recording_is_converted_by_time_and_accounted_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, dead = tmp_path / "events.jsonl.gz", tmp_path / "dead.jsonl"
    assert invoke(["ingest", str(recording(tmp_path)), str(out), "--dead-letters", str(dead)]) == 0
    events = [json.loads(line) for line in gzip.decompress(out.read_bytes()).splitlines()]
    assert [item["text"] for item in events] == ["number 3", "number 2", "number 1"]
    (letter,) = [json.loads(line) for line in dead.read_text().splitlines()]
    assert letter["source"].endswith("jetstream.jsonl:6")
    assert capsys.readouterr().err == (
        f"read 6: 3 events, 2 skipped (2 a block), 1 dead (1 times (record): is not JSON); events in {out}\n"
    )


def test_what_was_converted_reads_as_post_events(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    ingest([recording(tmp_path)], first, format_name="bluesky")
    told = ingest([first], second)
    assert first.read_bytes() == second.read_bytes()
    assert (told.events, told.skipped, told.dead.letters) == (3, {}, 0)


def test_an_array_of_events_over_many_lines_becomes_lines(tmp_path: Path) -> None:
    path = tmp_path / "array.json"
    path.write_text(json.dumps([event(at=1), event(at=0)], indent=1))
    ingest([path], tmp_path / "out.jsonl")
    assert [json.loads(line)["at"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == [T0, T0 + 1]


def test_too_little_is_an_error_and_earlier_results_stay(tmp_path: Path) -> None:
    path, out = tmp_path / "bad.jsonl", tmp_path / "out.jsonl"
    path.write_bytes(lines([bluesky.jetstream(bluesky.post()), b"x", b"y"]))
    out.write_text("before")
    with pytest.raises(UnusableError, match=r"1 of 3 records are usable: 2 times \(record\): is not JSON"):
        ingest([path], out, format_name="bluesky")
    assert out.read_text() == "before"
    assert len((tmp_path / "out.jsonl.partial").read_bytes().splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_what_was_converted_under_another_name(
    number: signal.Signals, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.write_text("earlier")
    seen: list[SourceRecord] = []

    def stopping(record: SourceRecord, now_ms: int) -> Event:
        seen.append(record)
        if len(seen) == 4:
            signal.raise_signal(number)
        return event_of(record, now_ms)

    monkeypatch.setattr("streaming.ingest_cli.event_of", stopping)
    assert main(["ingest", str(recording(tmp_path)), str(out)]) == 128 + number
    assert f"stopped by {number.name} after 2 events; " in capsys.readouterr().err
    assert out.read_text() == "earlier"
    assert (tmp_path / "out.partial").read_text().count("\n") == 2


def test_recordings_of_nothing_but_what_is_skipped_are_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "blocks", tmp_path / "out"
    source.write_bytes(lines([bluesky.jetstream({"x": 1}, collection="app.bsky.graph.block")]))
    out.write_text("earlier")
    for command in (["ingest", str(source), str(out)], ["run", "--format", "auto", str(source), "--scores", str(out)]):
        assert main(command) == 3
        assert "none of 1 records is a post event: 1 a block" in capsys.readouterr().err
        assert out.read_text() == "earlier"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["only.jsonl"], "name what to read and what to write"), (["a.jsonl", "a.jsonl"], "both read and written")],
)
def test_arguments_that_cannot_be_meant(arguments: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        invoke(["ingest", *arguments])


def test_another_format_is_named_where_the_one_that_was_asked_for_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="looks like the format bluesky: read it with --format bluesky"):
        ingest([recording(tmp_path)], tmp_path / "out.jsonl", format_name="reddit")
