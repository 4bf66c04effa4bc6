"""The HTTP endpoint: `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever restarts or routes.

It only reads, asks nobody for a password, and therefore listens on loopback unless told otherwise.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import msgspec
from prometheus_client.exposition import choose_encoder

from detector.errors import ConfigError
from streaming.config import Config
from streaming.health import Health
from streaming.metrics import Metrics

REQUEST_TIMEOUT_S: Final = 5.0
"""A client that sends nothing for this long is dropped, so that it holds no thread."""

log = logging.getLogger(__name__)


class Endpoint:
    """A running endpoint. `port` is the real one where 0 was asked for."""

    def __init__(self, host: str, port: int, metrics: Metrics, health: Health, clock: Callable[[], float]) -> None:
        """Bind and serve in a daemon thread.

        Raises:
            OSError: the address cannot be listened on.
        """
        handler = type("Handler", (_Handler,), {"metrics": metrics, "health": health, "clock": staticmethod(clock)})
        self._server = ThreadingHTTPServer((host, port), handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(REQUEST_TIMEOUT_S)


def open_endpoint(config: Config, metrics: Metrics, health: Health, clock: Callable[[], float]) -> Endpoint | None:
    """The endpoint of `[metrics]`; None where the port is 0, or where it is the default one and taken.

    Several workers on one machine all have the default port; the first gets it, the others say that they go without.

    Raises:
        ConfigError: an explicitly configured address cannot be listened on.
    """
    host, port = config.metrics.host, config.metrics.port
    if port == 0:
        return None
    try:
        endpoint = Endpoint(host, port, metrics, health, clock)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        if config.given & {"metrics.port", "metrics.host"}:
            raise ConfigError(
                f"[metrics] {host}:{port} cannot be listened on: {reason}; choose another port, or 0 for none"
            ) from None
        log.warning("no metrics: the default port %d cannot be listened on (%s)", port, reason)
        return None
    log.info("metrics on http://%s:%d/metrics", host, endpoint.port)
    return endpoint


class _Handler(BaseHTTPRequestHandler):
    metrics: Metrics
    health: Health
    clock: Callable[[], float]
    timeout = REQUEST_TIMEOUT_S
    server_version = "swarmlight"
    sys_version = ""

    def do_GET(self) -> None:
        status, kind, body = self._answer()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the name http.server asks for

    def log_message(self, format: str, *args: object) -> None:
        """A scrape every few seconds is no news, and its request line is a stranger's text."""

    def _answer(self) -> tuple[int, str, bytes]:
        path = self.path.split("?", 1)[0]
        if path == "/metrics":
            encode, kind = choose_encoder(self.headers.get("Accept", ""))
            return 200, kind, encode(self.metrics.registry)
        if path in ("/healthz", "/readyz"):
            report = self.health.report(self.clock())
            good = report.live if path == "/healthz" else report.ready
            return 200 if good else 503, "application/json", msgspec.json.encode(report) + b"\n"
        return 404, "text/plain; charset=utf-8", b"here are /metrics, /healthz and /readyz\n"
