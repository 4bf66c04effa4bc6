"""What a consumer group has given to this process."""

from __future__ import annotations

from collections.abc import Iterable

from kafka import ConsumerRebalanceListener, TopicPartition


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]
    """Notes what the group assigns. Its methods run on the client's own thread, so they do no more than that.

    `version` counts what happened: who acts on an assignment compares it before and after. `lost` says that the group
    has thrown us out, and may have given to others what was ours.
    """

    def __init__(self) -> None:
        self.version = 0
        self.settled = False
        self.lost = False
        self.assigned: frozenset[TopicPartition] = frozenset()

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self.assigned -= frozenset(revoked)
        self.settled = False
        self.version += 1

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self.lost = True
        self.on_partitions_revoked(lost)

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self.assigned |= frozenset(assigned)
        self.settled = True
        self.version += 1
