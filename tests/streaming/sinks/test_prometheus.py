"""The sink `prometheus`: counts at a Pushgateway, and nothing of anybody."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.errors import DeliveryError, UsageError
from streaming.config import load_config
from streaming.sinks.base import open_live_sink, open_sink
from tests.streaming.receivers import Receiver, answers
from tests.streaming.sinks.alerts import alert

CONFIG = load_config(None, {"SWARMLIGHT_SINKS__INTERNAL_ADDRESSES": "allow"})


def test_counts_are_put_under_the_job_and_hold_nothing_personal(tmp_path: Path) -> None:
    with Receiver(answers((503, {}, b""))) as receiver:
        sink = open_live_sink(f"prometheus:{receiver.url}/gateway/", CONFIG)
        for name, body in (
            ("a1", alert("a1", members=["ann-the-account"])),
            ("a2", alert("a2", members=["bob-the-account"])),
            ("a2", alert("a2", 2, status="withdrawn")),
            ("c1", alert("c1", kind="campaign", members=[f"x{number}" for number in range(12)])),
        ):
            sink.write(name, body)
        sink.close()
    last = receiver.requests[-1]
    assert (last.method, last.path) == ("PUT", "/gateway/metrics/job/swarmlight")
    lines = last.body.decode().splitlines()
    assert 'swarmlight_pushed_alert_revisions_total{kind="account",status="open"} 2.0' in lines
    assert 'swarmlight_pushed_alert_revisions_total{kind="account",status="withdrawn"} 1.0' in lines
    assert 'swarmlight_pushed_alerts_open{kind="account"} 1.0' in lines
    assert 'swarmlight_pushed_alerts_open{kind="campaign"} 1.0' in lines
    assert 'swarmlight_pushed_alerts_total{accounts="30",kind="campaign"} 1.0' in lines
    assert len(receiver.requests) == 2
    assert not any(word in last.body.decode() for word in ("ann-the", "bob-the", "a1", "c1", "trains", "quotes"))


def test_a_gateway_that_takes_nothing_is_an_error(tmp_path: Path) -> None:
    with Receiver(lambda _: (404, {}, b"")) as receiver:
        sink = open_sink(f"prometheus:{receiver.url}", CONFIG)
        with pytest.raises(DeliveryError, match="status 404"):
            sink.close()
    with pytest.raises(UsageError, match="Pushgateway"):
        open_sink("prometheus", CONFIG)
