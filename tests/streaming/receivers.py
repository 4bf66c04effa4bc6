"""An HTTP service on loopback that remembers what it was sent and answers as a test says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class Request:
    """One request as it came; names of headers in lower case."""

    def __init__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        self.method, self.path, self.headers, self.body = method, path, headers, body


Answer = tuple[int, dict[str, str], bytes]

Answering = Callable[[Request], Answer]

OK: Answer = (200, {}, b"{}")


class Receiver:
    """Use it as a context. `requests` are those that came; `answer` says what is answered."""

    def __init__(self, answer: Answering = lambda request: OK) -> None:
        self.requests: list[Request] = []
        self.answer = answer
        self.connections = 0
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                owner.connections += 1

            def _take(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, self.path, headers, body)
                owner.requests.append(request)
                status, extra, text = owner.answer(request)
                if status == 0:  # hang up without an answer
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in {"Content-Length": str(len(text)), **extra}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = do_DELETE = _take  # noqa: N815 - the names that http.server calls

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: a test says what it expects."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait(self, count: int, timeout_s: float = 10.0) -> None:
        """Until so many requests have come."""
        deadline = time.monotonic() + timeout_s
        while len(self.requests) < count:
            assert time.monotonic() < deadline, f"{len(self.requests)} of {count} requests came"
            time.sleep(0.01)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def answers(*given: Answer) -> Answering:
    """One answer after the other, then 200 for ever."""
    waiting = list(given)
    return lambda request: waiting.pop(0) if waiting else OK
