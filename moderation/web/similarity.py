"""Similar wording among the posts of an alert, for the page that marks it.

Two posts of different accounts are similar where they share a run of `RUN` words, compared without case and
punctuation. Single common words prove nothing; a run survives a changed name or link around it. Links, mentions and
hashtags are no wording: sharing those is another tie, and is counted as such. Pure functions.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

RUN: Final = 3
"""Words: two are common phrases, four are broken by one changed word."""

_word: Final = re.compile(r"\w+(?:['’]\w+)*")

URL: Final = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)

_NO_WORDING: Final = re.compile(rf"{URL.pattern}|[@#]\w[\w.-]*", re.IGNORECASE)

_GAP: Final = "\0"
"""Stands for each character that is no wording, so that places in the text stay what they are."""


class Segment(NamedTuple):
    """A stretch of a text, and whether other accounts wrote it too."""

    text: str
    shared: bool


def segments(posts: Sequence[tuple[str, str]]) -> list[list[Segment]]:
    """For each post (account, text), its text cut into stretches that posts of other accounts share and stretches of
    its own.

    The segments of a post put together are its text.
    """
    texts = [_wording(text) for _, text in posts]
    words = [_words(text) for text in texts]
    who: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for (account, _), text, found in zip(posts, texts, words, strict=True):
        for place in _places(text, found):
            who[_run(found, place)].add(account)
    out = []
    for (_, whole), text, found in zip(posts, texts, words, strict=True):
        marked = [False] * len(found)
        for place in _places(text, found):
            if len(who[_run(found, place)]) > 1:
                marked[place : place + RUN] = [True] * RUN
        out.append(_cut(whole, found, marked))
    return out


def similar_groups(posts: Sequence[tuple[str, str]]) -> list[list[int]]:
    """Groups of similar posts: indices into `posts`, the largest group first.

    Posts are in one group where a chain of posts, each similar to the next, connects them. A group has posts of at
    least two accounts; posts without a similar one are in none.
    """
    parent = list(range(len(posts)))

    def root(place: int) -> int:
        while parent[place] != place:
            place = parent[place]
        return place

    first: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, (_, whole) in enumerate(posts):
        text = _wording(whole)
        found = _words(text)
        for run in {_run(found, start) for start in _places(text, found)}:
            first[run].append(place)
    for places in first.values():
        if len({posts[place][0] for place in places}) > 1:
            for place in places[1:]:
                parent[root(place)] = root(places[0])
    together: dict[int, list[int]] = defaultdict(list)
    for place in range(len(posts)):
        together[root(place)].append(place)
    return sorted((each for each in together.values() if len(each) > 1), key=lambda each: (-len(each), each))


def _wording(text: str) -> str:
    """The text with a gap for every character that is no wording."""
    return _NO_WORDING.sub(lambda match: _GAP * len(match.group()), text.replace(_GAP, " "))


def _words(text: str) -> list[tuple[str, int, int]]:
    return [(found.group().casefold(), found.start(), found.end()) for found in _word.finditer(text)]


def _places(text: str, found: list[tuple[str, int, int]]) -> list[int]:
    """Where runs begin: such as no gap interrupts."""
    return [
        place for place in range(len(found) - RUN + 1) if _GAP not in text[found[place][1] : found[place + RUN - 1][2]]
    ]


def _run(found: list[tuple[str, int, int]], place: int) -> tuple[str, ...]:
    return tuple(word for word, _, _ in found[place : place + RUN])


def _cut(text: str, found: list[tuple[str, int, int]], marked: list[bool]) -> list[Segment]:
    out: list[Segment] = []
    end = 0
    place = 0
    while place < len(found):
        last = place
        while (
            last + 1 < len(found)
            and marked[last + 1] == marked[place]
            and not (marked[place] and URL.search(text[found[last][1] : found[last + 1][2]]))
        ):
            last += 1
        if marked[place]:
            start, stop = found[place][1], found[last][2]
            if start > end:
                out.append(Segment(text[end:start], False))
            out.append(Segment(text[start:stop], True))
            end = stop
        place = last + 1
    if end < len(text):
        out.append(Segment(text[end:], False))
    return out
