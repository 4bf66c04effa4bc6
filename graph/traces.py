"""The kinds of trace, and the trace itself.

`KIND_TABLE` has one row for each kind: the built-in ones, and those that installed packages add through the entry
points `swarmlight.traces` (`graph/trace_kind.py` says how). Arrays and snapshots name a kind by its place in the table.
A trace says that one account used one shared object at a time; every event gives one trace for each of its objects, and
traces of one event share (account, time) and must be added next to each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from detector.errors import ConfigError
from detector.plugins import TRACES, installed, load_entry
from graph.trace_kind import HOUR_MS as HOUR_MS
from graph.trace_kind import (
    TracedEvent,
    TraceKind,
    owner,
    target_of,
)

MINUTE_MS: Final = 60_000
DAY_MS: Final = 24 * HOUR_MS


DERIVED_WINDOW_MS: Final = 14 * DAY_MS
"""Window of kinds that are derived from others: two accounts that copy a third need not do so on the same day."""


def _followed(event: TracedEvent) -> Iterable[str]:
    return (event.target_account,) if event.action == "follow" and event.target_account else ()


BUILT_IN: Final = (
    TraceKind(  # half of a link's clicks and shares come within about three hours; operators spread theirs over days
        "link", "the same link", "the same links", "same link", lambda event: event.urls,
        48 * HOUR_MS, readable=True, look="link",
    ),
    TraceKind(  # everybody meets on large domains within a day
        "domain", "links to the same site", "links to the same sites", "same domain", lambda event: event.domains,
        6 * HOUR_MS, readable=True, look="link",
    ),
    TraceKind(  # a tag lives as long as its topic trends
        "hashtag", "the same hashtag", "the same hashtags", "same hashtag",
        lambda event: dict.fromkeys(event.hashtags) if event.hashtags else (),
        24 * HOUR_MS, readable=True, look="link",
    ),
    TraceKind(  # most reposts of a post come within hours of it; operators work posts off within a day
        "repost", "a repost of the same post", "reposts of the same posts", "repost of the same post",
        target_of("repost"), 24 * HOUR_MS, direct=True, acted_upon=owner("repost"), look="repost", actions=("repost",),
    ),
    TraceKind(  # a thread is alive for hours
        "reply_target", "a reply to the same post", "replies to the same posts", "reply to the same post",
        target_of("reply"), 24 * HOUR_MS, direct=True, acted_upon=owner("reply"), look="talk", actions=("reply",),
    ),
    TraceKind(  # slower than reposts, since somebody has to write
        "quote", "a quote of the same post", "quotes of the same posts", "quote of the same post",
        target_of("quote"), 24 * HOUR_MS, direct=True, acted_upon=owner("quote"), look="talk", actions=("quote",),
    ),
    TraceKind(  # well-known accounts are mentioned all the time
        "mention", "a mention of the same account", "mentions of the same accounts", "mention of the same account",
        lambda event: [name for name in event.mentions if name != event.account] if event.mentions else (),
        6 * HOUR_MS, acted_upon=lambda key: ("mention", key), look="talk",
    ),
    TraceKind(  # the same words by chance are rare at any lag, and people hardly ever share any
        "near_duplicate", "nearly the same text", "nearly the same texts", "near-identical text",
        lambda event: () if event.cluster is None else (event.cluster,),
        48 * HOUR_MS, look="text",
    ),
    TraceKind(  # likes come with the timeline in which the post is shown; they are many and cheap
        "like", "a like of the same post", "likes of the same posts", "like of the same post", target_of("like"),
        24 * HOUR_MS, direct=True, acted_upon=owner("like"), look="talk", actions=("like",),
    ),
    TraceKind(
        "follow", "a follow of the same account", "follows of the same accounts", "follow of the same account",
        _followed, 24 * HOUR_MS, direct=True, acted_upon=lambda key: ("follow", key), look="talk", actions=("follow",),
    ),
    # Derived at a search (`graph.coincidences`): whose words both published again, in whatever order the posts are
    # stamped; who acts upon the other; who publishes in the same ten minutes more often than their hours explain.
    TraceKind(
        "copied", "words copied from the same account", "words copied from the same accounts",
        "copied from the same account", None, DERIVED_WINDOW_MS, look="text",
    ),
    TraceKind(
        "contact", "an answer, repost, like or follow of the other", "answers, reposts, likes or follows of each other",
        "dealings with each other", None, DERIVED_WINDOW_MS, look="talk",
    ),
    TraceKind(
        "minutes", "posts in the same ten minutes", "posts in the same ten minutes", "same minutes", None,
        10 * MINUTE_MS,
    ),
)  # fmt: skip
"""The same-controller model knows these kinds by their names."""

(
    LINK,
    DOMAIN,
    HASHTAG,
    REPOST,
    REPLY_TARGET,
    QUOTE,
    MENTION,
    NEAR_DUPLICATE,
    LIKE,
    FOLLOW,
    COPIED,
    CONTACT,
    MINUTES,
) = range(len(BUILT_IN))
"""Their places, by name."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")


def kind_table(further: Iterable[TraceKind]) -> tuple[TraceKind, ...]:
    """The built-in kinds and further ones, these by name.

    Raises:
        ConfigError: a name is taken or is none, or a window is not positive.
    """
    table = [*BUILT_IN]
    taken = {kind.name for kind in BUILT_IN}
    for kind in sorted(further, key=lambda kind: kind.name):
        if not _NAME.fullmatch(kind.name):
            raise ConfigError(f"the kind of trace {kind.name!r}: name it in lower-case letters, digits and underscores")
        if kind.name in taken:
            raise ConfigError(f"two packages add a kind of trace {kind.name!r}: uninstall one, or rename its kind")
        if kind.take is None or kind.window_ms <= 0:
            raise ConfigError(f"the kind of trace {kind.name!r}: it needs `take`, and a `window_ms` above 0")
        taken.add(kind.name)
        table.append(kind)
    return tuple(table)


def _installed() -> list[TraceKind]:
    """The kinds that installed packages add."""
    found: list[TraceKind] = []
    for name, entry in installed(TRACES).items():
        kind = load_entry(entry)
        if not isinstance(kind, TraceKind):
            raise ConfigError(f"the entry point {name!r} of {TRACES} is no TraceKind: mend or uninstall its package")
        found.append(kind)
    return found


KIND_TABLE: Final = kind_table(_installed())
"""All kinds; a kind's place in it is its number."""

KINDS: Final = len(KIND_TABLE)

KIND_WORDS: Final = {kind.name: (kind.singular, kind.plural) for kind in KIND_TABLE}
"""Name -> words for one shared object and for several."""

KIND_NAMES: Final = tuple(kind.name for kind in KIND_TABLE)

WINDOW_MS: Final = tuple(kind.window_ms for kind in KIND_TABLE)
"""By kind, for arrays and inner loops."""

DIRECT_KINDS: Final = tuple(number for number, kind in enumerate(KIND_TABLE) if kind.direct)

_TAKERS: Final = {
    action: tuple(
        (number, kind.take, kind.direct)
        for number, kind in enumerate(KIND_TABLE)
        if kind.take is not None and (kind.actions is None or action in kind.actions)
    )
    for action in ("post", "reply", "repost", "quote", "like", "follow")
}
"""By what an event does: half of the kinds are of one action alone, and every event is looked at."""


def given_kind(name: str) -> int | None:
    """The number of a kind by its name in any case; None for a name that is no kind, or a derived one."""
    number = KIND_NAMES.index(name.lower()) if name.lower() in KIND_NAMES else None
    return None if number is None or KIND_TABLE[number].take is None else number


GIVEN_NAMES: Final = tuple(kind.name for kind in KIND_TABLE if kind.take is not None)
"""Names of the kinds that an event or a record can have; the others are derived."""


class Trace(NamedTuple):
    """One account used one shared object.

    Args:
        at_ms: event time, ms since 1970 UTC.
        account: the account's row, any non-negative integer that names one account until it is forgotten.
        kind: what the object is. Its place in `KIND_TABLE`.
        key: the object: a normalised link, a hashtag, an event id, one key per near-duplicate cluster (not
            one per MinHash band: a text is one observation).
        other: row of the account acted upon where it is known (whose post was reposted, liked, replied to), else -1.
    """

    at_ms: int
    account: int
    kind: int
    key: str
    other: int = -1


def traces_of(event: TracedEvent, at_ms: int, account: int, other: int = -1) -> list[Trace]:
    """The traces of one event, next to each other as coordination wants them.

    Args:
        event: what can be shared of it.
        at_ms: its time.
        account: row of its account.
        other: row of the account that it acts upon, -1 where that has none or is the account itself.
    """
    return [
        Trace(at_ms, account, number, key, other if direct else -1)
        for number, take, direct in _TAKERS[event.action]
        for key in take(event)
    ]
