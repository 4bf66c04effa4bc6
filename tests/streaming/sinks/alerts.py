"""Alerts for tests of sinks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from detector.reasons import Reason
from streaming.schema.alert import AlertRecord, MemberRecord, encode
from streaming.schema.score import LlrRecord


def alert(
    name: str,
    revision: int = 1,
    members: Sequence[str] = ("did:plc:ann",),
    **more: Any,
) -> bytes:
    """A revision of an alert."""
    given = {"kind": "account", "status": "open", "at": "2026-01-05T10:00:00.000Z"} | more
    return encode(
        AlertRecord(
            v=3,
            id=name,
            revision=revision,
            members=[MemberRecord(who, 0.9, LlrRecord(text=2.0, total=5.0)) for who in members],
            evidence=LlrRecord(text=2.0, behaviour=1.0, coordination=1.5, graph=0.5, total=5.0),
            statistic=5.0,
            threshold=4.0,
            threshold_kind="conformal_p",
            reasons=[Reason("text.posts_read_machine", "text", 2.0)],
            why=["posts read like a model's; don't trust 'quotes' \U0001f682\n"],
            limits=["few posts"],
            **given,
        )
    )
