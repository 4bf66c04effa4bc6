"""Mastodon's streaming API, as server-sent events or over a WebSocket, with what a cut missed from the timeline.

The stream has no cursor. After a cut it is connected again first, and then the statuses since the last ones are read
from the timeline (`min_id`, the oldest first), so that nothing lies between; the stream waits meanwhile. Edits and
deletions in between are in no timeline: they are lost, and it is said so.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from urllib3.exceptions import HTTPError

from detector.errors import DeliveryError, UsageError
from streaming.live.base import MICROSECONDS, LiveRecord, Lost, StreamPosition
from streaming.live.websocket import WebSocket
from streaming.logs import shown
from streaming.outgoing import Endpoint, Lookup, checked_url, look_up
from streaming.sources.base import FileRecord
from streaming.sources.mastodon import FORMAT, server_sent

OVERLAP_US: Final = 60 * MICROSECONDS
"""A status that comes from another server has the number of when it was written there, which may be a while before."""

SILENCE_S: Final = 60.0
"""Longest silence of the stream: a server writes a comment every 15 s to show that it is there."""

PAGE: Final = 40
"""Statuses of a timeline read at once: the most that Mastodon gives."""

PAGE_BYTES: Final = 8 << 20
"""Longest page: forty statuses with everything in them have a few hundred kB."""

PAGES: Final = 250
"""Read at most after a cut: a server allows 300 requests in five minutes."""

CHUNK: Final = 1 << 16


class _Frame(msgspec.Struct):
    event: str = ""
    payload: str = ""


class _Status(msgspec.Struct):
    id: str = ""


_frame: Final = msgspec.json.Decoder(_Frame)
_status: Final = msgspec.json.Decoder(_Status)
_page: Final = msgspec.json.Decoder(list[msgspec.Raw])


class MastodonStream:
    """A source of Mastodon's public statuses.

    Args:
        url: of the server: https for server-sent events, wss for a WebSocket.
        stream: `public`, `public:local` or `hashtag:TAG`.
        token: of an application that may read, which most servers ask for; None for none.
        lookup: gives the addresses of a host.
        clock: seconds, monotonic.
        silence_s: longest silence of the stream.

    Raises:
        UsageError: URL or stream cannot be used.
    """

    name = "mastodon"
    overlap_us = OVERLAP_US

    def __init__(
        self,
        url: str,
        *,
        stream: str = "public",
        token: str | None = None,
        lookup: Lookup = look_up,
        clock: Callable[[], float] = time.monotonic,
        silence_s: float = SILENCE_S,
    ) -> None:
        parts = checked_url(url.rstrip("/"), "--host", ("https", "wss", "http", "ws"))
        if parts.path or parts.query:
            raise UsageError("--host: give the server alone, as in https://mastodon.example")
        path, timeline, query = _paths(stream)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._headers = headers
        self._timeline = timeline
        self._path = path + (f"?{urlencode(query)}" if query and not path.endswith("/streaming") else "")
        secure = parts.scheme in ("https", "wss")
        self._socket: WebSocket | None = None
        if parts.scheme in ("wss", "ws"):
            self._socket = WebSocket(
                f"{parts.scheme}://{parts.netloc}/api/v1/streaming", "--host", headers, lookup=lookup
            )
            self._query = "?" + urlencode({"stream": stream.partition(":")[0] if query else stream, **query})
        self._base = f"{'https' if secure else 'http'}://{parts.netloc}/"
        self._endpoint = Endpoint(self._base, "--host", internal=True, lookup=lookup)
        self._events_endpoint = Endpoint(self._base, "--host", internal=True, lookup=lookup, answer_s=silence_s)
        self._clock = clock
        self._position, self._looked_at = time.time_ns() // 1000, 0.0
        self._stopped = threading.Event()
        self._answer: Any = None
        self.host = str(parts.hostname)
        self.identity = f"{self.name} {parts.netloc} {stream}"

    def interrupt(self) -> None:
        """Have the connection end; called from another thread."""
        self._stopped.set()
        if self._socket is not None:
            self._socket.interrupt()
        if self._answer is not None:
            with suppress(OSError, ValueError):
                self._answer.shutdown()

    def converting(self) -> Callable[[bytes], FileRecord]:
        """Makes post events of statuses; remembers them, for their deletions."""
        return FORMAT.converting()

    @contextmanager
    def connect(self, place: StreamPosition) -> Iterator[Iterator[LiveRecord | Lost]]:
        """Connect, and give what the timeline has since a place, then what the stream has.

        Raises:
            DeliveryError: no connection, or it broke; while iterating as well.
        """
        self._stopped.clear()
        self._position = max(self._position, place.position)
        if self._socket is not None:
            with self._socket.messages(self._query) as messages:
                yield self._records(place, (each.encode() if isinstance(each, str) else each for each in messages))
            return
        self._answer = answer = self._events_endpoint.open(
            "GET", None, {**self._headers, "Accept": "text/event-stream"}, path=self._path
        )
        try:
            yield self._records(place, self._sent(answer))
        finally:
            self._answer = None
            answer.close()
            self._events_endpoint.close()

    def _records(self, place: StreamPosition, frames: Iterator[bytes]) -> Iterator[LiveRecord | Lost]:
        if place.token:
            yield from self._missed(place.token)
        self._looked_at = self._clock()
        for frame in frames:
            yield LiveRecord(frame, self._connected_us(), _token(frame))

    def _connected_us(self) -> int:
        """A clock that stands while nothing is connected, and while the timeline is read: what was to be remembered
        when a connection broke is remembered when it is taken up again, however long that takes."""
        now = self._clock()
        self._position += round((now - self._looked_at) * MICROSECONDS)
        self._looked_at = now
        return self._position

    def _sent(self, answer: Any) -> Iterator[bytes]:
        """The frames of server-sent events, as a WebSocket has them."""
        try:
            for found in server_sent(iter(lambda: answer.read1(CHUNK), b"")):
                if self._stopped.is_set():
                    return
                yield json.dumps(found.record).encode() if found.record is not None else found.raw
        except (HTTPError, OSError, ValueError, AttributeError) as error:
            if self._stopped.is_set():
                return
            raise self._events_endpoint.unanswered(error) from None
        if not self._stopped.is_set():
            raise DeliveryError(f"--host: {shown(self.host)} ended the stream")

    def _missed(self, token: str) -> Iterator[LiveRecord | Lost]:
        """Statuses of the timeline since one of them, the oldest first."""
        yield Lost("edits and deletions while the stream was cut are in no timeline and not to be had")
        path, _, fixed = self._timeline.partition("?")
        for _ in range(PAGES):
            query = f"{fixed}&" if fixed else ""
            wanted = f"{path}?{query}limit={PAGE}&min_id={quote(token, safe='')}"
            answer = self._endpoint.request("GET", None, self._headers, path=wanted, limit=PAGE_BYTES)
            try:
                page = _page.decode(answer.body)
            except (msgspec.MsgspecError, ValueError):
                raise DeliveryError(f"--host: {shown(self.host)} gave a timeline that is no list of statuses") from None
            last = token
            for raw in reversed(page):
                status = bytes(raw)
                frame = json.dumps({"event": "update", "payload": status.decode("utf-8", "surrogateescape")}).encode()
                last = _id(status) or last
                yield LiveRecord(frame, self._position, last)
                if self._stopped.is_set():
                    return
            if last == token:
                return
            token = last
        yield Lost(f"more than {PAGES * PAGE:,} statuses came while the stream was cut: the rest of them is not read")


def _paths(stream: str) -> tuple[str, str, dict[str, str]]:
    """Of a stream: the path of its server-sent events, its timeline, and what is asked for besides.

    Raises:
        UsageError: there is no such stream.
    """
    if stream == "public":
        return "/api/v1/streaming/public", "/api/v1/timelines/public", {}
    if stream == "public:local":
        return "/api/v1/streaming/public/local", "/api/v1/timelines/public?local=true", {}
    kind, _, tag = stream.partition(":")
    if kind == "hashtag" and tag.strip("#"):
        tag = tag.strip("#")
        return "/api/v1/streaming/hashtag", f"/api/v1/timelines/tag/{quote(tag, safe='')}", {"tag": tag}
    raise UsageError(f"--stream {stream!a}: give public, public:local or hashtag:TAG")


def _token(frame: bytes) -> str:
    """The number of the status in a frame that brings a new one; "" of any other."""
    try:
        found = _frame.decode(frame)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ""
    return _id(found.payload.encode("utf-8", "surrogatepass")) if found.event == "update" else ""


def _id(status: bytes) -> str:
    try:
        return _status.decode(status).id[:100]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ""
