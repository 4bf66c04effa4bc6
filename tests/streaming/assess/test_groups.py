"""Groups from the posts up: what is searched, when a group is accepted, what it says and who gains from it."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest

from detector.models import Models
from streaming.assess import Answer, AssessSettings, RerankRequest
from streaming.assess.group_list import PASSES, Ended, GroupState
from streaming.assess.groups import SuspectSearch
from streaming.assess.store import NEVER
from streaming.schema.alert import AlertRecord
from tests.streaming.assess import fakes, harness, societies
from tests.streaming.assess.harness import Played
from tests.streaming.builders import batch, end, event

HOUR = 3_600_000
MEMBERS = {f"m{i}" for i in range(societies.PLANTED)}
SETTINGS = AssessSettings(tick_s=600, campaign_tick_s=600)


def bundle() -> Models:
    return fakes.models(meaning=object(), graph=fakes.pair_weights())


def run(
    items: Iterable[dict[str, Any]], settings: AssessSettings = SETTINGS, *, snapshots: Iterable[int] = ()
) -> Played:
    """Play the items in batches of a hundred with the hand-made model of pairs."""
    observed = harness.score(sorted(items, key=lambda item: int(item["at"])))
    entries = [batch(observed[start : start + 100]) for start in range(0, len(observed), 100)]
    return harness.play([*entries, end(len(observed))], settings, bundle=bundle(), snapshots=snapshots)


def group_alerts(played: Played) -> list[AlertRecord]:
    return [alert for alert in played.alerts() if alert.kind != "account"]


def names_of(alert: AlertRecord) -> set[str]:
    return {member.account for member in alert.members}


def topic_of(text: str) -> str:
    return next(word for word in text.split() if word.startswith(fakes.TOPIC))


STREAM = societies.planted(2)


@pytest.fixture(scope="module")
def found() -> Played:
    return run(STREAM)


def test_a_planted_campaign_becomes_one_alert_with_its_members_and_what_they_say(found: Played) -> None:
    assert len({alert.id for alert in group_alerts(found)}) == 1
    alert = group_alerts(found)[-1]
    assert (alert.kind, alert.status, alert.threshold_kind) == ("campaign", "open", "decoy_q")
    assert names_of(alert) == MEMBERS
    assert alert.decoy_q is not None
    assert alert.decoy_q <= 0.05
    assert alert.statistic == alert.decoy_q
    assert {reason.code for reason in alert.reasons} >= {
        "coordination.beyond_decoys",
        "coordination.talking_points",
        "coordination.shared_links",
    }
    assert len(alert.talking_points) > 1
    for point in alert.talking_points:
        assert point.members == len(point.posts) == 3
        assert {post.account for post in point.posts} <= MEMBERS
        assert len({post.text for post in point.posts}) == 3
        assert len({topic_of(post.text) for post in point.posts}) == 1


def test_members_and_those_who_say_the_same_gain_and_nobody_else(found: Played) -> None:
    scores = found.scores()
    assert all(scores[name].llr.coordination > 0 for name in MEMBERS)
    quiet = scores["quiet"]
    assert (quiet.group, quiet.llr.coordination) == (None, 0.0)
    assert quiet.llr.text < 0
    people = [score.llr.graph for name, score in scores.items() if name.startswith("p")]
    assert quiet.llr.graph > 0.5 > max(people)


def test_an_account_that_members_act_upon_is_near_and_no_member(found: Played) -> None:
    alert = group_alerts(found)[-1]
    near = {each.account: (each.how, each.members) for each in alert.near}
    assert near["star"] == ("acted_upon", len(MEMBERS))
    assert not MEMBERS & set(near)
    assert "group.near_no_members" in {each.code for each in alert.limitations}
    assert found.scores()["star"].group is None


def test_accounts_that_only_just_look_like_machines_are_coordinated_and_nobody_is_flagged() -> None:
    played = run(societies.planted(2, marks=("robot", "said", "said")))
    assert all(score.llr.text > 0 for name, score in played.scores().items() if name in MEMBERS)
    assert_coordination(played)


def test_people_who_share_links_within_minutes_are_coordinated_and_nobody_is_flagged() -> None:
    played = run(societies.campaign(0, people=60, tilt=-0.5))
    assert_coordination(played)
    assert played.assess.state.narratives.rows().size > 60
    assert {listed.group.among for listed in played.assess.state.groups.book.listed} == {"all"}
    assert not any(row.llr.coordination for row in played.scores().values())


def assert_coordination(played: Played) -> None:
    assert {alert.kind for alert in played.alerts()} == {"coordination"}
    last = group_alerts(played)[-1]
    assert names_of(last) == MEMBERS
    assert "group.for_information" in {each.code for each in last.limitations}
    assert not any(row.flagged or row.campaign for row in played.scores().values())


def test_a_group_is_accepted_when_two_searches_in_a_row_pass() -> None:
    assess = harness.begin(SETTINGS, bundle=bundle())
    observed = harness.score(STREAM)
    assess.feed(batch(observed))
    assess.feed(end(len(observed)))
    searches: list[tuple[int, int, bool]] = []
    while assess.advance(harness.echo) is not None:
        book = assess.state.groups.book
        if book.searched_ms == assess.state.tick_ms and book.listed and not assess.state.closed:
            searches.append((book.searched_ms, book.listed[0].group.passed, book.listed[0].group.accepted))
    passed = [each for each in searches if each[1]]
    assert [accepted for _, _, accepted in passed] == [number >= PASSES for _, number, _ in passed]
    assert {number for _, number, _ in passed} > {1, PASSES}


def test_no_alert_is_opened_on_a_group_that_passed_once_and_does_not_now(monkeypatch: pytest.MonkeyPatch) -> None:
    enter = GroupState.enter

    def doubted(self: GroupState, *args: Any, **options: Any) -> list[Ended]:
        ended = enter(self, *args, **options)
        for listed in self.book.listed:
            listed.group.q = 0.2 if listed.group.accepted else listed.group.q
        return ended

    monkeypatch.setattr(GroupState, "enter", doubted)
    played = run(STREAM)
    assert any(listed.group.accepted for listed in played.assess.state.groups.book.listed)
    assert group_alerts(played) == []
    shares = [output.stats.chance["suspects"][0] for output in played.outputs if output.stats.chance]
    assert shares[0] == 0.0, "nothing was listed yet"
    assert shares[-1] == pytest.approx(0.2)


def test_the_only_search_accepts_by_itself() -> None:
    played = run(STREAM, AssessSettings(tick_s=600, campaign_tick_s=86_400))
    assert [output.stats.campaign_tick for output in played.outputs].count(True) == 1
    assert [(alert.kind, names_of(alert)) for alert in group_alerts(played)] == [("campaign", MEMBERS)]


def test_what_is_deleted_leaves_talking_points_groups_and_those_near_at_once(found: Played) -> None:
    gone = group_alerts(found)[0].talking_points[0].posts[0]
    said, late = gone.account, 7 * HOUR
    member = next(name for name in sorted(MEMBERS) if name != said)
    items = [
        *STREAM,
        event(said, at=late, id="d1", kind="delete", target=gone.id),
        event(member, at=late, id="d2", kind="delete_account"),
        event("star", at=late, id="d3", kind="delete_account"),
    ]
    alerts = group_alerts(run(items))
    before = [alert for alert in alerts if alert.at <= "2026-01-01T07:00:00Z"]
    after = [alert for alert in alerts if alert.at > "2026-01-01T07:00:00Z"]
    assert names_of(before[-1]) == MEMBERS
    assert gone.id in shown(before[-1])
    assert [each.account for each in before[-1].near] == ["star"]
    assert after[0].at == "2026-01-01T07:10:00Z"
    for alert in after:
        assert alert.status == "open"
        assert names_of(alert) == MEMBERS - {member}
        assert gone.id not in shown(alert)
        assert alert.talking_points
        assert alert.near == []
        assert f'"{member}"' not in str(alert).replace("'", '"')


def shown(alert: AlertRecord) -> set[str]:
    """Ids of all posts that it shows."""
    return {post.id for post in alert.posts} | {post.id for point in alert.talking_points for post in point.posts}


def test_snapshots_on_the_way_and_other_rows_change_nothing(found: Played) -> None:
    assert run(STREAM, snapshots=range(0, 9)).said() == found.said()
    parts = harness.logs(harness.score(STREAM), 3, random.Random(1))
    entries = harness.interleaved(parts, random.Random(2))
    spread = harness.play(entries, SETTINGS, 3, bundle(), snapshots=[5])
    assert spread.said() == found.said()
    assert harness.picture(spread.assess, log=False) == harness.picture(found.assess, log=False)


def test_the_same_stream_gives_the_same_bytes(found: Played) -> None:
    again = run(STREAM)
    assert again.said() == found.said()
    assert harness.written(again.assess) == harness.written(found.assess)


def test_without_coordination_nothing_is_asked_and_nothing_remembered() -> None:
    settings = AssessSettings(tick_s=600, campaign_tick_s=600, without=frozenset({"coordination"}))
    assess = harness.begin(settings, bundle=bundle())
    observed = harness.score(STREAM)
    assess.feed(batch(observed))
    assess.feed(end(len(observed)))
    asked: list[str] = []

    def note(request: RerankRequest) -> Answer:
        asked.extend(request.meanings)
        return harness.echo(request)

    while assess.advance(note) is not None:
        pass
    assert asked == []
    assert len(assess.state.groups.memory) == len(assess.state.narratives) == 0
    assert assess.state.alerts.of_groups == {}
    assert {score.abstained["coordination"] for score in assess.scores()} == {"switched off"}


def test_without_a_model_of_pairs_only_all_accounts_are_searched() -> None:
    observed = harness.score(STREAM)
    played = harness.play([batch(observed), end(len(observed))], SETTINGS, bundle=fakes.models(meaning=object()))
    assert {alert.kind for alert in group_alerts(played)} <= {"coordination"}
    assert played.assess.state.groups.book.searched_ms == NEVER
    assert all(score.abstained["graph"] == "no graph model" for score in played.scores().values())


def test_a_watcher_is_told_every_search_also_without_a_model() -> None:
    told: list[SuspectSearch] = []
    assess = harness.begin(SETTINGS, bundle=fakes.models(meaning=object()))
    assess.watch_searches(told.append)
    observed = harness.score(STREAM)
    assess.feed(batch(observed))
    assess.feed(end(len(observed)))
    harness.drain(assess)
    assert len(told) > 2
    last = told[-1]
    suspects = {name for name, suspect in zip(last.names, last.accounts.suspect.tolist(), strict=True) if suspect}
    assert suspects == MEMBERS
    assert last.wording.shape == last.nats.shape[1:] == (len(last.names), len(last.names))


def test_all_accounts_are_searched_where_enough_is_new_and_within_a_week() -> None:
    day = 24 * HOUR
    slow = [event(f"a{n % 9}", at=n * day // 2, id=f"s{n}", kind="like", target=f"p{n}") for n in range(60)]
    played = run(slow)
    book = played.assess.state.groups.book
    assert book.searched_all_size == len(slow)
    searched: list[int] = []
    groups = played.assess._groups
    for new, days, due in ((0, 30, False), (9, 1, False), (9, 7, True), (20, 1, True), (20, 0, False)):
        groups._state.memory.added = book.searched_all_size + new
        searched.append(groups._due_all(book.searched_all_ms + days * day, end=False) == due)
    assert all(searched)
