"""Prometheus metrics of the feed.

No label holds text that a stranger chose: routes are the templates of the service's own routes, everything else is one
of a fixed set of words.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

RecordOutcome = Literal["stale", "unreadable"]
LoginResult = Literal["good", "wrong", "limited", "link"]
Loop = Literal["ingest", "feedback", "actions", "live"]

NAMESPACE: Final = "swarmlight_feed"

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds. A page takes 5 to 50 ms."""


class FeedMetrics:
    """All metrics of one running feed, on a registry of its own, so that several feeds can run in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Histogram(
            "request_seconds", "Time to answer a request", ("route", "method", "status"),
            namespace=NAMESPACE, buckets=BUCKETS, registry=self.registry,
        )  # fmt: skip
        self._alerts = self._counter("alerts", "Alert revisions stored", "kind", "status")
        self._records = self._counter("records", "Records ignored as stale or unreadable", "outcome")
        self._decisions = self._counter("decisions", "Decisions made, by verdict", "verdict")
        self._logins = self._counter("logins", "Login attempts, by result", "result")
        self._refused = self._counter("refusals", "Requests refused, by error code", "code")
        self._failures = self._counter("failures", "Failed iterations of a background loop", "loop")
        self._unsent = self._gauge("unsent_decisions", "Decisions not yet in topic feedback")
        self._untaken = self._gauge("untaken_actions", "Actions that their receivers have not taken yet")
        self._dead = self._gauge("dead_actions", "Actions in the dead-letter list")
        self._waiting = self._gauge("waiting_alerts", "Alerts waiting for a decision")
        self._listeners = self._gauge("live_listeners", "Browsers connected to live updates")
        # What is born at 1 has not risen for Prometheus, and its rule stays silent.
        for outcome in get_args(RecordOutcome):
            self._records.labels(outcome)
        for result in get_args(LoginResult):
            self._logins.labels(result)
        for loop in get_args(Loop):
            self._failures.labels(loop)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answered request.

        Args:
            route: template of the route, such as `/alerts/{alert_id}`; "none" where no route matched.
            method: HTTP method; "other" for one that HTTP does not define.
            status: HTTP status of the answer.
            seconds: time until the answer was complete.
        """
        self._requests.labels(route, method, str(status)).observe(seconds)

    def alert(self, kind: str, status: str, count: int) -> None:
        """Count stored alert revisions.

        Args:
            kind: kind of the alert.
            status: status of the revision.
            count: how many.
        """
        self._alerts.labels(kind, status).inc(count)

    def record(self, outcome: RecordOutcome, count: int) -> None:
        """Count records that changed nothing (`stale`) or could not be read."""
        self._records.labels(outcome).inc(count)

    def decision(self, verdict: str) -> None:
        """Count a decision."""
        self._decisions.labels(verdict).inc()

    def login(self, result: LoginResult) -> None:
        """Count an attempt to log in."""
        self._logins.labels(result).inc()

    def refusal(self, code: str) -> None:
        """Count a refused request by the code of its error."""
        self._refused.labels(code).inc()

    def failure(self, loop: Loop) -> None:
        """Count a failed iteration of a background loop."""
        self._failures.labels(loop).inc()

    def unsent(self, count: int) -> None:
        """Set the number of decisions in the outbox."""
        self._unsent.set(count)

    def actions(self, waiting: int, dead: int) -> None:
        """Set the numbers of actions that wait for their receivers, and that are in the dead-letter list."""
        self._untaken.set(waiting)
        self._dead.set(dead)

    def waiting(self, count: int) -> None:
        """Set the number of alerts that wait for a decision."""
        self._waiting.set(count)

    def listeners(self, count: int) -> None:
        """Set the number of open live-update connections."""
        self._listeners.set(count)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, namespace=NAMESPACE, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, namespace=NAMESPACE, registry=self.registry)
