"""Alerts (topic `alerts`, `--alerts`) and the pages of their details (topic `alert-details`, `--details`).

`assess` writes one `AlertRecord` for every revision of an alert and the whole network and time line on `PageRecord`s;
the feed, the demo and the tests read the same Structs with `read_alert` and `read_page`.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from detector.errors import RecordError
from detector.reasons import Limitation, Reason
from streaming.schema.score import LlrRecord

ALERT_VERSION: Final = 3
"""The version that is written."""

READ_VERSIONS: Final = (1, 2, 3)
"""The versions that are read. One of version 1 has no reasons: what it says is in `why` and `limits` alone; one of
version 2 has e-values of groups and no talking points."""

AlertKind = Literal["account", "campaign", "coordination"]
"""`campaign`: coordinated and machine-driven; `coordination`: coordinated, not shown to be machine-driven."""

AlertStatus = Literal["open", "withdrawn", "merged"]


class AccountProfileRecord(msgspec.Struct, frozen=True):
    """What events said of an account last; null where none did. `automated`: it declares itself a bot."""

    created: str | None = None
    followers: int | None = None
    automated: bool | None = None


class MemberRecord(msgspec.Struct, frozen=True):
    """One member; `strength` is how strongly it is tied to the others, 1.0 for the strongest."""

    account: str
    posterior: float = 0.0
    llr: LlrRecord = LlrRecord()
    strength: float = 0.0
    profile: AccountProfileRecord | None = None


class PostRecord(msgspec.Struct, frozen=True):
    """One quoted post; `text` is cut at 500 characters, `llr` is of this text alone, in nats."""

    id: str
    account: str
    at: str
    text: str = ""
    llr: float = 0.0


class EdgeRecord(msgspec.Struct, frozen=True):
    """What two members shared of one kind, and how often chance would have it; `a` is before `b` in order.

    `nats` is how surprising the shared objects are together; alerts before version 3 have `z` in its place.
    """

    a: str
    b: str
    kind: str
    count: float = 0
    expected: float = 0.0
    z: float | None = None
    objects: list[str] = []
    nats: float = 0.0


class TalkingPointRecord(msgspec.Struct, frozen=True):
    """What several members say, each in words of its own: a post of each of them, the most typical first."""

    members: int
    posts: list[PostRecord] = []


class NearRecord(msgspec.Struct, frozen=True):
    """An account near a group that is no member: `members` of the group copied it, or acted upon it."""

    account: str
    how: Literal["copied", "acted_upon"]
    members: int


class AlertRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One revision of an alert. Revisions of an `id` count 1, 2, 3; the last one holds.

    `statistic` passed `threshold`, both as `threshold_kind` says: `conformal_p` is an account's total in nats,
    `decoy_q` how often as much as a group shows is found among decoys for each time it is found, which is to be at most
    the threshold (`e_value`, in alerts before version 3, is to be at least that). `evidence` is the account's, or the
    mean of the members'. `targets` are posts of others that members reposted, quoted or replied to, as far as their
    texts are known, the most shared first. `reasons` say what speaks for the alert and `limitations` what is not known;
    `why` and `limits` are the same in words (`detector.reason_sentences`).
    """

    v: Literal[1, 2, 3] = 1
    id: str
    kind: AlertKind
    revision: int
    status: AlertStatus
    merged_into: str | None = None
    at: str
    first_post_at: str | None = None
    last_post_at: str | None = None
    members: list[MemberRecord] = []
    statistic: float | None = None
    threshold: float | None = None
    threshold_kind: str = ""
    target_fpr: float | None = None
    target_fdr: float | None = None
    evidence: LlrRecord = LlrRecord()
    posts: list[PostRecord] = []
    edges: list[EdgeRecord] = []
    talking_points: list[TalkingPointRecord] = []
    targets: list[PostRecord] = []
    near: list[NearRecord] = []
    decoy_q: float | None = None
    models: dict[str, str] = {}
    reasons: list[Reason] = []
    why: list[str] = []
    limitations: list[Limitation] = []
    limits: list[str] = []


class MomentRecord(msgspec.Struct, frozen=True):
    """When a member acted, and the kind of its event."""

    account: str
    at: str
    kind: str = "post"


class ObjectRecord(msgspec.Struct, frozen=True):
    """An object that members shared, the kind of edge it made, and the members seen to share it."""

    kind: str
    object: str
    accounts: list[str] = []


class PageRecord(msgspec.Struct, frozen=True):
    """One page of an alert's details, keyed `ID/PAGE`. All pages of one revision together are the whole network."""

    id: str
    revision: int
    page: int
    pages: int
    edges: list[EdgeRecord] = []
    posts: list[MomentRecord] = []
    objects: list[ObjectRecord] = []


class _Version(msgspec.Struct):
    v: object = 1


_encoder: Final = msgspec.json.Encoder()
_alerts: Final = msgspec.json.Decoder(AlertRecord)
_pages: Final = msgspec.json.Decoder(PageRecord)
_versions: Final = msgspec.json.Decoder(_Version)

_BROKEN: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def encode(record: msgspec.Struct) -> bytes:
    """An alert, a page or an item of them as one JSON object, without line end."""
    return _encoder.encode(record)


def read_alert(body: bytes | str) -> AlertRecord:
    """The alert in a record.

    Raises:
        RecordError: it is no alert, or of a version that is not read.
    """
    try:
        return _alerts.decode(body)
    except _BROKEN as error:
        version = _version(body)
        if version not in READ_VERSIONS:
            raise RecordError(
                f"a record of alerts is of version {version!a}, and this release reads "
                f"{' and '.join(map(str, READ_VERSIONS))}: run the release that wrote it, or a later one"
            ) from None
        raise RecordError(f"a record of alerts is no alert of version {version}: {ascii(str(error))[1:-1]}") from None


def read_page(body: bytes | str) -> PageRecord:
    """The page in a record.

    Raises:
        RecordError: it is no page of details.
    """
    try:
        return _pages.decode(body)
    except _BROKEN:
        raise RecordError("a record of alert-details is no page: only assess writes to that topic") from None


def _version(body: bytes | str) -> object:
    """The version a record names, 1 where it names none or is no object."""
    try:
        return _versions.decode(body).v
    except _BROKEN:
        return READ_VERSIONS[0]
