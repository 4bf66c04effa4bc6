"""A sample of decisions is made twice, the second without the first's, and the two are compared."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from detector.errors import FeedError
from moderation import decision_lists, decisions, privacy, second_looks
from moderation.database_tables import SecondLook
from moderation.decisions import DecisionRequest
from moderation.second_looks import kappa
from tests.moderation.builders import alert
from tests.moderation.conftest import Feed, Site


def decide(feed: Feed, name: str, verdict: decisions.Verdict = "not_a_campaign", who: str = "moderator") -> str:
    return str(feed.do(decisions.decide, who, DecisionRequest(name, verdict, note="clearly so", despite=True)))


def share(feed: Feed, value: float) -> None:
    with feed.database.write() as connection:
        second_looks.set_share(connection, value)


def test_the_second_sees_what_the_first_saw_and_not_what_they_decided(site: Site) -> None:
    share(site.feed, 1.0)
    site.feed.put(alert("c1"))
    number = decide(site.feed, "c1")
    # The system takes the decision up: the alert is withdrawn and names nobody any more.
    site.feed.put(alert("c1", status="withdrawn", revision=2))
    colleague = site.browser("colleague")
    assert f"/second-looks/{number}" in colleague.get("/second-looks").text
    page = colleague.get(f"/second-looks/{number}").text
    assert "harbour tunnel" in page
    assert "ada" in page
    panel = page.partition('id="work"')[2]
    for secret in ("clearly so", "Take back", "decided by", "withdrawn", "/decide"):
        assert secret not in page, secret
    assert panel.count('name="decision"') == 5
    assert " checked" not in panel


def test_the_second_decision_is_compared_and_changes_nothing(site: Site) -> None:
    share(site.feed, 1.0)
    site.feed.put(alert("c1"), alert("c2", accounts=["dan", "eve", "fay"]))
    first, second = decide(site.feed, "c1"), decide(site.feed, "c2", "llm_campaign")
    colleague = site.browser("colleague")
    onward = colleague.post(f"/second-looks/{first}", {"decision": "llm_campaign", "note": "look at page 2"})
    assert onward.headers["location"] == f"/second-looks/{second}?done=second_look"
    colleague.post(f"/second-looks/{second}", {"decision": "llm_campaign"})
    found = site.feed.see(second_looks.agreement)
    assert (found.pairs, found.share) == (2, 0.5)
    with site.feed.database.read() as connection:
        made = decision_lists.history(connection)
    assert sorted(row.verdict for row in made) == ["llm_campaign", "not_a_campaign"]
    page = site.browser("lead").get("/second-looks").text
    assert "50% of 2 decisions" in page
    assert "look at page 2" in page
    assert "look at page 2" not in colleague.get("/second-looks").text


def test_nobody_looks_twice_at_their_own_nor_a_third_time(feed: Feed) -> None:
    share(feed, 1.0)
    feed.put(alert("c1"))
    number = decide(feed, "c1")
    assert feed.see(second_looks.waiting, feed.actors["moderator"], feed.clock()) == []
    with pytest.raises(FeedError, match="yours"):
        feed.do(second_looks.answer, "moderator", number, "llm_campaign", "")
    feed.do(second_looks.answer, "colleague", number, "llm_campaign", "")
    with pytest.raises(FeedError, match="already"):
        feed.do(second_looks.answer, "lead", number, "llm_campaign", "")


@pytest.mark.parametrize(("value", "drawn"), [(0.0, 0), (1.0, 1)])
def test_only_decisions_that_close_an_alert_are_drawn(feed: Feed, value: float, drawn: int) -> None:
    share(feed, value)
    feed.put(alert("c1"))
    feed.do(decisions.decide, "moderator", DecisionRequest("c1", "not_a_campaign", account="ada", despite=True))
    decide(feed, "c1", "needs_more")
    feed.put(alert("c1", revision=2))
    decide(feed, "c1", "llm_campaign", "lead")
    with feed.database.read() as connection:
        assert len(connection.execute(select(SecondLook)).all()) == drawn


def test_what_the_first_saw_is_forgotten_with_the_account_and_once_it_was_used(feed: Feed) -> None:
    share(feed, 1.0)
    feed.put(alert("c1"), alert("c2", accounts=["dan", "eve", "fay"]))
    decide(feed, "c1")
    feed.do(second_looks.answer, "colleague", decide(feed, "c2"), "not_a_campaign", "")
    feed.do(privacy.forget, "admin", "bob")
    with feed.database.read() as connection:
        rows = connection.execute(select(SecondLook)).all()
    assert [(row.alert_id, row.snapshot) for row in rows] == [("c2", "")]


def pairs(*cells: tuple[str, str, int]) -> list[tuple[str, str]]:
    return [(a, b) for a, b, count in cells for _ in range(count)]


def test_kappa_is_that_of_the_textbook() -> None:
    found = kappa(pairs(("yes", "yes", 20), ("yes", "no", 5), ("no", "yes", 10), ("no", "no", 15)))
    assert (found.pairs, found.share, round(found.kappa, 6)) == (50, 0.7, 0.4)
    one = kappa(pairs(("yes", "yes", 7)))
    assert (one.share, math.isnan(one.kappa)) == (1.0, True)
    # 8 of 9 the same, and kappa would be 0, from 0 to 0: where one decides all alike, chance agrees as often.
    constant = kappa(pairs(("yes", "yes", 8), ("yes", "no", 1)))
    assert (constant.same, math.isnan(constant.kappa), math.isnan(constant.high)) == (8, True, True)
    assert kappa([]).pairs == 0


def test_the_interval_of_kappa_is_as_wide_as_samples_differ() -> None:
    cells = [("a", "a", 90), ("a", "b", 20), ("b", "a", 30), ("b", "b", 110), ("c", "a", 10), ("c", "c", 40)]
    weights = np.array([count for *_, count in cells])
    rng = np.random.default_rng(0)
    found: list[Any] = []
    for _ in range(300):
        counts = rng.multinomial(weights.sum(), weights / weights.sum())
        found.append(kappa(pairs(*((a, b, int(n)) for (a, b, _), n in zip(cells, counts, strict=True)))).kappa)
    told = kappa(pairs(*cells))
    assert (told.high - told.low) / (2 * 1.959964) == pytest.approx(float(np.std(found)), rel=0.15)
