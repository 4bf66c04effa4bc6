"""What comes in: records of topics `alerts` and `alert-details` as the contract has them, read with tolerance.

Unknown fields are ignored; what cannot be shown or stored (a NUL, an id that is none) is refused.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

from detector.errors import FeedError

Status = Literal["open", "withdrawn", "merged"]
Kind = Literal["account", "campaign", "coordination"]

ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")
"""Ids are hashes; these characters need no escape in an address, a log or a key."""

PARTS: Final = ("text", "behaviour", "coordination", "graph")

LARGEST_ACCOUNT: Final = 512
"""Characters of an account's name kept; platforms allow far fewer."""


class MemberRecord(msgspec.Struct, frozen=True):
    """One member; `llr` has the parts and `total`, in nats."""

    account: str
    posterior: float = 0.0
    llr: dict[str, float] = {}
    strength: float = 0.0


class PostRecord(msgspec.Struct, frozen=True):
    """One quoted post."""

    id: str
    account: str
    at: str
    text: str = ""
    llr: float = 0.0


class EdgeRecord(msgspec.Struct, frozen=True):
    """One edge between two members."""

    a: str
    b: str
    kind: str
    count: float = 0
    expected: float = 0.0
    z: float | None = 0.0
    objects: list[str] = []


class AlertRecord(msgspec.Struct, frozen=True):
    """One revision of an alert."""

    id: str
    kind: Kind
    revision: int
    status: Status
    at: str
    merged_into: str | None = None
    first_post_at: str | None = None
    last_post_at: str | None = None
    members: list[MemberRecord] = []
    statistic: float | None = None
    threshold: float | None = None
    threshold_kind: str = ""
    target_fpr: float | None = None
    target_fdr: float | None = None
    evidence: dict[str, Any] = {}
    posts: list[PostRecord] = []
    edges: list[EdgeRecord] = []
    models: dict[str, str] = {}
    why: list[str] = []
    limits: list[str] = []
    v: Literal[1] = 1


class MomentRecord(msgspec.Struct, frozen=True):
    """That a member posted."""

    account: str
    at: str
    kind: str = "post"


class ObjectRecord(msgspec.Struct, frozen=True):
    """Something that members shared."""

    kind: str
    object: str
    accounts: list[str] = []


class PageRecord(msgspec.Struct, frozen=True):
    """One page of an alert's details."""

    id: str
    revision: int
    page: int
    pages: int
    edges: list[EdgeRecord] = []
    posts: list[MomentRecord] = []
    objects: list[ObjectRecord] = []


_alerts: Final = msgspec.json.Decoder(AlertRecord)
_pages: Final = msgspec.json.Decoder(PageRecord)
_encoder: Final = msgspec.json.Encoder()


def read_alert(body: bytes | str) -> AlertRecord:
    """The alert in a record.

    Raises:
        FeedError: `invalid`: it is none.
    """
    try:
        record = _alerts.decode(body)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError):
        raise FeedError("invalid", "a record of alerts is no alert of version 1") from None
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
        record = _pages.decode(body)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError):
        raise FeedError("invalid", "a record of alert-details is no page") from None
    if not ID.fullmatch(record.id) or record.revision < 1 or not 1 <= record.page <= record.pages:
        raise FeedError("invalid", "a page of details has no usable id, revision or number")
    return record


def dump(record: msgspec.Struct) -> str:
    """The record as JSON text."""
    return _encoder.encode(record).decode()


def json_text(text: str) -> str:
    """A text as it stands within the JSON that `dump` writes."""
    return _encoder.encode(text).decode()[1:-1]


def milliseconds(at: str | None) -> int | None:
    """RFC 3339 as ms since 1970; None where it is no time with an offset."""
    if not at:
        return None
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        return None
    return None if moment.tzinfo is None else round(moment.timestamp() * 1000)


def rfc3339(at_ms: int) -> str:
    """ms since 1970 as RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def storable(text: str, limit: int = LARGEST_ACCOUNT) -> str:
    """A stranger's text for a column: cut, and without the NUL that PostgreSQL cannot hold."""
    return text[:limit].replace("\0", "\ufffd")
