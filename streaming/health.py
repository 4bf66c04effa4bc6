"""Whether a worker lives and is ready, and the HTTP endpoint that says so and hands out its metrics.

`Health` is a pure state: the worker's loops tell it what happened and when, the endpoint asks it with a clock. *Live*
means that a restart would not help. A broker that is away is no reason to restart; a loop that no longer turns, or a
process that another has replaced, is. *Ready* means that what is written now will be decided on in due time.

The endpoint (`/metrics` for Prometheus, `/healthz` and `/readyz` for whoever restarts or routes) is a WSGI application.
It only reads, asks nobody for a password, and therefore listens on loopback unless told otherwise.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import msgspec
from prometheus_client import CollectorRegistry, make_wsgi_app

from detector.errors import ConfigError
from streaming.config import Config, MetricsConfig
from streaming.worker_metrics import Metrics

log = logging.getLogger(__name__)

STARTING: Final = "starting"
"""Role of a process until a stage has one."""

REQUEST_TIMEOUT_S: Final = 5.0
"""A client that sends nothing for this long is dropped, so that it holds no thread."""

PLAIN: Final = "text/plain; charset=utf-8"

ALWAYS: Final = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"), ("Server", "swarmlight")]
"""Headers of every answer. The last one hides the versions that `wsgiref` would name."""


class HealthLimits(msgspec.Struct, frozen=True):
    """Seconds without news after which a worker counts as not live or not ready."""

    turn_s: float = 300.0
    """The loop's slowest honest turn: Kafka's own `max_poll_interval_ms`, after which the broker gives up on it too."""
    heard_s: float = 60.0
    """Two metadata refreshes (30 s each) without an answer: the broker is away."""
    commit_s: float = 120.0
    """Twice a transaction's timeout: what should have been committed is stuck."""


class HealthReport(msgspec.Struct, frozen=True):
    """One answer: `problems` say in words why it is not live or not ready."""

    live: bool
    ready: bool
    problems: tuple[str, ...]
    role: str


class Health:
    """Told by the worker's loop, asked by the endpoint's thread. All times are seconds of one monotonic clock."""

    def __init__(self, now: float, limits: HealthLimits | None = None) -> None:
        self._limits = limits or HealthLimits()
        self._turned = now
        self._heard: dict[str, float] = {}
        self._commit_due: dict[str, float] = {}
        self._fenced = False
        self._stopping = False
        self._replay: tuple[int, int] | None = None
        self._role = STARTING
        self._blocked: str | None = None

    def blocked(self, why: str | None) -> None:
        """This process could not do its work if it had to now, in words of our own; None: it could."""
        self._blocked = why

    def role(self, role: str) -> None:
        """What this process does now: `score`, `active`, `standby` or several of them, in words of our own."""
        self._role = role

    def turned(self, now: float) -> None:
        """The loop went round once, whatever it found."""
        self._turned = now

    def heard(self, now: float, stage: str = "") -> None:
        """The broker answered: records came, or metadata, or an acknowledgement. An empty poll is no answer.

        Args:
            now: seconds.
            stage: whom. Of several in one process, that which has not heard for longest counts.
        """
        self._heard[stage] = now

    def commit_due(self, now: float, stage: str = "") -> None:
        """There is something to commit since `now`; while it is due, later calls change nothing.

        Args:
            now: seconds.
            stage: whose it is.
        """
        self._commit_due.setdefault(stage, now)

    def committed(self, now: float, stage: str = "") -> None:
        """Everything that was due is committed.

        Args:
            now: seconds.
            stage: whose it was.
        """
        self._commit_due.pop(stage, None)
        self._heard[stage] = now

    def fenced(self) -> None:
        """Another process owns the state now; this one is to stop."""
        self._fenced = True

    def stopping(self) -> None:
        """The process was asked to end and is finishing its batch."""
        self._stopping = True

    def replaying(self, done: int, total: int) -> None:
        """Entries of the log read on the way back to the present; `done >= total` ends the replay."""
        self._replay = (done, total) if done < total else None

    def report(self, now: float) -> HealthReport:
        """What is the matter at `now`, if anything is."""
        dead = []
        if self._fenced:
            dead.append("fenced: another process has taken over")
        if now - self._turned > self._limits.turn_s:
            dead.append(f"the loop has not turned for {now - self._turned:.0f} s")
        waiting = []
        if self._role == STARTING:
            waiting.append("starting")
        if self._stopping:
            waiting.append("stopping")
        if not self._heard:
            waiting.append("the broker has not answered yet")
        elif (silent_s := now - min(self._heard.values())) > self._limits.heard_s:
            waiting.append(f"the broker has not answered for {silent_s:.0f} s")
        if self._commit_due and (stuck_s := now - min(self._commit_due.values())) > self._limits.commit_s:
            waiting.append(f"nothing could be committed for {stuck_s:.0f} s")
        if self._blocked is not None:
            waiting.append(self._blocked)
        if self._replay is not None:
            waiting.append("replaying the log: {} of {}".format(*self._replay))
        return HealthReport(not dead, not dead and not waiting, (*dead, *waiting), self._role)


class HealthEndpoint:
    """A running endpoint. `port` is the real one where 0 was asked for."""

    def __init__(self, host: str, port: int, metrics: Metrics, health: Health, clock: Callable[[], float]) -> None:
        """Bind and serve in a daemon thread, one more for each request.

        Args:
            host: address to listen on.
            port: TCP port; 0 takes any that is free.
            metrics: handed out by `/metrics`.
            health: asked by `/healthz` and `/readyz`.
            clock: seconds of the clock that `health` is told.

        Raises:
            OSError: the address cannot be listened on.
        """
        self._server = _Server((host, port), _Handler)
        self._server.set_app(application(metrics.registry, health, clock))
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; requests that are being answered are left to themselves."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(REQUEST_TIMEOUT_S)


def application(registry: CollectorRegistry, health: Health, clock: Callable[[], float]) -> WSGIApplication:
    """The endpoint as a WSGI application.

    Args:
        registry: what `/metrics` hands out, in the format and encoding that the client accepts.
        health: asked by `/healthz` and `/readyz`, which answer 200 or 503 with the report in JSON.
        clock: seconds of the clock that `health` is told.
    """
    scrape: WSGIApplication = make_wsgi_app(registry)

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
            return start_response(status, [*headers, *ALWAYS], *error)

        path = environ["PATH_INFO"]
        head = environ["REQUEST_METHOD"] == "HEAD"
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            start("405 Method Not Allowed", [("Allow", "GET, HEAD"), ("Content-Type", PLAIN)])
            return [b"only GET and HEAD\n"]
        if path == "/metrics":
            body = b"".join(scrape({**environ, "REQUEST_METHOD": "GET"}, start))
        elif path in ("/healthz", "/readyz"):
            report = health.report(clock())
            good = report.live if path == "/healthz" else report.ready
            start("200 OK" if good else "503 Service Unavailable", [("Content-Type", "application/json")])
            body = msgspec.json.encode(report) + b"\n"
        else:
            start("404 Not Found", [("Content-Type", PLAIN)])
            body = b"here are /metrics, /healthz and /readyz\n"
        return [] if head else [body]

    return answer


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up or said nothing is no news. What it sent is a stranger's text."""
        log.debug("a request to the metrics endpoint was not finished", exc_info=True)


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_TIMEOUT_S

    def log_message(self, format: str, *args: object) -> None:
        """A scrape every few seconds is no news, and its request line is a stranger's text."""


def open_endpoint(
    config: Config, metrics: Metrics, health: Health, clock: Callable[[], float]
) -> HealthEndpoint | None:
    """The endpoint of `[metrics]`; None where the port is 0, or where it is the default one and taken.

    Several workers on one machine all have the default port; the first gets it, the others say that they go without.

    Args:
        config: its `[metrics]`, and whether somebody set them.
        metrics: handed out by `/metrics`.
        health: asked by `/healthz` and `/readyz`.
        clock: seconds of the clock that `health` is told.

    Raises:
        ConfigError: an explicitly configured address cannot be listened on.
    """
    host, port = config.metrics.host, config.metrics.port
    if port == 0:
        return None
    try:
        endpoint = HealthEndpoint(host, port, metrics, health, clock)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        # The printed configuration names every key: the default is no choice, wherever it stands.
        if (host, port) != (MetricsConfig().host, MetricsConfig().port) and config.given & {
            "metrics.port",
            "metrics.host",
        }:
            raise ConfigError(
                f"[metrics] {host}:{port} cannot be listened on: {reason}; choose another port, or 0 for none"
            ) from None
        log.warning("no metrics: the default port %d cannot be listened on (%s)", port, reason)
        return None
    log.info("metrics on http://%s:%d/metrics", host, endpoint.port)
    return endpoint
