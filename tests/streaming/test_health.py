"""Health says what a restart would mend, and readiness what waits."""

from __future__ import annotations

from streaming.health import Health, HealthLimits

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
