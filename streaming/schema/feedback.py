"""Decisions of moderators (topic `feedback`, keyed by alert; `--feedback` of the feed): one record a decision.

The feed writes them, `score` puts them into the observation log as they are, and `assess` lets them take effect at the
next tick. The same `id` twice is one decision.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from detector.errors import RecordError

FEEDBACK_VERSION: Final = 1

DecisionKind = Literal[
    "llm_campaign",
    "human_coordination",
    "permitted_automation",
    "not_a_campaign",
    "needs_more",
    "missed",
    "undo",
]


class FeedbackRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One decision.

    `account` names one member it is about, null the alert as a whole; `undoes` is the id of the decision an `undo`
    takes back; `by` a pseudonymous id; `sampled_with` the probability with which the alert was shown to be decided on.
    """

    v: Literal[1] = 1
    alert: str
    account: str | None = None
    decision: DecisionKind
    undoes: str | None = None
    id: str
    at: str = ""
    by: str = ""
    reason: str = ""
    sampled_with: float | None = None


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(FeedbackRecord)


def encode_feedback(record: FeedbackRecord) -> bytes:
    """One JSON object, without line end."""
    return _encoder.encode(record)


def read_feedback(body: bytes | str) -> FeedbackRecord:
    """The decision in a record.

    Raises:
        RecordError: it is none, or of a version that is not read.
    """
    try:
        record = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RecordError(
            f"this is no decision of version {FEEDBACK_VERSION}: write it as docs/reference/schema/feedback.json says"
        ) from None
    if not record.id:
        raise RecordError("a decision has an empty id: give every decision an id of its own")
    return record
