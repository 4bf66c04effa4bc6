"""The stage `deliver`: what the topic `alerts` gets goes on to sinks outside, each in order, each at its own pace.

A sink has a consumer group of its own, so that one worker at a time feeds it and another goes on where that one was.
Its offset is committed when the sink has flushed what came before: nothing is lost, and after a crash the last of it
comes twice. A sink that takes nothing is tried again for as long as it lasts; neither alerts nor other sinks wait for
it.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from kafka import TopicPartition

from detector.errors import DeliveryError, SwarmlightError, UsageError
from streaming.config import Config
from streaming.kafka.client import Clients, Topics
from streaming.kafka.consumer import InputConsumer
from streaming.retry import Backoff
from streaming.sinks.base import LiveSink, open_live_sink
from streaming.sinks.webhook import FIRST_WAIT_S, LONGEST_WAIT_S
from streaming.worker_metrics import Metrics

log = logging.getLogger(__name__)

POLL_MS: Final = 200
"""Longest wait for alerts, and longest delay of noticing a request to stop."""

RECORDS: Final = 100
"""Alerts taken at once: of 900 kB at most each, so 90 MB wait at most."""

_PLAIN: Final = re.compile(r"[^A-Za-z0-9]+")


def sinks_of(config: Config) -> list[str]:
    """What `[sinks] deliver` names, `NAME:TARGET` each."""
    return list(dict.fromkeys(config.sinks.deliver.split()))


def name_of(spec: str) -> str:
    """What a sink is called in logs, group and thread: its name and a hash of its target, which may hold a secret."""
    name = _PLAIN.sub("-", spec.partition(":")[0])[:30]
    return f"{name}-{hashlib.sha256(spec.encode('utf-8', 'replace')).hexdigest()[:8]}"


class DeliverStage:
    """The loop of one sink. Call `turn` until `done` or asked to stop, then `close`.

    Args:
        clients: makes the consumer.
        topics: names.
        config: handed on to the sink, which is to try once: waiting is done here.
        spec: `NAME:TARGET`.
        metrics: told of failures.
        over: whether nothing more can come, so that the loop ends once all was delivered; None: never.
        clock: seconds, monotonic.

    Raises:
        UsageError: the sink cannot be opened, or is none for a deployment that lives.
    """

    def __init__(
        self,
        clients: Clients,
        topics: Topics,
        config: Config,
        spec: str,
        *,
        metrics: Metrics,
        over: Callable[[], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name_of(spec)
        once = config.model_copy(update={"sinks": config.sinks.model_copy(update={"give_up_s": 0.0})})
        self._open: Callable[[], LiveSink] = lambda: open_live_sink(spec, once)
        self._metrics = metrics
        self._over, self._clock = over, clock
        self._sink: LiveSink | None = None
        try:
            self._sink = self._open()
        except UsageError:
            raise
        except SwarmlightError as error:
            log.warning("sink %s cannot be opened yet: %s", self._name, error)
        self._source = InputConsumer(clients, f"{topics.prefix}swarmlight-sink-{self._name}", [topics.alerts], RECORDS)
        self._waiting: deque[tuple[TopicPartition, Any]] = deque()
        self._written: dict[TopicPartition, int] = {}
        self._safe: dict[TopicPartition, int] = {}
        self._backoff = Backoff(FIRST_WAIT_S, LONGEST_WAIT_S)
        self._again_at = self._flushed_at = clock()
        self.done = False
        """Nothing more can come, and all was delivered."""

    def turn(self) -> None:
        """Run one turn of the loop; takes about `POLL_MS` where nothing comes.

        Raises:
            LogError, BrokerError: what only an operator can mend, of the topic.
        """
        if self._clock() < self._again_at:
            time.sleep(POLL_MS / 1000)
            return
        came = False
        if not self._waiting:
            for taken in self._source.poll(POLL_MS):
                came = True
                self._waiting += [(taken.tp, record) for record in taken.records]
                if not taken.records:
                    self._written[taken.tp] = taken.end
        try:
            if self._sink is None:
                self._sink = self._open()
            self._deliver(self._sink)
        except SwarmlightError as error:
            self._failed(error)
            return
        if self._over is not None and not came and not self._waiting and self._at_end() and self._over():
            self._flushed_at = float("-inf")
            self.done = not self._written

    def _deliver(self, sink: LiveSink) -> None:
        while self._waiting:
            tp, record = self._waiting[0]
            if tp in self._source.next and record.value is not None:
                sink.write((record.key or b"").decode("utf-8", "replace"), record.value)
                self._backoff.succeeded()
            self._waiting.popleft()
            self._written[tp] = record.offset + 1
        if self._written and self._clock() - self._flushed_at >= sink.flush_s:
            sink.flush()
            self._flushed_at = self._clock()
            self._commit()

    def _commit(self) -> None:
        if self._source.commit(self._written):
            self._safe |= self._written
            self._written = {}

    def _failed(self, error: SwarmlightError) -> None:
        """Wait, and begin again behind what is known to be safe."""
        wait = self._backoff.failed(error.wait_s if isinstance(error, DeliveryError) else None)
        self._again_at = self._clock() + wait
        self._metrics.alarm("sink")
        log.warning("sink %s: %s; again in %.0f s", self._name, error, wait)
        if self._sink is not None and self._sink.flush_s == 0:
            self._commit()
            return
        self._close_sink()
        self._waiting.clear()
        self._written = {}
        committed = self._source.committed
        self._source.rewind({tp: self._safe.get(tp, committed.get(tp, 0)) for tp in self._source.next})

    def _close_sink(self) -> None:
        sink, self._sink = self._sink, None
        try:
            if sink is not None:
                sink.close()
        except SwarmlightError as error:
            log.info("sink %s did not close in order: %s", self._name, error)

    def _at_end(self) -> bool:
        if not self._source.settled:
            return False
        owned = list(self._source.next)
        ends = self._source.ends(owned) if owned else {}
        return ends is not None and all(self._source.next.get(tp, 0) >= end for tp, end in ends.items())

    def close(self) -> None:
        """Flush, commit, leave the group."""
        try:
            if self._sink is not None and self._written:
                self._sink.flush()
                self._commit()
        except SwarmlightError as error:
            log.warning("sink %s: %s; the next start sends the last alerts again", self._name, error)
        finally:
            self._source.close()
            self._close_sink()
