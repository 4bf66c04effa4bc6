"""Words that several accounts wrote are marked, and posts that share them stand together."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from moderation.web.similarity import segments, similar_groups
from tests.moderation.browser import scenes

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


def test_one_account_that_repeats_itself_is_not_marked() -> None:
    assert not any(part.shared for parts in segments([("ada", "a b c d"), ("ada", "a b c d")]) for part in parts)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.text(max_size=60)), max_size=5))
def test_the_segments_of_a_text_are_the_text(posts: list[tuple[str, str]]) -> None:
    assert ["".join(part.text for part in parts) for parts in segments(posts)] == [text for _, text in posts]


def test_posts_that_share_wording_stand_together() -> None:
    posts = list(zip(scenes.TUNNEL, scenes.TEXTS, strict=False))
    assert similar_groups(posts) == [[0, 1, 2], [3, 4], [5, 6]]
    assert similar_groups([("a", "the same few words"), ("a", "the same few words")]) == []
