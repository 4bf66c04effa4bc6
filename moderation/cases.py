"""One alert with everything that is known of it, for the pages and the programs that show it.

What an alert's list entry is made of: how urgent it is, whom it names, what the search finds it by. Pure.

Which words of a post stand in another account's post too, so that a page can mark near-identical texts. Pure.

Words are compared in runs of three, without case and punctuation: single common words prove nothing, and a run survives
a changed name or link around it.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, select

from detector.errors import FeedError
from moderation.db import Alert, Member, Page, User
from moderation.records import AlertRecord, PageRecord, milliseconds, read_alert, read_page, storable
from moderation.roles import Actor


@dataclass(frozen=True)
class Whole:
    """An alert's row (with `holder`, the name of who claimed it), its record, and its details.

    `details` are the pages of one revision, complete or not (`complete`), and may lag behind the alert's.
    """

    row: Any
    record: AlertRecord
    details: list[PageRecord]
    complete: bool


def load(connection: Connection, actor: Actor, alert_id: str, *, details: bool = True) -> Whole:
    """The alert.

    Raises:
        FeedError: `forbidden`, `not_found`.
    """
    actor.require("read")
    row = connection.execute(
        select(Alert.__table__, User.name.label("holder"))
        .join(User, User.id == Alert.claimed_by, isouter=True)
        .where(Alert.id == alert_id)
    ).one_or_none()
    if row is None:
        raise FeedError("not_found", "there is no such alert")
    pages = _pages(connection, alert_id) if details else []
    return Whole(row, read_alert(row.body), pages, bool(pages) and len(pages) == pages[0].pages)


def ancestors(connection: Connection, alert_id: str) -> list[str]:
    """Ids of alerts that were merged into this one, directly or not, itself first."""
    found = [alert_id]
    frontier = [alert_id]
    while frontier and len(found) < 1000:
        merged = connection.scalars(select(Alert.id).where(Alert.merged_into.in_(frontier)).order_by(Alert.id))
        frontier = [each for each in merged if each not in found]
        found += frontier
    return found


def of_account(connection: Connection, actor: Actor, account: str) -> list[Any]:
    """Rows of the alerts that name an account, open ones first, the newest first among equals."""
    actor.require("read")
    asked = (
        select(Alert.__table__, Member.place, Member.total, User.name.label("holder"))
        .join(Member, Member.alert_id == Alert.id)
        .join(User, User.id == Alert.claimed_by, isouter=True)
        .where(Member.account == account)
        .order_by((Alert.status != "open"), Alert.at.desc(), Alert.id)
        .limit(100)
    )
    return list(connection.execute(asked))


def _pages(connection: Connection, alert_id: str) -> list[PageRecord]:
    rows = connection.execute(
        select(Page).where(Page.alert_id == alert_id).order_by(Page.revision.desc(), Page.page)
    ).all()
    newest = rows[0].revision if rows else 0
    return [read_page(row.body) for row in rows if row.revision == newest and row.page <= rows[0].pages]


KIND_URGENCY: Final = {"campaign": 100.0, "account": 50.0, "coordination": 0.0}
"""Kinds never mix in the order: what acts together and is machine-driven comes first, what is for information last."""

MOST_NATS: Final = 20.0
"""Evidence beyond odds of 10^8 makes nothing more urgent."""

TITLE_NAMES: Final = 3

DIGEST_CHARACTERS: Final = 1500
"""What the search reads of one alert: enough for names, shared objects and the first words of the posts, and short
enough that reading 100,000 of them takes a fraction of a second."""

DIGEST_NAMES: Final = 30
DIGEST_POST: Final = 120
DIGEST_OBJECTS: Final = 20


class Summary(NamedTuple):
    """The list entry of an alert."""

    urgency: float
    title: str
    digest: str
    first_post_at: int
    last_post_at: int


def summarise(record: AlertRecord) -> Summary:
    """The list entry of one revision.

    Urgency is the kind's own level, plus the mean member's evidence in nats (0 to 20), plus three times the natural
    logarithm of the number of members: tripling a group counts about as much as evidence 27 times as strong.
    """
    at = milliseconds(record.at) or 0
    nats = record.evidence.get("total", 0.0)
    evidence = min(max(float(nats), 0.0), MOST_NATS) if isinstance(nats, int | float) else 0.0
    size = max(len(record.members), 1)
    names = [storable(member.account, 80) for member in record.members]
    shared = Counter(storable(name, 120) for edge in record.edges for name in edge.objects)
    digest = [
        record.id,
        *(name.lower() for name in names[:DIGEST_NAMES]),
        *(name.lower() for name, _ in shared.most_common(DIGEST_OBJECTS)),
        *(storable(post.text, DIGEST_POST).lower() for post in record.posts),
    ]
    return Summary(
        urgency=round(KIND_URGENCY[record.kind] + evidence + 3 * math.log(size), 6),
        # A name may hold a comma: with another space behind it, it still reads as one.
        title=", ".join(name.replace(", ", ",\u00a0") for name in names[:TITLE_NAMES]),
        digest="\n".join(digest)[:DIGEST_CHARACTERS],
        first_post_at=milliseconds(record.first_post_at) or at,
        last_post_at=milliseconds(record.last_post_at) or at,
    )


RUN: Final = 3

_word: Final = re.compile(r"\w+(?:['’]\w+)*")


class Segment(NamedTuple):
    """A stretch of a text, and whether other accounts wrote it too."""

    text: str
    shared: bool


def segments(posts: Sequence[tuple[str, str]]) -> list[list[Segment]]:
    """For each (account, text), the text cut into stretches that others share and stretches that are its own."""
    words = [[(found.group().casefold(), found.start(), found.end()) for found in _word.finditer(text)]
             for _, text in posts]  # fmt: skip
    who: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for (account, _), found in zip(posts, words, strict=True):
        for place in range(len(found) - RUN + 1):
            who[_run(found, place)].add(account)
    out = []
    for (_, text), found in zip(posts, words, strict=True):
        marked = [False] * len(found)
        for place in range(len(found) - RUN + 1):
            if len(who[_run(found, place)]) > 1:
                marked[place : place + RUN] = [True] * RUN
        out.append(_cut(text, found, marked))
    return out


def groups(posts: Sequence[tuple[str, str]]) -> list[list[int]]:
    """Places of posts of different accounts that share a run of words, at first or second hand; the largest first."""
    parent = list(range(len(posts)))

    def root(place: int) -> int:
        while parent[place] != place:
            place = parent[place]
        return place

    first: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, (_, text) in enumerate(posts):
        found = [(match.group().casefold(), 0, 0) for match in _word.finditer(text)]
        for run in {_run(found, start) for start in range(len(found) - RUN + 1)}:
            first[run].append(place)
    for places in first.values():
        if len({posts[place][0] for place in places}) > 1:
            for place in places[1:]:
                parent[root(place)] = root(places[0])
    together: dict[int, list[int]] = defaultdict(list)
    for place in range(len(posts)):
        together[root(place)].append(place)
    return sorted((each for each in together.values() if len(each) > 1), key=lambda each: (-len(each), each))


def share(parts: Sequence[Segment]) -> float:
    """Share of the letters that others wrote too, 0 to 1."""
    total = sum(len(part.text) for part in parts)
    return sum(len(part.text) for part in parts if part.shared) / total if total else 0.0


def _run(found: list[tuple[str, int, int]], place: int) -> tuple[str, ...]:
    return tuple(word for word, _, _ in found[place : place + RUN])


def _cut(text: str, found: list[tuple[str, int, int]], marked: list[bool]) -> list[Segment]:
    out: list[Segment] = []
    end = 0
    place = 0
    while place < len(found):
        last = place
        while last + 1 < len(found) and marked[last + 1] == marked[place]:
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
