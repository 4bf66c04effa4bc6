"""What an alert's list entry is made of: how urgent it is, whom it names, what the search finds it by. Pure."""

from __future__ import annotations

import math
from collections import Counter
from typing import Final, NamedTuple

from moderation.records import AlertRecord, milliseconds, storable

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
