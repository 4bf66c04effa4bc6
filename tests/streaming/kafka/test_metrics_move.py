"""Every metric that rules and dashboards of workers name is moved by something that happens to a deployment."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

import pytest
from kafka import KafkaAdminClient
from prometheus_client.parser import text_string_to_metric_families

from tests.streaming.kafka.bench import ROOT, Deployment
from tests.streaming.kafka.brokers import ApacheKafka, free_ports
from tests.streaming.kafka.streams import society
from tests.streaming.kafka.test_equality import TOP

pytestmark = pytest.mark.kafka

NAMED: Final = {
    name
    for place in ("prometheus/alerts.yaml", "grafana/swarmlight.json")
    for name in re.findall(r"swarmlight_[a-z_]+", (ROOT / "deploy" / place).read_text(encoding="utf-8"))
    if not name.startswith("swarmlight_feed_")
}

ELSEWHERE: Final = {
    "swarmlight_shadow_accounts": "test_shadow_worker.py::test_who_is_added_and_removed_is_in_a_topic_and_in_metrics",
    "swarmlight_shadow_behind_seconds": (
        "test_shadow_worker.py::test_who_is_added_and_removed_is_in_a_topic_and_in_metrics"
    ),
    "swarmlight_canary_alerts_total": (
        "test_shadow_worker.py::test_a_canary_s_accounts_have_the_shadow_s_alerts_and_all_others_the_live_ones"
    ),
    "swarmlight_second_stage_texts_shed_total": (
        "test_assess_worker.py::test_only_the_first_revision_of_an_alert_opens_it_and_texts_left_out_are_shed"
    ),
    **dict.fromkeys(
        ("swarmlight_group_chance_share", "swarmlight_decoy_groups"),
        "test_assess_worker.py::test_groups_beside_decoys_are_shown_at_campaign_ticks",
    ),
    **dict.fromkeys(
        ("swarmlight_totals_drift", "swarmlight_flagged_share"),
        "test_assess_worker.py::test_drift_is_shown_and_said_once_when_it_begins_and_once_when_it_ends",
    ),
}
"""Metric -> the test that moves it and looks at it, where a deployment of its own would take minutes more."""


def scraped(port: int) -> dict[str, float]:
    """The largest sample of each name, as of now."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = max(found.get(sample.name, 0.0), abs(sample.value))
    return found


def test_what_moves_elsewhere_is_looked_at_there() -> None:
    assert set(ELSEWHERE) <= NAMED
    for metric, place in ELSEWHERE.items():
        file, _, name = place.partition("::")
        code = (Path(__file__).parent / file).read_text(encoding="utf-8")
        body = code.partition(f"def {name}(")[2].partition("\ndef ")[0]
        assert metric in body, f"{place} does not look at {metric}"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_other_one_is_moved_by_a_bad_day_of_one_worker(home: Path, tmp_path: Path) -> None:
    """Every one begins at 0. The day: records gone unread, no disk, partitions added, a broker that dies."""
    for name in ("broker", "work"):
        (tmp_path / name).mkdir()
    broker = ApacheKafka(tmp_path / "broker", home)
    broker.start()
    deployment = Deployment(broker.address, "move-", tmp_path / "work")
    (port,) = free_ports(1)
    moved: set[str] = set()
    try:
        deployment.create(deployment.topics.posts, 2)
        events = society(600)
        deployment.write(events[:20], partitions=2, keyed=False)
        deployment.delete_before(deployment.topics.posts, 0, 5)
        state = tmp_path / "work" / "state"
        state.write_bytes(b"")  # a file where the folder is to be
        deployment.worker(
            "all",
            None,
            metrics={"port": port},
            state={"dir": str(state), "snapshot_every_s": 1},
            kafka={"partitions": 2},
            top=TOP,
        )
        wanted = NAMED - set(ELSEWHERE)
        assert len(wanted) > 15
        deadline = time.monotonic() + 600
        written, added, died, last = 20, False, False, dict[str, float]()
        while wanted - moved:
            assert time.monotonic() < deadline, f"never moved: {sorted(wanted - moved)}; now {last}"
            time.sleep(1)
            try:
                last = scraped(port)
            except (OSError, urllib.error.URLError):
                continue
            moved |= {name for name, value in last.items() if value}
            if last.get("swarmlight_broker_up"):
                deployment.write(events[written : written + 100], partitions=2, keyed=False)
                written += 100
            if written > 200 and state.is_file() and "swarmlight_alarms_total" in moved:
                state.unlink()
            if written > 300 and not added:
                added = True
                admin = KafkaAdminClient(bootstrap_servers=deployment.address)
                admin.create_partitions({deployment.topics.posts: 4})
                admin.close()
            if written > 500 and not died:
                died = True
                broker.crash()
                until = time.monotonic() + 60
                while time.monotonic() < until and scraped(port)["swarmlight_broker_up"]:
                    time.sleep(1)
                assert not scraped(port)["swarmlight_broker_up"], "a broker that is away is not noticed"
                broker.start()
    finally:
        deployment.stop_all()
        broker.stop()
