"""Times as text and as numbers agree with RFC 3339 and with the standard library."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.times import AT_MAX, format_time, parse_time, rfc3339

T0: Final = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-01t00:00:00z", T0),
        ("2026-01-01 00:00:00Z", T0),
        ("2026-01-01T00:00:00+00:00", T0),
        ("2026-01-01T00:00:00-00:00", T0),
        ("2026-01-01T05:45:00+05:45", T0),
        ("2025-12-31T16:00:00-08:00", T0),
        ("2026-01-01T00:00:00.0019999999999Z", T0 + 1),
        ("2026-01-01T00:00:00.5Z", T0 + 500),
        ("2025-12-31T23:59:60Z", T0),
        ("2026-01-01T00:59:60+01:00", T0),
        ("1969-12-31T23:30:00-01:00", 1_800_000),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000),
        ("9999-12-31T23:59:59.999Z", AT_MAX),
    ],
)
def test_times_of_rfc_3339_are_read(text: str, ms: int) -> None:
    assert parse_time(text) == ms


@settings(max_examples=150)
@given(st.datetimes(datetime(1970, 1, 3), datetime(9999, 12, 29)), st.integers(-1439, 1439))
def test_times_agree_with_the_standard_library(when: datetime, minutes: int) -> None:
    at = when.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    ms = parse_time(at.isoformat())
    assert ms == (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert parse_time(format_time(ms)) == ms


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (T0 + 1, "2026-01-01T00:00:00.001Z"),
        (253_402_300_800_000, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times_of_records_have_milliseconds_only_where_there_are_some(at: int, text: str) -> None:
    assert rfc3339(at) == text
