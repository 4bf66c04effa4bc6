"""Times as platforms write them: RFC 3339 and what is nearly that, numbers of any unit, and the dates of X.

Every function gives milliseconds since 1970 UTC, or None where the value is no time. What has no zone is taken as UTC,
as the platforms' own documentation says of theirs; how exactly a time is known is beside it where that matters.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from detector.times import AT_MAX, parse_time

MINUTE_S: Final = 60
DAY_S: Final = 86_400

EARLIEST_S: Final = 946_684_800
"""2000-01-01 in seconds: numbers from here on have one unit only in which they lie between 2000 and 2100."""

EARLIEST_MS: Final = 1000 * EARLIEST_S
"""2000-01-01 in milliseconds: no platform's posts are older, so earlier times have another unit, or are none."""

_LATEST_S: Final = 4_102_444_800
"""2100-01-01 in seconds."""

_UNITS: Final = (1_000_000_000, 1_000_000, 1_000, 1)
"""Of a number: by what seconds are multiplied. Nanoseconds first; no number fits two."""

X_EPOCH_MS: Final = 1_288_834_974_657
"""2010-11-04T01:42:54.657Z: from then on, ids of X are this plus id >> 22 ms (X's own announcement of Snowflake)."""

_SNOWFLAKE_BITS: Final = 22

_FIRST_SNOWFLAKE: Final = 29_700_859_247
"""Ids below are of the time before, and count posts."""

_DATE: Final = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?"
    r"\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2})?",
    re.ASCII | re.IGNORECASE,
)

_X_DATE: Final = re.compile(r"\w{3} (\w{3}) (\d{1,2}) (\d{2}):(\d{2}):(\d{2}) ([+-]\d{4}) (\d{4})", re.ASCII)

_US_DATE: Final = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}) (\d{1,2}):(\d{2})", re.ASCII)

_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}

_NUMBER: Final = re.compile(r"-?\d{1,20}(?:\.\d{1,12})?", re.ASCII)


def _plain_number(value: Any) -> int | float | None:
    """A number, or what a string of one says; None of anything else."""
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value.strip()):
            return None
        return float(value) if "." in value else int(value)
    return None if isinstance(value, bool) or not isinstance(value, int | float) else value


def seconds(value: Any) -> int | None:
    """Of seconds since 1970, as an integer, a float or a string of either."""
    value = _plain_number(value)
    if value is None:
        return None
    if isinstance(value, float):
        if not math.isfinite(value) or abs(value) > _LATEST_S * 1_000:
            return None
        return _in_range(round(value * 1000))
    return _in_range(value * 1000)


def number(value: Any) -> int | None:
    """Of a number, or a string of one, in whichever of seconds, ms, us and ns lies between the years 2000 and 2100."""
    value = _plain_number(value)
    if value is None:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    for unit in _UNITS:
        if EARLIEST_S * unit <= value < _LATEST_S * unit:
            return int(value * 1000) if unit == 1 else int(value * 1000 // unit)
    return None


def written(value: Any) -> tuple[int, int] | None:
    """Of a date as text: RFC 3339 or nearly so, without zone, seconds or time of day.

    Returns:
        The time, and how exactly it is known, in seconds: 0, or that of a minute or a day where no more is written.
    """
    if not isinstance(value, str):
        return None
    at = parse_time(value)
    if at is not None:
        return at, 0
    match = _DATE.fullmatch(value.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    time = _utc(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
    if time is None:
        return None
    if fraction:
        time += int((fraction + "00")[:3])
    offset = _offset_ms(zone)
    precision = DAY_S if hour is None else MINUTE_S if second is None else 0
    if offset is None:
        return None
    time -= offset
    return (time, precision) if 0 <= time <= AT_MAX else None


def any_time(value: Any) -> tuple[int, int] | None:
    """Of a number of any unit, or a date as text; as `written` gives it."""
    at = number(value)
    if at is not None:
        return at, 0
    if isinstance(value, str):
        at = x_date(value)
        return (at, 0) if at is not None else written(value)
    return None


def x_date(value: Any) -> int | None:
    """Of `Thu Jul 28 16:10:07 +0000 2022`, as X's version 1.1 has it."""
    match = _X_DATE.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[1] not in _MONTHS:
        return None
    time = _utc(int(match[7]), _MONTHS[match[1]], int(match[2]), int(match[3]), int(match[4]), int(match[5]))
    offset = _offset_ms(match[6])
    return None if time is None or offset is None else _in_range(time - offset)


def us_minute(value: Any) -> int | None:
    """Of `10/1/2017 19:58`: month, day, year, hour and minute, in UTC."""
    match = _US_DATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    month, day, year, hour, minute = (int(part) for part in match.groups())
    return _utc(year, month, day, hour, minute, 0)


def snowflake(value: Any) -> int | None:
    """When the post with this id of X was made, None where the id does not say."""
    text = value if isinstance(value, str) else str(value) if type(value) is int else ""
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        return None
    return _in_range((int(text) >> _SNOWFLAKE_BITS) + X_EPOCH_MS) if int(text) >= _FIRST_SNOWFLAKE else None


def _in_range(time: int) -> int | None:
    return time if 0 <= time <= AT_MAX else None


def _offset_ms(zone: str | None) -> int | None:
    if zone is None or zone[0] not in "+-":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    if hours > 23 or minutes > 59:
        return None
    return (1 if zone[0] == "+" else -1) * (hours * 60 + minutes) * 60_000


@lru_cache(maxsize=4096)
def _minute(year: int, month: int, day: int, hour: int, minute: int) -> int | None:
    try:
        return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()) * 1000
    except (ValueError, OverflowError):
        return None


def _utc(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int | None:
    time = _minute(year, month, day, hour, minute)
    return None if time is None or second > 59 else _in_range(time + second * 1000)
