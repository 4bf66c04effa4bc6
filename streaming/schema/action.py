"""What receivers of webhooks are told of a decision in the moderators' feed: one record a decision and receiver.

The feed writes it with the decision, in one transaction, and sends it at least once, always with the same `id`.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from detector.errors import RecordError
from streaming.schema.feedback import DecisionKind


class ActionAccount(msgspec.Struct, frozen=True):
    """An account that a decision is about; `odds` that a language model drives it, null where not known."""

    account: str
    odds: float | None = None


class ActionPolicy(msgspec.Struct, frozen=True):
    """The policy that a decision names."""

    code: str
    text: str = ""
    severity: str = ""


class ActionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One decision on its way to one receiver.

    `id` is the same in every attempt: a receiver takes it once. `type` is `decision`, or `undo` where `decision` does
    not hold any more for `accounts`. `about` is the id of the decision, the same in both. `part_of` is that of the
    decision on a campaign that it was made with. `complete` says whether `accounts` are all it is about.
    """

    v: Literal[1] = 1
    id: str
    type: Literal["decision", "undo"]
    about: str
    decision: DecisionKind
    at: str
    alert: str
    kind: str = ""
    revision: int = 0
    policy: ActionPolicy | None = None
    reason: str = ""
    by: str = ""
    accounts: list[ActionAccount] = []
    complete: bool = True
    part_of: str | None = None


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(ActionRecord)


def encode_action(record: ActionRecord) -> bytes:
    """One JSON object, without line end."""
    return _encoder.encode(record)


def read_action(body: bytes | str) -> ActionRecord:
    """The record in a body.

    Raises:
        RecordError: it is none, or of a version that is not read.
    """
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RecordError("a record of an action is none of version 1: only the feed writes them") from None
