"""Which `assess` process is active: the owner of the only partition of the lease topic, as the group decides.

The lease only says who should write. That nobody else can is the work of the transactional id: a process that has lost
the lease without noticing is fenced by its successor's first transaction.
"""

from __future__ import annotations

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
    """A member of the lease's group. `poll` often: a member that does not is taken for dead."""

    def __init__(self, clients: Clients, topics: Topics) -> None:
        self._clients = clients
        self._membership = Membership()
        # Sticky, so that a standby that joins does not take the lease from a process in good health.
        self._consumer: KafkaConsumer = clients.member(topics.lease_group, 1, sticky=True)
        clients.subscribe(self._consumer, [topics.lease], self._membership)

    def poll(self, timeout_ms: int = 0) -> bool:
        """Take part in the group; whether the lease is ours. Waits longer where the group is just being dealt.

        Raises:
            BrokerError: the broker refuses.
        """
        if self._consumer.group_metadata().state != MemberState.STABLE:
            timeout_ms = max(timeout_ms, JOIN_MS)
        with self._clients.explained("holding the lease"):
            try:
                self._consumer.poll(timeout_ms)
                unplaced: list[object] = []
            except (NoOffsetForPartitionError, OffsetOutOfRangeError):
                # The topic holds nothing; any position will do.
                unplaced = list(self._membership.assigned)
            for place in unplaced:
                try:
                    self._consumer.seek(place, 0)
                except ValueError:
                    break
        return self.held

    @property
    def held(self) -> bool:
        """Whether the lease was ours when the group was last heard of."""
        return bool(self._membership.assigned)

    def close(self) -> None:
        """Leave the group, so that a standby takes over at once."""
        close(self._consumer)
