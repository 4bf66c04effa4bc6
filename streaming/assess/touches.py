"""From an event to its traces: which objects the account met that another account could have met too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from graph.account_graph import INTERACTIONS
from graph.touches import Touch, TraceKind
from streaming.assess.accounts import Accounts
from streaming.extract import domain_of
from streaming.observations import Kind, Observation

OBJECTS_PER_KIND: Final = 8
"""Links, and accounts mentioned, taken of one event: more are a list, not a choice, and would flood the window."""

UNKNOWN: Final = -1
"""Row of an account that has none."""

# Plain integers: looking up an enum's member costs half a microsecond, per event and member.
_FOLLOW: Final = int(Kind.FOLLOW)
_LINK: Final = int(TraceKind.LINK)
_DOMAIN: Final = int(TraceKind.DOMAIN)
_HASHTAGS: Final = int(TraceKind.HASHTAGS)
_MENTION: Final = int(TraceKind.MENTION)
_NEAR_DUPLICATE: Final = int(TraceKind.NEAR_DUPLICATE)
_INTERACTION: Final = int(TraceKind.INTERACTION)
_TARGETED: Final = {
    int(Kind.REPOST): int(TraceKind.REPOST),
    int(Kind.QUOTE): int(TraceKind.QUOTE),
    int(Kind.REPLY): int(TraceKind.REPLY_TARGET),
    int(Kind.LIKE): _INTERACTION,
}


def object_key(account: str, event: str) -> str:
    """The object that the event `event` of `account` is; ids need not be unique across accounts."""
    return f"{account}\n{event}" if account else event


_ACTED: Final = {
    int(TraceKind.REPLY_TARGET): INTERACTIONS.index("reply"),
    int(TraceKind.REPOST): INTERACTIONS.index("repost"),
    int(TraceKind.QUOTE): INTERACTIONS.index("quote"),
}
_LIKE: Final = INTERACTIONS.index("like")
_FOLLOWED: Final = INTERACTIONS.index("follow")
_MENTIONED: Final = INTERACTIONS.index("mention")


def acted_upon(kind: int, key: str) -> tuple[int, str] | None:
    """(place in `INTERACTIONS`, name of the account) of an object that is somebody's, None of any other."""
    if kind == _MENTION:
        return _MENTIONED, key
    account, known, event = key.partition("\n")
    if not known:
        return None
    if kind == _INTERACTION:
        return (_LIKE if event else _FOLLOWED), account
    how = _ACTED.get(kind)
    return None if how is None else (how, account)


def touches_of(seen: Observation, row: int, accounts: Accounts, cluster: str | None) -> Iterator[Touch]:
    """The touches of one event, next to each other as `graph` wants them.

    Args:
        seen: the event, no deletion.
        row: whose it is.
        accounts: rows of the accounts acted upon, where they have one.
        cluster: of nearly equal texts, None without one.
    """
    at = seen.at
    other = UNKNOWN
    if seen.target_account and seen.target_account != seen.account:
        found = accounts.find(seen.target_account)
        other = UNKNOWN if found is None else found
    kind = _TARGETED.get(seen.kind)
    if kind is not None and seen.target:
        yield Touch(at, row, kind, object_key(seen.target_account, seen.target), other)
    elif seen.kind == _FOLLOW and seen.target_account:
        yield Touch(at, row, _INTERACTION, object_key(seen.target_account, ""), other)
    domains: dict[str, None] = {}
    for url in seen.urls[:OBJECTS_PER_KIND]:
        yield Touch(at, row, _LINK, url)
        domains[domain_of(url)] = None
    for domain in domains:
        if domain:
            yield Touch(at, row, _DOMAIN, domain)
    if seen.hashtags:
        yield Touch(at, row, _HASHTAGS, " ".join(sorted(set(seen.hashtags))))
    for name in seen.mentions[:OBJECTS_PER_KIND]:
        if name != seen.account:
            yield Touch(at, row, _MENTION, name)
    if cluster is not None:
        yield Touch(at, row, _NEAR_DUPLICATE, cluster)
