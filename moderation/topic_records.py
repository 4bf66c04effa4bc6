"""Reads records of topics `alerts`, `alert-details` and `blind-sample` for the feed, and takes accounts out of them.

The records are those of `streaming.schema.alert`; what cannot be shown or stored (an id that is none, no time) is
refused here. `without` and `page_without` remove accounts as members and authors, from edges and objects, and where
others name them. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Final

import msgspec

from detector.errors import FeedError, RecordError
from detector.reason_sentences import limit_sentences
from detector.reasons import FORGOTTEN, Limitation, Reason
from detector.times import parse_time
from streaming.schema import alert as schema
from streaming.schema import sample
from streaming.schema.alert import AlertRecord, EdgeRecord, PageRecord, TalkingPointRecord
from streaming.schema.sample import SampleRecord

ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")
"""Ids are hashes; these characters need no escape in an address, a log or a key."""

LARGEST_ACCOUNT: Final = 512
"""Characters of an account's name kept; platforms allow far fewer."""


_day: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def read_alert(body: bytes | str) -> AlertRecord:
    """The alert in a record.

    Raises:
        FeedError: `invalid`: it is none, or of a version that is not read.
    """
    try:
        record = schema.read_alert(body)
    except RecordError as error:
        raise FeedError("invalid", str(error)) from None
    if not ID.fullmatch(record.id) or record.revision < 1 or milliseconds(record.at) is None:
        raise FeedError("invalid", "an alert has no usable id, revision or time")
    if record.merged_into is not None and not ID.fullmatch(record.merged_into):
        raise FeedError("invalid", "an alert is merged into an id that is none")
    return record


def read_page(body: bytes | str) -> PageRecord:
    """The page in a record.

    Raises:
        FeedError: `invalid`: it is none.
    """
    try:
        record = schema.read_page(body)
    except RecordError as error:
        raise FeedError("invalid", str(error)) from None
    if not ID.fullmatch(record.id) or record.revision < 1 or not 1 <= record.page <= record.pages:
        raise FeedError("invalid", "a page of details has no usable id, revision or number")
    return record


def read_sample(body: bytes | str) -> SampleRecord:
    """The account of the blind sample in a record.

    Raises:
        FeedError: `invalid`: it is none.
    """
    try:
        record = sample.read_sample(body)
    except RecordError as error:
        raise FeedError("invalid", str(error)) from None
    usable = 0.0 < record.smallest <= record.sampled_with <= 1.0 and record.population > 0
    if not ID.fullmatch(record.id) or not _day.fullmatch(record.day) or milliseconds(record.at) is None or not usable:
        raise FeedError("invalid", "an account of a blind sample has no usable id, day, time or probability")
    return record


def dump(record: msgspec.Struct) -> str:
    """The record as JSON text."""
    return schema.encode(record).decode()


def json_text(text: str) -> str:
    """A text as it stands within the JSON that `dump` writes."""
    return msgspec.json.encode(text).decode()[1:-1]


def milliseconds(at: str | None) -> int | None:
    """RFC 3339 as ms since 1970; None where it is no time with an offset."""
    return parse_time(at) if at else None


def rfc3339(at_ms: int) -> str:
    """ms since 1970 as RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def storable(text: str, limit: int = LARGEST_ACCOUNT) -> str:
    """A stranger's text for a column: cut, and without the NUL that PostgreSQL cannot hold."""
    return text[:limit].replace("\0", "\ufffd")


GAP: Final = "[forgotten]"
"""What stands in a text for the name of somebody who was forgotten."""

_SOMEBODY_LEFT_OUT: Final = Limitation(FORGOTTEN)

_mention: Final = re.compile(r"@([\w.-]+)")


def named_in(alerts: Iterable[AlertRecord], pages: Iterable[PageRecord] = ()) -> set[str]:
    """Every account that records name in a place of its own, or with an @ in a text."""
    found: set[str] = set()
    for alert in alerts:
        found.update(member.account for member in alert.members)
        for post in (*alert.posts, *alert.targets, *(post for point in alert.talking_points for post in point.posts)):
            found.add(post.account)
            found.update(_mention.findall(post.text))
        found.update(each.account for each in alert.near)
        found.update(_of_edges(alert.edges))
        found.update(owner for reason in alert.reasons for name in reason.objects for owner in _owner(name))
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
    posts = [each for each in record.posts if each.account not in accounts]
    said = [*record.posts, *record.targets, *(post for point in record.talking_points for post in point.posts)]
    hidden_posts = {each.id for each in said if each.account in accounts}
    cut = msgspec.structs.replace(
        record,
        members=[each for each in record.members if each.account not in accounts],
        posts=[msgspec.structs.replace(each, text=blank(each.text)) for each in posts],
        edges=_edges(record.edges, accounts, blank),
        talking_points=[_point(each, accounts, blank) for each in record.talking_points],
        targets=[
            msgspec.structs.replace(each, text=blank(each.text))
            for each in record.targets
            if each.account not in accounts
        ],
        near=[each for each in record.near if each.account not in accounts],
        reasons=[_reason(each, accounts, hidden_posts, blank) for each in record.reasons],
        why=[blank(text) for text in record.why],
        limits=[blank(text) for text in record.limits],
    )
    if cut == record or _SOMEBODY_LEFT_OUT in cut.limitations:
        return cut
    return msgspec.structs.replace(
        cut,
        limitations=[*cut.limitations, _SOMEBODY_LEFT_OUT],
        limits=[*cut.limits, *limit_sentences([_SOMEBODY_LEFT_OUT])],
    )


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


def _point(point: TalkingPointRecord, accounts: Collection[str], blank: _Blank) -> TalkingPointRecord:
    """The talking point without the words of hidden accounts."""
    left = [each for each in point.posts if each.account not in accounts]
    return TalkingPointRecord(
        point.members - (len(point.posts) - len(left)),
        [msgspec.structs.replace(each, text=blank(each.text)) for each in left],
    )


def _reason(reason: Reason, accounts: Collection[str], hidden_posts: Collection[str], blank: _Blank) -> Reason:
    """The reason without posts and objects of hidden accounts."""
    hidden = set(accounts)
    return msgspec.structs.replace(
        reason,
        posts=[each for each in reason.posts if each not in hidden_posts],
        objects=[blank(name) for name in reason.objects if not _owner(name) & hidden],
    )


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
