"""Plays the demo's events into the topic `posts` at many times their own speed."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, Final

import msgspec
from kafka.errors import KafkaError

from detector.errors import BrokerError
from streaming.events import parse_time
from streaming.kafka.clients import Clients, close

STEP_S: Final = 0.05
"""Events are sent twenty times a second, those due by then at once."""

QUIET_MS: Final = 20 * 60_000
"""Longest pause that is played: nobody wants to watch the night."""


def schedule(times_ms: Sequence[int], seconds: float) -> list[float]:
    """Seconds after the start at which each event is due: their own pauses, cut at `QUIET_MS`, made to fit."""
    pauses = [min(QUIET_MS, after - before) for before, after in pairwise(times_ms)]
    scale = seconds / max(1, sum(pauses))
    return [passed * scale for passed in accumulate(pauses, initial=0)]


class Player(threading.Thread):
    """Sends each event when its share of `seconds` has passed. `sent` and `now_ms` may be read at any time."""

    def __init__(self, clients: Clients, topic: str, events: Sequence[dict[str, Any]], seconds: float) -> None:
        super().__init__(name="player", daemon=True)
        self._clients = clients
        self._topic = topic
        encode = msgspec.json.Encoder().encode
        self._times = [parse_time(event["at"]) or 0 for event in events]
        self._due = schedule(self._times, seconds)
        self._records = [(event["account"].encode(), encode(event)) for event in events]
        self._leave = threading.Event()
        self.sent = 0
        self.now_ms = self._times[0]
        self.error: str | None = None

    @property
    def total(self) -> int:
        return len(self._records)

    def leave(self) -> None:
        """Stop sending and end the thread."""
        self._leave.set()
        self.join(5.0)

    def run(self) -> None:
        try:
            producer = self._clients.producer()
        except BrokerError as error:
            self.error = str(error)
            return
        try:
            self._play(producer)
            producer.flush(timeout=30)
        except KafkaError as error:
            self.error = f"the demo's events could not be sent: {type(error).__name__}"
        finally:
            close(producer)

    def _play(self, producer: Any) -> None:
        began = time.monotonic()
        while self.sent < self.total and not self._leave.is_set():
            now = time.monotonic() - began
            while self.sent < self.total and self._due[self.sent] <= now:
                key, value = self._records[self.sent]
                producer.send(self._topic, value, key=key)
                self.now_ms = self._times[self.sent]
                self.sent += 1
            self._leave.wait(STEP_S)
