"""A shift by keyboard alone: three queues, an escalation, a decision taken back, an appeal; and the pages of second
looks, appeals and owners in both looks. Each takes longer than the default suite allows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import pytest
from msgspec.structs import replace
from sqlalchemy import select

from moderation import appeals, audit, decision_lists, decisions, missed_accounts, second_looks, users
from moderation.alert_lists import save_view
from moderation.database_tables import AlertRow
from moderation.decisions import DecisionRequest
from streaming.assess.alert_store import account_alert_id
from streaming.schema.alert import AlertRecord
from tests.moderation.browser import scenes
from tests.moderation.browser.conftest import Served, Visit, violations
from tests.moderation.builders import sampled

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install playwright")

Visits = Callable[..., Visit]

pytestmark = pytest.mark.slow

QUEUES: Final = {
    "Armenian": "Բարև ձեզ, այսօր գեղեցիկ օր է",
    "Georgian": "გამარჯობა, დღეს კარგი ამინდია",
    "Thai": "สวัสดีตอนเช้า วันนี้อากาศดีมาก",
}
"""A queue of the team each: its script, which no other test writes, and a text in it."""

CASES: Final = 7
"""In each queue: with the one that is escalated, twenty that the moderator decides."""

MAX_TABS: Final = 300
"""Presses of the tab key until what is looked for has to have the focus."""


def case(script: str, number: int) -> AlertRecord:
    """An account's alert that only one queue takes."""
    account = f"{script.lower()}_{number}"
    record = scenes.lone(account_alert_id(account), account, 2.0 + number / 10)
    posts = [replace(post, text=f"{QUEUES[script]} {place}") for place, post in enumerate(record.posts)]
    return replace(record, posts=posts)


def tab_to(page: Page, selector: str) -> None:
    """Press the tab key until what `selector` names has the focus."""
    for _ in range(MAX_TABS):
        page.keyboard.press("Tab")
        if page.evaluate("wanted => document.activeElement.matches(wanted)", selector):
            return
    pytest.fail(f"the tab key does not lead to {selector}")


def enter(page: Page, key: str = "Enter") -> None:
    """Press a key that leads to another page."""
    with page.expect_navigation():
        page.keyboard.press(key)


def stay(page: Page, verdict: str) -> None:
    """Decide by a number, and stay on the alert's page."""
    page.keyboard.press(verdict)
    tab_to(page, "#decide-stay")
    enter(page)
    page.get_by_text("Decided, and told to the system.").wait_for()


def test_a_shift_by_keyboard_alone(served: Served, visit: Visits) -> None:
    lead_actor = served.actor("lead")
    served.put(*(case(script, number) for script in QUEUES for number in range(CASES)))
    with served.database.write() as connection:
        ids = {
            script: save_view(connection, lead_actor, script, f"script={script}", shared=True, due_minutes=60)
            for script in QUEUES
        }
    page = visit("nadia").page
    page.goto("/queue")
    first, second, third = QUEUES
    for script in QUEUES:
        tab_to(page, f'.queues a[href="/queue?queue={ids[script]}"]')
        enter(page)
        enter(page, "n")
        if script == third:
            page.keyboard.press("e")
            page.keyboard.type("the mayor's own office")
            enter(page)
            page.get_by_text("Handed to the leads.").wait_for()
            enter(page, "u")
            enter(page, "n")
        cases = CASES - 1 if script == third else CASES
        for turn in range(cases):
            if script == first and turn == cases - 1:
                stay(page, "1")
                enter(page, "z")
                page.get_by_text("Taken back.").wait_for()
            # The least certain of the second queue is taken for a machine, and will be appealed against.
            page.keyboard.press("1" if script == second and turn == cases - 1 else "4")
            enter(page, "g")
        assert "done=last" in page.url
    # The account's owner is told, and appeals.
    appealed = f"{second.lower()}_0"
    page.goto(f"/account?name={appealed}")
    tab_to(page, 'form[action="/account/notice"] button')
    enter(page)
    address = page.locator("code.secret").inner_text()
    owner = visit(None).page
    owner.goto(address)
    tab_to(owner, "textarea[name=words]")
    owner.keyboard.type("I write every word myself.")
    tab_to(owner, "form button")
    enter(owner)
    owner.get_by_text("Your appeal is waiting to be decided").wait_for()
    # A lead takes what was escalated, and somebody else than who decided grants the appeal.
    lead = visit("lead").page
    lead.goto("/queue")
    tab_to(lead, '.states a[href="/queue?state=escalated"]')
    enter(lead)
    escalated = account_alert_id(f"{third.lower()}_{CASES - 1}")
    while lead.evaluate("document.activeElement.closest('tr')?.dataset.id") != escalated:
        lead.keyboard.press("j")
    enter(lead)
    assert "the mayor's own office" in lead.locator(".handover").inner_text()
    enter(lead, "c")
    stay(lead, "2")
    tab_to(lead, 'nav a[href="/appeals"]')
    enter(lead)
    tab_to(lead, ".appeal input[name=outcome]")
    lead.keyboard.press("ArrowDown")
    tab_to(lead, ".appeal textarea[name=reason]")
    lead.keyboard.type("Her drafts show that she does.")
    tab_to(lead, ".appeal button.main")
    enter(lead)
    lead.get_by_text("The appeal is decided.").wait_for()
    owner.reload()
    assert "Your appeal was granted." in owner.locator("main").inner_text()
    mine = {account_alert_id(f"{script.lower()}_{number}") for script in QUEUES for number in range(CASES)}
    with served.database.read() as connection:
        made = decision_lists.history(connection, alert_ids=sorted(mine), undos=False)
        outcome = select(AlertRow.decision).where(AlertRow.id == account_alert_id(appealed))
        assert connection.scalar(outcome) == "not_a_campaign"
        assert audit.verify(connection).problem is None
    assert len({row.alert_id for row in made if row.by_name == "nadia"}) == 20
    assert {row.alert_id for row in made if row.by_name == "lead"} == {escalated, account_alert_id(appealed)}
    assert {row.alert_id for row in made if row.undone_by is None} == mine
    told = [json.loads(line) for line in served.feedback.read_text().splitlines()]
    assert [each["decision"] for each in told if each["alert"] in mine].count("undo") == 2


@pytest.mark.parametrize(("look", "width"), [("light", 1280), ("dark", 390)])
def test_the_pages_of_appeals_owners_and_second_looks_have_no_barrier(
    served: Served, visit: Visits, look: str, width: int
) -> None:
    account = f"barrier_{look}"
    alert_id = account_alert_id(account)
    served.put(scenes.lone(alert_id, account, 2.5))
    nadia, lead, now = served.actor("nadia"), served.actor("lead"), served.now()
    with served.database.write() as connection:
        second_looks.set_share(connection, 1.0)
        number = decisions.decide(connection, nadia, DecisionRequest(alert_id, "llm_campaign", despite=True), now)
        second_looks.set_share(connection, 0.0)
        token = appeals.make_notice(connection, nadia, account, now)
        missed_accounts.store(connection, [sampled(account)], now)
    page = visit("lead", color_scheme=look, viewport={"width": width, "height": 900}).page
    found: list[str] = []
    blind = (f"/second-looks/{number}", f"/blind-sample/{sampled(account).id}")
    for path in (f"/notice/{token}", f"/account?name={account}", "/second-looks", "/results", *blind):
        page.goto(path)
        found += violations(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    with served.database.write() as connection:
        appeals.appeal_by_notice(connection, token, "It is me.", now)
        users.set_blur(connection, lead, on=True)
    for path in ("/appeals", f"/notice/{token}", "/me", f"/alerts/{alert_id}"):
        page.goto(path)
        found += violations(page)
    page.keyboard.press("v")
    assert page.locator("body.blurred").count() == 0
    with served.database.write() as connection:
        users.set_blur(connection, lead, on=False)
    assert found == []
