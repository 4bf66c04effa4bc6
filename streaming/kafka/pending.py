"""What was sent and is not yet acknowledged, in order, so that offsets are committed only behind it."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from kafka import TopicPartition
from kafka.errors import KafkaError
from kafka.producer.future import FutureRecordMetadata

MOST_BYTES: Final = 32 << 20
"""Unacknowledged bytes at most. The client itself would buffer without bound while the broker is away."""


@dataclass(frozen=True)
class Sent:
    """One range of source offsets up to `end`, with everything that was written for it."""

    place: TopicPartition
    end: int
    size: int
    clock: Any
    """The writer's watermark state after the range, to go back to."""
    futures: Sequence[FutureRecordMetadata]


class Pending:
    """Ranges in flight, per partition of the source in order.

    A range is acknowledged when everything written for it and for the ranges before it is.
    """

    def __init__(self) -> None:
        self._queues: dict[TopicPartition, deque[Sent]] = {}
        self._bytes = 0

    def add(self, sent: Sent) -> None:
        self._queues.setdefault(sent.place, deque()).append(sent)
        self._bytes += sent.size

    def settle(self, limit: int, timeout_s: float) -> tuple[list[Sent], BaseException | None]:
        """Take out what is acknowledged, waiting at most `timeout_s` until no more than `limit` bytes are in flight.

        Returns:
            The ranges newly acknowledged, in order within each partition, and the error of a send that failed: what is
            still in flight then has to be written again.
        """
        deadline = time.monotonic() + timeout_s
        done: list[Sent] = []
        while True:
            failure = self._take(done)
            left = deadline - time.monotonic()
            if failure is not None or self._bytes <= limit or left <= 0:
                return done, failure
            waiting = next(queue[0] for queue in self._queues.values() if queue)
            future = next(future for future in waiting.futures if not future.is_done)
            with contextlib.suppress(KafkaError):
                future.get(timeout=left)

    def _take(self, done: list[Sent]) -> BaseException | None:
        failure: BaseException | None = None
        for queue in self._queues.values():
            while queue and all(future.is_done for future in queue[0].futures):
                failed = next((future for future in queue[0].futures if future.failed()), None)
                if failed is not None:
                    failure = failed.exception
                    break
                done.append(queue.popleft())
                self._bytes -= done[-1].size
        return failure

    def clear(self) -> None:
        """Forget everything in flight: the source is read again from the last acknowledged offset."""
        self._queues.clear()
        self._bytes = 0

    def ahead(self, place: TopicPartition) -> bool:
        """Whether anything of `place` is in flight."""
        return bool(self._queues.get(place))
