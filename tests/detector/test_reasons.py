"""Sentences a moderator can act on: one fact each, the right way round, nothing claimed that was not used."""

from __future__ import annotations

from dataclasses import replace

import pytest

from detector.reasons import (
    AccountCase,
    CampaignCase,
    account_limits,
    account_why,
    campaign_limits,
    campaign_why,
    direction,
    factor,
)
from detector.thresholds import Thresholds

PEOPLE = Thresholds.of({"people": [float(i) for i in range(199)]}, 20, frozenset({"en"}), "1")

CASE = AccountCase(
    text=3.0,
    behaviour=-0.5,
    coordination=0.0,
    graph=0.0,
    posts=12,
    first_ms=1_710_547_208_000,
    last_ms=1_710_633_608_000,
    target_fpr=0.01,
    thresholds=PEOPLE,
    text_high=0.75,
    abstained={"graph": "no graph model", "coordination": "in no tested group"},
)

GROUP = CampaignCase(
    members=16,
    flagged=12,
    machine_nats=9.0,
    log_e=7.0,
    target_fdr=0.05,
    first_ms=1_710_547_208_000,
    last_ms=1_710_633_608_000,
    shared={"link": (9, 0.4), "repost": (1, 0.9)},
    is_campaign=True,
    words={"link": ("the same link", "the same links"), "repost": ("a repost of the same post", "reposts")},
)


@pytest.mark.parametrize(
    ("nats", "words"), [(0.0, "1.0 times"), (2.0, "7.4 times"), (3.0, "20 times"), (5.0, "100 times"), (20.0, "over a")]
)
def test_factors_have_no_more_digits_than_they_deserve(nats: float, words: str) -> None:
    assert factor(nats).startswith(words)


def test_evidence_points_the_right_way() -> None:
    assert direction(2.0).endswith("machine-driven account")
    assert direction(-2.0).endswith("person")
    assert direction(0.01).startswith("about as likely")


def test_an_account_alert_says_what_since_why_and_how_likely_by_chance() -> None:
    why = account_why(CASE)
    text = " ".join(why)
    assert "16 March 2024" in why[1]
    assert "12 texts" in why[1]
    assert "75% of its texts" in text
    assert "likelier for a person" in text
    assert "about 10 (1 to 28) would ever be flagged within 20 texts" in text
    assert "Contacts" not in text
    assert len(" ".join(why).split()) < 130


def test_the_weightiest_reason_comes_first() -> None:
    swapped = account_why(replace(CASE, text=0.5, behaviour=1.9))
    assert [line.split(":")[0] for line in swapped[2:4]] == ["Habits", "Text"]


def test_what_was_not_used_is_said() -> None:
    limits = account_limits(replace(CASE, posts=3, automated=1))
    assert "Not used: graph (no graph model)." in limits
    assert any("Only 3 texts" in line for line in limits)
    assert any("calls itself automated" in line for line in limits)


def test_a_campaign_names_what_it_shares_most_beyond_chance_first() -> None:
    why = campaign_why(GROUP)
    assert why[0].startswith("What: 16 accounts act together and look driven")
    assert why[2] == ("Together: pairs of them met 9 times in the same links; about 0.4 would be expected by chance.")
    assert any("12 of 16 are flagged" in line for line in why)
    assert any("4 members not flagged" in line for line in campaign_limits(GROUP))


def test_a_coordinated_group_is_not_called_a_machine() -> None:
    group = replace(GROUP, is_campaign=False)
    assert "nothing shows that a machine drives them" in campaign_why(group)[0]
    assert not any("Machine:" in line for line in campaign_why(group))
    assert any("nobody is flagged" in line for line in campaign_limits(group))
