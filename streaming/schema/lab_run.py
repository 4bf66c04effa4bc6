"""A comparison of policies (`lab run`, file `run.json`): what the console's list of runs says of it."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from detector.errors import RecordError

LAB_RUN_VERSION: Final = 1

LARGEST_LAB_RUN: Final = 64 * 1024
"""Bytes: a headline and the names of policies have one or two thousand."""


class LabRunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What was compared, in how many societies, and which policy to prefer, in words (`headline`).

    `prevented` is the share of what people saw of campaigns that the best policy took away, `hit` the share of people
    that it did something about.
    """

    v: Literal[1] = LAB_RUN_VERSION
    headline: str
    best: str
    prevented: float
    hit: float
    policies: list[str]
    societies: int
    seed: int


def encode_lab_run(record: LabRunRecord) -> bytes:
    """One JSON object, with a line end."""
    return msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"


def read_lab_run(body: bytes) -> LabRunRecord:
    """The run in a record.

    Raises:
        RecordError: it is none.
    """
    try:
        return msgspec.json.decode(body, type=LabRunRecord)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(
            f"this is no run of the policy lab of version {LAB_RUN_VERSION} ({error}): give the run.json that "
            "swarmlight lab run wrote, or run it again"
        ) from None
