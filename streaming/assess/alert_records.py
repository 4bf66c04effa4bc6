"""Writes the records of alerts: one revision within its limits, and the pages of its details.

`AlertContext` holds the parts of the state that alerts are written from; `account_alerts` and `group_alerts` decide
which revision is due and what it says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec
import numpy as np

from detector.models import Models
from detector.reason_sentences import explain, limit_sentences
from detector.reasons import REMOVED, Limitation, Reason
from detector.times import parse_time, rfc3339
from graph.ties import Edge
from graph.traces import KIND_WORDS
from streaming.assess.account_evidence import Evidence
from streaming.assess.alert_store import AlertStore, StoredAlert
from streaming.assess.outputs import AlertRevision
from streaming.assess.scores import Scores
from streaming.assess.settings import AssessSettings
from streaming.assess.store import UNSAID, AccountTable, KeptText, KeptTexts, RecentEvents
from streaming.schema.alert import (
    ALERT_VERSION,
    AccountProfileRecord,
    AlertRecord,
    EdgeRecord,
    MemberRecord,
    MomentRecord,
    ObjectRecord,
    PageRecord,
    PostRecord,
    encode,
)
from streaming.schema.observation import Kind
from streaming.schema.score import LlrRecord, ScoreRecord

MOST_POSTS: Final = 20
MOST_EDGES: Final = 50
MOST_MEMBERS: Final = 1_000
MOST_POINTS: Final = 5
MOST_TARGETS: Final = 10
"""What the contract lets one alert show."""

POSTS_PER_MEMBER: Final = 3
"""Texts of one member that a group's alert quotes: a moderator should see many accounts, not one."""

RECORD_BYTES: Final = 900_000
"""Largest record of topic `alerts` (contract), under Kafka's default of a mebibyte."""

PAGE_BYTES: Final = 500_000
"""Largest page of topic `alert-details` (contract)."""

_PAGE_ROOM: Final = 4_096
"""Bytes of a page kept for what stands around its items."""

Pages = list[tuple[str, bytes | None]]
"""(`ID/PAGE`, JSON of a `PageRecord`), None where a page is to be deleted."""


class Written(NamedTuple):
    """What a tick writes of alerts, in order; both lists grow while the tick runs."""

    revisions: list[AlertRevision]
    pages: Pages


@dataclass(frozen=True)
class AlertContext:
    """The parts of the state that account and group alerts are written from."""

    settings: AssessSettings
    models: Models
    accounts: AccountTable
    evidence: Evidence
    texts: KeptTexts
    recent_events: RecentEvents
    scores: Scores
    store: AlertStore

    def moments_of(self, rows: Iterable[int]) -> list[MomentRecord]:
        """The last events of the accounts in some rows, as details pages show them, in order of time."""
        found = self.recent_events.last(np.fromiter(rows, np.int64))
        return [
            MomentRecord(self.accounts.name(row), rfc3339(at), Kind(kind).name.lower())
            for row, at, kind in zip(*(column.tolist() for column in found), strict=True)
        ]

    def emptied(self, alert: StoredAlert, tick_ms: int, reason: Reason) -> AlertRevision:
        """The last revision of an alert for now, which names nobody.

        Args:
            alert: after `StoredAlert.revise`.
            tick_ms: time of the tick, ms since 1970 UTC.
            reason: why it is closed.
        """
        is_account = alert.kind == "account"
        at = rfc3339(tick_ms)
        return fitted(
            AlertRecord(
                v=ALERT_VERSION,
                id=alert.id,
                kind=alert.kind,
                revision=alert.revision,
                status=alert.status,
                merged_into=alert.merged_into,
                at=at,
                first_post_at=at,
                last_post_at=at,
                statistic=0.0,
                threshold=round(self.evidence.threshold, 6) if is_account else 0.0,
                threshold_kind="conformal_p" if is_account else "decoy_q",
                target_fpr=self.evidence.target_fpr if is_account else None,
                target_fdr=None if is_account else self.settings.target_fdr,
                models=self.models.versions,
                reasons=[reason],
                limitations=[Limitation(REMOVED)],
            )
        )


def fitted(record: AlertRecord) -> AlertRevision:
    """The revision as it is published: reasons in words beside the codes, lists cut until the record fits.

    Lists are cut to what the contract allows, then the largest is halved until the record has at most `RECORD_BYTES`.
    Reasons refer to posts that are left alone.
    """
    first, last = (parse_time(at or record.at) or 0 for at in (record.first_post_at, record.last_post_at))
    record = msgspec.structs.replace(
        record,
        why=[str(sentence) for sentence in explain(record.reasons, first, last, KIND_WORDS)],
        limits=limit_sentences(record.limitations),
    )
    most = {
        "members": MOST_MEMBERS,
        "edges": MOST_EDGES,
        "posts": MOST_POSTS,
        "talking_points": MOST_POINTS,
        "targets": MOST_TARGETS,
    }
    lists: dict[str, list[msgspec.Struct]] = {name: getattr(record, name)[:limit] for name, limit in most.items()}
    encoded = encode(msgspec.structs.replace(record, **lists))
    while len(encoded) > RECORD_BYTES:
        sizes = {name: sum(len(encode(item)) + 1 for item in items) for name, items in lists.items()}
        longest = max(lists, key=lambda name: (sizes[name], name))
        lists[longest] = lists[longest][: len(lists[longest]) // 2]
        shown = {post.id for post in record.posts[: len(lists["posts"])]}
        reasons = [
            msgspec.structs.replace(each, posts=[post for post in each.posts if post in shown])
            for each in record.reasons
        ]
        encoded = encode(msgspec.structs.replace(record, reasons=reasons, **lists))
    return AlertRevision(record.id, record.revision, record.kind, record.status, encoded)


def details_pages(
    alert: StoredAlert, edges: Sequence[EdgeRecord], posts: Sequence[MomentRecord], objects: Sequence[ObjectRecord]
) -> Pages:
    """The pages of a revision, keyed `ID/PAGE` from 1, and the deletion of pages that only older revisions have.

    `alert.pages` becomes the number of pages.

    Args:
        alert: after `StoredAlert.revise`.
        edges: the whole network of the members.
        posts: when the members acted last.
        objects: what they shared.
    """
    cut: list[tuple[list[EdgeRecord], list[MomentRecord], list[ObjectRecord]]] = [([], [], [])]
    room = PAGE_BYTES - _PAGE_ROOM
    items: Iterable[EdgeRecord | MomentRecord | ObjectRecord] = (*edges, *posts, *objects)
    for item in items:
        size = len(encode(item)) + 1
        if size > room:
            if any(cut[-1]):
                cut.append(([], [], []))
            room = PAGE_BYTES - _PAGE_ROOM
        if isinstance(item, EdgeRecord):
            cut[-1][0].append(item)
        elif isinstance(item, MomentRecord):
            cut[-1][1].append(item)
        else:
            cut[-1][2].append(item)
        room -= size
    keyed: Pages = [
        (f"{alert.id}/{number}", encode(PageRecord(alert.id, alert.revision, number, len(cut), *lists)))
        for number, lists in enumerate(cut, 1)
    ]
    keyed += [(f"{alert.id}/{number}", None) for number in range(len(cut) + 1, alert.pages + 1)]
    alert.pages = len(cut)
    return keyed


def no_pages(alert: StoredAlert) -> Pages:
    """The deletion of all pages of an alert."""
    keyed: Pages = [(f"{alert.id}/{number}", None) for number in range(1, alert.pages + 1)]
    alert.pages = 0
    return keyed


def strongest(texts: Iterable[KeptText]) -> list[KeptText]:
    """Texts by what they say, the most machine-like first."""
    return sorted(texts, key=lambda text: (-text.llr, text.at, text.id))


def member_record(score: ScoreRecord, accounts: AccountTable, row: int, strength: float = 1.0) -> MemberRecord:
    """A member as an alert shows it.

    Args:
        score: of the account.
        accounts: with what its events said of it.
        row: of the account.
        strength: 1.0 for the member tied most strongly.
    """
    created, followers, automated = (
        None if (value := int(column[row])) == UNSAID else value
        for column in (accounts.created_at, accounts.followers, accounts.automated)
    )
    profile = None
    if (created, followers, automated) != (None, None, None):
        made = None if created is None else rfc3339(created)
        profile = AccountProfileRecord(made, followers, None if automated is None else bool(automated))
    return MemberRecord(score.account, score.posterior, score.llr, strength, profile)


def post_record(account: str, text: KeptText) -> PostRecord:
    """A quoted text of an account."""
    return PostRecord(text.id, account, rfc3339(text.at), text.text, text.llr / 1000)


def edge_record(edge: Edge, name_a: str, name_b: str) -> EdgeRecord:
    """An edge between two accounts, names in order and numbers rounded.

    Args:
        edge: between two members.
        name_a: of the member `edge.a`.
        name_b: of the member `edge.b`.
    """
    a, b = sorted((name_a, name_b))
    objects = [readable(key) for key in edge.objects]
    return EdgeRecord(a, b, edge.kind, edge.count, round(edge.expected, 4), None, objects, round(edge.nats, 3))


def readable(key: str) -> str:
    """An object's key as it is shown: `account/event` for events of a known account."""
    return key.replace("\n", "/")


def mean_llr(members: Sequence[MemberRecord]) -> LlrRecord:
    """Mean of the members' components: the `evidence` of a group."""
    count = max(len(members), 1)
    names = LlrRecord.__struct_fields__
    return LlrRecord(*(round(sum(getattr(each.llr, name) for each in members) / count, 6) for name in names))


def objects_of(edges: Sequence[EdgeRecord]) -> Iterator[ObjectRecord]:
    """The objects that a group shared, each with its kind and the members seen to share it, most shared first."""
    shared: dict[tuple[str, str], set[str]] = {}
    for edge in edges:
        for name in edge.objects:
            shared.setdefault((edge.kind, name), set()).update((edge.a, edge.b))
    for (kind, name), accounts in sorted(shared.items(), key=lambda item: (-len(item[1]), item[0])):
        yield ObjectRecord(kind, name, sorted(accounts))
