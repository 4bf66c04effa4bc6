"""Made-up alerts for tests and for the load script: everything the contract has, from a handful of numbers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from detector.reason_sentences import explain, limit_sentences
from detector.reasons import (
    MERGED,
    NOT_USED,
    OPERATOR_UNSEEN,
    REMOVED,
    WITHDRAWN_CHANGED,
    GroupCase,
    Limitation,
    Reason,
    SharedKind,
    group_reasons,
)
from detector.times import parse_time
from graph.traces import KIND_WORDS
from streaming.schema.alert import (
    ALERT_VERSION,
    AlertKind,
    AlertRecord,
    AlertStatus,
    EdgeRecord,
    MemberRecord,
    MomentRecord,
    ObjectRecord,
    PageRecord,
    PostRecord,
    encode,
)
from streaming.schema.sample import SampleRecord, sample_id
from streaming.schema.score import LlrRecord

BEGIN = datetime(2025, 6, 1, 8, tzinfo=UTC)

KINDS = ("near_duplicate", "link", "repost", "mention")

TEXTS = (
    "The harbour tunnel is a waste of money and everybody on the council knows it, see https://tunnel.example/facts",
    "Everybody on the council knows it: the harbour tunnel is a waste of money. Ask them why!",
    "Lovely morning at the allotment, the beans are finally up.",
)


def stamp(minutes: float) -> str:
    """RFC 3339, minutes after `BEGIN`."""
    return (BEGIN + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def llr(text: float = 2.0, coordination: float = 3.0, graph: float = 0.0) -> LlrRecord:
    """Components and their sum."""
    return LlrRecord(text, -0.2, coordination, graph, round(text - 0.2 + coordination + graph, 6))


def said(record: AlertRecord, reasons: list[Reason], limitations: list[Limitation]) -> AlertRecord:
    """The record with these reasons and limitations, in words too."""
    first, last = (parse_time(at or record.at) or 0 for at in (record.first_post_at, record.last_post_at))
    return msgspec.structs.replace(
        record,
        reasons=reasons,
        why=[str(sentence) for sentence in explain(reasons, first, last, KIND_WORDS)],
        limitations=limitations,
        limits=limit_sentences(limitations),
    )


def group_case(kind: str, members: int, **shared: tuple[float, float]) -> GroupCase:
    """The numbers behind a group's alert; `shared` is kind of edge -> (met, expected)."""
    met = {name: SharedKind(*pair) for name, pair in shared.items()}
    return GroupCase(members, max(members - 1, 0), 20.0, 0.01, 0.05, met, is_campaign=kind == "campaign")


def alert(
    name: str = "c1",
    *,
    revision: int = 1,
    kind: AlertKind = "campaign",
    status: AlertStatus = "open",
    accounts: Sequence[str] = ("ada", "bob", "cyd"),
    texts: Sequence[str] = TEXTS,
    merged_into: str | None = None,
    minutes: float = 60.0,
    evidence: LlrRecord | None = None,
) -> AlertRecord:
    """A record of topic `alerts`; closed alerts name nobody, as assess has it."""
    accounts = list(accounts) if status == "open" else []
    count = len(accounts)
    record = AlertRecord(
        v=ALERT_VERSION,
        id=name,
        kind=kind,
        revision=revision,
        status=status,
        merged_into=merged_into,
        at=stamp(minutes),
        first_post_at=stamp(0),
        last_post_at=stamp(minutes - 1),
        members=[
            MemberRecord(who, 0.7, llr(), round(1 - place / (count + 1), 4))
            for place, who in enumerate(accounts[:1000])
        ],
        statistic=0.01 if kind != "account" else 9.1,
        threshold=0.05 if kind != "account" else 2.97,
        threshold_kind="decoy_q" if kind != "account" else "conformal_p",
        decoy_q=0.01 if kind != "account" else None,
        target_fdr=0.05,
        evidence=evidence or llr(),
        posts=[
            PostRecord(f"p{place}", accounts[place % count], stamp(place), text, 0.6)
            for place, text in enumerate(texts)
        ]
        if accounts
        else [],
        edges=[
            EdgeRecord(
                min(a, b),
                max(a, b),
                KINDS[place % len(KINDS)],
                5 + place % 7,
                0.8,
                4.2,
                ["https://tunnel.example/facts", f"{a}/p{place}"],
            )
            for place, (a, b) in enumerate(itertools.pairwise(accounts))
        ][:50],
        models={"text": "cheap@1"},
    )
    if status != "open":
        closed = Reason(WITHDRAWN_CHANGED) if status == "withdrawn" else Reason(MERGED, objects=[merged_into or "c2"])
        record = msgspec.structs.replace(record, evidence=LlrRecord(), statistic=0.0)
        return said(record, [closed], [Limitation(REMOVED)])
    unused = Limitation(NOT_USED, "graph", "no graph model")
    reasons = group_reasons(group_case(kind, count, link=(157, 16.8)))
    return said(record, reasons, [unused, Limitation(OPERATOR_UNSEEN)])


def sampled(
    account: str = "zoe", *, day: str = "2025-06-01", chance: float = 0.01, population: int = 1000
) -> SampleRecord:
    """A record of topic `blind-sample`."""
    return SampleRecord(
        id=sample_id(account, day),
        account=account,
        day=day,
        at=f"{day}T23:59:00Z",
        sampled_with=chance,
        smallest=chance / 2,
        population=population,
        member=MemberRecord(account, 0.01, llr(text=-1.0, coordination=0.0)),
        posts=[PostRecord("p1", account, f"{day}T08:00:00Z", "The ferry was late again, @ada will laugh.", -0.4)],
        moments=[MomentRecord(account, f"{day}T08:00:00Z"), MomentRecord(account, f"{day}T09:30:00Z", "reply")],
        models={"text": "cheap@1"},
    )


def pages(
    name: str = "c1",
    *,
    revision: int = 1,
    accounts: Sequence[str] = ("ada", "bob", "cyd"),
    edges: int = 3,
    posts: int = 64,
    size: int = 4000,
) -> list[PageRecord]:
    """Records of topic `alert-details`: a ring of edges, waves of posts every three hours, one shared link."""
    count = len(accounts)
    link = "https://tunnel.example/facts"
    ring = [
        EdgeRecord(
            accounts[place % count],
            accounts[(place + 1 + place // count) % count],
            KINDS[place % len(KINDS)],
            3,
            0.5,
            3.0,
            [link],
        )
        for place in range(edges)
    ]
    moments = [
        MomentRecord(who, stamp(180 * (turn // 4) + (place * 7 + turn) % 25))
        for place, who in enumerate(accounts)
        for turn in range(posts)
    ]
    items: list[EdgeRecord | MomentRecord | ObjectRecord] = [
        *ring,
        *moments,
        ObjectRecord("link", link, list(accounts)),
    ]
    cut = [items[place : place + size] for place in range(0, len(items), size)]
    return [
        PageRecord(
            name,
            revision,
            number,
            len(cut),
            [each for each in part if isinstance(each, EdgeRecord)],
            [each for each in part if isinstance(each, MomentRecord)],
            [each for each in part if isinstance(each, ObjectRecord)],
        )
        for number, part in enumerate(cut, 1)
    ]


def line(record: AlertRecord | PageRecord) -> bytes:
    """The record as a line of a file."""
    return encode(record) + b"\n"


def altered(record: AlertRecord | PageRecord, **fields: Any) -> bytes:
    """The record as a line of a file, with fields that no Struct would let in."""
    return json.dumps(msgspec.to_builtins(record) | fields, ensure_ascii=False).encode() + b"\n"
