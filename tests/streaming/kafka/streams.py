"""Small streams of events for the Kafka tests, seeded."""

from __future__ import annotations

import random
from typing import Any, Final

START_MS: Final = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""


def stream(count: int, *, accounts: int = 20, seed: int = 0, step_ms: int = 2000) -> list[dict[str, Any]]:
    """Events `step_ms` apart in event time, by a few accounts, some of them twice."""
    rng = random.Random(seed)
    events = []
    for number in range(count):
        account = f"account{rng.randrange(accounts)}"
        events.append(
            {"id": str(number), "account": account, "at": START_MS + number * step_ms, "kind": "post", "text": "hello"}
        )
        if rng.random() < 0.02:
            events.append(events[rng.randrange(max(0, len(events) - 20), len(events))])
    return events


def shuffled(events: list[dict[str, Any]], within_ms: int, seed: int = 0) -> list[dict[str, Any]]:
    """The events as they would arrive with delays below `within_ms`."""
    rng = random.Random(seed)
    arrivals = [(event["at"] + rng.random() * within_ms, number) for number, event in enumerate(events)]
    return [events[number] for _, number in sorted(arrivals)]
