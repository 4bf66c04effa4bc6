"""Decisions of `assess` become metrics once, whichever process committed them."""

from __future__ import annotations

import numpy as np
import pytest
from prometheus_client import generate_latest

from streaming.assess.ordering import Ordering, OrderingState
from streaming.assess.outputs import NOT_READ, AlertRevision, Answer, TickOutput, TickStats
from streaming.kafka.assess_worker import AssessMeter
from streaming.worker_metrics import Metrics


def page(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def ordering(**counts: int) -> Ordering:
    made = Ordering(OrderingState.begin(1, 60_000), 60_000)
    for name, count in counts.items():
        setattr(made.counts, name, count)
    return made


def output(**abstained: int) -> TickOutput:
    alert = AlertRevision("1", 1, "campaign", "open", b"{}")
    stats = TickStats(accounts=7, groups=2, abstained={name.replace("_", " "): n for name, n in abstained.items()})
    return TickOutput(0, [alert], [], [], [], Answer.unread(), stats)


def test_records_are_counted_by_difference() -> None:
    metrics = Metrics()
    meter = AssessMeter(metrics)
    state = ordering(accepted=5, dead=1)
    meter.committed(state, [output(texts_too_short=3)])
    state.counts.accepted = 9
    meter.committed(state, [])
    shown = page(metrics)
    assert 'swarmlight_records_total{outcome="accepted"} 9.0' in shown
    assert 'swarmlight_records_total{outcome="dead"} 1.0' in shown
    assert 'swarmlight_alarms_total{kind="gap"} 0.0' in shown
    assert 'swarmlight_alerts_opened_total{kind="campaign"} 1.0' in shown
    assert 'swarmlight_abstentions_total{component="text",reason="texts_too_short"} 3.0' in shown
    assert 'swarmlight_alerts_total{kind="campaign",status="open"} 1.0' in shown
    assert 'swarmlight_state_size{what="accounts"} 7.0' in shown


def test_what_an_earlier_owner_counted_is_not_counted_again() -> None:
    metrics = Metrics()
    meter = AssessMeter(metrics)
    state = ordering(accepted=100)
    meter.skip_published(state)
    state.counts.accepted = 103
    meter.committed(state, [])
    assert 'swarmlight_records_total{outcome="accepted"} 3.0' in page(metrics)


def test_the_age_of_the_watermark_is_known_once_there_is_one() -> None:
    metrics = Metrics()
    meter = AssessMeter(metrics)
    meter.now(ordering(), 1000.0)
    assert "swarmlight_watermark_age_seconds 0.0" in page(metrics)
    assert 'swarmlight_state_size{what="waiting"} 0.0' in page(metrics)


def test_only_the_first_revision_of_an_alert_opens_it_and_texts_left_out_are_shed() -> None:
    metrics = Metrics()
    again = AlertRevision("1", 2, "account", "open", b"{}")
    answer = Answer.unread()._replace(llrs=np.array([NOT_READ, 5, NOT_READ], np.int16))
    stats = TickStats(flagged=3, held_back=4)
    AssessMeter(metrics).committed(ordering(), [TickOutput(0, [again], [], [], [], answer, stats)])
    shown = page(metrics)
    assert 'swarmlight_alerts_opened_total{kind="account"} 0.0' in shown
    assert "swarmlight_second_stage_texts_shed_total 2.0" in shown
    assert 'swarmlight_state_size{what="flagged"} 3.0' in shown
    assert 'swarmlight_state_size{what="held_back"} 4.0' in shown


def test_drift_is_shown_and_said_once_when_it_begins_and_once_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    meter = AssessMeter(metrics)
    answer = Answer.unread()

    def ticks(*drifts: float | None) -> None:
        stats = [TickStats(drift=drift, flagged_share=0.07) for drift in drifts]
        meter.committed(ordering(), [TickOutput(0, [], [], [], [], answer, each) for each in stats])

    with caplog.at_level("INFO"):
        ticks(0.1, 0.3, 0.4, None)
    assert "swarmlight_totals_drift 0.4" in page(metrics)
    assert "swarmlight_flagged_share 0.07" in page(metrics)
    (said,) = caplog.messages
    assert "stability index 0.30" in said
    assert "swarmlight calibrate" in said
    with caplog.at_level("INFO"):
        ticks(0.05, 0.04)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_groups_beside_decoys_are_shown_at_campaign_ticks() -> None:
    metrics = Metrics()
    stats = TickStats(chance={"suspects": (0.02, 0.5), "all": (0.0, 1.5)})
    AssessMeter(metrics).committed(ordering(), [TickOutput(0, [], [], [], [], Answer.unread(), stats)])
    value = metrics.registry.get_sample_value
    assert value("swarmlight_group_chance_share", {"among": "suspects"}) == 0.02
    assert value("swarmlight_decoy_groups", {"among": "all"}) == 1.5
