"""Decisions of `assess` become metrics once, whichever process committed them."""

from __future__ import annotations

import numpy as np
from prometheus_client import generate_latest

from streaming.assess.ordering import Ordering, OrderingState
from streaming.assess.outputs import AlertRevision, TickOutput, TickStats
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
    return TickOutput(0, [alert], [], [], [], np.zeros(0, np.int16), stats)


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
    assert 'swarmlight_alarms_total{kind="gap"}' not in shown
    assert 'swarmlight_abstentions_total{part="text",reason="texts_too_short"} 3.0' in shown
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
