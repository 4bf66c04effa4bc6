"""Alerts and scores as the contract has them, over a whole stream with a campaign in it."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from detector.evidence import COMPONENTS
from streaming.assess import AssessSettings
from streaming.schema.alert import (
    ALERT_VERSION,
    AlertRecord,
    read_page,
)
from streaming.schema.event import KINDS
from streaming.schema.score import read_score
from tests.streaming.assess import harness, societies
from tests.streaming.assess.fakes import ScriptedGroups
from tests.streaming.assess.harness import Played
from tests.streaming.builders import T0, batch, end


def run(items: list[dict[str, Any]], settings: AssessSettings = harness.SETTINGS) -> Played:
    """Play the items; a group of the machines is accepted after two hours."""
    observed = harness.score(items)
    script = [(T0 + 2 * 3_600_000, {"g": [f"m{i}" for i in range(6)]}, dict[str, str]())]
    groups = ScriptedGroups(script)
    return harness.play([batch(observed), end(len(observed))], settings, groups=groups)


@pytest.fixture(scope="module")
def machines() -> Played:
    return run(societies.campaign(0, people=30))


@pytest.fixture(scope="module")
def fans() -> Played:
    """The same with people who act together."""
    return run(societies.campaign(0, people=30, tilt=-0.5))


def test_alerts_keep_to_the_contract_s_limits(machines: Played) -> None:
    assert {kind for alert in machines.alerts() if (kind := alert.kind)} == {"account", "campaign"}
    for alert in machines.alerts():
        assert alert.v == ALERT_VERSION
        assert len(alert.posts) <= 20
        assert len(alert.edges) <= 50
        assert len(alert.why) == len(alert.reasons) > 3
        assert len(alert.limits) == len(alert.limitations) > 1
        quoted = [*alert.posts, *(post for point in alert.talking_points for post in point.posts)]
        assert {post for each in alert.reasons for post in each.posts} <= {post.id for post in quoted}
        assert alert.statistic is not None
        assert alert.threshold is not None
        assert alert.statistic > alert.threshold or alert.threshold_kind == "decoy_q"
        assert alert.statistic <= alert.threshold or alert.threshold_kind == "conformal_p"


def test_revisions_count_without_gap_and_only_when_evidence_or_the_loudest_posts_have_changed(machines: Played) -> None:
    by_id: dict[str, list[AlertRecord]] = defaultdict(list)
    for alert in machines.alerts():
        by_id[alert.id].append(alert)
    assert max(len(revisions) for revisions in by_id.values()) >= 2
    whys = set()
    for revisions in by_id.values():
        assert [alert.revision for alert in revisions] == list(range(1, len(revisions) + 1))
        if revisions[0].kind == "account":
            for before, after in pairwise(revisions):
                moved = abs(after.evidence.total - before.evidence.total) >= 1.0 - 1e-9
                quoted = {post.id for post in before.posts}
                louder = len({post.id for post in after.posts} - quoted) >= 2
                assert moved or louder
                whys.add((moved, louder))
    assert (False, True) in whys


def test_a_machine_driven_group_is_a_campaign_with_its_members_and_edges(machines: Played) -> None:
    alert = next(alert for alert in machines.alerts() if alert.kind == "campaign")
    assert sorted(member.account for member in alert.members) == [f"m{i}" for i in range(6)]
    assert alert.threshold_kind == "decoy_q"
    assert alert.statistic == alert.decoy_q == 0.01
    assert (alert.target_fpr, alert.target_fdr) == (None, 0.05)
    assert "link" in {edge.kind for edge in alert.edges}
    (shared,) = [reason for reason in alert.reasons if reason.code == "coordination.shared_links"]
    assert shared.observed is not None
    assert shared.expected is not None
    assert shared.observed > shared.expected
    assert set(shared.objects) <= {name for edge in alert.edges for name in edge.objects}
    assert max(member.strength for member in alert.members) == 1.0
    scores = machines.scores()
    for name, row in scores.items():
        assert row.campaign == row.group == (alert.id if name.startswith("m") else None)
        assert (row.group_q is not None) == name.startswith("m")


def test_people_who_act_together_are_reported_for_information_and_nobody_is_flagged(fans: Played) -> None:
    assert {alert.kind for alert in fans.alerts()} == {"coordination"}
    scores = fans.scores()
    assert not any(row.flagged or row.campaign for row in scores.values())
    assert all(scores[f"m{i}"].group is not None for i in range(6))
    assert all(scores[f"m{i}"].llr.coordination == 0 for i in range(6))


def test_scores_add_up(machines: Played) -> None:
    prior = math.log(0.01 / 0.99)
    assert len(machines.scores()) == 36
    for row in machines.scores().values():
        llr = row.llr
        assert all(math.isfinite(value) for value in msgspec.structs.astuple(llr))
        assert abs(sum(getattr(llr, component) for component in COMPONENTS) - llr.total) < 1e-6
        assert row.posterior == pytest.approx(1 / (1 + math.exp(-(llr.total + prior))), abs=1e-12)
        assert all(getattr(llr, component) == 0.0 for component in row.abstained if component != "flag")
        assert row.flagged == (row.flagged_at is not None) == (row.posts_at_flag is not None)
        assert row.flagged == row.account.startswith("m")
        if row.flagged:
            assert row.posts_at_flag is not None
            assert 1 <= row.posts_at_flag <= row.posts


def test_details_hold_the_network_and_the_last_events(machines: Played) -> None:
    pages = {key: read_page(body) for output in machines.outputs for key, body in output.details if body is not None}
    campaign = next(alert.id for alert in machines.alerts() if alert.kind == "campaign")
    page = pages[f"{campaign}/1"]
    assert (page.id, page.page, page.pages) == (campaign, 1, 1)
    assert {post.account for post in page.posts} == {f"m{i}" for i in range(6)}
    assert {post.kind for post in page.posts} <= set(KINDS)
    assert [post.at for post in page.posts] == sorted(post.at for post in page.posts)
    assert page.objects


def test_summaries_follow_totals_in_steps_of_a_tenth(machines: Played) -> None:
    published: dict[str, float] = {}
    for output in machines.outputs:
        for name, body in output.accounts:
            assert body is not None
            score = read_score(body)
            assert abs(score.llr.total - published.get(name, 0.0)) >= 0.1 - 1e-9 or score.flagged
            published[name] = score.llr.total
    assert set(published) == set(machines.scores())
    for name, row in machines.scores().items():
        assert abs(row.llr.total - published.get(name, 0.0)) < 0.1


def test_alerts_beyond_the_day_s_number_wait_and_the_strongest_come_first() -> None:
    settings = AssessSettings(max_alerts_per_day=2, campaign_tick_s=86_400)
    items = [
        {**item, "at": item["at"] + day * 86_400_000, "id": f"{day}{item['id']}"}
        for day in range(2)
        for item in societies.campaign(0, people=5)
    ]
    played = run(items, settings)
    opened: dict[str, list[str]] = defaultdict(list)
    for alert in played.alerts():
        if alert.revision == 1:
            opened[alert.at[:10]].append(alert.id)
    assert [len(ids) for ids in opened.values()] == [2, 2]
    assert max(output.stats.held_back for output in played.outputs) >= 4
    assert played.assess.flagged == 6
