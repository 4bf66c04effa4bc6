"""Which `assess` process is active: the owner of the only partition of the lease topic, as the group decides.

The group deals by range: the partition goes to the member whose id comes first, and ids begin with the time at which a
process asked for the lease, so the one that has asked longest has it and nobody who joins takes it away. Whoever has
lost it asks anew, behind the others. (kafka-python's sticky assignors would leave the partition to nobody when two
members claim to have had it, as after both were too slow for the broker.)

A member has to answer the group within the session timeout, and a tick or a snapshot may take longer: so the lease has
a thread of its own, which gives it up when the process that it is for shows no life.

The lease only says who should write. That nobody else can is the work of the transactional id: a process that has lost
the lease without noticing is fenced by its successor.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from kafka import KafkaConsumer
from kafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError

from detector.errors import BrokerError
from streaming.kafka.clients import MAX_POLL_MS, Clients, close
from streaming.kafka.membership import Membership
from streaming.kafka.topics import Topics

log = logging.getLogger(__name__)

POLL_MS: Final = 100
"""How often the thread looks at what it was told; the client answers the group in between."""

PAUSE_S: Final = 0.5
"""Wait after an error of the broker."""

LIFELESS_S: Final = MAX_POLL_MS / 1000
"""Seconds without `look` after which the process counts as stuck: what Kafka itself gives a member."""


class Lease:
    """A member of the lease's group, in a thread of its own. `look` often.

    Args:
        wall_ns: ns since 1970. Where clocks of machines differ, a process may be replaced by one that joins; no more.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        clients: Clients,
        topics: Topics,
        wall_ns: Callable[[], int] = time.time_ns,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clients, self._topics, self._wall_ns, self._clock = clients, topics, wall_ns, clock
        self._membership = Membership()
        self._consumer: KafkaConsumer | None = None
        self._held = threading.Event()
        self._anew, self._closing = threading.Event(), threading.Event()
        self._error: BrokerError | None = None
        self._looked_at = clock()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()

    def look(self, wait_s: float = 0.0) -> bool:
        """Whether the lease is ours; waits for it up to `wait_s`.

        Raises:
            BrokerError: the broker is away or refuses, as far as the group was heard of last.
        """
        self._looked_at = self._clock()
        error = self._error
        if error is not None:
            raise BrokerError(str(error)) from error.__cause__
        return self._held.wait(wait_s) if wait_s else self._held.is_set()

    def ask_anew(self) -> None:
        """Leave the group and join it again, behind all others."""
        self._held.clear()
        self._anew.set()

    def close(self) -> None:
        """Leave the group, so that a standby takes over at once."""
        self._closing.set()
        self._thread.join(20)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._turn()
                self._error = None
            except BrokerError as error:
                self._error = error
                self._closing.wait(PAUSE_S)
        self._leave()

    def _turn(self) -> None:
        lifeless = self._clock() - self._looked_at > LIFELESS_S
        if lifeless or self._membership.lost or self._anew.is_set():
            if lifeless and self._consumer is not None:
                log.error("assess has been stuck for %.0f s: leaving the lease to another process", LIFELESS_S)
            self._leave()
            self._anew.clear()
        if lifeless:
            self._closing.wait(PAUSE_S)
            return
        consumer = self._consumer or self._join()
        with self._clients.explained("holding the lease"):
            try:
                consumer.poll(POLL_MS)
            except (NoOffsetForPartitionError, OffsetOutOfRangeError):
                # The topic holds nothing; any position will do.
                for place in self._membership.assigned:
                    try:
                        consumer.seek(place, 0)
                    except ValueError:
                        break
        if self._membership.lost or self._anew.is_set():
            self._held.clear()
        elif self._membership.settled:
            # While the group is dealt anew, the lease is whose it was.
            self._held.set() if self._membership.assigned else self._held.clear()

    def _join(self) -> KafkaConsumer:
        self._membership = Membership()
        consumer = self._clients.member(self._topics.lease_group, 1, name=f"assess-{self._wall_ns():020d}")
        self._clients.subscribe(consumer, [self._topics.lease], self._membership)
        self._consumer = consumer
        return consumer

    def _leave(self) -> None:
        self._held.clear()
        close(self._consumer)
        self._consumer, self._membership = None, Membership()
