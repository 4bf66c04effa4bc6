"""The rules of Prometheus on the shapes of faults: each fires on its own and is silent where all is well."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final, get_args

import pytest

from streaming.worker_metrics import Alarm
from tests.promql import Labels, Query, Series, Store

yaml: Any = pytest.importorskip("yaml")

RULES: Final = {
    rule["alert"]: rule
    for group in yaml.safe_load(
        (Path(__file__).resolve().parent.parent / "deploy/prometheus/alerts.yaml").read_text(encoding="utf-8")
    )["groups"]
    if group["name"] == "swarmlight"
    for rule in group["rules"]
}

DAYS: Final = 9
STEP_S: Final = 240.0
"""Time between two samples of the first days, and between two looks at the rules: finer than the five minutes for which
a sample is good. Of the last hours there is one every minute."""

END_S: Final = DAYS * 86_400.0
LOOK_S: Final = 4 * 3600.0
"""The rules are looked at for the last hours, in which `Shape` may let something happen."""

FAULT_S: Final = END_S - LOOK_S

LATE_S: Final = END_S - 12 * 3600

TIMES: Final = [
    *(step * STEP_S for step in range(int(LATE_S / STEP_S))),
    *(LATE_S + minute * 60 for minute in range(12 * 60 + 1)),
]

Shape = dict[str, Callable[[float], float | None]]
"""Series by their written name, as functions of time; None: there is no sample."""


def rising(per_hour: float, until_s: float = math.inf, after: float = 0.0) -> Callable[[float], float]:
    """A counter that rises evenly, from `until_s` on by `after` an hour."""
    return lambda t: (min(t, until_s) * per_hour + max(0.0, t - until_s) * after) / 3600


def always(value: float) -> Callable[[float], float]:
    return lambda t: value


def then(before: float | None, value: float | None) -> Callable[[float], float | None]:
    """One value until the fault, another from then on."""
    return lambda t: before if t < FAULT_S else value


def stops(least: float = 0.0) -> Callable[[float], float]:
    """When something last happened that happens all along until the fault."""
    return lambda t: max(least, min(t, FAULT_S))


def ages(usual: float) -> Callable[[float], float]:
    """An age that grows from the fault on."""
    return lambda t: usual + max(0.0, t - FAULT_S)


def outcomes(instance: str, per_hour: float, until_s: float = math.inf) -> Shape:
    """What became of records, as it usually does."""
    shares = {"accepted": 0.98, "duplicate": 0.0125, "late": 0.005, "dead": 0.0025}
    return {
        f"swarmlight_records_total outcome={outcome} {instance}": rising(per_hour * share, until_s)
        for outcome, share in shares.items()
    }


def healthy() -> Shape:
    """An active process and a warm standby, both scoring; a few flags a day."""
    shape: Shape = {}
    for instance, is_active in (("a", 1.0), ("b", 0.0)):
        here = f"job=swarmlight instance={instance}"
        shape |= {
            f"up {here}": always(1),
            f"swarmlight_assess_active {here}": always(is_active),
            f"swarmlight_broker_up {here}": always(1),
            f"swarmlight_partitions_owned {here}": always(2),
            f"swarmlight_partitions_unread {here}": always(0),
            f"swarmlight_watermark_age_seconds {here}": always(90 * is_active),
            f"swarmlight_lag_seconds stage=score {here}": always(1),
            f"swarmlight_lag_seconds stage=assess {here}": always(2 * is_active),
            f"swarmlight_records_read_total {here}": rising(1000),
            f"swarmlight_offset_gap_records_total {here}": always(0),
            f"swarmlight_second_stage_texts_shed_total {here}": always(0),
            f"swarmlight_second_stage_budget_texts_per_second {here}": always(20),
            f"swarmlight_texts_scored_total stage=second {here}": rising(300 * is_active),
            f"swarmlight_last_commit_timestamp_seconds {here}": (lambda t: t - 30) if is_active else always(0),
            f"swarmlight_last_snapshot_timestamp_seconds {here}": lambda t: t - 200,
            f"swarmlight_model_info model=text name_version=cheap@1 {here}": always(1),
            f"swarmlight_abstentions_total component=text reason=texts_too_short {here}": rising(400 * is_active),
            f"swarmlight_abstentions_total component=text reason=no_text {here}": rising(2000 * is_active),
            f"swarmlight_alerts_opened_total kind=account {here}": rising(0.5 * is_active),
            f"swarmlight_totals_drift {here}": always(0.06 * is_active),
            f"swarmlight_group_chance_share among=suspects {here}": always(0.02 * is_active),
            f"swarmlight_decision_delay_seconds_bucket le=300.0 {here}": rising(60 * is_active),
            f"swarmlight_decision_delay_seconds_count {here}": rising(60 * is_active),
        }
        shape |= outcomes(here, 2000 * is_active)
        for kind in get_args(Alarm):
            shape[f"swarmlight_alarms_total kind={kind} {here}"] = always(0)
    return shape


def scraped(shape: Shape) -> dict[Labels, Series]:
    """The samples of a shape."""
    found = {}
    for written, value in shape.items():
        name, *pairs = written.split()
        labels = {"__name__": name} | dict(pair.split("=", 1) for pair in pairs)
        samples = [(at_s, float(sample)) for at_s in TIMES if (sample := value(at_s)) is not None]
        found[frozenset(labels.items())] = Series([each[0] for each in samples], [each[1] for each in samples])
    return found


@cache
def healthy_store() -> dict[Labels, Series]:
    return scraped(healthy())


def firing(changes: Shape) -> set[str]:
    """Names of the rules that fire at some moment of the last hours, of those that ask for what has changed, if any."""
    store = Store()
    store.series = healthy_store() | scraped(changes)
    names = {written.split()[0] for written in changes}
    fired = set()
    for name, rule in RULES.items():
        if changes and not any(re.search(rf"\b{metric}\b", rule["expr"]) for metric in names):
            continue
        wait = str(rule.get("for", "0m"))
        wait_s = float(wait[:-1]) * {"m": 60, "h": 3600}[wait[-1]]
        since: float | None = None
        for step in range(int(LOOK_S / STEP_S) + 1):
            at_s = FAULT_S + step * STEP_S
            if not Query(rule["expr"], store, at_s).value():
                since = None
                continue
            since = at_s if since is None else since
            if at_s - since >= wait_s:
                fired.add(name)
                break
    return fired


A, B = "job=swarmlight instance=a", "job=swarmlight instance=b"
NO_POSTS: Final[Shape] = {f"swarmlight_records_read_total {each}": rising(1000, FAULT_S - 86_400) for each in (A, B)}

FAULTS: Final[dict[str, tuple[Shape, set[str]]]] = {
    "nothing": ({}, set()),
    "a quiet night": (
        NO_POSTS
        | outcomes(A, 2000, FAULT_S - 86_400)
        | {
            f"swarmlight_watermark_age_seconds {A}": ages(60_000),
            f"swarmlight_last_commit_timestamp_seconds {A}": lambda t: min(t, FAULT_S - 86_400),
            f"swarmlight_last_snapshot_timestamp_seconds {A}": lambda t: min(t, FAULT_S - 86_400),
            f"swarmlight_abstentions_total component=text reason=texts_too_short {A}": rising(400, FAULT_S - 86_400),
        },
        set(),
    ),
    "a broker outage stalls assess in silence": (
        outcomes(A, 2000, FAULT_S)
        | {
            f"swarmlight_watermark_age_seconds {A}": ages(90),
            f"swarmlight_last_commit_timestamp_seconds {A}": stops(),
            f"swarmlight_lag_seconds stage=assess {A}": ages(2),
        },
        {"SwarmlightNothingAccepted", "SwarmlightDecisionsOld", "SwarmlightCommitOld", "SwarmlightBehind"},
    ),
    "a day of silence on a small topic": (
        outcomes(A, 30 / 24)
        | {
            f"swarmlight_records_read_total {A}": rising(15 / 24),
            f"swarmlight_records_read_total {B}": rising(15 / 24),
            f"swarmlight_watermark_age_seconds {A}": ages(90_000),
            f"swarmlight_alarms_total kind=clock_jump {A}": then(0, 1),
            f"swarmlight_abstentions_total component=text reason=texts_too_short {A}": rising(0.5),
        },
        {"SwarmlightClockStands", "SwarmlightAlarm"},
    ),
    "the broker is away": ({f"swarmlight_broker_up {B}": then(1, 0)}, {"SwarmlightBrokerAway"}),
    "the standby dies": (
        {written: then(0, None) for written in healthy() if written.endswith(B)} | {f"up {B}": then(1, 0)},
        {"SwarmlightWorkerDown"},
    ),
    "nobody is active": ({f"swarmlight_assess_active {A}": then(1, 0)}, {"SwarmlightNobodyDecides"}),
    "two are active": (
        {
            f"swarmlight_assess_active {B}": then(0, 1),
            f"swarmlight_last_commit_timestamp_seconds {B}": lambda t: t,
        },
        {"SwarmlightTwoDecide"},
    ),
    "the first alarm of a kind": ({f"swarmlight_alarms_total kind=gap {A}": then(0, 1)}, {"SwarmlightAlarm"}),
    "an alarm before the first scrape": (
        {"swarmlight_alarms_total kind=gap instance=c": then(None, 1)},
        {"SwarmlightAlarm"},
    ),
    "records lost before the first scrape": (
        {"swarmlight_offset_gap_records_total instance=c": then(None, 5)},
        {"SwarmlightRecordsLost"},
    ),
    "records lost": ({f"swarmlight_offset_gap_records_total {A}": then(0, 5)}, {"SwarmlightRecordsLost"}),
    "no disk for snapshots": (
        {
            f"swarmlight_last_snapshot_timestamp_seconds {A}": stops(),
            f"swarmlight_alarms_total kind=snapshot_failed {A}": rising(0, FAULT_S, 12),
        },
        {"SwarmlightSnapshotOld", "SwarmlightAlarm"},
    ),
    "a producer that writes no events": (
        {f"swarmlight_records_total outcome=dead {A}": rising(5, FAULT_S, 500)},
        {"SwarmlightDeadLetters"},
    ),
    "a producer that is behind": (
        {f"swarmlight_records_total outcome=late {A}": rising(10, FAULT_S, 500)},
        {"SwarmlightLate"},
    ),
    "the second stage is at its budget": (
        {f"swarmlight_texts_scored_total stage=second {A}": rising(300, FAULT_S, 20 * 3600)},
        {"SwarmlightSecondStageFull"},
    ),
    "the second stage is left out": (
        {f"swarmlight_second_stage_texts_shed_total {A}": rising(0, FAULT_S, 100)},
        {"SwarmlightShedding"},
    ),
    "a language nobody calibrated": (
        {f"swarmlight_abstentions_total component=text reason=language_not_calibrated {A}": rising(0, FAULT_S, 5000)},
        {"SwarmlightAbstains"},
    ),
    "three times the flags": (
        {f"swarmlight_alerts_opened_total kind=account {A}": rising(0.5, FAULT_S, 20)},
        {"SwarmlightManyFlags"},
    ),
    "people unlike those that calibrated": ({f"swarmlight_totals_drift {A}": then(0.06, 0.4)}, {"SwarmlightDrift"}),
    "groups that are no better than decoys": (
        {f"swarmlight_group_chance_share among=all {A}": then(None, 0.3)},
        {"SwarmlightDecoys"},
    ),
    "ticks decided on late": (
        {f"swarmlight_decision_delay_seconds_bucket le=300.0 {A}": rising(60, FAULT_S, 50)},
        {"SwarmlightSlow"},
    ),
    "a shadow that does not keep up": (
        {"swarmlight_shadow_behind_seconds job=next instance=s": then(0, 7200)},
        {"SwarmlightShadowBehind"},
    ),
    "a shadow beside all that is well": (
        {
            "swarmlight_assess_active job=next instance=s": always(1),
            "swarmlight_model_info model=text name_version=other@1 job=next instance=s": always(1),
            "swarmlight_last_commit_timestamp_seconds job=next instance=s": lambda t: t - 30,
            "swarmlight_last_snapshot_timestamp_seconds job=next instance=s": lambda t: t - 200,
            "swarmlight_watermark_age_seconds job=next instance=s": always(90_000),
            "swarmlight_shadow_behind_seconds job=next instance=s": always(60),
        },
        set(),
    ),
    "the live deployment is gone, a shadow is there": (
        {written: then(value(0.0), None) for written, value in healthy().items() if "assess_active" in written}
        | {"swarmlight_assess_active job=next instance=s": always(1)},
        {"SwarmlightNobodyDecides"},
    ),
    "no flags any more": (
        {f"swarmlight_alerts_opened_total kind=account {A}": rising(1, FAULT_S - 86_400)},
        {"SwarmlightNoFlags"},
    ),
    "partitions are added to posts": (
        {f"swarmlight_partitions_unread {B}": then(0, 2), f"swarmlight_alarms_total kind=partitions {B}": then(0, 2)},
        {"SwarmlightPartitionsUnread", "SwarmlightAlarm"},
    ),
    "a roll-out that stopped": (
        {f"swarmlight_model_info model=text name_version=cheap@2 {B}": then(None, 1)},
        {"SwarmlightTwoVersions"},
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_fires_its_rules_and_no_others(fault: str) -> None:
    changes, expected = FAULTS[fault]
    assert firing(changes) == expected


def test_every_rule_is_fired_by_some_fault() -> None:
    assert set().union(*(expected for _, expected in FAULTS.values())) == set(RULES)
    assert len(RULES) > 15


def test_the_evaluator_says_what_prometheus_says() -> None:
    store = Store()
    for at_s in range(0, 601, 60):
        store.add("x", at_s, at_s / 60, a="1")
        store.add("x", at_s, 2 * at_s / 60, a="2")
        store.add("y", at_s, 5.0, a="1", b="q")

    def at_the_end(text: str) -> dict[tuple[tuple[str, str], ...], float]:
        value = Query(text, store, 600.0).value()
        assert isinstance(value, dict)
        return {tuple(sorted(labels)): number for labels, number in value.items()}

    one, two = (("a", "1"),), (("a", "2"),)
    assert at_the_end("sum(x)") == {(): 30.0}
    assert at_the_end("max by (a) (x) > 10") == {two: 20.0}
    assert at_the_end("increase(x[5m])") == {one: 5.0, two: 10.0}
    assert at_the_end('rate(x{a="1"}[5m]) * 60') == {one: 1.0}
    assert at_the_end("sum(x offset 5m)") == {(): 15.0}
    assert at_the_end('x{a=~"1|3"} and on (a) y == 5') == {(("__name__", "x"), ("a", "1")): 10.0}
    assert at_the_end("x unless on (a) y") == {(("__name__", "x"), ("a", "2")): 20.0}
    assert at_the_end("x - on (a) y") == {one: 5.0}
    assert at_the_end("absent(z)") == {(): 1.0}
    assert at_the_end("absent(x)") == {}
    assert at_the_end("time() - max(x) > 100") == {(): 580.0}
    assert at_the_end("sum(x) - 2 * 3 == 24 or absent(x)") == {(): 24.0}
