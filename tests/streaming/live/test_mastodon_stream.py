"""Mastodon's streaming API on a local server: cuts, what is read from the timeline after them, and what is refused."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from detector.errors import DeliveryError, UsageError
from streaming.live.base import PRESENT
from streaming.live.checkpoint import CheckpointFile
from streaming.live.listener import Listener, StreamCounts
from streaming.live.mastodon_stream import MastodonStream
from streaming.retry import Backoff
from tests.streaming.live.platforms import MastodonServer, MastodonSocketServer
from tests.streaming.live.test_listener import Kept, Watcher

Server = MastodonServer | MastodonSocketServer

KINDS: list[type[Server]] = [MastodonServer, MastodonSocketServer]


@pytest.fixture(params=KINDS, ids=["server-sent events", "websocket"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with request.param() as running:
        yield running


class Following:
    """A listener in a thread of its own. Use it as a context."""

    def __init__(self, server: Server, folder: Path, kept: Kept, source: MastodonStream | None = None) -> None:
        self.server, self.kept, self.watcher = server, kept, Watcher()
        self._file = CheckpointFile(folder / "cursor.json")
        self._source = source or MastodonStream(server.url)
        self._stop = threading.Event()
        self.error: BaseException | None = None
        self.tally = StreamCounts()

    def __enter__(self) -> Following:
        self._file.__enter__()
        backoff = Backoff(0.05, 0.1)
        self.listener = Listener(self._source, lambda _: self.kept, self._file, self.watcher, backoff=backoff)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def _run(self) -> None:
        try:
            self.tally = self.listener.run(self._stop.is_set)
        except BaseException as error:
            self.error = error

    def wait(self, done: Callable[[], bool], timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not done():
            assert time.monotonic() < deadline, f"{self.listener.tally}, {self.watcher.lines}, {self.error}"
            time.sleep(0.01)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(20)
        self._file.__exit__(None, None, None)


def seen(kept: Kept) -> list[int]:
    return [int(json.loads(line)["id"].rpartition("/")[2].partition("#")[0]) for line in kept.events]


def test_what_was_missed_between_two_connections_is_read_from_the_timeline(server: Server, tmp_path: Path) -> None:
    kept = Kept()
    with Following(server, tmp_path, kept) as following:
        following.wait(lambda: len(server.streams) == 1)
        for number in range(30):
            server.post(number)
        following.wait(lambda: len(kept.events) == 30)
        server.down = True
        server.cut()
        following.wait(lambda: len(server.streams) >= 2)
        for number in range(30, 130):  # three pages
            server.post(number)
        server.down = False
        following.wait(lambda: len(kept.events) == 130)
        server.post(130)
        following.wait(lambda: len(kept.events) == 131)
    assert seen(kept) == list(range(131))
    assert following.tally.cuts == 1
    assert following.tally.events + following.tally.repeated == following.tally.received
    assert "min_id=100000" in server.pages[0]
    assert any("edits and deletions" in line for line in following.watcher.lines)


def test_a_restarted_listener_reads_what_it_missed(server: Server, tmp_path: Path) -> None:
    kept = Kept()
    with Following(server, tmp_path, kept) as following:
        following.wait(lambda: len(server.streams) == 1)
        for number in range(5):
            server.post(number)
        following.wait(lambda: len(kept.events) == 5)
    for number in range(5, 60):
        server.post(number)
    with Following(server, tmp_path, kept) as following:
        following.wait(lambda: len(kept.events) == 60)
        server.post(60)
        following.wait(lambda: len(kept.events) == 61)
    assert seen(kept) == list(range(61))


def test_edits_and_deletions_come_through_and_rubbish_is_dead(server: Server, tmp_path: Path) -> None:
    kept = Kept()
    with Following(server, tmp_path, kept) as following:
        following.wait(lambda: len(server.streams) == 1)
        server.post(1)
        edited = json.loads(server.frames[0][1]) | {
            "content": "<p>Edited: the trains were late again.</p>",
            "edited_at": "2026-01-05T10:05:00Z",
        }
        server.send("status.update", json.dumps(edited))
        server.send("delete", "100001")
        server.send("delete", "999")
        server.send("update", "{")
        server.send("update", json.dumps({"id": "1", "content": "\udcff"})[:-3])
        server.send("announcement", "{}")
        server.post(2)
        following.wait(lambda: len(kept.events) == 4)
    kinds = [json.loads(line)["kind"] for line in kept.events]
    assert kinds == ["post", "post", "delete", "post"]
    assert following.tally.dead == 2
    assert sum(following.tally.skipped.values()) == 2
    assert following.tally.received == 8


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_is_shown_and_a_wrong_one_ends_the_listener(tmp_path: Path, kind: type[Server]) -> None:
    with kind(token="secret-token") as server:
        kept = Kept()
        with Following(server, tmp_path, kept, MastodonStream(server.url, token="secret-token")) as following:
            following.wait(lambda: len(server.streams) == 1)
            server.post(1)
            following.wait(lambda: len(kept.events) == 1)
        with Following(server, tmp_path, kept, MastodonStream(server.url, token="other")) as following:
            following.wait(lambda: following.error is not None)
    assert isinstance(following.error, DeliveryError)
    assert "status 401" in str(following.error)
    assert "other" not in str(following.error)


@pytest.mark.parametrize(
    ("stream", "path", "query"),
    [
        ("public:local", "/api/v1/streaming/public/local", "?stream=public%3Alocal"),
        (
            "hashtag:#Trains & more",
            "/api/v1/streaming/hashtag?tag=Trains+%26+more",
            "?stream=hashtag&tag=Trains+%26+more",
        ),
    ],
)
def test_other_streams_have_paths_or_queries_of_their_own(
    server: Server, tmp_path: Path, stream: str, path: str, query: str
) -> None:
    with Following(server, tmp_path, Kept(), MastodonStream(server.url, stream=stream)) as following:
        following.wait(lambda: len(server.streams) == 1)
    assert server.streams == [path if isinstance(server, MastodonServer) else f"/api/v1/streaming{query}"]


def test_ten_cuts_of_a_stream_lose_nothing_and_give_nothing_twice(server: Server, tmp_path: Path) -> None:
    kept = Kept()
    with Following(server, tmp_path, kept) as following:
        following.wait(lambda: len(server.streams) == 1)
        server.post(0)
        following.wait(lambda: len(kept.events) == 1)
        for cut in range(10):
            for number in range(20):
                server.post(1 + 20 * cut + number)
                if number == 10:
                    server.cut()
            following.wait(lambda before=cut: len(server.streams) >= before + 2)  # type: ignore[misc]
        server.post(201)
        following.wait(lambda: len(kept.events) == 202)
    assert sorted(seen(kept)) == list(range(202))
    assert following.tally.cuts == 10


@pytest.mark.parametrize("stream", ["", "user", "hashtag:", "hashtag:#"])
def test_a_stream_that_there_is_not_is_refused(stream: str) -> None:
    with pytest.raises(UsageError, match="public:local"):
        MastodonStream("https://m.example", stream=stream)


@pytest.mark.parametrize("url", ["m.example", "https://m.example/api", "https://user:pw@m.example", "ftp://m.example"])
def test_a_server_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="--host"):
        MastodonStream(url)


def test_a_server_on_the_internet_is_spoken_to_encrypted_only() -> None:
    source = MastodonStream("http://m.example", token="secret-token", lookup=lambda *_: ["8.8.8.8"])
    with pytest.raises(DeliveryError, match="encrypted"), source.connect(PRESENT) as records:
        next(records)
