"""What the feed counts, for Prometheus. No label holds anything that a stranger chose: routes are templates of ours."""

from __future__ import annotations

from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

NAMESPACE: Final = "swarmlight_feed"

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds. A page takes 5 to 50 ms."""


class FeedMetrics:
    """All metrics of one feed, on a registry of its own. Methods name what happened."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Histogram(
            "request_seconds", "Seconds until a request was answered", ("route", "method", "status"),
            namespace=NAMESPACE, buckets=BUCKETS, registry=self.registry,
        )  # fmt: skip
        self._alerts = self._counter("alerts", "Revisions of alerts taken in", "kind", "status")
        self._records = self._counter("records", "Records that changed nothing or could not be read", "outcome")
        self._decisions = self._counter("decisions", "Decisions by what was decided", "verdict")
        self._logins = self._counter("logins", "Attempts to log in", "result")
        self._refused = self._counter("refusals", "Requests refused, by why", "code")
        self._failures = self._counter("failures", "Turns of a background loop that failed", "loop")
        self._unsent = Gauge("unsent_decisions", "Decisions that are not yet in topic feedback", namespace=NAMESPACE,
                             registry=self.registry)  # fmt: skip
        self._waiting = Gauge("waiting_alerts", "Alerts that wait for a decision", namespace=NAMESPACE,
                              registry=self.registry)  # fmt: skip
        self._listeners = Gauge("live_listeners", "Browsers that follow the live updates", namespace=NAMESPACE,
                                registry=self.registry)  # fmt: skip

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        self._requests.labels(route, method, str(status)).observe(seconds)

    def alert(self, kind: str, status: str, count: int) -> None:
        self._alerts.labels(kind, status).inc(count)

    def record(self, outcome: Literal["stale", "unreadable"], count: int) -> None:
        self._records.labels(outcome).inc(count)

    def decision(self, verdict: str) -> None:
        self._decisions.labels(verdict).inc()

    def login(self, result: Literal["good", "wrong", "limited", "link"]) -> None:
        self._logins.labels(result).inc()

    def refusal(self, code: str) -> None:
        self._refused.labels(code).inc()

    def failure(self, loop: Literal["ingest", "feedback", "live"]) -> None:
        self._failures.labels(loop).inc()

    def unsent(self, count: int) -> None:
        self._unsent.set(count)

    def waiting(self, count: int) -> None:
        self._waiting.set(count)

    def listeners(self, count: int) -> None:
        self._listeners.set(count)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, namespace=NAMESPACE, registry=self.registry)
