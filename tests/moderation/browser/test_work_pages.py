"""The pages of policies, actions, context and results, in both looks: nothing bars anybody and nothing sticks out."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace
from sqlalchemy import update

from moderation import actions, console_config, decisions
from moderation.console_config import ConsoleConfig, ModerationPolicy, PlatformLinks, Receiver, Required
from moderation.database_tables import Delivery
from moderation.decisions import DecisionRequest
from streaming.schema.alert import AccountProfileRecord, PostRecord
from tests.moderation.browser import scenes
from tests.moderation.browser.conftest import Served, Visit, violations
from tests.moderation.builders import stamp

pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install playwright")

CONFIG = ConsoleConfig(
    policy=[
        ModerationPolicy("inauthentic.1", "Accounts that hide who runs them", "high", words=["harbour tunnel"]),
        ModerationPolicy("spam.2", "The same message over and over"),
    ],
    required=Required(reason_for=["llm_campaign"]),
    links=PlatformLinks("https://agora.example/@{account}", "https://agora.example/@{account}/{post}",
                        "https://agora.example/thread/{thread}", "Agora"),
    receiver=[Receiver("platform", "https://agora.example/hook"), Receiver("ozone", "https://labels.example/hook")],
)  # fmt: skip


def fill(served: Served) -> None:
    """Alerts with context, decided ones, and actions that were taken, that wait and that are dead."""
    with served.database.write() as connection:
        console_config.keep(connection, CONFIG)
    record, page = scenes.tunnel("context")
    first = replace(record.members[0], profile=AccountProfileRecord("2025-05-20T08:00:00Z", 12, False))
    target = PostRecord("s1", "mayor_of_brigg", stamp(30), "The pumps were paid for by the council before this one.")
    served.put(replace(record, members=[first, *record.members[1:]], targets=[target]), page)
    lead, now = served.actor("lead"), served.now()
    for number in range(6):
        accounts = [f"acted_{number}_{name}" for name in ("ann", "bo", "cy")]
        served.put(*scenes.tunnel(f"acted{number}", accounts))
        verdict = "not_a_campaign" if number == 5 else "llm_campaign"
        with served.database.write() as connection:
            request = DecisionRequest(f"acted{number}", verdict, policy="inauthentic.1", reason="one operator")  # type: ignore[arg-type]
            decisions.decide(connection, lead, request, now)
    with served.database.write() as connection:
        rows = actions.of_alerts(connection, ["acted0"])
        states = ({"state": "delivered", "at": now, "attempts": 2, "body": ""},
                  {"state": "dead", "at": now, "attempts": 1,
                   "problem": "receiver ozone: labels.example answered with status 401"})  # fmt: skip
        for row, values in zip(rows, states, strict=True):
            connection.execute(update(Delivery).where(Delivery.seq == row.seq).values(**values))
        actions.note_outcome(
            connection, lead, delivery=rows[0].id, outcome="suspended", account="acted_0_ann", words="for 30 days",
            id=None, now=now,
        )  # fmt: skip


@pytest.fixture(scope="module")
def working(served: Served) -> Iterator[Served]:
    """A feed whose operator has configured policies, links and receivers; without them again afterwards."""
    fill(served)
    yield served
    with served.database.write() as connection:
        console_config.keep(connection, ConsoleConfig())


WIDE = """[...document.querySelectorAll("body *")].filter((each) => document.documentElement.scrollWidth > innerWidth
  && each.getBoundingClientRect().right > innerWidth + 1 && !each.closest(".scroll, .states, nav"))
  .map((each) => `${each.tagName}.${each.className.baseVal ?? each.className} ${each.textContent.slice(0, 40)}`)
  .slice(0, 6)"""
"""What sticks out of a page that is wider than its window."""

PAGES = ("/alerts/context", "/alerts/acted0", "/account?name=harbour_watch_77", "/actions", "/actions?state=all",
         "/results", "/decisions", "/queue?policy=inauthentic.1")  # fmt: skip


def test_every_page_of_an_admin_can_be_seen_in_the_bar(served: Served, visit: Callable[..., Visit]) -> None:
    page = visit("admin", viewport={"width": 1180, "height": 760}).page
    page.goto("/people")
    hidden = """[...document.querySelectorAll(".top nav a")].filter((each) => each.getBoundingClientRect().left
      < each.parentElement.getBoundingClientRect().left - 1
      || each.getBoundingClientRect().right > each.parentElement.getBoundingClientRect().right + 1)
      .map((each) => each.textContent)"""
    assert page.locator(".top nav a").count() == 9
    assert page.evaluate(hidden) == []
    # The bar leaves the room to the work.
    assert page.evaluate("document.querySelector('.top').offsetHeight") <= 92


@pytest.mark.parametrize(("look", "width"), [("light", 1366), ("dark", 390)])
def test_pages_of_work_bar_nobody_and_fit(working: Served, visit: Callable[..., Visit], look: str, width: int) -> None:
    page = visit("lead", color_scheme=look, viewport={"width": width, "height": 768}).page
    found: list[str] = []
    for path in PAGES:
        page.goto(path)
        wide = page.evaluate(WIDE)
        assert wide == [], (path, wide)
        found += violations(page)
    assert found == []


def test_the_first_screen_says_who_about_what_how_sure_and_what_to_do(
    working: Served, visit: Callable[..., Visit]
) -> None:
    page = visit("lead", viewport={"width": 1366, "height": 768}).page
    page.goto("/alerts/context")
    for title in ("Who", "About what", "Since when", "How sure", "So far", "What to do"):
        box = page.locator(".first dt", has_text=title).first.locator("+ dd").bounding_box()
        assert box is not None, title
        assert box["y"] + box["height"] <= 768, title
    buttons = page.locator("#decide-next").bounding_box()
    assert buttons is not None
    assert page.locator("select[name=policy]").input_value() == "inauthentic.1"
