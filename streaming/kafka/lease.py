"""Which `assess` process is active: the owner of the only partition of the lease topic, as the group decides.

The group deals by range: the partition goes to the member whose id comes first, and ids begin with the time at which a
process asked for the lease, so the one that has asked longest has it and nobody who joins takes it away. Whoever has
lost it asks anew, behind the others. (kafka-python's sticky assignors would leave the partition to nobody when two
members claim to have had it, as after both were too slow for the broker.)

The lease only says who should write. That nobody else can is the work of the transactional id: a process that has lost
the lease without noticing is fenced by its successor.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from kafka import KafkaConsumer
from kafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError
from kafka.structs import MemberState

from streaming.kafka.clients import Clients, close
from streaming.kafka.membership import Membership
from streaming.kafka.topics import Topics

JOIN_MS: Final = 200
"""A poll without time does not get a member any further into its group."""


class Lease:
    """A member of the lease's group. `poll` often: a member that does not is taken for dead.

    Args:
        wall_ns: ns since 1970. Where clocks of machines differ, a process may be replaced by one that joins; no more.
    """

    def __init__(self, clients: Clients, topics: Topics, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self._clients, self._topics, self._wall_ns = clients, topics, wall_ns
        self._held = False
        self._membership = Membership()
        self._consumer: KafkaConsumer | None = None
        self._join()

    def _join(self) -> KafkaConsumer:
        self._membership = Membership()
        consumer = self._clients.member(self._topics.lease_group, 1, name=f"assess-{self._wall_ns():020d}")
        self._clients.subscribe(consumer, [self._topics.lease], self._membership)
        self._consumer = consumer
        return consumer

    def poll(self, timeout_ms: int = 0) -> bool:
        """Take part in the group; whether the lease is ours. Waits longer where the group is just being dealt.

        Raises:
            BrokerError: the broker is away or refuses.
        """
        if self._membership.lost and not self._held:
            self.ask_anew()
        consumer = self._consumer or self._join()
        if consumer.group_metadata().state != MemberState.STABLE:
            timeout_ms = max(timeout_ms, JOIN_MS)
        with self._clients.explained("holding the lease"):
            try:
                consumer.poll(timeout_ms)
            except (NoOffsetForPartitionError, OffsetOutOfRangeError):
                # The topic holds nothing; any position will do.
                for place in self._membership.assigned:
                    try:
                        consumer.seek(place, 0)
                    except ValueError:
                        break
        return self.held

    @property
    def held(self) -> bool:
        """Whether the lease is ours. While the group is dealt anew it is whose it was."""
        if self._membership.lost:
            self._held = False
        elif self._membership.settled:
            self._held = bool(self._membership.assigned)
        return self._held

    def ask_anew(self) -> None:
        """Leave the group; the next `poll` joins it again, behind all others."""
        self.close()
        self._held = False
        self._membership = Membership()

    def close(self) -> None:
        """Leave the group, so that a standby takes over at once."""
        close(self._consumer)
        self._consumer = None
