"""Health says what a restart would mend, readiness what waits, and the endpoint answers what it is for alone."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from detector.errors import ConfigError
from streaming.config import Config, MetricsConfig, load_config, render
from streaming.health import Health, HealthEndpoint, HealthLimits, open_endpoint
from streaming.worker_metrics import Metrics


@pytest.fixture
def health() -> Health:
    return Health(0.0)


@pytest.fixture
def endpoint(health: Health) -> Iterator[HealthEndpoint]:
    metrics = Metrics()
    metrics.records("late", 2)
    running = HealthEndpoint("127.0.0.1", 0, metrics, health, lambda: 1.0)
    yield running
    running.close()


def ask(endpoint: HealthEndpoint, path: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_metrics_are_in_the_format_of_prometheus(endpoint: HealthEndpoint) -> None:
    status, body = ask(endpoint, "/metrics")
    assert status == 200
    assert 'swarmlight_records_total{outcome="late"} 2.0' in body


def test_health_and_readiness_answer_by_status(endpoint: HealthEndpoint, health: Health) -> None:
    assert ask(endpoint, "/healthz")[0] == 200
    status, body = ask(endpoint, "/readyz")
    assert status == 503
    assert json.loads(body)["problems"]
    health.role("score")
    health.heard(1.0)
    assert ask(endpoint, "/readyz?x=1")[0] == 200
    health.fenced()
    assert ask(endpoint, "/healthz")[0] == 503


def test_other_paths_and_methods_get_nothing(endpoint: HealthEndpoint) -> None:
    assert ask(endpoint, "/etc/passwd")[0] == 404
    assert ask(endpoint, "/metrics", "POST")[0] == 405
    assert ask(endpoint, "/healthz", "HEAD") == (200, "")
    assert ask(endpoint, "/metrics", "HEAD") == (200, "")


def test_a_client_that_says_nothing_holds_no_other_up(
    endpoint: HealthEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=5) as silent:
        assert ask(endpoint, "/healthz")[0] == 200
        silent.sendall(b"\x00\x1b[2J / HTTP/9\r\n\r\n")
        assert silent.recv(100).startswith(b"HTTP/1.0 400") or b"400" in silent.recv(1000)


def test_an_answer_says_no_version_of_the_server_and_is_not_kept(endpoint: HealthEndpoint) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=5)
    connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
    answer = connection.getresponse()
    assert (answer.headers["Server"], answer.headers["Cache-Control"]) == ("swarmlight", "no-store")
    assert b"swarmlight_records_total" in gzip.decompress(answer.read())
    connection.close()


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


def test_the_default_port_is_survived_where_the_printed_configuration_names_it(health: Health, tmp_path: Path) -> None:
    """`swarmlight config > swarmlight.toml`, and a second worker on the same machine."""
    path = tmp_path / "swarmlight.toml"
    path.write_text(render(Config()), encoding="utf-8")
    config = load_config(path, {})
    assert "metrics.port" in config.given
    with socket.socket() as taken:
        with contextlib.suppress(OSError):
            # Where this fails, somebody else has it.
            taken.bind((config.metrics.host, config.metrics.port))
            taken.listen()
        assert open_endpoint(config, Metrics(), health, lambda: 0.0) is None


LIMITS = HealthLimits(turn_s=10, heard_s=5, commit_s=3)


def running() -> Health:
    health = Health(0.0, LIMITS)
    health.role("active")
    health.heard(0.0)
    return health


def test_a_process_lives_before_it_is_ready() -> None:
    health = Health(0.0, LIMITS)
    report = health.report(1.0)
    assert (report.live, report.ready, report.role) == (True, False, "starting")
    health.role("score")
    assert not health.report(1.0).ready
    health.heard(1.0)
    assert health.report(1.0).ready


def test_a_broker_that_is_away_is_no_reason_to_restart() -> None:
    health = running()
    health.turned(6.0)
    report = health.report(6.0)
    assert (report.live, report.ready) == (True, False)
    assert "broker" in report.problems[0]
    health.heard(6.5)
    assert health.report(7.0).ready


def test_a_loop_that_no_longer_turns_is() -> None:
    health = running()
    assert health.report(10.0).live
    assert not health.report(10.5).live
    health.turned(10.5)
    assert health.report(11.0).live


def test_a_fenced_process_is_dead_whatever_else() -> None:
    health = running()
    health.fenced()
    report = health.report(0.0)
    assert (report.live, report.ready) == (False, False)
    assert "taken over" in report.problems[0]


def test_a_commit_that_is_stuck_is_not_ready_from_its_first_due() -> None:
    health = running()
    health.commit_due(0.0)
    health.commit_due(3.0)
    health.heard(4.0)
    assert not health.report(4.0).ready
    health.committed(4.0)
    assert health.report(4.0).ready


def test_of_several_stages_none_hides_what_is_the_matter_with_another() -> None:
    health = running()
    health.heard(0.0, "score")
    health.heard(0.0, "assess")
    health.commit_due(0.0, "assess")
    for now in (2.0, 4.0):
        health.heard(now)
        health.committed(now, "score")
    assert health.report(4.0).problems == ("nothing could be committed for 4 s",)
    health.heard(6.0)
    health.heard(6.0, "score")
    health.committed(0.0, "assess")
    assert health.report(6.0).problems == ("the broker has not answered for 6 s",)
    health.heard(6.0, "assess")
    assert health.report(6.0).ready


def test_a_replay_ends_when_all_is_read() -> None:
    health = running()
    health.replaying(3, 10)
    assert health.report(0.0).problems == ("replaying the log: 3 of 10",)
    health.replaying(10, 10)
    assert health.report(0.0).ready


def test_a_process_that_ends_takes_no_more_work() -> None:
    health = running()
    health.stopping()
    assert not health.report(0.0).ready
    assert health.report(0.0).live


def test_a_process_that_could_not_take_over_lives_and_is_not_ready() -> None:
    health = running()
    health.blocked("there is no snapshot")
    report = health.report(0.0)
    assert (report.live, report.ready, report.problems) == (True, False, ("there is no snapshot",))
    health.blocked(None)
    assert health.report(0.0).ready
