"""The endpoint answers what it is for, and nothing else.

Health says what a restart would mend, and readiness what waits.

A log line stays one line of printable ASCII, whatever it is about.

Metrics count what happened under labels that no stranger can choose.
"""

from __future__ import annotations

import http.client
import io
import json
import logging
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from detector.errors import ConfigError
from streaming.config import Config, LogConfig, MetricsConfig, load_config
from streaming.telemetry import (
    MOST_WORDS,
    OTHER,
    Endpoint,
    Health,
    HealthLimits,
    JsonFormatter,
    Metrics,
    TextFormatter,
    configure,
    fields,
    open_endpoint,
    shown,
)


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


@pytest.fixture
def root_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def record(message: str, /, *arguments: object, **values: object) -> logging.LogRecord:
    made = logging.LogRecord("streaming.x", logging.INFO, __file__, 1, message, arguments or None, None)
    made.__dict__.update(fields(**values))
    return made


@given(st.text(), st.text(), st.sampled_from([JsonFormatter(), TextFormatter()]))
def test_no_text_breaks_out_of_its_line(message: str, value: str, formatter: logging.Formatter) -> None:
    line = formatter.format(record("%s", message, value=value, count=3))
    assert line.isascii()
    assert line.isprintable()
    if isinstance(formatter, JsonFormatter):
        entry = json.loads(line)
        assert (entry["level"], entry["count"]) == ("INFO", 3)


def test_a_field_cannot_pose_as_the_lines_own() -> None:
    entry = json.loads(JsonFormatter().format(record("real", message="forged", level="CRITICAL")))
    assert (entry["message"], entry["level"]) == ("real", "INFO")


def test_an_exception_is_told_on_the_same_line() -> None:
    made = record("failed")
    try:
        raise ValueError("bad\ntext \x1b[31m")
    except ValueError as error:
        made.exc_info = (ValueError, error, error.__traceback__)
    entry = json.loads(JsonFormatter().format(made))
    assert entry["error"].startswith("ValueError: bad\\ntext \\x1b[31m at test_an_exception")


def test_configure_replaces_handlers_and_keeps_the_client_quiet(root_restored: None) -> None:
    stream = io.StringIO()
    configure(LogConfig(level="DEBUG", format="text"), io.StringIO())
    configure(LogConfig(level="DEBUG", format="text"), stream)
    logging.getLogger("kafka").info("all topics and settings")
    logging.getLogger("streaming.x").debug("seen", extra=fields(count=2))
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().endswith("DEBUG   streaming.x: seen count=2\n")


def test_names_are_cut() -> None:
    assert shown("a\x00b") == "a\\x00b"
    assert len(shown("x" * 1000)) == 100


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    found = {}
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        for sample in family.samples:
            if sample.name == f"swarmlight_{name}":
                found[tuple(value for _, value in sorted(sample.labels.items()))] = sample.value
    return found


def test_records_add_up_by_outcome() -> None:
    metrics = Metrics()
    metrics.records("accepted", 3)
    metrics.records("dead")
    metrics.records("accepted")
    assert samples(metrics, "records_total") == {("accepted",): 4, ("dead",): 1}


def test_the_lag_of_a_partition_given_away_disappears() -> None:
    metrics = Metrics()
    metrics.lag("score", {0: 5, 1: 7}, 3.5)
    metrics.lag("assess", {0: 1}, 0.0)
    metrics.lag("score", {1: 2}, 1.0)
    assert samples(metrics, "lag_records") == {("1", "score"): 2, ("0", "assess"): 1}
    assert samples(metrics, "lag_seconds") == {("score",): 1.0, ("assess",): 0.0}


def test_model_versions_replace_those_before() -> None:
    metrics = Metrics()
    metrics.models({"text": "cheap@1", "expert": "minilm@1"})
    metrics.models({"text": "cheap@2"})
    assert samples(metrics, "model_info") == {("text", "cheap@2"): 1}


def test_histograms_have_the_step_in_seconds() -> None:
    metrics = Metrics()
    metrics.step("assess", "tick", 0.02)
    metrics.decision_delay(-1)
    assert samples(metrics, "step_seconds_sum") == {("assess", "tick"): 0.02}
    assert samples(metrics, "decision_delay_seconds_count") == {(): 1}


def test_everything_else_is_counted() -> None:
    metrics = Metrics()
    metrics.texts("expert", 2)
    metrics.transaction("committed")
    metrics.restore("snapshot")
    metrics.snapshot()
    metrics.alert("campaign", "open")
    metrics.hole(9)
    metrics.shed(4)
    metrics.active(True)
    metrics.size("accounts", 10)
    metrics.partitions(3)
    metrics.broker(False)
    metrics.watermark_age(61)
    assert samples(metrics, "texts_scored_total") == {("expert",): 2}
    assert samples(metrics, "transactions_total") == {("committed",): 1}
    assert samples(metrics, "restores_total") == {("snapshot",): 1}
    assert samples(metrics, "alerts_total") == {("campaign", "open"): 1}
    for name, value in {
        "snapshots_total": 1,
        "hole_records_total": 9,
        "expert_texts_shed_total": 4,
        "assess_active": 1,
        "partitions_owned": 3,
        "broker_up": 0,
        "watermark_age_seconds": 61,
    }.items():
        assert samples(metrics, name) == {(): value}


@given(st.lists(st.text(max_size=30), max_size=100))
def test_no_strange_word_and_no_flood_of_words_becomes_a_label(words: list[str]) -> None:
    metrics = Metrics()
    for word in [*words, *(f"reason_{number}" for number in range(MOST_WORDS * 2))]:
        metrics.abstention("text", word)
    reasons = {reason for _, reason in samples(metrics, "abstentions_total")}
    assert len(reasons) <= MOST_WORDS + 1
    assert all(reason.isascii() and reason.replace("_", "").isalnum() and len(reason) <= 40 for reason in reasons)
    assert OTHER in reasons


def test_two_processes_in_one_do_not_share_a_registry() -> None:
    first, second = Metrics(), Metrics()
    first.alarm("gap")
    assert samples(first, "alarms_total") == {("gap",): 1}
    assert samples(second, "alarms_total") == {}
