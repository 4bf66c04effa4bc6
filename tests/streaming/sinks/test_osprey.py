"""The sink `osprey`: actions as Osprey's Kafka input reads them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from detector.errors import UsageError
from streaming.config import load_config
from streaming.schema.alert import read_alert
from streaming.sinks.base import open_sink
from streaming.sinks.osprey import action_id, actions_of
from tests.streaming.sinks.alerts import alert


def read_as_osprey(value: bytes) -> tuple[int, str, dict[str, Any], datetime]:
    """What Osprey's documented Kafka input takes: `send_time`, and `data` with id, name and fields."""
    envelope = json.loads(value)
    sent_at = datetime.fromisoformat(envelope["send_time"].replace("Z", "+00:00"))
    action = envelope["data"]
    return int(action["action_id"]), action["action_name"], action["data"], sent_at


def test_each_account_of_a_revision_is_an_action_and_so_is_one_that_left() -> None:
    record = read_alert(alert("c1", 2, members=["ann", "bob"], kind="campaign"))
    read = [read_as_osprey(json.dumps(each).encode()) for each in actions_of(record, {"cem"})]
    assert [(name, data["account"], data["status"]) for _, name, data, _ in read] == [
        ("swarmlight_alert", "ann", "open"), ("swarmlight_alert", "bob", "open"), ("swarmlight_alert", "cem", "left"),
    ]  # fmt: skip
    assert read[0][2]["kind"] == "campaign"
    assert read[0][2]["posterior"] == 0.9
    assert read[0][2]["reasons"] == ["text.posts_read_machine"]
    assert read[0][3].year == 2026
    assert len({number for number, _, _, _ in read}) == 3
    assert all(0 <= number < 2**63 for number, _, _, _ in read)


def test_the_number_of_an_action_is_the_same_whenever_it_is_made() -> None:
    assert action_id("c1", 2, "ann") == action_id("c1", 2, "ann")
    assert len({action_id("c1", 2, "ann"), action_id("c1", 3, "ann"), action_id("c12", 2, "ann")}) == 3


def test_a_target_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="HOST:PORT/TOPIC"):
        open_sink("osprey:host:9092/a b", load_config(None, {}))
