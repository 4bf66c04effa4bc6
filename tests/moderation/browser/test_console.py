"""A moderator's work in a real browser: an alert arrives, is understood, claimed, decided and taken back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from moderation import audit, live, queue
from tests.moderation.browser import scenes
from tests.moderation.browser.conftest import Served, Visit, violations

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install playwright")

Visits = Callable[..., Visit]


def drawn(page: Page, path: str) -> None:
    """Open an alert and wait for its pictures."""
    page.goto(path)
    page.wait_for_selector("[data-drawn=yes]")


def test_an_alert_arrives_is_understood_decided_and_taken_back(served: Served, visit: Visits) -> None:
    served.put(*scenes.club())
    page = visit(None).page
    page.goto("/queue")
    page.get_by_label("Name").fill("nadia")
    page.get_by_label("Password").fill("password of nadia")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_selector("#link[data-state=live]")
    rows = page.locator("#rows tr")
    before = rows.count()
    top = rows.first.bounding_box()
    served.put(*scenes.tunnel("arrives"))
    news = page.get_by_role("button", name="1 new alert: show")
    news.wait_for()
    assert rows.count() == before
    assert rows.first.bounding_box() == top
    news.click()
    row = page.locator('tr[data-id="arrives"]')
    row.wait_for()
    assert "harbour_watch_77, nadia_kettle, oldtown_oliver and 9 others act together" in row.inner_text()
    assert page.evaluate("document.activeElement.closest('tr').dataset.id") == "arrives"
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-drawn=yes]")
    assert (
        page.locator("h1").inner_text()
        == "12 accounts act together; more likely than not driven by a language model: 70%"
    )
    facts = page.locator(".facts").first.inner_text()
    assert "47 hours" in facts
    assert "the harbour tunnel will cost every household" in facts
    why = page.locator(".because").inner_text()
    assert "121 times in reposts of the same posts, where chance would give about 15.8" in why
    page.get_by_text("How this is computed").click()
    assert "+4.50" in page.locator(".nats").inner_text()
    page.evaluate("scrollTo(0, 0)")
    assert "cannot be seen from posts" in page.locator(".limits").inner_text()
    page.get_by_role("button", name="Claim").click()
    page.locator(".panel .badge.mine").wait_for()
    # What one did oneself is no news; what a colleague does is.
    page.wait_for_selector("#link[data-state=live]")
    page.wait_for_timeout(300)
    assert not page.locator("#revised").is_visible()
    page.get_by_text("LLM campaign", exact=True).last.click()
    page.locator("#decide input[name=reason]").fill("one operator, twelve names")
    page.get_by_role("button", name="Decide", exact=True).click()
    page.get_by_text("Decided, and told to the system.").wait_for()
    assert "LLM campaign" in page.locator(".current-decision").inner_text()
    page.locator("#undo").click()
    page.get_by_text("Taken back.").wait_for()
    assert page.locator(".current-decision").count() == 0
    colleague = served.actor("lead")
    with served.database.write() as connection:
        queue.claim(connection, colleague, "arrives", served.now())
    page.get_by_text("This alert has changed while you read.").wait_for()
    with served.database.write() as connection:
        queue.release(connection, colleague, "arrives", served.now())
    with served.database.read() as connection:
        assert audit.verify(connection).problem is None
    lead = visit("lead").page
    lead.goto("/audit")
    assert re.search(r"The chain of \d+ entries holds", lead.locator("main").inner_text())
    assert "undo" in lead.locator("table").inner_text()
    told = [json.loads(line) for line in served.feedback.read_text().splitlines()]
    assert [each["decision"] for each in told if each["alert"] == "arrives"] == ["llm_campaign", "undo"]


def test_what_came_while_the_line_was_broken_is_announced_and_moves_nothing(
    served: Served, visit: Visits, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.put(*(scenes.lone(f"broken{number}", f"gale_{number}", 2.5) for number in range(12)))
    monkeypatch.setattr(live, "PING_S", 0.1)
    monkeypatch.setattr(live, "RETRY_MS", 2_500)
    page = visit("moderator", viewport={"width": 390, "height": 600}).page
    with monkeypatch.context() as short:
        short.setattr("moderation.api.user_routes.STREAM_MS", 400)
        page.goto("/queue?q=gale")
        page.keyboard.press("k")
        page.locator("#link[data-state=lost]").wait_for()
    place = "[scrollY, document.activeElement.closest('tr').dataset.id, document.querySelectorAll('#rows tr').length]"
    before = page.evaluate(place)
    assert before[0] > 0
    served.put(scenes.lone("broken-late", "gale_99", 2.5))
    page.wait_for_timeout(1_500)
    assert page.locator("#link[data-state=lost]").count() == 1
    page.locator("#link[data-state=live]").wait_for()
    page.get_by_role("button", name="1 new alert: show").wait_for(state="attached")
    assert page.evaluate(place) == before
    page.keyboard.press("r")
    page.locator('tr[data-id="broken-late"]').wait_for()


def test_the_keyboard_is_enough(served: Served, visit: Visits) -> None:
    served.put(*scenes.tunnel("keys1"), *scenes.tunnel("keys2", scenes.TUNNEL[:4]))
    page = visit("moderator").page
    page.goto("/queue")
    press = page.keyboard.press
    press("?")
    assert page.get_by_role("dialog").get_by_text("next alert").is_visible()
    press("Escape")
    press("/")
    page.keyboard.type("harbour_watch")
    press("Enter")
    page.wait_for_url("**q=harbour_watch**")
    press("j")
    press("j")
    press("k")
    here = page.evaluate("document.activeElement.closest('tr').dataset.id")
    assert here == page.locator("#rows tr").first.get_attribute("data-id")
    press("x")
    assert page.locator("#bulk").is_visible()
    press("x")
    press("c")
    page.locator(f'tr[data-id="{here}"] .badge.mine').wait_for()
    press("Enter")
    page.wait_for_selector("[data-drawn=yes]")
    press("n")
    press("ArrowRight")
    assert "driven by a language model" in page.locator("#network [role=status]").inner_text()
    press("m")
    page.keyboard.type("kettle")
    assert page.locator(".members tbody tr:visible").count() == 1
    press("Tab")
    press("Tab")
    press("Escape")
    page.locator(".members input:visible").focus()
    press("Space")
    assert page.locator("#chosen").inner_text() == "1 chosen member"
    press("5")
    page.locator("#decide-stay").focus()
    press("Enter")
    page.get_by_text("Decided, and told to the system.").wait_for()
    assert "Needs more" in page.locator(".members tr", has_text="nadia_kettle").inner_text()
    press("u")
    page.wait_for_url("**/queue**")


def test_it_works_without_scripts(served: Served, visit: Visits) -> None:
    served.put(*scenes.tunnel("plain"))
    page = visit("lead", java_script_enabled=False).page
    page.goto("/queue?q=harbour_watch_77")
    page.locator('tr[data-id="plain"] .open').click()
    assert "nearly the same texts" in page.locator(".together").inner_text()
    page.get_by_text("strongest ties as a table").click()
    assert page.locator("details[open] tbody tr").count() > 10
    page.get_by_role("button", name="Claim").click()
    page.locator(".members input[name=account]").first.check()
    page.locator("input[name=scope][value=accounts]").check()
    page.get_by_text("Not a campaign").first.click()
    page.get_by_role("button", name="Decide", exact=True).click()
    assert "Not a campaign" in page.locator(".members tbody tr").first.inner_text()
    assert page.locator(".current-decision").count() == 0


def test_the_network_answers_to_the_mouse(served: Served, visit: Visits) -> None:
    served.put(*scenes.tunnel("mouse"))
    page = visit("viewer").page
    drawn(page, "/alerts/mouse")
    dot = page.locator("#network circle").first
    dot.scroll_into_view_if_needed()
    dot.hover(force=True)
    tip = page.locator("#network .told")
    assert "harbour_watch_77" in tip.inner_text()
    assert "tied to" in tip.inner_text()
    before = dot.bounding_box()
    assert before is not None
    page.mouse.down()
    page.mouse.move(before["x"] + 60, before["y"] + 40)
    page.mouse.up()
    after = dot.bounding_box()
    assert after is not None
    assert after["x"] - before["x"] > 30
    page.get_by_role("button", name="Zoom in").click()
    assert dot.bounding_box() != after
    page.get_by_role("button", name="Show all").click()
    line = page.locator("#timeline svg")
    line.hover()
    assert "of 12 accounts" in page.locator("#timeline .tip").inner_text()


def test_what_strangers_write_is_only_text(served: Served, visit: Visits) -> None:
    served.put(*scenes.strangers())
    page = visit("admin", viewport={"width": 390, "height": 844}).page
    paths = ["/queue", "/alerts/untrusted", "/alerts/arabic", "/account?name=" + scenes.UNTRUSTED[0]]
    for path in paths:
        drawn(page, path) if path.startswith("/alerts/") else page.goto(path)
        assert "owned" not in page.title() or "<script>" in page.title(), path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert page.locator("main script, main img, main iframe, main a[href^=javascript]").count() == 0
    drawn(page, "/alerts/untrusted")
    page.locator("#network").focus()
    page.keyboard.press("ArrowRight")
    assert "<script>document.title='owned'</script>" in page.locator("#network .told").inner_text()
    assert "49" not in page.locator(".posts .text").first.inner_text()


def test_no_page_has_a_barrier(served: Served, visit: Visits) -> None:
    served.put(*scenes.everything())
    found: list[str] = []
    for look, width in (("light", 1280), ("dark", 390)):
        page = visit("admin", color_scheme=look, viewport={"width": width, "height": 900}).page
        drawn(page, "/alerts/tunnel")
        found += violations(page)
        page.goto("/queue")
        page.locator(".choose").first.check()
        found += violations(page)
    page = visit("admin", problems_expected=True).page  # Of these, one is not there.
    for path in (
        "/alerts/club",
        "/decisions",
        "/account?name=dellow_bakes",
        "/missed",
        "/people",
        "/me",
        "/audit",
        "/nowhere",
    ):
        page.goto(path)
        found += violations(page)
    assert "404" in page.locator(".code").inner_text()
    page.context.clear_cookies()
    page.goto("/login")
    found += violations(page)
    assert found == []


def test_the_looks_are_kept_in_this_browser(served: Served, visit: Visits) -> None:
    page = visit("viewer", color_scheme="light").page
    page.goto("/queue")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("#looks").click()
    page.locator("#looks").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert light != dark
    page.goto("/decisions")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark


PLACES = """() => {
  const svg = document.querySelector('#network svg').getBoundingClientRect();
  const dots = [...document.querySelectorAll('#network circle')].map((dot) => dot.getBoundingClientRect());
  const names = [...document.querySelectorAll('#network text')].filter((text) => !text.hasAttribute('hidden'))
    .map((text) => text.getBoundingClientRect());
  const over = (a, b) => a.left < b.right - 1 && a.right > b.left + 1 && a.top < b.bottom - 1 && a.bottom > b.top + 1;
  const others = [...document.querySelectorAll('#network .zoom, #network .told')]
    .map((box) => box.getBoundingClientRect());
  return {
    names: names.length,
    covered: dots.filter((dot) => others.some((box) => over(dot, box))).length,
    crossed: names.filter((name, n) => names.some((other, m) => m > n && over(name, other))).length,
    wide: Math.max(...dots.map((dot) => dot.right)) - Math.min(...dots.map((dot) => dot.left)),
    tied: dots.slice(0, 12).map((dot) => [dot.left + dot.width / 2, dot.top + dot.height / 2]),
    frame: [svg.width, svg.height],
  };
}"""


@pytest.mark.parametrize("width", [1366, 390])
def test_names_are_shown_without_pointing_and_nothing_covers_an_account(
    served: Served, visit: Visits, width: int
) -> None:
    served.put(*scenes.strays(f"strays{width}"))
    page = visit("viewer", viewport={"width": width, "height": 780}).page
    drawn(page, f"/alerts/strays{width}")
    page.locator("#network circle").first.scroll_into_view_if_needed()
    page.locator("#network circle").first.hover(force=True)
    found = page.evaluate(PLACES)
    assert found["names"] >= (12 if width > 1000 else 4)
    assert (found["covered"], found["crossed"]) == (0, 0)
    # The twelve that are tied have room of their own, however many strays there are.
    across = max(x for x, _ in found["tied"]) - min(x for x, _ in found["tied"])
    assert across > 0.3 * found["frame"][0]


def test_each_kind_of_tie_has_a_line_of_its_own_and_none_a_dots_colour(served: Served, visit: Visits) -> None:
    served.put(*scenes.every_tie("everytie"))
    for look in ("light", "dark"):
        page = visit("viewer", color_scheme=look).page
        drawn(page, "/alerts/everytie")
        lines = page.evaluate(
            "[...document.querySelectorAll('#network line')].map((line) => getComputedStyle(line))"
            ".map((style) => `${style.stroke} ${style.strokeDasharray}`)"
        )
        dots = page.evaluate(
            "[...document.querySelectorAll('#network circle')].map((dot) => getComputedStyle(dot).fill)"
        )
        assert len(set(lines)) == len(scenes.EVERY_KIND) == 10
        assert not {line.partition(")")[0] for line in lines} & {dot.partition(")")[0] for dot in dots}


@pytest.mark.slow
def test_a_thousand_accounts_are_drawn_the_same_twice(served: Served, visit: Visits) -> None:
    served.put(*scenes.crowd())
    page = visit("moderator").page
    drawn(page, "/alerts/crowd")
    assert page.locator("#network circle").count() == 1000
    assert page.locator(".members tbody tr").count() == 1000
    places = "[...document.querySelectorAll('#network circle')].map((dot) => dot.getAttribute('cx')).join()"
    before = page.evaluate(places)
    drawn(page, "/alerts/crowd")
    assert page.evaluate(places) == before
    page.locator('#edge-kinds input[value="repost"]').uncheck()
    shown = "[...document.querySelectorAll('#network line')].filter((line) => line.style.display !== 'none').length"
    assert 0 < page.evaluate(shown) < page.locator("#network line").count()
