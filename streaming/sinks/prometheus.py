"""The sink `prometheus`: how many alerts there are, pushed to a Pushgateway. Counts only: no account, no text, no id.

`--sink prometheus:https://HOST:9091` pushes at the end of a run, and in a deployment that lives every quarter of a
minute, under the job `swarmlight`. A deployment's own metrics are better scraped ([metrics]); this is for runs that
nobody can scrape, as they are over before anybody looks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Counter, Gauge, push_to_gateway

from detector.errors import UsageError
from streaming.config import Config
from streaming.outgoing import Endpoint
from streaming.retry import Backoff
from streaming.schema.alert import read_alert
from streaming.sinks.webhook import FIRST_WAIT_S, LONGEST_WAIT_S, deliver

JOB: Final = "swarmlight"
"""What the group of metrics is called at the gateway."""

PUSH_S: Final = 15.0
"""Seconds between two pushes: as often as Prometheus usually scrapes."""

MEMBERS: Final = (1, 3, 10, 30, 100)
"""Bounds of how many accounts an alert is about; what is above is counted under the last."""


class AlertCounts:
    """Counts alerts and pushes the counts.

    Args:
        endpoint: of the gateway.
        url: of it, which a path may follow.
        give_up_s: seconds after which a gateway that takes nothing is an error.
    """

    flush_s = PUSH_S

    def __init__(self, endpoint: Endpoint, url: str, give_up_s: float) -> None:
        self._endpoint = endpoint
        self._url = url
        self._give_up_s = give_up_s
        self._backoff = Backoff(FIRST_WAIT_S, LONGEST_WAIT_S)
        self._registry = CollectorRegistry()
        self._revisions = Counter(
            "swarmlight_pushed_alert_revisions", "Revisions of alerts", ["kind", "status"], registry=self._registry
        )
        self._open = Gauge("swarmlight_pushed_alerts_open", "Alerts that are open", ["kind"], registry=self._registry)
        self._sizes = Counter(
            "swarmlight_pushed_alerts", "Alerts that were opened, by how many accounts they were about at most",
            ["kind", "accounts"], registry=self._registry,
        )  # fmt: skip
        self._kinds: dict[str, str] = {}

    def write(self, alert_id: str, body: bytes) -> None:
        """Count a revision."""
        alert = read_alert(body)
        self._revisions.labels(alert.kind, alert.status).inc()
        if alert.revision == 1:
            size = next((bound for bound in MEMBERS if len(alert.members) <= bound), MEMBERS[-1])
            self._sizes.labels(alert.kind, str(size)).inc()
        before = self._kinds.pop(alert_id, None)
        if before is not None:
            self._open.labels(before).dec()
        if alert.status == "open":
            self._kinds[alert_id] = alert.kind
            self._open.labels(alert.kind).inc()

    def flush(self) -> None:
        """Push the counts as they are.

        Raises:
            DeliveryError: the gateway did not take them.
        """
        deliver(self._push, self._backoff, give_up_s=self._give_up_s)

    def close(self) -> None:
        """Push the last counts."""
        try:
            self.flush()
        finally:
            self._endpoint.close()

    def _push(self) -> None:
        push_to_gateway(self._url, JOB, self._registry, handler=self._sender)

    def _sender(
        self, url: str, method: str, timeout: float | None, headers: list[tuple[str, str]], data: bytes
    ) -> Callable[[], None]:
        """What prometheus-client sends by: its own would follow redirects, and go to any address."""
        path = urlsplit(url).path
        return lambda: _ignored(self._endpoint.request(method, data, dict(headers), path=path))


def _ignored(answer: Any) -> None:
    """A gateway that takes a push has nothing to say."""


def open_sink(target: str, config: Config) -> AlertCounts:
    """The Pushgateway at the URL `target`.

    Raises:
        UsageError: no URL that can be used.
    """
    if not target:
        raise UsageError("--sink prometheus: name a Pushgateway, as in prometheus:https://gateway.example.org:9091")
    endpoint = Endpoint(target, "--sink prometheus", internal=config.sinks.internal_addresses == "allow")
    return AlertCounts(endpoint, target, config.sinks.give_up_s)
