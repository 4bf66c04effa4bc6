"""`swarmlight listen` against a local Jetstream: nothing lost, nothing twice, and every record accounted for."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from detector.errors import BrokerError, DeliveryError, UsageError
from streaming.live.base import StreamPosition
from streaming.live.checkpoint import CheckpointFile
from streaming.live.destinations import Destination, ListenedEvent, RecordingFile
from streaming.live.jetstream import Jetstream
from streaming.live.listener import Listener, StreamCounts, summary
from streaming.retry import Backoff
from streaming.schema.dead_letter import DeadLetter
from tests.streaming.live.platforms import JetstreamServer, post


class Watcher:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.waiting = 0

    def said(self, text: str) -> None:
        self.lines.append(text)

    def advanced(self, tally: StreamCounts, newest_us: int, waiting: int) -> None:
        self.waiting = max(self.waiting, waiting)


class Kept:
    """A destination that keeps events, and fails when it is told to."""

    commit_s = 0.05
    place = "here"

    def __init__(self, write_s: float = 0.0) -> None:
        self.events: list[bytes] = []
        self.letters: list[DeadLetter] = []
        self.safe = 0
        self.fail: list[BrokerError] = []
        self._write_s = write_s

    def write(self, events: list[ListenedEvent], letters: list[DeadLetter]) -> None:
        time.sleep(self._write_s)
        if self.fail:
            raise self.fail.pop()
        self.events += [event.value for event in events]
        self.letters += letters

    def commit(self) -> dict[str, int]:
        self.safe = len(self.events)
        return {}

    def rewind(self) -> None:
        del self.events[self.safe :]

    def close(self) -> None:
        """Nothing to let go of."""


def follow(
    server: JetstreamServer,
    folder: Path,
    to: Callable[[dict[str, int]], Destination],
    *,
    until: Callable[[StreamCounts], bool],
    source: Jetstream | None = None,
    timeout_s: float = 60.0,
    **more: Any,
) -> tuple[Listener, StreamCounts, Watcher]:
    """Listen until the tally says so."""
    watcher, deadline = Watcher(), time.monotonic() + timeout_s
    with CheckpointFile(folder / "cursor.json") as file:
        listener = Listener(
            source or Jetstream(server.url),
            to,
            file,
            watcher,
            begin=StreamPosition(server.time_us(0)),
            backoff=Backoff(0.02, 0.1),
            **more,
        )
        tally = listener.run(lambda: until(listener.tally) or time.monotonic() > deadline)
    assert time.monotonic() < deadline, f"{tally}, {watcher.lines}"
    return listener, tally, watcher


def numbers(lines: list[bytes]) -> list[int]:
    """Of the events, as their ids say."""
    return [int(json.loads(line)["id"].rpartition("/k")[2]) for line in lines]


def test_ten_cuts_in_the_middle_of_messages_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    """The short form of `make listen-soak`: 1,000 a second for two seconds, into a file."""
    out = tmp_path / "out.jsonl.gz"
    with JetstreamServer(2_000, rate=1000, cuts=tuple(range(150, 1_800, 160))[:10], rubbish_every=50) as server:
        _, tally, _ = follow(
            server, tmp_path, lambda kept: RecordingFile(out, tmp_path / "dead.jsonl", kept),
            until=lambda tally: tally.events >= 2_000,
        )  # fmt: skip
        assert server.cuts_left == 0
    with gzip.open(out) as lines:
        assert numbers(lines.read().splitlines()) == list(range(2_000))
    assert tally.cuts == 10
    assert tally.received == tally.events + tally.dead + tally.repeated
    assert tally.repeated > 0
    dead = (tmp_path / "dead.jsonl").read_bytes().splitlines()
    assert len(dead) == tally.dead == 2_000 // 50


def test_a_cursor_asks_for_a_little_before_the_end_and_for_what_the_options_say(tmp_path: Path) -> None:
    with JetstreamServer(60, cuts=(40,)) as server:
        source = Jetstream(server.url, collections=["app.bsky.feed.post"], dids=["did:plc:a", "did:plc:b"])
        kept = Kept()
        follow(server, tmp_path, lambda _: kept, until=lambda tally: tally.events >= 60, source=source)
        first, second = server.connections
    assert first["cursor"] == [str(server.time_us(0))]
    assert int(second["cursor"][0]) == server.time_us(39) - 5_000_000
    assert second["wantedCollections"] == ["app.bsky.feed.post"]
    assert second["wantedDids"] == ["did:plc:a", "did:plc:b"]
    assert server.headers[0]["user-agent"].startswith("swarmlight/")


def test_a_listener_that_was_ended_goes_on_where_it_was_and_one_that_was_killed_where_all_was_safe(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out.jsonl.gz"

    def to(kept: dict[str, int]) -> RecordingFile:
        return RecordingFile(out, None, kept)

    with JetstreamServer(3_000, step_us=50_000) as server:
        follow(server, tmp_path, to, until=lambda tally: tally.events >= 300, backlog_bytes=30_000)
        committed = out.stat().st_size
        with out.open("ab") as file:  # as a crash leaves it: begun after the last commit, and never finished
            file.write(gzip.compress(b'{"id":"torn')[:15])
        assert out.stat().st_size > committed
        _, tally, _ = follow(server, tmp_path, to, until=lambda tally: tally.events >= 300, backlog_bytes=30_000)
        assert 0 < tally.repeated <= 200
        with gzip.open(out) as lines:
            left = 3_000 - len(lines.read().splitlines())
        assert left > 0
        follow(server, tmp_path, to, until=lambda tally: tally.events >= left)
        assert json.loads(text(tmp_path))["newest"] == server.time_us(2_999)
    with gzip.open(out) as lines:
        assert numbers(lines.read().splitlines()) == list(range(3_000))


def text(folder: Path) -> str:
    return (folder / "cursor.json").read_text()


def test_a_slow_destination_stops_the_reading_and_loses_nothing(tmp_path: Path) -> None:
    """A flood: the server may send as fast as it can, and has to wait for us."""

    def make(number: int, time_us: int) -> dict[str, Any]:
        event = post(number, time_us)
        event["commit"]["record"]["text"] = "word " * 6_000
        return event

    kept = Kept(write_s=0.01)
    with JetstreamServer(600, make=make) as server:
        lag: list[int] = []

        def done(tally: StreamCounts) -> bool:
            lag.append(server.sent - tally.received)
            return tally.events >= 600

        listener, tally, watcher = follow(server, tmp_path, lambda _: kept, backlog_bytes=1_000_000, until=done)
    assert numbers(kept.events) == list(range(600))
    assert listener._backlog.highest <= 1_000_000
    assert watcher.waiting > 500_000
    assert max(lag) < 550  # some of 18 MB wait in buffers of the system, the rest was not sent
    assert tally.cuts == 0


def test_a_destination_that_fails_has_the_stream_taken_up_again_at_the_last_commit(tmp_path: Path) -> None:
    kept = Kept()
    kept.fail = [BrokerError("away"), BrokerError("away")]
    with JetstreamServer(1_000) as server:
        _, tally, watcher = follow(server, tmp_path, lambda _: kept, until=lambda tally: tally.events >= 1_000)
    assert numbers(kept.events) == list(range(1_000))
    assert tally.rewinds == 2
    assert tally.received == 1_000 + tally.repeated
    assert any("taken up again" in line for line in watcher.lines)


def test_compressed_messages_are_read_with_the_dictionary_and_damaged_ones_are_dead(tmp_path: Path) -> None:
    samples: list[bytes | bytearray | memoryview[int]] = [
        json.dumps(post(number, 10**15 + number)).encode() for number in range(2_000)
    ]
    dictionary = zstandard.train_dictionary(4096, samples).as_bytes()
    path = tmp_path / "dictionary"
    path.write_bytes(dictionary)
    kept = Kept()
    with JetstreamServer(500, dictionary=dictionary, rubbish_every=100) as server:
        source = Jetstream(server.url, dictionary=path)
        _, tally, _ = follow(server, tmp_path, lambda _: kept, until=lambda tally: tally.events >= 500, source=source)
        assert server.connections[0]["compress"] == ["true"]
    assert "sec-websocket-extensions" not in server.headers[0]
    assert numbers(kept.events) == list(range(500))
    assert tally.dead == 5


@pytest.mark.parametrize("content", [b"", b"no dictionary", b"x" * (5 << 20)])
def test_a_file_that_is_no_dictionary_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "dictionary"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="dictionary"):
        Jetstream("ws://127.0.0.1:1/subscribe", dictionary=path)


def test_a_record_that_says_of_itself_that_it_is_huge_takes_no_memory(tmp_path: Path) -> None:
    """The header of a zstd frame may claim any size; it is not believed."""
    dictionary = zstandard.train_dictionary(1024, [json.dumps(post(n, n)).encode() for n in range(500)]).as_bytes()
    (tmp_path / "dictionary").write_bytes(dictionary)
    source = Jetstream("ws://127.0.0.1:1/subscribe", dictionary=tmp_path / "dictionary")
    claimed = b"\x28\xb5\x2f\xfd\xe0" + (1 << 40).to_bytes(8, "little") + b"\x01\x00\x00"
    assert source._plain(claimed) == claimed


def test_a_message_longer_than_any_record_is_passed_over_and_said_so(tmp_path: Path) -> None:
    """Asking for it again would bring it again, for ever."""

    def make(number: int, time_us: int) -> dict[str, Any]:
        event = post(number, time_us)
        if number == 30:
            event["commit"]["record"]["text"] = "x" * 200_000
        return event

    kept = Kept()
    with JetstreamServer(200, make=make) as server:
        source = Jetstream(server.url, frame_bytes=100_000)
        _, tally, watcher = follow(
            server, tmp_path, lambda _: kept, source=source, until=lambda tally: 199 in numbers(kept.events[-1:])
        )
    found = numbers(kept.events)
    missing = sorted(set(range(200)) - set(found))
    assert len(found) == len(set(found))
    assert 30 in missing
    assert missing == list(range(30, 30 + len(missing)))
    assert tally.lost
    assert any("not to be had" in line for line in watcher.lines)


def test_rubbish_alone_is_dead_and_moves_nothing(tmp_path: Path) -> None:
    def make(number: int, time_us: int) -> dict[str, Any]:
        """From far ahead: to believe it would move the cursor beyond everything that is still to come."""
        return post(number, time_us + (10**15 if number % 2 else 0))

    kept = Kept()
    with JetstreamServer(100, make=make) as server:
        follow(server, tmp_path, lambda _: kept, until=lambda tally: tally.received >= 100)
        assert json.loads(text(tmp_path))["newest"] == server.time_us(98)
    assert numbers(kept.events) == list(range(0, 100, 2))
    assert {letter.reason for letter in kept.letters}


def test_a_refusal_that_lasts_ends_a_listener_that_never_was_connected(tmp_path: Path) -> None:
    with JetstreamServer(10) as server:
        server.refusals = [403]
        with pytest.raises(DeliveryError, match="status 403"):
            follow(server, tmp_path, lambda _: Kept(), until=lambda _: False)
        assert len(server.headers) == 1


def test_a_server_that_is_away_is_tried_again(tmp_path: Path) -> None:
    kept = Kept()
    with JetstreamServer(100) as server:
        server.refusals = [503, 500, 429]
        _, tally, watcher = follow(server, tmp_path, lambda _: kept, until=lambda tally: tally.events >= 100)
    assert tally.cuts == 0
    assert len(watcher.lines) == 3
    assert "status 503" in watcher.lines[0]
    assert "again in" in watcher.lines[0]


def test_an_old_cursor_is_said_to_have_lost_what_the_stream_no_longer_has(tmp_path: Path) -> None:
    kept = Kept()
    with JetstreamServer(10) as server:
        source = Jetstream(server.url, now_us=lambda: server.time_us(0) + 40 * 3600 * 10**6)
        watcher = Watcher()
        with CheckpointFile(tmp_path / "cursor.json") as file:
            begin = StreamPosition(server.time_us(0) - 10**6)
            listener = Listener(source, lambda _: kept, file, watcher, begin=begin)
            listener.run(lambda: listener.tally.events >= 10)
    assert any("36 hours" in line for line in watcher.lines)


def test_two_listeners_do_not_go_on_from_one_place_and_none_from_another_stream_s(tmp_path: Path) -> None:
    path = tmp_path / "cursor.json"
    with JetstreamServer(10) as server:
        follow(server, tmp_path, lambda _: Kept(), until=lambda tally: tally.events >= 10)
        with CheckpointFile(path), pytest.raises(UsageError, match="in use"), CheckpointFile(path):
            pass
        with CheckpointFile(path) as file, pytest.raises(UsageError, match="another stream"):
            Listener(Jetstream(server.url, dids=["did:plc:a"]), lambda _: Kept(), file, Watcher())
    path.write_text("{}")
    with CheckpointFile(path) as file, pytest.raises(UsageError):
        file.load("any")


def test_a_file_that_is_there_is_neither_replaced_nor_appended_to(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("mine\n")
    with pytest.raises(UsageError, match="there already"):
        RecordingFile(out, None, {})
    assert out.read_text() == "mine\n"
    with pytest.raises(UsageError, match="shorter"):
        RecordingFile(out, None, {"events": 100})


def test_the_last_line_accounts_for_every_record() -> None:
    tally = StreamCounts(received=1_010, events=900, dead=10, repeated=40, cuts=3, lost=["an hour", "an hour"])
    tally.skipped["a block"] = 60
    said = summary(tally, "out\x1b.jsonl", "cursor.json")
    assert said.startswith("received 1,010: 900 events, 60 skipped (60 a block), 10 dead, 40 repeated after 3 cuts")
    assert said.count("an hour") == 1
    assert "\x1b" not in said
