"""What the operator configures of the console: refused with the reason, kept in the database, retired and not lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.errors import ConfigError, FeedError
from moderation import console_config, decision_lists, decisions
from moderation.console_config import ConsoleConfig, ModerationPolicy, Required
from moderation.decision_lists import DecisionFilters
from moderation.decisions import DecisionRequest
from tests.moderation.builders import alert
from tests.moderation.conftest import Feed, Site
from tests.moderation.test_web import text_of

SHOWN = """
[[policy]]
code = "inauthentic.1"
text = "Accounts that hide who runs them"
severity = "high"
reason_required = true
decisions = ["llm_campaign", "human_coordination"]
words = ["harbour tunnel"]

[[policy]]
code = "spam.2"
text = "The same message over and over"

[required]
reason_for = ["permitted_automation"]
policy_for = ["llm_campaign"]

[links]
account = "https://social.example/@{account}"
post = "https://social.example/@{account}/{post}"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "console.toml"
    path.write_text(text, encoding="utf-8")
    return path


def configure(feed: Feed, folder: Path, text: str = SHOWN) -> ConsoleConfig:
    """Keep the configuration that a file has."""
    config = console_config.load(written(folder, text))
    with feed.database.write() as connection:
        return console_config.keep(connection, config)


def decide(feed: Feed, verdict: str, **more: str) -> str:
    return str(feed.do(decisions.decide, "moderator", DecisionRequest("c1", verdict, **more)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[policy]]\ncode = 'a b'\ntext = 'x'", "policy"),
        ("[[policy]]\ncode = 'a'\ntext = 'x'\ncolour = 'red'", "colour"),
        ("[[policy]]\ncode = 'a'\ntext = 'x'\n" * 2, "two policies are called a"),
        ("[required]\npolicy_for = ['llm_campaign']", "needs policies to choose from"),
        ("[required]\nreason_for = ['perhaps']", "perhaps"),
        ("[links]\naccount = 'javascript:alert(1)//{account}'", "begins with https://"),
        ("[links]\naccount = 'https://{account}.example/'", "a fixed host"),
        ("[links]\naccount = 'https://social.example/{user}'", "only {account}"),
        ("[[receiver]]\nname = 'a'\nurl = 'ftp://x.example'\nsecret_file = 's'", "begins with https://HOST"),
        ("[[receiver]]\nname = 'a'\nurl = 'http://x.example'\nsecret_file = 's'", "url has to be https"),
        ("[[receiver]]\nname = 'a'\nurl = 'https://me:pw@x.example'\nsecret_file = 's'", "leave them out"),
        ("[[receiver]]\nname = 'a'\nurl = 'https://x.example'", "secret_file has to name a file"),
        ("[[receiver]]\nname='a'\nurl='https://x.example'\nsecret_file='s'\npolicies=['q']", "there is no policy q"),
        ("[[receiver]]\nname='a'\nurl='https://x.example'\nsecret_file='s'\nformat='ozone'", "needs labeler"),
        ("policy = 3", "policy"),
        ("[[policy", "not TOML"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_file_and_the_reason(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=r"console\.toml") as refused:
        console_config.load(written(tmp_path, text))
    assert said in str(refused.value)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"console_file = .* cannot be read"):
        console_config.load(tmp_path / "nothing.toml")


def test_a_decision_names_a_policy_of_the_list_that_goes_with_it(feed: Feed, tmp_path: Path) -> None:
    configure(feed, tmp_path)
    feed.put(alert())
    for verdict, more, said in (
        ("llm_campaign", {}, "needs a policy: choose one of inauthentic.1, spam.2"),
        ("llm_campaign", {"policy": "no.3"}, "there is no policy 'no.3'"),
        ("llm_campaign", {"policy": "inauthentic.1"}, "policy inauthentic.1 needs a reason"),
        ("permitted_automation", {"policy": "inauthentic.1", "reason": "x"}, "does not go with this decision"),
        ("permitted_automation", {}, "this decision needs a reason"),
    ):
        with pytest.raises(FeedError, match=said) as refused:
            decide(feed, verdict, **more)
        assert refused.value.code == "invalid"
    made = decide(feed, "llm_campaign", policy="inauthentic.1", reason="one operator")
    (row,) = feed.see(decision_lists.history, filters=DecisionFilters(policy="inauthentic.1"))
    assert (row.id, row.policy) == (made, "inauthentic.1")
    assert feed.see(decision_lists.history, filters=DecisionFilters(policy="spam.2")) == []


def test_without_policies_any_reference_is_taken(feed: Feed) -> None:
    feed.put(alert())
    decide(feed, "llm_campaign", policy="community guidelines 4.2")
    assert feed.see(decision_lists.history)[0].policy == "community guidelines 4.2"


def test_a_policy_that_is_taken_out_can_not_be_chosen_and_is_still_known(feed: Feed, tmp_path: Path) -> None:
    configure(feed, tmp_path)
    now = configure(feed, tmp_path, "[[policy]]\ncode = 'spam.2'\ntext = 'Anew'")
    assert [each.code for each in now.policies] == ["spam.2"]
    assert now.policy_texts == {"spam.2": "Anew", "inauthentic.1": "Accounts that hide who runs them"}
    with pytest.raises(FeedError, match=r"there is no policy 'inauthentic\.1': choose spam\.2"):
        console_config.check_decision(now, "llm_campaign", "inauthentic.1", "why")
    # Put in again, it can be chosen again, and there is one of it.
    assert sorted(each.code for each in configure(feed, tmp_path).policies) == ["inauthentic.1", "spam.2"]


def test_links_hold_what_strangers_wrote_encoded_and_nothing_where_a_value_is_missing() -> None:
    template = "https://social.example/@{account}/{post}?of={account}"
    made = console_config.link(template, account="a b/../?x=<é>", post="1")
    assert made == "https://social.example/@a%20b%2F..%2F%3Fx%3D%3C%C3%A9%3E/1?of=a%20b%2F..%2F%3Fx%3D%3C%C3%A9%3E"
    assert console_config.link(template, account="a", post="") == ""
    assert console_config.link("", account="a") == ""
    # A value that looks like a place is no place.
    assert console_config.link("https://s.example/{account}", account="{post}") == "https://s.example/%7Bpost%7D"


def test_a_file_without_anything_is_nothing(feed: Feed) -> None:
    assert feed.see(console_config.current) == ConsoleConfig()
    console_config.check_decision(ConsoleConfig(), "llm_campaign", "", "")
    with pytest.raises(FeedError, match="needs a reason"):
        console_config.check_decision(ConsoleConfig(required=Required(["undo", "missed"])), "missed", "", "")
    assert ModerationPolicy("a", "b").severity == "medium"


def test_the_form_has_the_list_with_the_proposed_policy_chosen(site: Site, tmp_path: Path) -> None:
    configure(site.feed, tmp_path)
    site.feed.put(alert(), alert("c2", texts=["Nothing of the kind."]))
    browser = site.browser("moderator")
    page = browser.get("/alerts/c1").text
    assert '<option value="inauthentic.1" selected>inauthentic.1 · Accounts that hide who runs them (high)' in page
    said = text_of(page)
    assert "Required: a policy with LLM campaign; a reason with Permitted automation; a reason with policy" in said
    assert "selected>inauthentic.1" not in browser.get("/alerts/c2").text
    refused = browser.post("/alerts/c1/decide", {"decision": "llm_campaign", "policy": "inauthentic.1"})
    assert (refused.status_code, "inauthentic.1 needs a reason" in refused.text) == (400, True)
    done = {"decision": "llm_campaign", "policy": "inauthentic.1", "reason": "one operator"}
    assert browser.post("/alerts/c1/decide", done).status_code == 303
    assert "policy: inauthentic.1 (Accounts that hide who runs them)" in text_of(browser.get("/alerts/c1").text)
    assert "Accounts that hide" in browser.get("/decisions?policy=inauthentic.1").text
    assert "No decision is like that" in browser.get("/decisions?policy=spam.2").text


def test_a_bulk_decision_is_held_to_the_same(site: Site, tmp_path: Path) -> None:
    configure(site.feed, tmp_path)
    site.feed.put(alert())
    browser = site.browser("moderator")
    form = {"action": "decide", "decision": "llm_campaign", "ids": "c1", "reason": "same text"}
    assert "needs a policy" in browser.post("/bulk/preview", form).text
    assert "needs a policy" not in browser.post("/bulk/preview", form | {"policy": "spam.2"}).text
