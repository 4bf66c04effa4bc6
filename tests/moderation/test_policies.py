"""The policy that an alert is proposed under, and its language: from its own texts, for queues to be made of."""

from __future__ import annotations

from pathlib import Path

from moderation import alert_lists, ingest
from moderation.alert_lists import Filters
from moderation.console_config import ConsoleConfig, ModerationPolicy
from moderation.languages import main_language
from moderation.odds import WATCH_BELOW_POSTS
from moderation.policies import propose
from tests.moderation.builders import alert
from tests.moderation.conftest import Feed
from tests.moderation.test_console_config import configure
from tests.moderation.test_team_queues import add, of_queue

PORTUGUESE = ("Não sabemos por que isso não foi dito antes, mas está tudo muito claro para quem quiser ver.",) * 2


def test_the_first_policy_whose_words_are_there_is_proposed() -> None:
    config = ConsoleConfig(
        policy=[
            ModerationPolicy("none", "Never proposed: it has neither words nor kinds"),
            ModerationPolicy("single", "Accounts alone", kinds=["account"]),
            ModerationPolicy("sums", "Sums of money", words=["2,300 a year", "a waste of MONEY"]),
            ModerationPolicy("garden", "Gardens", words=["allotment"]),
        ]
    )
    assert propose(config, alert()) == "sums"
    assert propose(config, alert(texts=["the allotments", "an ALLOTMENT."])) == "garden"
    assert propose(config, alert(texts=["a waste of time and money"])) == ""
    assert propose(config, alert(kind="account", accounts=("x",))) == "single"
    assert propose(ConsoleConfig(), alert()) == ""


def test_the_language_is_that_of_most_texts_or_none() -> None:
    english = "The harbour tunnel is a waste of money and everybody on the council knows it."
    assert main_language([*PORTUGUESE, english]) == "pt"
    assert main_language([PORTUGUESE[0], english]) == ""
    assert main_language(["", "12345 !!", "ok"]) == ""


def test_queues_are_made_of_language_and_policy_and_made_anew_with_the_policies(feed: Feed, tmp_path: Path) -> None:
    feed.put(alert("en"), alert("pt", texts=PORTUGUESE))
    portuguese, proposed = add(feed, "1 pt", "language=pt"), add(feed, "2 policy", "policy=inauthentic.1")
    assert (of_queue(feed, portuguese), of_queue(feed, proposed)) == (["pt"], [])
    configure(feed, tmp_path)
    assert ingest.refresh_summaries(feed.database, WATCH_BELOW_POSTS) == 2
    assert ingest.refresh_summaries(feed.database, WATCH_BELOW_POSTS) == 0
    assert (of_queue(feed, portuguese), of_queue(feed, proposed)) == (["pt"], ["en"])
    rows = feed.see(alert_lists.list_alerts, feed.actors["viewer"], Filters(), feed.clock()).rows
    queues = feed.see(alert_lists.list_queues)
    assert {row.id: getattr(alert_lists.queue_of(row, queues), "id", None) for row in rows} == {
        "en": proposed, "pt": portuguese
    }  # fmt: skip
