"""What an account's owner is told, and that somebody else than who decided decides their appeal."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import select

from detector.errors import FeedError
from detector.reason_sentences import explain_to_owner
from moderation import appeals, audit, decisions, privacy
from moderation.database_tables import AlertRow, Appeal, AuditEntry, DecisionRow, Notice
from moderation.decisions import DecisionRequest
from streaming.assess.alert_store import account_alert_id
from tests.moderation.builders import alert
from tests.moderation.conftest import Feed, Site

ADA = account_alert_id("ada")


def decided(feed: Feed, verdict: decisions.Verdict = "llm_campaign", *, campaign: bool = False, **more: Any) -> str:
    """Put an alert of ada's (or a campaign of hers) in, and let the moderator decide on it."""
    name = "c1" if campaign else ADA
    feed.put(alert("c1") if campaign else alert(ADA, kind="account", accounts=["ada"]))
    return str(feed.do(decisions.decide, "moderator", DecisionRequest(name, verdict, **more)))


def in_force(feed: Feed, alert_id: str = ADA) -> str | None:
    with feed.database.read() as connection:
        found = connection.scalar(select(AlertRow.decision).where(AlertRow.id == alert_id))
    return None if found is None else str(found)


def appealed(feed: Feed) -> str:
    return str(feed.do(appeals.appeal_for, "colleague", "ada", "I write every word of it myself"))


def notice(site: Site, name: str = "ada") -> str:
    """The path of the page for the owner, as the account's page shows it."""
    page = site.browser("moderator").post("/account/notice", {"name": name}).text
    found = re.search(r"http://localhost(/notice/[\w-]+)", page)
    assert found is not None
    return found.group(1)


def test_the_owner_reads_what_was_seen_and_decided_and_nothing_of_others(site: Site) -> None:
    decided(site.feed, campaign=True, reason="they all push the tunnel story")
    page = site.client().get(notice(site)).text
    assert "ada" in page
    assert "software, and not a person, writes for this account" in page
    assert "how the texts are written" in page.lower()
    assert "together with others" in page
    for secret in ("bob", "cyd", "tunnel", "moderator</", "likelier", "nats", "2.97", "threshold"):
        assert secret not in page, secret


def test_sentences_for_owners_have_no_numbers_and_begin_with_the_weightiest() -> None:
    said = explain_to_owner({"text": 1.0, "behaviour": 0.3, "coordination": 4.2, "graph": -2.0})
    assert [("together" in said[0]), ("written" in said[1])] == [True, True]
    assert len(said) == 2
    assert not any(each.isdigit() for each in "".join(said))
    assert "weak signs" in explain_to_owner({"text": 0.2})[0]


def test_an_owner_appeals_once_and_reads_what_came_of_it(site: Site) -> None:
    decided(site.feed)
    address = notice(site)
    owner = site.client()
    assert owner.post(address, data={"words": ""}).status_code == 400
    assert owner.post(address, data={"words": "It is <b>me</b>"}).headers["location"] == f"{address}?done=appealed"
    assert owner.post(address, data={"words": "again"}).status_code == 409
    assert "&lt;b&gt;me&lt;/b&gt;" in owner.get(address).text
    assert in_force(site.feed) == "llm_campaign"
    colleague = site.browser("colleague")
    listed = colleague.api("GET", "/appeals?open_only=true").json()["appeals"]
    assert [(each["account"], each["outcome"]) for each in listed] == [("ada", "")]
    done = colleague.post(f"/appeals/{listed[0]['id']}", {"outcome": "not_a_campaign", "reason": "She is a poet."})
    assert done.headers["location"] == "/appeals?done=appeal_decided"
    page = owner.get(address).text
    assert "was granted" in page
    assert "She is a poet." in page
    assert "taken back" in page
    assert in_force(site.feed) == "not_a_campaign"


def test_nobody_decides_an_appeal_against_their_own_decision(site: Site) -> None:
    decided(site.feed)
    number = appealed(site.feed)
    with pytest.raises(FeedError, match="your own"):
        site.feed.do(appeals.answer, "moderator", number, None, "it stands")
    assert "somebody else decides" in site.browser("moderator").get("/appeals").text
    site.feed.do(appeals.answer, "colleague", number, None, "it stands")
    with pytest.raises(FeedError, match="already"):
        site.feed.do(appeals.answer, "lead", number, "not_a_campaign", "no")
    assert in_force(site.feed) == "llm_campaign"


def test_an_appeal_that_is_granted_is_told_to_the_system_and_audited(feed: Feed) -> None:
    first = decided(feed)
    number = appealed(feed)
    feed.do(appeals.answer, "colleague", number, "permitted_automation", "It says that it is a weather bot.")
    with feed.database.read() as connection:
        rows = connection.execute(select(DecisionRow).order_by(DecisionRow.at, DecisionRow.id)).all()
        found = audit.verify(connection)
        audited = select(AuditEntry.action).where(AuditEntry.subject == ADA).order_by(AuditEntry.seq)
        entries = list(connection.scalars(audited))
    assert sorted(row.verdict for row in rows) == ["llm_campaign", "permitted_automation", "undo"]
    assert next(row.undone_by for row in rows if row.id == first) is not None
    assert found.problem is None
    assert entries == ["decide", "appeal", "undo", "decide", "appeal_decide"]


def test_one_members_appeal_leaves_the_campaign_as_it_is(feed: Feed) -> None:
    decided(feed, campaign=True)
    feed.do(appeals.answer, "colleague", appealed(feed), "not_a_campaign", "She only quoted them.")
    assert in_force(feed, "c1") == "llm_campaign"
    with feed.database.read() as connection:
        alone = decisions.current_on_accounts(connection, "c1")
    assert {account: row.verdict for account, row in alone.items()} == {"ada": "not_a_campaign"}


def test_a_withdrawn_alert_can_be_appealed_against(feed: Feed) -> None:
    decided(feed)
    feed.put(alert(ADA, kind="account", accounts=["ada"], status="withdrawn", revision=2))
    feed.do(appeals.answer, "colleague", appealed(feed), "not_a_campaign", "A person after all.")
    assert in_force(feed) is None


def test_what_was_not_decided_has_no_page_and_no_appeal(feed: Feed) -> None:
    feed.put(alert(ADA, kind="account", accounts=["ada"]))
    for work, more in ((appeals.make_notice, ()), (appeals.appeal_for, ("me",))):
        with pytest.raises(FeedError, match="no decision in force"):
            feed.do(work, "moderator", "ada", *more)


def test_addresses_are_secret_end_and_are_not_guessed(site: Site) -> None:
    decided(site.feed)
    address = notice(site)
    with site.feed.database.read() as connection:
        kept = connection.execute(select(Notice)).one()
    assert kept.hash not in address
    site.feed.clock.at += appeals.NOTICE_MS
    assert site.client().get(address).status_code == 404
    codes = [site.client().get(f"/notice/{number:043d}").status_code for number in range(6)]
    assert codes == [404] * 4 + [429, 429]


def test_an_appeal_is_not_taken_from_another_site(site: Site) -> None:
    decided(site.feed)
    address = notice(site)
    answer = site.client().post(address, data={"words": "x"}, headers={"origin": "https://evil.example"})
    assert answer.status_code == 403


def test_forgetting_an_account_forgets_its_appeal(feed: Feed) -> None:
    decided(feed)
    feed.do(appeals.make_notice, "moderator", "ada")
    appealed(feed)
    feed.do(privacy.forget, "admin", "ada")
    with feed.database.read() as connection:
        assert connection.execute(select(Appeal)).all() == []
        assert connection.execute(select(Notice)).all() == []
