"""Decisions take effect at a tick, can be undone, and the same one twice is once."""

from __future__ import annotations

from typing import Any

import pytest

from detector.reasons import AUTOMATION_LEFT_OUT, WITHDRAWN_DECIDED, Limitation
from streaming.assess.alert_store import account_alert_id
from streaming.assess.feedback import Decision, Decisions, parse
from streaming.schema.alert import AlertRecord
from streaming.schema.feedback import DecisionKind
from streaming.schema.observation import Feedback
from tests.streaming.assess import harness, societies
from tests.streaming.assess.fakes import ScriptedGroups
from tests.streaming.assess.harness import Played, feedback
from tests.streaming.builders import T0, batch, end, event

MINUTE = 60_000
ROBOT = "robot robot robot said the old robot"
ANN = account_alert_id("ann")


def story(*parts: Any) -> Played:
    """Texts by ann, one a minute (a number: so many of them), with decisions in between."""
    entries: list[Any] = []
    offset = minute = 0
    for part in parts:
        if not isinstance(part, int):
            entries.append(part)
            continue
        items = [event("ann", at=(minute + i) * MINUTE, id=f"{minute + i}", text=ROBOT, lang="en") for i in range(part)]
        seen = [harness._at(each, offset + i) for i, each in enumerate(harness.score(items))]
        entries.append(batch(seen))
        offset, minute = offset + part, minute + part
    return harness.play([*entries, end(offset)])


def statuses(played: Played) -> list[str]:
    return [alert.status for alert in played.alerts()]


def test_not_a_campaign_withdraws_the_alert_and_takes_the_flag() -> None:
    played = story(4, feedback("not_a_campaign", ANN, "1"), 1)
    assert statuses(played)[-1] == "withdrawn"
    row = played.scores()["ann"]
    assert (row.flagged, row.flagged_at, row.posts_at_flag) == (False, None, None)
    assert row.llr.total > 2.97
    last = played.alerts()[-1]
    assert last.posts == []
    assert last.reasons[0].code == WITHDRAWN_DECIDED
    assert last.why[0].startswith("Withdrawn: a moderator")
    assert [alert.revision for alert in played.alerts()] == list(range(1, len(played.alerts()) + 1))


def test_it_comes_back_once_evidence_has_grown_by_the_stated_amount() -> None:
    played = story(9, feedback("not_a_campaign", ANN, "1"), 1)
    assert statuses(played)[-1] == "withdrawn"
    longer = story(9, feedback("not_a_campaign", ANN, "1"), 16)
    assert statuses(longer)[-1] == "open"
    assert longer.scores()["ann"].flagged


def test_permitted_automation_keeps_it_away_for_good_without_hiding_the_evidence() -> None:
    played = story(3, feedback("permitted_automation", ANN, "1"), 30)
    assert statuses(played)[-1] == "withdrawn"
    row = played.scores()["ann"]
    assert row.posterior > 0.5
    assert not row.flagged
    assert "permitted" in row.abstained["flag"]


@pytest.mark.parametrize("decision", ["permitted_automation", "not_a_campaign"])
def test_undo_restores_alert_and_flag(decision: DecisionKind) -> None:
    played = story(9, feedback(decision, ANN, "1"), 2, feedback("undo", ANN, "2", undoes="1"), 3)
    plain = story(14)
    assert statuses(played)[-1] == "open"
    for name in ("flagged", "flagged_at", "posts_at_flag", "llr"):
        assert getattr(played.scores()["ann"], name) == getattr(plain.scores()["ann"], name)


@pytest.mark.parametrize("decision", ["llm_campaign", "needs_more", "missed"])
def test_decisions_that_ask_for_nothing_are_only_recorded(decision: DecisionKind) -> None:
    played = story(4, feedback(decision, ANN, "1"), 3)
    assert played.alerts() == story(7).alerts()
    assert played.assess.state.decisions.counts == {decision: 1}


def test_the_same_decision_twice_is_once() -> None:
    twice = [feedback("permitted_automation", ANN, "1"), feedback("undo", ANN, "2", undoes="1")]
    played = story(4, *twice, *twice, 3)
    assert statuses(played)[-1] == "open"


def test_what_is_no_decision_is_counted_and_ignored() -> None:
    broken = Feedback(0, 1, b"{")
    played = story(4, broken, 3)
    assert played.alerts() == story(7).alerts()
    assert played.assess.state.decisions.unreadable == 1
    assert parse(b'{"v": 1, "alert": "x", "decision": "like", "id": "1"}') is None


def test_an_undo_can_be_undone() -> None:
    decisions = Decisions()
    decisions.take([Decision("a", "not_a_campaign", "1")])
    decisions.take([Decision("a", "undo", "2", undoes="1")])
    assert decisions.current("a") is None
    decisions.take([Decision("a", "undo", "3", undoes="2")])
    assert decisions.current("a") == "not_a_campaign"


def test_undos_that_name_each_other_come_to_an_end() -> None:
    decisions = Decisions()
    decisions.take([Decision("a", "undo", "1", undoes="2"), Decision("a", "undo", "2", undoes="1")])
    assert decisions.current("a") is None


NAMES = [f"m{i}" for i in range(6)]
HOUR = 3_600_000


def campaign(*decisions: Any, tilt: float = 0.8, extra: dict[str, Any] | None = None, script: Any = None) -> Played:
    """Six hours with a group "g" that is accepted after two; decisions after four; perhaps one more event."""
    items = societies.campaign(0, people=5, hours=6, rounds=15, tilt=tilt)
    if extra is not None:
        items = sorted([*items, extra], key=lambda item: int(item["at"]))
    observed = harness.score(items)
    place = next(i for i, item in enumerate(items) if item["at"] >= T0 + 4 * HOUR)
    script = script or [(T0 + 2 * HOUR, {"g": NAMES}, {})]
    return harness.play(
        [batch(observed[:place]), *decisions, batch(observed[place:]), end(len(observed))],
        groups=ScriptedGroups(script),
    )


def group_alerts(played: Played) -> list[AlertRecord]:
    return [alert for alert in played.alerts() if alert.kind != "account"]


def revisions(played: Played) -> list[tuple[str, str, str, int]]:
    """(id, kind, status, members) of every revision about a group."""
    return [(a.id, a.kind, a.status, len(a.members)) for a in group_alerts(played)]


def test_human_coordination_turns_a_campaign_into_information() -> None:
    played = campaign(feedback("human_coordination", "g", "1"))
    assert revisions(played) == [("g", "campaign", "open", 6), ("g", "coordination", "open", 6)]
    assert all(row.campaign is None for row in played.scores().values())
    assert played.scores()["m0"].group == "g"


def test_undoing_it_makes_it_a_campaign_again() -> None:
    undo = feedback("undo", "g", "2", undoes="1", at="2026-01-01T00:00:01Z")
    assert revisions(campaign(feedback("human_coordination", "g", "1"), undo)) == [("g", "campaign", "open", 6)]


@pytest.mark.parametrize("decision", ["not_a_campaign", "permitted_automation"])
def test_a_group_that_was_turned_down_is_withdrawn_and_names_nobody(decision: DecisionKind) -> None:
    played = campaign(feedback(decision, "g", "1"))
    assert revisions(played) == [("g", "campaign", "open", 6), ("g", "campaign", "withdrawn", 0)]
    assert played.assess.campaigns == 0
    assert all(row.campaign is None for row in played.scores().values())


def test_a_member_with_permitted_automation_leaves_the_campaign() -> None:
    played = campaign(feedback("permitted_automation", "g", "1", account="m3"))
    last = group_alerts(played)[-1]
    assert "m3" not in {member.account for member in last.members}
    assert len(last.members) == 5
    assert Limitation(AUTOMATION_LEFT_OUT, count=1) in last.limitations
    assert "Left out: 1" in " ".join(last.limits)
    row = played.scores()["m3"]
    assert not row.flagged
    assert row.campaign is None
    own = [alert for alert in played.alerts() if alert.id == account_alert_id("m3")]
    assert own[-1].status == "withdrawn"


def test_a_deleted_member_leaves_the_campaign_at_once() -> None:
    played = campaign(extra=event("m3", at=6 * HOUR, id="d", kind="delete_account"))
    assert revisions(played) == [("g", "campaign", "open", 6), ("g", "campaign", "open", 5)]
    last = group_alerts(played)[-1]
    assert "m3" not in {each.account for each in last.members} | {each.account for each in last.posts}
    assert "m3" not in {name for edge in last.edges for name in (edge.a, edge.b)}


def test_a_group_that_becomes_part_of_another_is_merged() -> None:
    script = [
        (T0 + 2 * HOUR, {"g": NAMES[:3], "h": NAMES[3:]}, {}),
        (T0 + 5 * HOUR, {"g": NAMES}, {"h": "g"}),
    ]
    played = campaign(script=script)
    merged = [alert for alert in group_alerts(played) if alert.status == "merged"]
    assert [(alert.id, alert.merged_into, alert.members) for alert in merged] == [("h", "g", [])]
    assert {row.campaign for name, row in played.scores().items() if name in NAMES} == {"g"}


def test_a_campaign_that_graph_no_longer_follows_stays_an_alert() -> None:
    played = campaign(script=[(T0 + 2 * HOUR, {"g": NAMES}, {}), (T0 + 5 * HOUR, {}, {})])
    row = played.scores()["m0"]
    assert (row.campaign, row.group) == ("g", None)
    assert played.assess.campaigns == 1


def test_declared_automation_is_in_no_alert_and_its_evidence_stays() -> None:
    played = campaign(extra=event("m3", at=5 * HOUR, id="p", kind="like", profile={"automated": True}))
    row = played.scores()["m3"]
    assert row.posterior > 0.5
    assert not row.flagged
    assert "automated" in row.abstained["flag"]
    assert revisions(played) == [("g", "campaign", "open", 6)]
    own = [alert.status for alert in played.alerts() if alert.id == account_alert_id("m3")]
    assert own[-1] == "withdrawn"


def test_a_group_of_people_is_no_campaign() -> None:
    played = campaign(tilt=-0.5)
    assert set(revisions(played)) == {("g", "coordination", "open", 6)}
    assert played.assess.flagged == 0
