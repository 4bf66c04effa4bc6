"""What people read: shared words marked, the invisible shown, numbers in plain words."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from moderation import words
from moderation.cases import DIGEST_CHARACTERS, segments, share, summarise
from moderation.records import read_alert
from moderation.security import short, visible
from moderation.web.evidence import FULL_BAR_NATS, bar
from tests.moderation.builders import alert, line

POSTS = [
    ("ada", "The tunnel is a waste, says everybody!"),
    ("bob", "Everybody: THE TUNNEL IS A WASTE of money."),
    ("cyd", "Beans are up."),
    ("ada", "Beans are nice."),
]


def test_words_that_another_account_wrote_too_are_marked() -> None:
    cut = segments(POSTS)
    marked = [[part.text for part in parts if part.shared] for parts in cut]
    assert marked == [["The tunnel is a waste"], ["THE TUNNEL IS A WASTE"], [], []]
    assert share(cut[0]) > 0.5
    assert share(cut[2]) == 0


def test_one_account_that_repeats_itself_is_not_marked() -> None:
    assert not any(part.shared for parts in segments([("ada", "a b c d"), ("ada", "a b c d")]) for part in parts)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.text(max_size=60)), max_size=5))
def test_the_segments_of_a_text_are_the_text(posts: list[tuple[str, str]]) -> None:
    for (_, text), parts in zip(posts, segments(posts), strict=True):
        assert "".join(part.text for part in parts) == text


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=60))
def test_what_is_shown_has_nothing_that_turns_or_hides(text: str) -> None:
    shown = visible(text)
    assert visible(shown) == shown
    shown.encode()
    assert not set(shown) & {chr(code) for code in (0, 0x1B, 0x85, 0x200B, 0x202E, 0x2066, 0xFEFF)}


def test_honest_scripts_and_emoji_stay_as_they_are() -> None:
    for text in ("שלום עולם", "مرحبا", "नमस्ते क्ष", "Việt Nam ế", "👩‍👩‍👧 ❤️", "tab\tand\nline"):
        assert visible(text) == text
    assert visible("Z" + "\u0301" * 50) == "Z" + "\u0301" * 4
    assert short("  a\n b " + "c" * 50, 10) == "a b ccccc…"


def test_evidence_reads_as_odds() -> None:
    assert "20 times likelier for a machine" in words.evidence_words(3.0)
    assert "likelier for a person" in words.evidence_words(-1.0)
    assert [bar("text", "", "", nats, "").width for nats in (0.0, FULL_BAR_NATS / 2, -99.0)] == [0, 50, 100]
    assert [bar("text", "", "", nats, "").toward for nats in (0.05, 1.0, -1.0)] == ["neither", "machine", "person"]


def test_times_and_numbers_are_in_words() -> None:
    assert words.who(["a", "b", "c", "d"], 12) == "a, b, c and 9 others"
    assert words.who(["a", "b"], 2) == "a and b"
    assert words.who(["a"], 2) == "a and 1 other"
    assert words.who([], 0) == "nobody who may be named"
    assert [words.ago(0, ms) for ms in (5_000, 60_000, 7_200_000, 86_400_000 * 3)] == [
        "just now", "1 min ago", "2 h ago", "3 days ago"
    ]  # fmt: skip
    assert [words.span(0, ms) for ms in (0, 3_600_000, 7_200_000, 86_400_000 * 3)] == [
        "1 minute", "60 minutes", "2 hours", "3 days"
    ]  # fmt: skip
    assert words.labelled(["What: it is.", "no label here", "http://x: y"]) == [
        ("What", "it is."), ("", "no label here"), ("", "http://x: y")
    ]  # fmt: skip


def test_campaigns_come_before_accounts_and_large_before_small() -> None:
    def urgency(**more: object) -> float:
        return summarise(read_alert(line(alert(**more)))).urgency  # type: ignore[arg-type]

    order = [
        urgency(accounts=[f"u{n}" for n in range(50)]), urgency(), urgency(kind="account", accounts=["ada"]),
        urgency(kind="coordination", accounts=[f"u{n}" for n in range(1000)]),
    ]  # fmt: skip
    assert order == sorted(order, reverse=True)


def test_the_digest_of_the_largest_alert_is_bounded() -> None:
    record = alert(accounts=["x" * 500 + str(n) for n in range(1000)], texts=["y" * 500] * 20)
    assert len(summarise(read_alert(line(record))).digest) <= DIGEST_CHARACTERS


def test_a_name_with_a_comma_is_one_name() -> None:
    record = read_alert(line(alert(accounts=["Smith, Jane", "bob"])))
    assert len(summarise(record).title.split(", ")) == 2
