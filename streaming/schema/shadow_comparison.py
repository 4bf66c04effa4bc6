"""What a shadow would change (topic `comparison`): one record for each account that is in alerts of one side only."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from detector.errors import RecordError

Change = Literal["added", "removed"]
"""`added`: only the shadow lists the account; `removed`: only the live deployment does."""


class ComparisonRecord(msgspec.Struct, frozen=True):
    """An account that one of two deployments lists: in an open alert of its own or as a member of an open campaign.

    `at` is the tick of event time since when that is so, as both have come past it; `alerts` are the ids of those
    alerts. The key of the record is the account, and a record without value says that both agree again.
    """

    account: str
    change: Change
    at: str
    alerts: list[str]


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(ComparisonRecord)


def encode_comparison(record: ComparisonRecord) -> bytes:
    """One JSON object, without line end."""
    return _encoder.encode(record)


def read_comparison(body: bytes | str) -> ComparisonRecord:
    """The record of the topic `comparison` in a body.

    Raises:
        RecordError: it is none.
    """
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"a record of comparison is none ({error}): only a shadow writes to that topic") from None
