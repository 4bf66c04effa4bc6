"""Sentences a moderator can act on: one fact each, the right way round, nothing claimed that was not used."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

import pytest

from detector import reasons as module
from detector.account.plain_features import PlainFeature
from detector.reason_sentences import direction, explain, factor, limit_sentences, shared_words
from detector.reasons import (
    FALSE_FLAGS,
    MOST_REFERENCES,
    RATE_BOUNDS,
    TEXT,
    AccountCase,
    GroupCase,
    Limitation,
    Reason,
    SharedKind,
    account_limitations,
    account_reasons,
    group_limitations,
    group_reasons,
    is_shared,
    shared_code,
)
from detector.thresholds import Thresholds

PEOPLE = Thresholds.of({"people": [float(i) for i in range(199)]}, 20, frozenset({"en"}), "1")

WORDS = {"link": ("the same link", "the same links"), "repost": ("a repost of the same post", "reposts")}


def why(reasons: Iterable[Reason]) -> list[str]:
    """The sentences of an alert on posts of two days."""
    return [str(each) for each in explain(reasons, 1_710_547_208_000, 1_710_633_608_000, WORDS)]


CASE = AccountCase(
    text=3.0,
    behaviour=-0.5,
    coordination=0.0,
    graph=0.0,
    posts=12,
    target_fpr=0.01,
    thresholds=PEOPLE,
    text_high=0.75,
    quoted=["p1", "p2"],
    abstained={"graph": "no graph model", "coordination": "in no group"},
)

GROUP = GroupCase(
    members=16,
    flagged=12,
    machine_nats=9.0,
    decoy_q=0.01,
    target_fdr=0.05,
    shared={"link": SharedKind(9, 0.4, ["https://a.b/c"]), "repost": SharedKind(1, 0.9)},
    is_campaign=True,
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
    told = why(account_reasons(CASE))
    text = " ".join(told)
    assert "16 March 2024" in told[1]
    assert "12 texts" in told[1]
    assert "75% of its texts" in text
    assert "likelier for a person" in text
    assert "about 10 would ever be flagged" in text
    assert "Contacts" not in text
    assert len(text.split()) < 130


def test_reasons_carry_the_numbers_that_their_sentences_say() -> None:
    by_code = {reason.code: reason for reason in account_reasons(CASE)}
    assert by_code[TEXT] == Reason(TEXT, "text", 3.0, observed=0.75, posts=["p1", "p2"])
    assert by_code[FALSE_FLAGS].expected == 0.01
    assert by_code[module.ACTIVE_ACCOUNT].observed == 12
    assert by_code[module.MACHINE_ACCOUNT].nats == 2.5
    assert {reason.component for reason in by_code.values()} == {None, "text", "behaviour"}


def test_the_weightiest_reason_comes_first() -> None:
    swapped = account_reasons(replace(CASE, text=0.5, behaviour=1.9))
    assert [reason.component for reason in swapped[2:4]] == ["behaviour", "text"]
    assert [line.split(":")[0] for line in why(swapped)[2:4]] == ["Habits", "Text"]


def test_two_plain_features_stand_beside_the_texts_and_say_which_way_they_go() -> None:
    style = [
        PlainFeature("commas", 0.3, 0.5, 0.2),
        PlainFeature("chat_words", 1.0, 0.0, 0.1),
        PlainFeature("evenness", 0.6, 0.01, 0.1),
        PlainFeature("digits", -2.0, 0.5, 0.1),
    ]
    found = account_reasons(replace(CASE, style=style))
    codes = [each.code for each in found]
    place = codes.index("text.posts_read_machine")
    assert codes[place : place + 3] == ["text.posts_read_machine", "text.style_chat_words", "text.style_evenness"]
    assert "text.style_commas" not in codes
    told = why(found)
    assert told[place + 1] == (
        "Style: fewer of the short forms of chats than is usual; without that, the evidence of its texts would be 2.7 "
        "times smaller."
    )
    assert told[place + 2].startswith("Style: posts that are more alike in style than is usual")


def test_weak_plain_features_and_those_that_speak_for_a_person_are_not_named() -> None:
    style = [PlainFeature("commas", 0.24, 0.5, 0.2), PlainFeature("digits", -2.0, 0.5, 0.1)]
    assert account_reasons(replace(CASE, style=style)) == account_reasons(CASE)


def test_what_was_not_used_is_said() -> None:
    limitations = account_limitations(replace(CASE, posts=3, automated=1))
    assert Limitation(module.NOT_USED, "graph", "no graph model") in limitations
    limits = limit_sentences(limitations)
    assert "Not used: graph (no graph model)." in limits
    assert any("Only 3 texts" in line for line in limits)
    assert any("calls itself automated" in line for line in limits)


def test_how_far_the_stated_rate_holds_is_said() -> None:
    (bounds,) = [each for each in account_limitations(CASE) if each.code == RATE_BOUNDS]
    assert bounds.count == 20
    assert bounds.low is not None
    assert bounds.high is not None
    assert bounds.low < 0.01 < bounds.high
    (sentence,) = limit_sentences([bounds])
    assert "first 20 texts" in sentence
    assert "between 1 and 28 of 1,000" in sentence


def test_a_campaign_names_what_it_shares_most_beyond_chance_first() -> None:
    reasons = group_reasons(GROUP)
    told = why(reasons)
    assert told[0].startswith("What: 16 accounts act together and look driven")
    assert told[2] == "Together: pairs of them met 9 times in the same links; about 0.4 would be expected by chance."
    assert any("12 of 16 are flagged" in line for line in told)
    assert any("4 members not flagged" in line for line in limit_sentences(group_limitations(GROUP)))
    link = Reason("coordination.shared_links", "coordination", observed=9, expected=0.4, objects=["https://a.b/c"])
    assert reasons[2] == link


def test_a_group_names_what_members_say_who_is_near_and_how_often_decoys_show_as_much() -> None:
    group = replace(GROUP, points=[(5, ["t1", "t2"]), (3, ["t3"])], near=2)
    reasons = group_reasons(group)
    assert reasons[2] == Reason(module.TALKING_POINTS, "coordination", observed=5, posts=["t1", "t2"])
    told = why(reasons)
    assert told[2] == "Says: 5 members say the same in words of their own."
    (chance,) = [line for line in told if line.startswith("Chance")]
    assert "1.0% of groups as strong as this one are chance, and at most 5%" in chance
    assert any(line.startswith("2 accounts that members copied") for line in limit_sentences(group_limitations(group)))


def test_the_e_value_of_an_older_alert_is_still_said_in_words() -> None:
    reason = Reason(module.BEYOND_CHANCE, "coordination", 7.0, expected=0.05)
    assert why([reason]) == ["Chance: at most 5% of the groups listed are expected to act together by chance."]


def test_a_coordinated_group_is_not_called_a_machine() -> None:
    group = replace(GROUP, is_campaign=False)
    told = why(group_reasons(group))
    assert "nothing shows that a machine drives them" in told[0]
    assert not any("Machine:" in line for line in told)
    assert any("nobody is flagged" in line for line in limit_sentences(group_limitations(group)))


def test_members_left_out_and_decisions_are_among_the_limits() -> None:
    limits = limit_sentences(group_limitations(replace(GROUP, left_out=2, decided_people=True)))
    assert limits[-2:] == [
        "Left out: 2 members that are declared or permitted automation.",
        "A moderator decided that people coordinate here.",
    ]


def test_a_reason_refers_to_few_posts_and_objects() -> None:
    many = [str(number) for number in range(50)]
    reasons = group_reasons(replace(GROUP, quoted=many, shared={"link": SharedKind(60, 1.0, many)}))
    assert max(len(reason.posts) for reason in reasons) == MOST_REFERENCES
    assert max(len(reason.objects) for reason in reasons) == MOST_REFERENCES


def test_a_kind_without_words_is_called_by_its_name() -> None:
    reason = Reason(shared_code("picture"), observed=2, expected=0.0)
    assert reason.code == "coordination.shared_pictures"
    assert is_shared(reason)
    assert shared_words(reason, WORDS) == "pictures"
    assert shared_words(Reason(shared_code("link"), observed=1), WORDS) == "the same link"


def test_a_code_of_a_later_release_is_shown_as_it_is() -> None:
    assert why([Reason("text.later")]) == ["text.later"]
    assert limit_sentences([Limitation("text.later")]) == ["text.later"]


def test_every_code_has_a_sentence() -> None:
    names = [value for name, value in vars(module).items() if isinstance(value, str) and name.isupper()]
    codes = [name for name in names if re.fullmatch(r"[a-z]+\.[a-z_]*[a-z]", name)]
    assert len(codes) > 30
    for code in codes:
        told = why([Reason(code, observed=1)]) + limit_sentences([Limitation(code, count=1)])
        assert any(sentence != code for sentence in told), code
