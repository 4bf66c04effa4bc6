"""Views of traces for tests, written as (account, time, kind, object) by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from graph.trace_memory import TraceMemory, TraceView
from graph.traces import Trace

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOW = 100 * DAY


class Use(NamedTuple):
    """`account` used the object `key` of `kind` `at` ms after `NOW`, whose owner is `other`, "" for nobody."""

    account: str
    at: int
    kind: int
    key: str
    other: str = ""


def remembered(uses: Iterable[Use]) -> tuple[TraceMemory, list[str]]:
    """A memory of the uses, in order of time, and the names of its rows."""
    memory = TraceMemory()
    row_of: dict[str, int] = {}
    for use in sorted(uses, key=lambda use: use.at):
        row = row_of.setdefault(use.account, len(row_of))
        other = row_of.setdefault(use.other, len(row_of)) if use.other else -1
        memory.add([Trace(NOW + use.at, row, use.kind, use.key, other)])
    return memory, list(row_of)


def view_of(uses: Iterable[Use], now_ms: int = NOW + DAY) -> TraceView:
    """The view of all of them."""
    memory, names = remembered(uses)
    return memory.view(names.__getitem__, now_ms)
