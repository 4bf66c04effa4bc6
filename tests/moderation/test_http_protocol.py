"""A request has to arrive whole within its time; reused connections answer at once."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from moderation import cli, http_protocol
from moderation.http_protocol import PromptProtocol
from streaming.config import load_config

LIMIT_S = 0.4


async def answer(scope: dict[str, object], receive: object, send: object) -> None:
    """An application that reads the body and answers, after a second where it is asked for `/slow`."""
    assert callable(receive)
    assert callable(send)
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    if scope["path"] == "/slow":
        await asyncio.sleep(2.5 * LIMIT_S)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    """A server as the feed's, with short limits."""
    listener = cli._listen(load_config(None, {"SWARMLIGHT_FEED__PORT": "0"}))
    quick = type("Quick", (PromptProtocol,), {"head_s": LIMIT_S, "body_s": LIMIT_S})
    server = uvicorn.Server(uvicorn.Config(answer, http=quick, lifespan="off", log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield listener.getsockname()
    server.should_exit = True
    thread.join(10)


def ends_after(address: tuple[str, int], *pieces: bytes, every_s: float = 0.1) -> tuple[bytes, float]:
    """What the server says and after how long it hangs up, on a client that sends pieces and then nothing."""
    with socket.create_connection(address, 5) as client:
        client.settimeout(5)
        started = time.monotonic()
        said = b""
        for piece in pieces:
            client.sendall(piece)
            time.sleep(every_s)
        while data := client.recv(4096):
            said += data
        return said, time.monotonic() - started


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b"GET / HTT",),
        (b"GET / HTTP/1.1\r\n", b"Host: x\r\n", b"X: y\r\n", b"Z"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHo",),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", b"a", b"b"),
    ],
)
def test_an_unfinished_request_is_not_held(address: tuple[str, int], pieces: tuple[bytes, ...]) -> None:
    said, took = ends_after(address, *pieces)
    assert took < 2.5 * LIMIT_S + 0.1 * len(pieces)
    assert said.count(b"200 OK") == (1 if b"\r\n\r\nGET" in b"".join(pieces) else 0)
    if b"POST" not in b"".join(pieces):
        assert b"408" in said


def answered(client: socket.socket) -> bytes:
    """A whole answer, whose head and body may come one after the other."""
    said = b""
    while not said.endswith(b"\r\n\r\nok"):
        part = client.recv(4096)
        assert part, said
        said += part
    return said


def test_whole_requests_in_pieces_and_slow_answers_are_served(address: tuple[str, int]) -> None:
    with socket.create_connection(address, 5) as client:
        for piece in (b"POST /slow HTTP/1.1\r\nHost: x\r\n", b"Content-Length: 2\r\n\r\n", b"a", b"b"):
            client.sendall(piece)
            time.sleep(0.05)
        assert b"200 OK" in answered(client)
        # The connection is kept, and takes the next request later than one may take to arrive.
        time.sleep(1.5 * LIMIT_S)
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"200 OK" in answered(client)


def test_a_reused_connection_waits_for_no_receipt(address: tuple[str, int]) -> None:
    """Nagle's algorithm with delayed receipts made every answer but the first wait 40 ms."""
    connection = http.client.HTTPConnection(*address, timeout=5)
    took = []
    for _ in range(20):
        started = time.perf_counter()
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"ok"
        took.append(time.perf_counter() - started)
    connection.close()
    assert sorted(took)[len(took) // 2] < 0.02


def test_the_feed_is_served_so(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[uvicorn.Config] = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda server, sockets: made.append(server.config))
    monkeypatch.setattr(cli, "create_app", lambda services: answer)
    cli._serve(None, None)  # type: ignore[arg-type]
    assert made[0].http is PromptProtocol
    assert 2 <= http_protocol.HEAD_S <= 30
