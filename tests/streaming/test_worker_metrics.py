"""Metrics count what happened under labels that no stranger can choose."""

from __future__ import annotations

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streaming.worker_metrics import MOST_WORDS, OTHER, Alarm, Metrics


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
    assert samples(metrics, "records_total") == {("accepted",): 4, ("duplicate",): 0, ("late",): 0, ("dead",): 1}


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


def test_texts_that_were_cut_are_counted() -> None:
    metrics = Metrics()
    metrics.texts_cut(2)
    metrics.texts_cut(0)
    assert samples(metrics, "texts_cut_total") == {(): 2}


def test_everything_else_is_counted() -> None:
    metrics = Metrics()
    metrics.texts("second", 2)
    metrics.transaction("committed")
    metrics.restore("snapshot")
    metrics.snapshot(5.0)
    metrics.records_read(11)
    metrics.budget(20.0)
    metrics.committed(6.0)
    metrics.alert_opened("campaign")
    metrics.alert("campaign", "open")
    metrics.offset_gap(9)
    metrics.shed(4)
    metrics.active(True)
    metrics.size("accounts", 10)
    metrics.partitions(3)
    metrics.broker(False)
    metrics.watermark_age(61)
    assert {key: value for key, value in samples(metrics, "texts_scored_total").items() if value} == {("second",): 2}
    assert samples(metrics, "transactions_total") == {("aborted",): 0, ("committed",): 1, ("fenced",): 0}
    assert samples(metrics, "restores_total") == {("snapshot",): 1}
    assert samples(metrics, "alerts_total") == {("campaign", "open"): 1}
    assert samples(metrics, "alerts_opened_total") == {("account",): 0, ("campaign",): 1, ("coordination",): 0}
    for name, value in {
        "snapshots_total": 1,
        "last_snapshot_timestamp_seconds": 5,
        "last_commit_timestamp_seconds": 6,
        "records_read_total": 11,
        "second_stage_budget_texts_per_second": 20,
        "offset_gap_records_total": 9,
        "second_stage_texts_shed_total": 4,
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
    assert samples(first, "alarms_total")[("gap",)] == 1
    assert samples(second, "alarms_total")[("gap",)] == 0


def test_every_alarm_is_there_before_it_is_raised() -> None:
    """Prometheus sees no increase in a series that is born at 1: the first alarm of a kind would be told to nobody."""
    assert samples(Metrics(), "alarms_total") == {(kind,): 0.0 for kind in get_args(Alarm)}
    assert samples(Metrics(), "offset_gap_records_total") == {(): 0.0}


def test_a_process_that_stands_by_says_nothing_of_the_present() -> None:
    """Its numbers are of the time when it last decided, and rules that look for the largest would page for ever."""
    metrics = Metrics()
    metrics.active(True)
    metrics.lag("assess", {0: 5}, 900.0)
    metrics.lag("score", {0: 2}, 3.0)
    metrics.watermark_age(9000.0)
    metrics.active(False)
    assert samples(metrics, "lag_seconds") == {("assess",): 0.0, ("score",): 3.0}
    assert samples(metrics, "lag_records") == {("0", "score"): 2}
    assert samples(metrics, "watermark_age_seconds") == {(): 0.0}
