"""The endpoint answers what it is for, and nothing else."""

from __future__ import annotations

import http.client
import json
import logging
import socket
from collections.abc import Iterator

import pytest

from detector.errors import ConfigError
from streaming.config import Config, MetricsConfig, load_config
from streaming.endpoint import Endpoint, open_endpoint
from streaming.health import Health
from streaming.metrics import Metrics


@pytest.fixture
def health() -> Health:
    return Health(0.0)


@pytest.fixture
def endpoint(health: Health) -> Iterator[Endpoint]:
    metrics = Metrics()
    metrics.records("late", 2)
    running = Endpoint("127.0.0.1", 0, metrics, health, lambda: 1.0)
    yield running
    running.close()


def ask(endpoint: Endpoint, path: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_metrics_are_in_the_format_of_prometheus(endpoint: Endpoint) -> None:
    status, body = ask(endpoint, "/metrics")
    assert status == 200
    assert 'swarmlight_records_total{outcome="late"} 2.0' in body


def test_health_and_readiness_answer_by_status(endpoint: Endpoint, health: Health) -> None:
    assert ask(endpoint, "/healthz")[0] == 200
    status, body = ask(endpoint, "/readyz")
    assert status == 503
    assert json.loads(body)["problems"]
    health.role("score")
    health.heard(1.0)
    assert ask(endpoint, "/readyz?x=1")[0] == 200
    health.fenced()
    assert ask(endpoint, "/healthz")[0] == 503


def test_other_paths_and_methods_get_nothing(endpoint: Endpoint) -> None:
    assert ask(endpoint, "/etc/passwd")[0] == 404
    assert ask(endpoint, "/metrics", "POST")[0] == 501
    assert ask(endpoint, "/healthz", "HEAD") == (200, "")


def test_a_taken_default_port_is_survived_and_a_taken_chosen_one_is_an_error(
    health: Health, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with caplog.at_level(logging.WARNING):
            assert open_endpoint(Config(metrics=MetricsConfig(port=port)), Metrics(), health, lambda: 0.0) is None
        assert str(port) in caplog.text
        chosen = load_config(None, {"SWARMLIGHT_METRICS__PORT": str(port)})
        with pytest.raises(ConfigError, match="another port"):
            open_endpoint(chosen, Metrics(), health, lambda: 0.0)
    assert open_endpoint(Config(metrics=MetricsConfig(port=0)), Metrics(), health, lambda: 0.0) is None
