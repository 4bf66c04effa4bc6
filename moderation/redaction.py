"""Takes accounts out of records: as members and authors, from edges and objects, and where others name them. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from moderation.records import AlertRecord, EdgeRecord, PageRecord

GAP: Final = "[forgotten]"
"""What stands in a text for the name of somebody who was forgotten."""

LIMIT: Final = "Left out: what was forgotten here on request."

_mention: Final = re.compile(r"@([\w.-]+)")


def named_in(alerts: Iterable[AlertRecord], pages: Iterable[PageRecord] = ()) -> set[str]:
    """Every account that records name in a place of its own, or with an @ in a text."""
    found: set[str] = set()
    for alert in alerts:
        found.update(member.account for member in alert.members)
        for post in alert.posts:
            found.add(post.account)
            found.update(_mention.findall(post.text))
        found.update(_of_edges(alert.edges))
    for page in pages:
        found.update(post.account for post in page.posts)
        found.update(_of_edges(page.edges))
        for each in page.objects:
            found.update(each.accounts)
            found.update(_owner(each.object))
    return found


def without(record: AlertRecord, accounts: Collection[str]) -> AlertRecord:
    """The alert without these accounts; that somebody is left out is said among its limits."""
    blank = _Blank(accounts)
    cut = msgspec.structs.replace(
        record,
        members=[each for each in record.members if each.account not in accounts],
        posts=[
            msgspec.structs.replace(each, text=blank(each.text))
            for each in record.posts
            if each.account not in accounts
        ],
        edges=_edges(record.edges, accounts, blank),
        why=[blank(text) for text in record.why],
        limits=[blank(text) for text in record.limits],
    )
    if cut == record or LIMIT in cut.limits:
        return cut
    return msgspec.structs.replace(cut, limits=[*cut.limits, LIMIT])


def page_without(page: PageRecord, accounts: Collection[str]) -> PageRecord:
    """The page without these accounts."""
    blank = _Blank(accounts)
    return msgspec.structs.replace(
        page,
        edges=_edges(page.edges, accounts, blank),
        posts=[each for each in page.posts if each.account not in accounts],
        objects=[
            msgspec.structs.replace(
                each, object=blank(each.object), accounts=[name for name in each.accounts if name not in accounts]
            )
            for each in page.objects
            if not _owner(each.object) & set(accounts)
        ],
    )


def names(text: str, account: str) -> bool:
    """Whether a text names the account, as a word of its own."""
    return _pattern([account]).search(text) is not None


class _Blank:
    """Puts `GAP` where a text names one of the accounts."""

    def __init__(self, accounts: Collection[str]) -> None:
        self._pattern = _pattern(accounts) if accounts else None

    def __call__(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub(GAP, text)


def _pattern(accounts: Collection[str]) -> re.Pattern[str]:
    longest_first = sorted(accounts, key=lambda name: (-len(name), name))
    return re.compile(r"(?<!\w)(?:" + "|".join(re.escape(name) for name in longest_first) + r")(?!\w)")


def _edges(edges: Iterable[EdgeRecord], accounts: Collection[str], blank: _Blank) -> list[EdgeRecord]:
    hidden = set(accounts)
    return [
        msgspec.structs.replace(each, objects=[blank(name) for name in each.objects if not _owner(name) & hidden])
        for each in edges
        if each.a not in hidden and each.b not in hidden
    ]


def _of_edges(edges: Iterable[EdgeRecord]) -> Iterable[str]:
    for edge in edges:
        yield from (edge.a, edge.b)
        for name in edge.objects:
            yield from _owner(name)


def _owner(name: str) -> set[str]:
    """Accounts that an object may belong to: objects that are posts read `account/event`, others are names."""
    return {name, name.rpartition("/")[0], name.partition("/")[0], name.lstrip("@")}
