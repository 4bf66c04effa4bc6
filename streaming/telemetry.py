"""Logs on standard error: one JSON object a line, or a plain line for eyes. Both are ASCII without control characters.

Texts, account names and ids of the stream do not belong in logs at all. What still gets in (a broker's message, a file
name) is escaped here, so that no line can break out of itself, and cut. An account appears as its pseudonym.

What the process counts, for Prometheus. One `Metrics` per process, on a registry of its own, passed to constructors.

No label ever holds a text, an account, an id or anything else that a stranger chose: labels are the words below and
the names and versions of models. What comes as a free word (a reason, an alarm) is held to a short lower-case pattern
and to a bounded number of different ones, so that a mistake elsewhere can neither leak nor fill Prometheus' memory.

Whether the process lives and is ready, as a pure state: it is told what happened and when, and asked with a clock.

*Live* means that a restart would not help. A broker that is away is no reason to restart; a loop that no longer turns,
or a process that another has replaced, is. *Ready* means that what is written now will be decided on in due time.

The HTTP endpoint: `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever restarts or routes.

It only reads, asks nobody for a password, and therefore listens on loopback unless told otherwise.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Literal, TextIO

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

from detector.errors import ConfigError
from detector.evidence import Part
from streaming.config import Config, LogConfig

MESSAGE_CHARACTERS: Final = 2000
"""The longest message: a line of reasonable length, and far above any of ours."""

FIELDS: Final = "swarmlight_fields"


def fields(**values: object) -> dict[str, dict[str, object]]:
    """Structured fields of a log call: `log.info("tick", extra=fields(tick_ms=t))`."""
    return {FIELDS: values}


def shown(text: object, limit: int = 100) -> str:
    """Any text as short printable ASCII, for one place in a message."""
    escaped = ascii(str(text))[1:-1]
    return escaped if len(escaped) <= limit else escaped[: limit - 3] + "..."


def configure(config: LogConfig, stream: TextIO | None = None) -> None:
    """Send the log of this process to `stream` (default: standard error), replacing what was set up before.

    The `kafka` client's own log is kept at WARNING: below that it names every topic and setting it sees.
    """
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter() if config.format == "json" else TextFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(config.level)
    logging.getLogger("kafka").setLevel(max(logging.WARNING, root.level))


class JsonFormatter(logging.Formatter):
    """One JSON object: `at`, `level`, `logger`, `message`, then the fields, then `error` where there was one."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": shown(record.getMessage(), MESSAGE_CHARACTERS),
        }
        for name, value in _fields(record).items():
            entry.setdefault(name, value if isinstance(value, int | float | bool | None) else shown(value))
        error = _error(record)
        if error:
            entry["error"] = error
        return json.dumps(entry, ensure_ascii=True)


class TextFormatter(logging.Formatter):
    """`time level logger: message name=value ...` on one line."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        pairs = "".join(f" {name}={shown(value)}" for name, value in _fields(record).items())
        error = _error(record)
        tail = f" ({error})" if error else ""
        message = shown(record.getMessage(), MESSAGE_CHARACTERS)
        return f"{at} {record.levelname:<7} {record.name}: {message}{pairs}{tail}"


def _fields(record: logging.LogRecord) -> dict[str, object]:
    found = getattr(record, FIELDS, None)
    return found if isinstance(found, dict) else {}


def _error(record: logging.LogRecord) -> str:
    """The exception and where it came from, on one line; its message may quote anything, so it is escaped and cut."""
    if not record.exc_info or record.exc_info[1] is None:
        return ""
    error = record.exc_info[1]
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    where = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
    return shown(f"{type(error).__name__}: {error} at {where}", 500)


Outcome = Literal["accepted", "duplicate", "late", "dead"]
TextStage = Literal["cheap", "expert"]
Stage = Literal["score", "assess"]
Step = Literal["poll", "parse", "read_text", "send", "feed", "tick", "expert", "commit", "snapshot", "restore"]

NAMESPACE: Final = "swarmlight"

SECONDS_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""One transaction costs 5 to 100 ms, a batch 10 to 500 ms, a snapshot or a restore seconds: all show a shape."""

DELAY_BUCKETS: Final = (1, 5, 15, 30, 60, 90, 120, 180, 300, 600, 1200, 3600, 14_400, 86_400)
"""Seconds. By design a decision comes after the allowed lateness and a tick, two minutes as configured by default."""

MOST_WORDS: Final = 64
"""Different free words a label may take; there are about twenty reasons to abstain."""

WORD: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")

OTHER: Final = "other"


class Words:
    """Admits at most `MOST_WORDS` different short words as label values; everything else becomes `other`."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def admit(self, word: str) -> str:
        if word in self._seen:
            return word
        if len(self._seen) >= MOST_WORDS or not WORD.fullmatch(word):
            return OTHER
        self._seen.add(word)
        return word


class Metrics:
    """All metrics of one process. Methods name what happened; attributes are read by tests only."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self._words: dict[str, Words] = {}
        ProcessCollector(registry=self.registry)
        self._records = self._counter("records", "Records of posts by what became of them", "outcome")
        self._texts = self._counter("texts_scored", "Texts that a text stage read", "stage")
        self._lag = self._gauge("lag_records", "Records that wait, by partition of the input", "stage", "partition")
        self._lag_s = self._gauge("lag_seconds", "Seconds since the newest handled record was written", "stage")
        self._watermark = self._gauge("watermark_age_seconds", "Wall clock minus the smallest watermark")
        self._step = Histogram(
            "step_seconds",
            "Seconds one step of a stage took",
            ("stage", "step"),
            namespace=NAMESPACE,
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        self._delay = Histogram(
            "decision_delay_seconds",
            "Seconds from the tick of event time to its committed decision",
            namespace=NAMESPACE,
            buckets=DELAY_BUCKETS,
            registry=self.registry,
        )
        self._transactions = self._counter("transactions", "Transactions by how they ended", "result")
        self._restores = self._counter("restores", "Starts of assess by where its state came from", "source")
        self._snapshots = self._counter("snapshots", "Snapshots written")
        self._alerts = self._counter("alerts", "Revisions of alerts written", "kind", "status")
        self._abstained = self._counter("abstentions", "Times a part gave no evidence", "part", "reason")
        self._models = self._gauge("model_info", "Models in use", "model", "name_version")
        self._holes = self._counter("hole_records", "Records that retention removed before they were read")
        self._alarms = self._counter("alarms", "What should not happen and was survived", "kind")
        self._shed = self._counter("expert_texts_shed", "Texts the budget of the expert had no room for")
        self._active = self._gauge("assess_active", "1 where this process decides, 0 where it stands by")
        self._size = self._gauge("state_size", "Things assess remembers", "what")
        self._partitions = self._gauge("partitions_owned", "Partitions of posts that this process scores")
        self._broker = self._gauge("broker_up", "1 where the broker answers")

    def records(self, outcome: Outcome, count: int = 1) -> None:
        self._records.labels(outcome).inc(count)

    def texts(self, stage: TextStage, count: int = 1) -> None:
        self._texts.labels(stage).inc(count)

    def lag(self, stage: Stage, by_partition: Mapping[int, int], seconds: float) -> None:
        """Records behind per partition (those no longer owned disappear), and seconds behind over all."""
        for labels in [sample.labels for metric in self._lag.collect() for sample in metric.samples]:
            if labels["stage"] == stage and int(labels["partition"]) not in by_partition:
                self._lag.remove(stage, labels["partition"])
        for partition, records in by_partition.items():
            self._lag.labels(stage, str(int(partition))).set(max(0, records))
        self._lag_s.labels(stage).set(max(0.0, seconds))

    def watermark_age(self, seconds: float) -> None:
        self._watermark.set(seconds)

    def step(self, stage: Stage, step: Step, seconds: float) -> None:
        self._step.labels(stage, step).observe(seconds)

    def decision_delay(self, seconds: float) -> None:
        self._delay.observe(max(0.0, seconds))

    def transaction(self, result: Literal["committed", "aborted", "fenced"]) -> None:
        self._transactions.labels(result).inc()

    def restore(self, source: Literal["snapshot", "beginning"]) -> None:
        self._restores.labels(source).inc()

    def snapshot(self) -> None:
        self._snapshots.inc()

    def alert(
        self,
        kind: Literal["account", "campaign", "coordination"],
        status: Literal["open", "withdrawn", "merged"],
        count: int = 1,
    ) -> None:
        self._alerts.labels(kind, status).inc(count)

    def abstention(self, part: Part | Literal["flag"], reason: str, count: int = 1) -> None:
        """`reason` is a code such as `too_short`, not the sentence that people read."""
        self._abstained.labels(part, self._word("abstentions", reason)).inc(count)

    def models(self, versions: Mapping[str, str]) -> None:
        """Model versions in use (`{"text": "name@version"}`), replacing those said before."""
        self._models.clear()
        for model, name_version in versions.items():
            self._models.labels(self._word("models", model), name_version[:100]).set(1)

    def hole(self, records: int) -> None:
        self._holes.inc(records)

    def alarm(self, kind: str) -> None:
        self._alarms.labels(self._word("alarms", kind)).inc()

    def shed(self, texts: int) -> None:
        self._shed.inc(texts)

    def active(self, active: bool) -> None:
        self._active.set(active)

    def size(self, what: Literal["accounts", "waiting", "objects", "edges", "groups", "alerts"], count: int) -> None:
        self._size.labels(what).set(count)

    def partitions(self, count: int) -> None:
        self._partitions.set(count)

    def broker(self, up: bool) -> None:
        self._broker.set(up)

    def _word(self, label: str, word: str) -> str:
        return self._words.setdefault(label, Words()).admit(word)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, namespace=NAMESPACE, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, namespace=NAMESPACE, registry=self.registry)


class HealthLimits(msgspec.Struct, frozen=True):
    """Seconds after which silence counts as trouble."""

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


STARTING: Final = "starting"


class Health:
    """Told by the worker's loop, asked by the endpoint's thread. All times are seconds of one monotonic clock."""

    def __init__(self, now: float, limits: HealthLimits | None = None) -> None:
        self._limits = limits or HealthLimits()
        self._turned = now
        self._heard: float | None = None
        self._commit_due: float | None = None
        self._fenced = False
        self._stopping = False
        self._replay: tuple[int, int] | None = None
        self._role = STARTING

    def role(self, role: str) -> None:
        """What this process does now: `score`, `active`, `standby` or several of them, in words of our own."""
        self._role = role

    def turned(self, now: float) -> None:
        """The loop went round once, whatever it found."""
        self._turned = now

    def heard(self, now: float) -> None:
        """The broker answered: records came, or metadata, or an acknowledgement. An empty poll is no answer."""
        self._heard = now

    def commit_due(self, now: float) -> None:
        """There is something to commit since `now`; while it is due, later calls change nothing."""
        if self._commit_due is None:
            self._commit_due = now

    def committed(self, now: float) -> None:
        self._commit_due = None
        self._heard = now

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
        if self._heard is None:
            waiting.append("the broker has not answered yet")
        elif now - self._heard > self._limits.heard_s:
            waiting.append(f"the broker has not answered for {now - self._heard:.0f} s")
        if self._commit_due is not None and now - self._commit_due > self._limits.commit_s:
            waiting.append(f"nothing could be committed for {now - self._commit_due:.0f} s")
        if self._replay is not None:
            waiting.append("replaying the log: {} of {}".format(*self._replay))
        return HealthReport(not dead, not dead and not waiting, (*dead, *waiting), self._role)


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
