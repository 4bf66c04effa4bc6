"""Receivers are told of decisions: nothing is lost, nothing done twice, in order, and of what holds in the end."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, select

from detector.errors import ConfigError, DeliveryError, FeedError
from moderation import action_loop, actions, console_config, decision_lists, decisions, privacy
from moderation.action_loop import GIVE_UP_MS, ActionLoop, ReceiverChannel, deliver_due
from moderation.console_config import ConsoleConfig, Receiver
from moderation.database_tables import Delivery
from moderation.decisions import DecisionRequest
from moderation.feed_metrics import FeedMetrics
from moderation.permissions import Actor
from streaming.schema.action import read_action
from streaming.signing import Signer
from tests.moderation.builders import alert
from tests.moderation.conftest import Clock, Feed, Site
from tests.moderation.test_web import text_of
from tests.streaming.receivers import Receiver as HttpReceiver

SECRET = "a secret of more than twenty-four bytes"

PLATFORM = Receiver("platform", "https://p.example/hook")


class Platform:
    """A receiver that notes what arrives and, told to, is away, refuses, or loses its answer.

    `did` is what it did: each id once, as its contract has it.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.arrived: list[str] = []
        self.did: dict[str, Any] = {}
        self.fail: Callable[[str], DeliveryError | None] = lambda number: None
        self.lose_answer: set[int] = set()

    def post(self, message_id: str, body: bytes) -> None:
        error = self.fail(message_id)
        if error is not None:
            raise error
        self.arrived.append(message_id)
        self.did.setdefault(message_id, json.loads(body))
        if len(self.arrived) in self.lose_answer:
            raise DeliveryError("platform: p.example did not answer: it took too long")


def away(number: str) -> DeliveryError:
    return DeliveryError("platform: p.example did not answer: ConnectionRefusedError")


def configure(feed: Feed, *receivers: Receiver) -> None:
    with feed.database.write() as connection:
        console_config.keep(connection, ConsoleConfig(receiver=list(receivers)))


def decide(feed: Feed, number: str, verdict: str = "llm_campaign", **more: Any) -> str:
    return str(feed.do(decisions.decide, "moderator", DecisionRequest(number, verdict, **more)))  # type: ignore[arg-type]


def states(feed: Feed) -> list[str]:
    with feed.database.read() as connection:
        return list(connection.scalars(select(Delivery.state).order_by(Delivery.seq)))


def one(feed: Feed, receiver: Receiver = PLATFORM) -> tuple[Platform, dict[str, ReceiverChannel]]:
    """A platform that is told, and the way to it."""
    configure(feed, receiver)
    platform = Platform(feed.clock)
    return platform, {receiver.name: ReceiverChannel(receiver, platform)}


def test_a_receiver_away_for_an_hour_loses_nothing_and_does_nothing_twice(feed: Feed) -> None:
    platform, ways = one(feed)
    feed.put(*(alert(f"c{number}", accounts=[f"a{number}", f"b{number}"]) for number in range(30)))
    began = feed.clock()
    platform.fail = lambda number: away(number) if began + 60_000 <= feed.clock() < began + 3_660_000 else None
    # Of what it takes, some answers are lost on their way: those are sent again with the id they had.
    platform.lose_answer = {2, 11, 12, 30}
    made: list[str] = []
    for second in range(0, 2 * 3600, 5):
        if second % 120 == 0 and len(made) < 30:
            made.append(decide(feed, f"c{len(made)}"))
            if len(made) > 2 and len(made) % 3 == 2:
                # One that has been tried meanwhile, if in vain: it is told first, and then that it does not hold.
                feed.do(decisions.undo, "moderator", made[-2], "a mistake")
            if len(made) % 3 == 0:
                feed.do(decisions.undo, "moderator", made[-1], "a mistake")
        deliver_due(feed.database, ways, feed.clock)
        feed.clock.pass_s(5)
    done = list(platform.did.values())
    assert set(states(feed)) <= {"delivered", "dropped"}
    # Every decision that was not taken back before it was sent has been told of, and everything once.
    told = {each["about"] for each in done if each["type"] == "decision"}
    stopped = {row.about for row in _rows(feed) if row.state == "dropped"}
    assert told | stopped == set(made)
    assert not told & stopped
    assert len(platform.arrived) > len(platform.did) == len(set(platform.did))
    # Of one alert in order: never a taking back before what it takes back.
    order = defaultdict(list)
    for each in done:
        order[each["alert"]].append(each["type"])
    assert all(kinds in (["decision"], ["decision", "undo"]) for kinds in order.values())
    # And an hour is not spent hammering: each wait doubles up to five minutes.
    attempts = sum(row.attempts for row in _rows(feed))
    assert attempts < len(platform.arrived) + 40


def _rows(feed: Feed) -> list[Any]:
    with feed.database.read() as connection:
        return list(connection.execute(select(Delivery).order_by(Delivery.seq)))


def test_what_waited_follows_as_soon_as_the_receiver_is_back(feed: Feed) -> None:
    platform, ways = one(feed)
    feed.put(*(alert(f"c{number}", accounts=[f"a{number}", f"b{number}"]) for number in range(5)))
    platform.fail = away
    for number in range(5):
        decide(feed, f"c{number}")
        deliver_due(feed.database, ways, feed.clock)
        feed.clock.pass_s(600)
    platform.fail = lambda number: None
    assert deliver_due(feed.database, ways, feed.clock) == 5
    assert states(feed) == ["delivered"] * 5
    assert {row.body for row in _rows(feed)} == {""}


def test_a_delivery_is_made_with_the_decision_or_not_at_all(feed: Feed) -> None:
    one(feed)
    feed.put(alert())

    def die(connection: Connection, actor: Actor, now: int) -> None:
        decisions.decide(connection, actor, DecisionRequest("c1", "llm_campaign"), now)
        raise SystemExit

    with pytest.raises(SystemExit):
        feed.do(die, "moderator")
    assert (_rows(feed), feed.see(decision_lists.history)) == ([], [])
    decide(feed, "c1")
    assert len(_rows(feed)) == len(feed.see(decision_lists.history)) == 1


def test_a_crash_between_sending_and_noting_sends_the_same_again(feed: Feed) -> None:
    platform, ways = one(feed)
    feed.put(alert())
    decide(feed, "c1")
    taken = platform.post

    def die_after(message_id: str, body: bytes) -> None:
        taken(message_id, body)
        raise SystemExit(9)

    platform.post = die_after  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        deliver_due(feed.database, ways, feed.clock)
    platform.post = taken  # type: ignore[method-assign]
    # It is left alone while somebody else may be sending it, and sent again after that.
    assert deliver_due(feed.database, ways, feed.clock) == 0
    feed.clock.pass_s(action_loop.LEASE_MS / 1000)
    assert deliver_due(feed.database, ways, feed.clock) == 1
    assert (len(platform.arrived), len(platform.did)) == (2, 1)


def test_receivers_are_told_what_they_asked_for(feed: Feed) -> None:
    single = replace(PLATFORM, name="single", decisions=["not_a_campaign"])
    by_policy = replace(PLATFORM, name="by-policy", policies=["spam.2"])
    configure(feed, PLATFORM, single, by_policy)
    feed.put(alert("c1"), alert("c2", accounts=("x", "y")), alert("c3", accounts=("p", "q")))
    decide(feed, "c1", reason="one operator", note="stays here")
    decide(feed, "c2", "not_a_campaign")
    decide(feed, "c3", policy="spam.2")
    assert [(row.receiver, row.alert_id) for row in _rows(feed)] == [
        ("platform", "c1"), ("single", "c2"), ("platform", "c3"), ("by-policy", "c3")
    ]  # fmt: skip
    record = read_action(_rows(feed)[0].body)
    assert [(each.account, each.odds) for each in record.accounts] == [("ada", 0.7), ("bob", 0.7), ("cyd", 0.7)]
    assert (record.reason, record.complete, record.kind) == ("one operator", True, "campaign")
    assert record.by == feed.actors["moderator"].pseudonym
    assert "stays here" not in _rows(feed)[0].body


def test_taken_back_before_it_is_sent_nobody_is_told(feed: Feed) -> None:
    platform, ways = one(feed, replace(PLATFORM, delay_s=300))
    feed.put(alert())
    made = decide(feed, "c1")
    feed.clock.pass_s(299)
    assert deliver_due(feed.database, ways, feed.clock) == 0
    feed.do(decisions.undo, "moderator", made, "")
    feed.clock.pass_s(600)
    deliver_due(feed.database, ways, feed.clock)
    assert (states(feed), platform.arrived) == (["dropped"], [])


def test_an_exception_for_a_member_is_told_and_so_is_its_end(feed: Feed) -> None:
    platform, ways = one(feed)
    feed.put(alert())
    group = decide(feed, "c1")
    deliver_due(feed.database, ways, feed.clock)
    person = decide(feed, "c1", "not_a_campaign", account="bob")
    decide(feed, "c1", "llm_campaign", account="ada")
    deliver_due(feed.database, ways, feed.clock)
    feed.do(decisions.undo, "moderator", person, "")
    deliver_due(feed.database, ways, feed.clock)
    feed.do(decisions.undo, "moderator", group, "")
    deliver_due(feed.database, ways, feed.clock)
    told = [
        (each["type"], each["about"] == group, [one["account"] for one in each["accounts"]])
        for each in platform.did.values()
    ]
    assert told == [
        ("decision", True, ["ada", "bob", "cyd"]),
        ("undo", True, ["bob"]),
        ("decision", False, ["ada"]),
        ("decision", True, ["bob"]),
        ("undo", True, ["ada", "bob", "cyd"]),
    ]


def test_a_member_that_was_decided_on_otherwise_is_left_out_of_its_group(feed: Feed) -> None:
    platform, ways = one(feed)
    feed.put(alert())
    decide(feed, "c1", "permitted_automation", account="cyd")
    decide(feed, "c1")
    deliver_due(feed.database, ways, feed.clock)
    (told,) = platform.did.values()
    assert ([each["account"] for each in told["accounts"]], told["complete"]) == (["ada", "bob"], True)


def test_what_is_refused_is_dead_until_it_is_sent_again(site: Site) -> None:
    feed = site.feed
    platform, ways = one(feed)
    feed.put(alert(), alert("c2", accounts=("x", "y")))
    refusal = DeliveryError("platform: p.example answered with status 401; see what it asks for", lasting=True)
    platform.fail = lambda number: refusal
    decide(feed, "c1")
    second = decide(feed, "c2")
    deliver_due(feed.database, ways, feed.clock)
    feed.clock.pass_s(7200)
    deliver_due(feed.database, ways, feed.clock)
    assert (states(feed), [row.attempts for row in _rows(feed)]) == (["dead", "dead"], [1, 1])
    moderator, lead = site.browser("moderator"), site.browser("lead")
    assert "answered with status 401" in text_of(moderator.get("/alerts/c1").text)
    assert "Send again" not in moderator.get("/alerts/c1").text
    assert moderator.get("/actions").status_code == 403
    assert moderator.post("/actions/again", {"id": _rows(feed)[0].id}).status_code == 403
    page = lead.get("/actions").text
    assert "Send all 2 of platform again" in text_of(page)
    platform.fail = lambda number: None
    # What was taken back meanwhile is not sent again.
    feed.do(decisions.undo, "moderator", second, "")
    assert lead.post("/actions/again", {"receiver": "platform", "back": "/actions?state=dead"}).headers["location"] == (
        "/actions?state=dead&done=resent"
    )
    deliver_due(feed.database, ways, feed.clock)
    assert states(feed) == ["delivered", "dropped", "delivered"]
    assert [each["type"] for each in platform.did.values()] == ["decision", "undo"]
    assert lead.post("/actions/again", {"receiver": "platform"}).status_code == 409
    assert "Nothing is dead" in text_of(lead.get("/actions").text)
    assert "taken" in text_of(lead.get("/actions?state=all").text)
    assert lead.get("/actions?state=odd").status_code == 400
    assert "resend" in {each["action"] for each in lead.api("GET", "/audit").json()["entries"][:3]}


def test_after_three_days_a_receiver_that_never_answers_has_dead_letters(feed: Feed) -> None:
    platform, ways = one(feed)
    feed.put(alert())
    decide(feed, "c1")
    platform.fail = away
    while feed.clock() < _rows(feed)[0].made + GIVE_UP_MS:
        deliver_due(feed.database, ways, feed.clock)
        assert states(feed) == ["waiting"]
        feed.clock.pass_s(3600)
    feed.clock.pass_s(3600)
    deliver_due(feed.database, ways, feed.clock)
    assert (states(feed), _rows(feed)[0].body != "") == (["dead"], True)


def test_one_receiver_that_is_away_holds_up_no_other(feed: Feed) -> None:
    other = replace(PLATFORM, name="other")
    configure(feed, PLATFORM, other)
    gone, there = Platform(feed.clock), Platform(feed.clock)
    gone.fail = away
    feed.put(*(alert(f"c{number}", accounts=[f"a{number}", f"b{number}"]) for number in range(4)))
    for number in range(4):
        decide(feed, f"c{number}")
    calls: list[str] = []
    gone.fail = lambda number: calls.append(number) or away(number)  # type: ignore[func-returns-value]
    ways = {"platform": ReceiverChannel(PLATFORM, gone), "other": ReceiverChannel(other, there)}
    assert deliver_due(feed.database, ways, feed.clock) == 4
    assert (len(there.did), len(calls)) == (4, 1)


def test_what_a_platform_did_is_shown_on_the_case(site: Site) -> None:
    feed = site.feed
    platform, ways = one(feed)
    feed.put(alert())
    decide(feed, "c1")
    deliver_due(feed.database, ways, feed.clock)
    (number,) = platform.arrived
    program = site.token("moderator", "report")
    client = site.client()
    said = {"delivery": number, "outcome": "suspended", "account": "ada", "text": "for 30 days",
            "id": "6fa459ea-ee8a-4ca8-894e-db77e160355e"}  # fmt: skip
    for _ in range(2):
        assert client.post("/api/v1/outcomes", json=said, headers=program).status_code == 201
    later = {"delivery": number, "outcome": "restored", "account": "ada", "text": "after an appeal"}
    feed.clock.pass_s(60)
    assert client.post("/api/v1/outcomes", json=later, headers=program).status_code == 201
    page = text_of(site.browser("viewer").get("/alerts/c1").text)
    assert page.index("restored ada : after an appeal") < page.index("suspended ada : for 30 days")
    shown = client.get("/api/v1/alerts/c1", headers=site.token("viewer", "read")).json()
    assert [(each["outcome"], each["receiver"]) for each in shown["outcomes"]] == [
        ("restored", "platform"), ("suspended", "platform")
    ]  # fmt: skip
    assert [each["state"] for each in shown["deliveries"]] == ["delivered"]
    # The receiver's token can say what it did, and nothing else.
    assert client.get("/api/v1/alerts", headers=program).status_code == 403
    assert client.post("/api/v1/alerts/c1/claim", headers=program).status_code == 403
    assert client.post("/api/v1/outcomes", json=said | {"outcome": "removed"}, headers=program).status_code == 409
    unknown = said | {"delivery": "00000000-0000-4000-8000-000000000000"}
    assert client.post("/api/v1/outcomes", json=unknown, headers=program).status_code == 404
    assert client.post("/api/v1/outcomes", json=later, headers=site.token("viewer", "read")).status_code == 403


def test_a_forgotten_account_is_in_nothing_that_is_still_to_be_sent(feed: Feed) -> None:
    platform, ways = one(feed)
    feed.put(alert(), alert("solo", kind="account", accounts=("ada",)))
    decide(feed, "c1", reason="ada leads them")
    decide(feed, "solo")
    deliver = _rows(feed)[0]
    with feed.database.write() as connection:
        actions.note_outcome(
            connection, feed.actors["moderator"], delivery=deliver.id, outcome="removed", account="ada", words="",
            id=None, now=feed.clock(),
        )  # fmt: skip
    feed.do(privacy.forget, "admin", "ada")
    deliver_due(feed.database, ways, feed.clock)
    assert states(feed) == ["delivered", "dropped"]
    (told,) = platform.did.values()
    assert ([each["account"] for each in told["accounts"]], told["reason"], told["complete"]) == (
        ["bob", "cyd"], "", False
    )  # fmt: skip
    assert feed.see(actions.outcomes, ["c1"]) == []


def test_the_signed_webhook_arrives_and_internal_addresses_are_refused(feed: Feed, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    feed.put(alert())
    with HttpReceiver() as there:
        inside = replace(
            PLATFORM, url=f"{there.url}/hook?key=1", allow_internal=True, secret_file=str(tmp_path / "secret")
        )
        # A name that leads to this machine, as an attacker's own would.
        outside = replace(inside, name="outside", url="https://localhost:9/hook", allow_internal=False)
        config = ConsoleConfig(receiver=[inside, outside])
        with feed.database.write() as connection:
            console_config.keep(connection, config)
        loop = ActionLoop(feed.database, action_loop.ways(config, feed.clock), FeedMetrics(), feed.clock)
        loop.start()
        decide(feed, "c1")
        loop.wake()
        there.wait(1)
        for _ in range(200):
            if "waiting" not in states(feed):
                break
            loop.stopping.wait(0.02)
        loop.stop()
        (asked,) = there.requests
        assert (asked.method, asked.path) == ("POST", "/hook?key=1")
        assert Signer(SECRET).verify(asked.headers, asked.body, feed.clock() // 1000)
        assert asked.headers["webhook-id"] == json.loads(asked.body)["id"]
    rows = {row.receiver: row for row in _rows(feed)}
    assert (rows["platform"].state, rows["outside"].state) == ("delivered", "dead")
    assert "not of the public internet" in rows["outside"].problem
    assert "allow_internal" in rows["outside"].problem
    # Neither the address of a webhook nor its secret is in the database.
    assert "hook" not in str(feed.see(console_config.current))


def test_a_redirect_is_not_followed(feed: Feed, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    feed.put(alert())
    with HttpReceiver() as elsewhere, HttpReceiver() as there:
        there.answer = lambda request: (307, {"Location": elsewhere.url}, b"")
        receiver = replace(PLATFORM, url=there.url, allow_internal=True, secret_file=str(tmp_path / "secret"))
        config = ConsoleConfig(receiver=[receiver])
        configure(feed, receiver)
        decide(feed, "c1")
        deliver_due(feed.database, action_loop.ways(config, feed.clock), feed.clock)
        assert (len(there.requests), len(elsewhere.requests), states(feed)) == (1, 0, ["dead"])


def test_a_secret_that_is_missing_or_short_is_said_at_start(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("short\n")
    for name, said in (("secret", "24 at least are needed"), ("none", "cannot be read")):
        receiver = replace(PLATFORM, secret_file=str(tmp_path / name))
        with pytest.raises(ConfigError, match=f"receiver platform.*{said}"):
            action_loop.ways(ConsoleConfig(receiver=[receiver]), Clock())


def test_only_leads_send_again(feed: Feed) -> None:
    with pytest.raises(FeedError, match="right 'lead'"):
        feed.do(actions.send_again, "moderator", ["x"])
