"""Every page in light, dark and on a phone: nothing sticks out, nothing bars anybody. `make screenshots` keeps them."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from PIL import Image
from sqlalchemy import Connection

from moderation import alert_lists, appeals, decisions, missed_accounts, queue, second_looks, users
from moderation.db import Database
from moderation.decisions import DecisionRequest
from moderation.permissions import SYSTEM, Actor
from streaming.assess.alert_store import account_alert_id
from tests.moderation.browser import scenes
from tests.moderation.browser.conftest import Served, Visit, violations
from tests.moderation.browser.test_work_pages import fill

pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install playwright")

LOOKS: Final[dict[str, dict[str, Any]]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1180, "height": 760}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1180, "height": 760}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 780}, "is_mobile": True, "has_touch": True},
}

COLOURS: Final = 128
"""Of a picture: the pages have few, and a third of the bytes will do."""

PAGES: Final = {
    "queue": "/queue",
    "campaign": "/alerts/tunnel",
    "coordination": "/alerts/club",
    "decided": "/alerts/lone3",
    "right-to-left": "/alerts/arabic",
    "account": "/account?name=ferry_commuter",
    "decisions": "/decisions",
    "results": "/results",
    "actions": "/actions?state=all",
    "acted": "/alerts/acted0",
    "missed": "/missed",
    "second-looks": "/second-looks",
    "blind-sample": f"/blind-sample/{scenes.SAMPLED.id}",
    "appeals": "/appeals",
    "people": "/people",
    "me": "/me",
    "audit": "/audit",
    "error": "/alerts/nothing-here",
}

WHO: Final[dict[str, str | None]] = {
    "people": "admin", "audit": "lead", "actions": "lead", "acted": "lead", "owner": None,
}  # fmt: skip
"""Who looks at a page; Nadia, a moderator, at the others."""

PARTS: Final = {
    "campaign-network": "#network-title",
    "campaign-posts": "#timeline-title",
    "campaign-members": "#members-title",
}


TWICE: Final = tuple(f"evening_{name}" for name in ("ann", "bo", "cy", "dee", "eli", "fay", "gus", "hal", "ida", "jo"))
"""Accounts whose decisions are made twice."""


@pytest.fixture(scope="module")
def busy(served: Served) -> tuple[Served, dict[str, str]]:
    """A feed in the middle of a working day, and pages besides `PAGES` whose addresses are made there."""
    return served, working_day(served)


def test_the_day_that_is_pictured_can_be_made(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'feed.db'}")
    with database.write() as connection:
        for name, role in (("nadia", "moderator"), ("lead", "lead")):
            users.add_user(connection, SYSTEM, name, role, None, 0)
    assert set(working_day(Served("http://127.0.0.1", database, tmp_path))) == {"second-look", "owner"}
    database.close()


def working_day(served: Served) -> dict[str, str]:
    """Fill a feed with what a day brings; the pages whose addresses are made there.

    Args:
        served: the feed, with `nadia` and `lead`.
    """
    fill(served)
    served.put(*scenes.everything())
    served.put(*(scenes.lone(account_alert_id(name), name, 2.4 + 0.2 * place) for place, name in enumerate(TWICE)))
    nadia, lead = served.actor("nadia"), served.actor("lead")
    now = served.now()
    with served.database.write() as connection:
        queue.claim(connection, nadia, "tunnel", now)
        queue.claim(connection, lead, "club", now)
        queue.escalate(connection, nadia, "lone2", now)
        bot = DecisionRequest(
            "lone3",
            "llm_campaign",
            policy="spam.2",
            reason="posts the same forecast for three towns",
            note="The mast is not theirs.",
        )
        decisions.decide(connection, nadia, bot, now)
        other = decisions.decide(
            connection, lead, DecisionRequest("lone0", "permitted_automation", policy="spam.2"), now
        )
        decisions.undo(connection, lead, other, "the label is gone", now)
        made = looked_twice(connection, nadia, lead, now)
        alert_lists.save_view(connection, nadia, "Large campaigns", "kind=campaign&min_members=5", shared=False)
    return made


def looked_twice(connection: Connection, nadia: Actor, lead: Actor, now: int) -> dict[str, str]:
    """Second looks, a blind sample of which most is decided, and an appeal; the pages of one each."""
    numbers = []
    second_looks.set_share(connection, 1.0)
    for place in range(len(TWICE)):
        machine = DecisionRequest(
            account_alert_id(TWICE[place]), "llm_campaign", policy="spam.2", reason="one text, many times"
        )
        number = decisions.decide(connection, lead, machine, now)
        numbers.append(number)
        if place:
            verdict = "needs_more" if place == 9 else "llm_campaign"
            second_looks.answer(connection, nadia, number, verdict, "", now)
    second_looks.set_share(connection, 0.0)
    token = appeals.make_notice(connection, nadia, TWICE[2], now)
    appeals.appeal_by_notice(connection, token, "I wrote every word of it myself, on the bus.", now)
    missed_accounts.store(connection, [scenes.SAMPLED, *scenes.sampled_others()], now)
    for place, other in enumerate(scenes.sampled_others()[:36]):
        missed_accounts.answer(
            connection, nadia, other.id, "llm_campaign" if place in (4, 20) else "not_a_campaign", "", now
        )
    return {"second-look": f"/second-looks/{numbers[0]}", "owner": f"/notice/{token}"}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("look", LOOKS)
def test_every_page_fits_and_bars_nobody(
    busy: tuple[Served, dict[str, str]], visit: Callable[..., Visit], tmp_path: Path, look: str
) -> None:
    folder = Path(os.environ.get("SWARMLIGHT_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    found: list[str] = []

    def keep(page: Any, name: str) -> None:
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        small = picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
        small.save(folder / f"{name}-{look}.png", optimize=True)

    for name, path in {**PAGES, **busy[1]}.items():
        # The page of people is an admin's, and an owner's has no login; the rest is as a moderator or a lead sees it.
        who = WHO.get(name, "nadia")
        window = visit(who, **LOOKS[look], problems_expected=name == "error")
        page = window.page
        page.goto(path)
        if path.startswith("/alerts/") and name != "error":
            page.wait_for_selector("[data-drawn=yes]")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, look)
        found += violations(page)
        keep(page, name)
        for part, title in PARTS.items() if name == "campaign" else ():
            page.locator(title).evaluate("(title) => scrollTo(0, title.getBoundingClientRect().top + scrollY - 24)")
            page.wait_for_timeout(200)
            keep(page, part)
        if name == "queue":
            for box in page.locator(".choose").all()[2:5]:
                box.check()
            page.locator("select[name=action]").select_option("escalate")
            page.get_by_role("button", name="Preview").click()
            page.wait_for_url("**/bulk/preview")
            found += violations(page)
            keep(page, "bulk")
            page.goto("/queue?q=no+such+words")
            keep(page, "empty")
        page.context.close()
    page = visit(None, **LOOKS[look]).page
    page.goto("/login")
    found += violations(page)
    keep(page, "login")
    assert found == []
