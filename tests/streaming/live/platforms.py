"""Public platforms on loopback: servers that speak their protocols, replay, cut connections, flood and send rubbish.

`JetstreamServer` has a stream of which every event follows from its number, so that any length of it needs no memory
and a cursor finds its place by arithmetic. `MastodonServer` has a list of statuses.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import zstandard
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

POST = "app.bsky.feed.post"


def post(number: int, time_us: int) -> dict[str, Any]:
    """Event `number` of a stream: a post of one of a thousand accounts."""
    return {
        "did": f"did:plc:person{number % 1000:04d}",
        "time_us": time_us,
        "kind": "commit",
        "commit": {
            "rev": f"r{number}",
            "operation": "create",
            "collection": POST,
            "rkey": f"k{number}",
            "record": {
                "$type": POST,
                "createdAt": "2026-01-05T10:00:00.000Z",
                "langs": ["en"],
                "text": f"Post number {number}: the trains were late again and nobody said why, \U0001f682 as usual.",
            },
            "cid": f"bafy{number}",
        },
    }


RUBBISH: tuple[str | bytes, ...] = (
    "not json",
    "[]",
    '{"did": 7, "time_us": "soon"}',
    b"\x00\xff\xfe binary",
    '{"did":"did:plc:x","time_us":9007199254740993000,"kind":"commit","commit":{"operation":"create"}}',
    '{"text": "\\ud800 a lone surrogate"}',
    "",
)
"""Messages that no event can be made of."""


class JetstreamServer:
    """Use it as a context.

    Args:
        count: events in the stream.
        rate: of them a second from when the first client connects; None: all are there, as old as they would be.
        cuts: after so many messages sent in all, the connection is cut in the middle of the next one.
        rubbish_every: one message of `RUBBISH` before every so many-th event; 0: none.
        dictionary: of zstd, for clients that ask for it.
        make: event of a number and a time.
        step_us: microseconds between two events, where there is no rate.
        port: to listen on; 0 for any.
    """

    def __init__(
        self,
        count: int,
        *,
        rate: float | None = None,
        cuts: tuple[int, ...] = (),
        rubbish_every: int = 0,
        dictionary: bytes | None = None,
        make: Callable[[int, int], dict[str, Any]] = post,
        step_us: int = 1_000_000,
        port: int = 0,
    ) -> None:
        self.count = count
        self.rate = rate
        self.rubbish_every = rubbish_every
        self.make = make
        self.step_us = round(1e6 / rate) if rate else step_us
        self.base_us = time.time_ns() // 1000 - (0 if rate else count * self.step_us)
        self.connections: list[dict[str, list[str]]] = []
        self.headers: list[dict[str, str]] = []
        self.sent = 0
        self.refusals: list[int] = []
        """Statuses to answer the next handshakes with in place of connecting."""
        self._begun: float | None = None
        self._cuts = sorted(cuts)
        self._pack = None
        if dictionary is not None:
            self._pack = zstandard.ZstdCompressor(dict_data=zstandard.ZstdCompressionDict(dictionary))
        self._left = threading.Event()
        self._server = serve(
            self._handle, "127.0.0.1", port, compression=None, process_request=self._process, close_timeout=0.1
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}/subscribe"

    @property
    def cuts_left(self) -> int:
        return len(self._cuts)

    def time_us(self, number: int) -> int:
        return self.base_us + number * self.step_us

    def available(self) -> int:
        """Events that have happened."""
        if self.rate is None:
            return self.count
        assert self._begun is not None
        return min(self.count, int((time.monotonic() - self._begun) * self.rate))

    def _process(self, connection: ServerConnection, request: Any) -> Any:
        self.headers.append({name.lower(): value for name, value in request.headers.raw_items()})
        if self.refusals:
            return connection.respond(self.refusals.pop(0), "no\n")
        return None

    def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        query = parse_qs(urlsplit(connection.request.path).query)
        self.connections.append(query)
        if self._begun is None:
            self._begun = time.monotonic()
            if self.rate is not None:
                self.base_us = time.time_ns() // 1000
        number = self.available()
        if "cursor" in query:
            number = max(0, -(-(int(query["cursor"][0]) - self.base_us) // self.step_us))
        with suppress(ConnectionClosed, OSError):
            self._send_from(connection, number, compressed=query.get("compress") == ["true"])

    def _send_from(self, connection: ServerConnection, number: int, *, compressed: bool) -> None:
        while not self._left.is_set():
            for place in range(number, self.available()):
                for message in self._messages(place, compressed):
                    if self._cuts and self.sent >= self._cuts[0]:
                        self._cuts.pop(0)
                        self._cut(connection, message)
                        return
                    connection.send(message)
                    self.sent += 1
                number = place + 1
            if number >= self.count:
                connection.recv()  # until the client leaves
            time.sleep(0.005)

    def _messages(self, number: int, compressed: bool) -> Iterator[str | bytes]:
        if self.rubbish_every and number % self.rubbish_every == 0:
            # Blanks behind it make each different: what is equal and comes soon after counts as repeated.
            which = number // self.rubbish_every
            message = RUBBISH[which % len(RUBBISH)]
            yield message + " " * which if isinstance(message, str) else message + b" " * which
        text = json.dumps(self.make(number, self.time_us(number)), separators=(",", ":"))
        yield self._pack.compress(text.encode()) if compressed and self._pack is not None else text

    def _cut(self, connection: ServerConnection, message: str | bytes) -> None:
        """Send half a message, and end the connection without a word."""
        body = message.encode() if isinstance(message, str) else message
        with suppress(OSError):
            connection.socket.sendall(b"\x81\x7f" + struct.pack(">Q", len(body)) + body[: len(body) // 2])
            connection.socket.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._server.shutdown()


def status(number: int, host: str) -> dict[str, Any]:
    """Status `number` of a server."""
    return {
        "id": str(100_000 + number),
        "created_at": "2026-01-05T10:00:00.000Z",
        "visibility": "public",
        "language": "en",
        "uri": f"https://{host}/users/ann/statuses/{number}",
        "content": f"<p>Status number {number}: the trains were late again and nobody said why.</p>",
        "account": {"id": "1", "acct": "ann", "url": f"https://{host}/@ann"},
        "mentions": [],
        "tags": [],
        "edited_at": None,
        "reblog": None,
        "in_reply_to_id": None,
    }


class _Statuses:
    """A growing list of frames `(event, payload)`, of which statuses are in a timeline as well.

    Args:
        token: that clients have to show; None for none.
    """

    def __init__(self, token: str | None = None) -> None:
        self.frames: list[tuple[str, str]] = []
        self.token = token
        self.streams: list[str] = []
        self.pages: list[str] = []
        self.down = False
        """Refuse streams with 503."""
        self._cut = threading.Event()
        self._left = threading.Event()
        self._grown = threading.Condition()

    def post(self, number: int) -> None:
        """A status is written."""
        self.send("update", json.dumps(status(number, "m.example")))

    def send(self, event: str, payload: str) -> None:
        """Something happens."""
        with self._grown:
            self.frames.append((event, payload))
            self._grown.notify_all()

    def cut(self) -> None:
        """End all streams, each in the middle of an event."""
        self._cut.set()
        with self._grown:
            self._grown.notify_all()

    def _begin(self, path: str) -> int:
        """A client connects to a stream; the number of the first frame that it gets."""
        self._cut.clear()
        with self._grown:
            self.streams.append(path)
            return len(self.frames)

    def _waiting(self, number: int) -> list[tuple[str, str]]:
        """The frames from a number on, after a while without any."""
        with self._grown:
            if number == len(self.frames) and not self._cut.is_set():
                self._grown.wait(0.05)
            return self.frames[number:]

    def _page(self, path: str) -> bytes:
        """A page of the timeline, the newest first."""
        self.pages.append(path)
        query = parse_qs(urlsplit(path).query)
        after, limit = int(query["min_id"][0]), int(query["limit"][0])
        statuses = [
            json.loads(payload) for event, payload in self.frames if event == "update" and payload.endswith("}")
        ]
        newer = sorted((each for each in statuses if int(each["id"]) > after), key=lambda each: int(each["id"]))
        return json.dumps(newer[:limit][::-1]).encode()


class MastodonServer(_Statuses):
    """A server whose streams are server-sent events."""

    def __init__(self, token: str | None = None) -> None:
        super().__init__(token)
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if owner.token is not None and self.headers.get("authorization") != f"Bearer {owner.token}":
                    self._answer(401, b'{"error":"The access token is invalid"}')
                elif self.path.startswith("/api/v1/streaming"):
                    if owner.down:
                        owner.streams.append(self.path)
                        self._answer(503, b"")
                    else:
                        owner._stream(self)
                elif self.path.startswith("/api/v1/timelines/"):
                    self._answer(200, owner._page(self.path))
                else:
                    self._answer(404, b"")

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def _stream(self, handler: BaseHTTPRequestHandler) -> None:
        number = self._begin(handler.path)
        with suppress(OSError):
            handler.send_response(200)
            handler.send_header("Content-Type", "text/event-stream")
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            self._chunk(handler, b":)\n")
            while not self._left.is_set():
                for event, payload in self._waiting(number):
                    self._chunk(handler, f"event: {event}\ndata: {payload}\n\n".encode())
                    number += 1
                if self._cut.is_set():
                    handler.wfile.write(b"40\r\nevent: update\ndata: {")
                    break
        handler.close_connection = True
        with suppress(OSError):
            handler.connection.shutdown(socket.SHUT_RDWR)

    def _chunk(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(body), body))
        handler.wfile.flush()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._server.shutdown()
        self._server.server_close()


class MastodonSocketServer(_Statuses):
    """A server whose streams are WebSockets: the query names the stream, a frame is an object with JSON in a string.

    Timelines are answered on the same port over HTTP, as a Mastodon behind its proxy has it.
    """

    def __init__(self, token: str | None = None) -> None:
        super().__init__(token)
        self._server = serve(
            self._stream, "127.0.0.1", 0, compression=None, process_request=self._process, close_timeout=0.1
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}"

    def _process(self, connection: ServerConnection, request: Any) -> Any:
        if self.token is not None and request.headers.get("Authorization") != f"Bearer {self.token}":
            return connection.respond(401, '{"error":"The access token is invalid"}')
        if request.path.startswith("/api/v1/timelines/"):
            return connection.respond(200, self._page(request.path).decode())
        if self.down:
            self.streams.append(request.path)
            return connection.respond(503, "")
        return None if request.path.startswith("/api/v1/streaming?") else connection.respond(404, "")

    def _stream(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        path = connection.request.path
        number = self._begin(path)
        stream = parse_qs(urlsplit(path).query)["stream"]
        with suppress(ConnectionClosed, OSError):
            while not self._left.is_set():
                for event, payload in self._waiting(number):
                    connection.send(json.dumps({"stream": stream, "event": event, "payload": payload}))
                    number += 1
                if self._cut.is_set():
                    connection.socket.sendall(b"\x81\x7e\x10\x00{")  # the beginning of a message of 4 KiB
                    connection.socket.shutdown(socket.SHUT_RDWR)
                    break

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._server.shutdown()
