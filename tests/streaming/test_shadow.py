"""Two deployments on one log: who is added and removed, and one sequence of alerts put together from both."""

from __future__ import annotations

import random
from typing import Any

import pytest

from detector.reasons import WITHDRAWN_MODEL
from detector.times import rfc3339
from streaming.assess.alert_store import account_alert_id
from streaming.schema.alert import AlertRecord, MemberRecord, PageRecord, read_alert, read_page
from streaming.schema.shadow_comparison import encode_comparison, read_comparison
from streaming.shadow import Choice, Comparison, Side, Told, in_canary

TICK_MS = 60_000


def of(account: str, tick: int, revision: int = 1, **more: Any) -> AlertRecord:
    """A revision of an account's alert."""
    made: dict[str, Any] = {"id": account_alert_id(account), "kind": "account", "status": "open"} | more
    members = [MemberRecord(name) for name in made.pop("members", [account])]
    return AlertRecord(revision=revision, at=rfc3339(tick * TICK_MS), members=members, **made)


def campaign(name: str, tick: int, members: list[str], **more: Any) -> AlertRecord:
    return of("", tick, **({"id": name, "kind": "campaign", "members": members} | more))


def changes(comparison: Comparison, tick: int) -> list[tuple[str, str | None]]:
    found = comparison.advance(tick * TICK_MS)
    return [(account, None if record is None else record.change) for account, record in found]


def test_an_account_is_added_or_removed_by_what_both_had_said_at_the_same_tick() -> None:
    comparison = Comparison()
    comparison.feed(Side.LIVE, of("ann", 1))
    comparison.feed(Side.LIVE, of("bob", 1))
    comparison.feed(Side.SHADOW, of("bob", 1))
    comparison.feed(Side.SHADOW, of("eve", 2))
    assert changes(comparison, 1) == [("ann", "removed")], "eve's alert is of a tick that is still to come"
    assert changes(comparison, 2) == [("eve", "added")]
    assert comparison.tally == (1, 1, 1)
    comparison.feed(Side.LIVE, of("ann", 3, 2, status="withdrawn"))
    comparison.feed(Side.LIVE, campaign("c1", 3, ["eve", "dan"]))
    assert changes(comparison, 3) == [("ann", None), ("dan", "removed"), ("eve", None)]
    assert [(each.account, each.alerts) for each in comparison.differences()] == [("dan", ["c1"])]
    comparison.feed(Side.LIVE, campaign("c1", 4, ["eve"], revision=2))
    assert changes(comparison, 4) == [("dan", None)], "a member that left a campaign is listed no more"


def test_what_is_for_information_lists_nobody() -> None:
    comparison = Comparison()
    comparison.feed(Side.SHADOW, campaign("g", 1, ["ann"], kind="coordination"))
    assert changes(comparison, 1) == []
    comparison.feed(Side.SHADOW, campaign("g", 2, ["ann"], revision=2))
    comparison.feed(Side.SHADOW, campaign("g", 3, ["ann"], revision=3, kind="coordination"))
    assert changes(comparison, 2) == [("ann", "added")]
    assert changes(comparison, 3) == [("ann", None)], "it is no campaign any more"


def test_the_same_is_said_however_far_one_side_is_ahead() -> None:
    rng = random.Random(0)
    sides: dict[Side, list[AlertRecord]] = {}
    for side in Side:
        revisions: dict[str, int] = {}
        sides[side] = []
        for tick in range(1, 60):
            name = rng.choice("abcdef")
            revisions[name] = revisions.get(name, 0) + 1
            status = rng.choice(["open", "withdrawn"])
            sides[side].append(of(name, tick, revisions[name], status=status))
    together, apart = Comparison(), Comparison()
    said: list[Any] = []
    for live, shadow in zip(sides[Side.LIVE], sides[Side.SHADOW], strict=True):
        together.feed(Side.LIVE, live)
        together.feed(Side.SHADOW, shadow)
        said += together.advance(TICK_MS * (sides[Side.LIVE].index(live) + 1))
    for side in Side:
        for alert in sides[side]:
            apart.feed(side, alert)
    assert said == apart.advance(60 * TICK_MS)
    assert len(said) > 20


def test_a_new_start_says_nothing_twice_and_takes_back_what_no_longer_holds() -> None:
    first = Comparison()
    first.feed(Side.LIVE, of("ann", 1))
    first.feed(Side.SHADOW, of("bob", 1))
    told = {name: record for name, record in first.advance(TICK_MS) if record is not None}
    assert [read_comparison(encode_comparison(each)) for each in told.values()] == list(told.values())
    again = Comparison(told)
    again.feed(Side.LIVE, of("ann", 1))
    again.feed(Side.SHADOW, of("ann", 2))
    again.feed(Side.SHADOW, of("bob", 1))
    assert again.settle(2 * TICK_MS) == [("ann", None)]


def test_the_hash_of_an_account_decides_and_a_larger_share_keeps_whom_a_smaller_one_had() -> None:
    ids = [account_alert_id(f"account{number}") for number in range(10_000)]
    shares = {share: {each for each in ids if in_canary(each, share)} for share in (0.0, 0.05, 0.5, 1.0)}
    assert not shares[0.0]
    assert shares[1.0] == set(ids)
    assert shares[0.05] < shares[0.5]
    assert 400 < len(shares[0.05]) < 600


def name_in(share: float, inside: bool) -> str:
    return next(n for n in map("account{}".format, range(1000)) if in_canary(account_alert_id(n), share) is inside)


def test_an_account_has_the_alerts_of_one_side_only() -> None:
    inside, outside = name_in(0.3, True), name_in(0.3, False)
    choice = Choice(0.3)
    assert choice.take(Side.LIVE, of(inside, 1)) is None
    assert choice.take(Side.SHADOW, of(outside, 1)) is None
    assert choice.take(Side.SHADOW, campaign("c", 1, ["x"])) is None, "groups are the live deployment's"
    made = [choice.take(Side.SHADOW, of(inside, 1)), choice.take(Side.LIVE, of(outside, 1))]
    assert [None if each is None else each.told for each in made] == [
        Told(Side.SHADOW, 1, 1, True),
        Told(Side.LIVE, 1, 1, True),
    ]
    assert choice.take(Side.SHADOW, of(inside, 1)) is None, "told already"
    assert choice.side_of_account(inside) is Side.SHADOW


def test_when_the_share_changes_revisions_go_on_and_what_the_new_side_lacks_is_withdrawn() -> None:
    """From 0 to 1, with one alert both have, one only the live has, and back again."""
    both, alone = "ann", "bob"
    live = {each.id: each for each in (of(both, 5, 7), of(alone, 5, 3), campaign("c", 5, ["x"], revision=2))}
    shadow = {each.id: each for each in (of(both, 5, 2),)}
    choice = Choice(0.0)
    told = {each.id: each for each in choice.catch_up(live, shadow)}
    assert {name: read_alert(each.body).revision for name, each in told.items()} == {
        account_alert_id(both): 7,
        account_alert_id(alone): 3,
        "c": 2,
    }, "readers have had these numbers"
    switched = Choice(1.0, choice.told)
    made = {each.id: read_alert(each.body) for each in switched.catch_up(live, shadow)}
    assert (made[account_alert_id(both)].revision, made[account_alert_id(both)].status) == (8, "open")
    for name, number in ((account_alert_id(alone), 4), ("c", 3)):
        assert (made[name].revision, made[name].status) == (number, "withdrawn")
        assert made[name].reasons[0].code == WITHDRAWN_MODEL
        assert made[name].why == ["Withdrawn: other models decide now, and they do not show it."]
    assert switched.changed == set(made)
    later = switched.take(Side.SHADOW, of(both, 6, 3))
    opened = switched.take(Side.SHADOW, of(alone, 6, 1))
    assert later is not None
    assert opened is not None
    assert (read_alert(later.body).revision, read_alert(opened.body).revision) == (9, 5)
    back = Choice(0.0, switched.told)
    again = {each.id: read_alert(each.body) for each in back.catch_up(live, shadow)}
    assert {name: (each.revision, each.status) for name, each in again.items()} == {
        account_alert_id(both): (10, "open"),
        account_alert_id(alone): (6, "open"),
        "c": (4, "open"),
    }


def test_a_start_that_changes_nothing_puts_nothing_out() -> None:
    live = {each.id: each for each in (of("ann", 5, 7), of("bob", 5, 1, status="withdrawn"))}
    first = Choice(0.0)
    assert len(list(first.catch_up(live, {}))) == 2
    assert list(Choice(0.0, first.told).catch_up(live, {})) == []


def test_pages_have_the_number_of_the_revision_they_belong_to() -> None:
    alert_id = account_alert_id("ann")
    choice = Choice(1.0, {alert_id: Told(Side.LIVE, 7, 7, True)})
    made = choice.take(Side.SHADOW, of("ann", 1, 2))
    assert made is not None
    assert made.told.published == 8
    body = choice.page(Side.SHADOW, PageRecord(alert_id, 2, 0, 1))
    assert body is not None
    assert read_page(body).revision == 8
    assert choice.page(Side.LIVE, PageRecord(alert_id, 7, 0, 1)) is None
    assert choice.page(Side.SHADOW, PageRecord(alert_id, 1, 0, 1)) is None, "of a revision before the switch"
    with pytest.raises(LookupError):
        choice.page(Side.SHADOW, PageRecord(alert_id, 3, 0, 1))
