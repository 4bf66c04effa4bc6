"""The blind sample (topic `blind-sample`, `--blind-sample`): accounts that are not flagged, to be decided on.

`assess` draws a few of them each day, so that what it misses can be estimated. A record accuses nobody: it goes to no
sink of alerts, and the console shows it without what the system says of the account.
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal

import msgspec

from detector.errors import RecordError
from streaming.schema.alert import MemberRecord, MomentRecord, PostRecord

SAMPLE_VERSION: Final = 1


class SampleRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One account of the blind sample of a day of event time.

    It was drawn with probability `sampled_with` from `population` accounts, of which nobody could be drawn with less
    than `smallest`. `member` is the account with its evidence when it was drawn, `posts` its texts that are kept and
    `moments` its last events, both in order of time.
    """

    v: Literal[1] = SAMPLE_VERSION
    id: str
    account: str
    day: str
    at: str
    sampled_with: float
    smallest: float
    population: int
    member: MemberRecord
    posts: list[PostRecord]
    moments: list[MomentRecord]
    models: dict[str, str]


def sample_id(account: str, day: str) -> str:
    """The id of an account in the sample of a day, `2025-06-01`: a hash of both."""
    name = f"{day}\0{account}".encode("utf-8", "surrogatepass")
    return "s" + hashlib.sha256(b"blind sample\0" + name).hexdigest()[:31]


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(SampleRecord)


def encode_sample(record: SampleRecord) -> bytes:
    """One JSON object, without line end."""
    return _encoder.encode(record)


def read_sample(body: bytes | str) -> SampleRecord:
    """The account of the sample in a record.

    Raises:
        RecordError: it is none, or of a version that is not read.
    """
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RecordError(
            f"this is no account of a blind sample of version {SAMPLE_VERSION}: give what assess wrote to the topic "
            "blind-sample or to --blind-sample, and the release that wrote it, or a later one"
        ) from None
