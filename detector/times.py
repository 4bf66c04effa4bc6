"""Times as text and as numbers: RFC 3339 strings to milliseconds since 1970-01-01 UTC, and back.

Every record that crosses a process or a file writes its times in one of these two forms. This is the only place that
reads one.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final

AT_MAX: Final = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z: the last time RFC 3339 can write, ms since 1970. The first is 0."""

_EPOCH: Final = date(1970, 1, 1).toordinal()

_RFC3339: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(?:[Zz]|([+-])(\d{2}):(\d{2}))", re.ASCII
)


def parse_time(value: str) -> int | None:
    """Milliseconds since 1970 of an RFC 3339 time with offset, rounded down; None where `value` is none.

    A leap second (23:59:60 UTC) is the first millisecond of the next day. RFC 3339, 5.6.
    """
    match = _RFC3339.fullmatch(value)
    if match is None:
        return None
    day_text, hour_text, minute_text, second_text, fraction, sign, off_hour, off_minute = match.groups()
    day, hour, minute, second = _day_ms(day_text), int(hour_text), int(minute_text), int(second_text)
    if day is None or hour > 23 or minute > 59 or second > 60:
        return None
    time = day + hour * 3_600_000 + minute * 60_000 + second * 1000
    if sign is not None:
        hours, minutes = int(off_hour), int(off_minute)
        if hours > 23 or minutes > 59:
            return None
        offset = hours * 3_600_000 + minutes * 60_000
        time += offset if sign == "-" else -offset
    if second == 60:
        return time if time % 86_400_000 == 0 else None
    return time + int((fraction + "00")[:3]) if fraction else time


def format_time(at_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds, of 0 <= `at_ms` <= `AT_MAX`.

    >>> format_time(1_710_547_256_001)
    '2024-03-16T00:00:56.001Z'
    """
    days, rest = divmod(at_ms, 86_400_000)
    seconds, ms = divmod(rest, 1000)
    minutes, second = divmod(seconds, 60)
    day = date.fromordinal(_EPOCH + days).isoformat()
    return f"{day}T{minutes // 60:02}:{minutes % 60:02}:{second:02}.{ms:03}Z"


@lru_cache(maxsize=4096)
def _day_ms(day: str) -> int | None:
    try:
        return (date.fromisoformat(day).toordinal() - _EPOCH) * 86_400_000
    except ValueError:
        return None


def rfc3339(at_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds only where there are some; what lies after `AT_MAX` is written as `AT_MAX`.

    >>> rfc3339(1_710_547_260_000)
    '2024-03-16T00:01:00Z'
    """
    seconds, ms = divmod(min(int(at_ms), AT_MAX), 1000)
    text = datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
    return f"{text}.{ms:03d}Z" if ms else f"{text}Z"
