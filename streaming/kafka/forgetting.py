"""Has an account forgotten: what an event can remove, and what only retention removes from Kafka, and by when."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from kafka.admin import ConfigResource, ConfigResourceType

from detector.errors import UsageError
from streaming.kafka.clients import DELIVERY_MS, Clients, close
from streaming.kafka.topics import Topics
from streaming.settings import Config

HOLDING: Final = "posts", "observations", "dead_letters", "feedback"
"""Topics (attributes of `Topics`) that hold what was written of an account until retention removes it."""

COMPACTED: Final = "alerts", "details", "accounts"
"""Topics in which newer records replace what they said of it."""


def request(clients: Clients, topics: Topics, account: str, now_ms: int) -> str:
    """Write the event that removes everything that is kept of `account`; the event's id.

    Raises:
        UsageError: a name that no account can have, or there is no topic `posts`.
        BrokerError: the broker is away or refuses.
    """
    try:
        key = account.encode()
    except UnicodeEncodeError:
        key = b""
    if not key:
        raise UsageError("forget needs the name of an account as events have it: not empty, and valid UTF-8")
    name = f"forget-{uuid.uuid4()}"
    event = {"v": 1, "id": name, "account": account, "at": now_ms, "kind": "delete_account"}
    producer = clients.producer()
    try:
        with clients.explained(f"writing to {topics.posts}"):
            producer.send(topics.posts, msgspec.json.encode(event), key=key, timestamp_ms=now_ms).get(
                timeout=DELIVERY_MS / 1000
            )
    finally:
        close(producer)
    return name


def remains(clients: Clients, topics: Topics, config: Config, now: datetime) -> Iterator[str]:
    """Where something of the account stays for a while, and until when: one sentence a place.

    Raises:
        BrokerError: the broker is away or refuses to describe its topics.
    """
    with clients.admin() as admin, clients.explained("asking how long topics are kept"):
        names = [getattr(topics, each) for each in HOLDING + COMPACTED]
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        settings = admin.describe_configs(resources, config_filter="all").get("topic", {})
    for each in HOLDING:
        yield f"{getattr(topics, each)}: {_until(settings.get(getattr(topics, each), {}), now)}"
    for each in COMPACTED:
        yield f"{getattr(topics, each)}: what was said before stays until the broker compacts the topic"
    days = timedelta(seconds=2 * config.state.snapshot_every_s)
    yield f"snapshots in {config.state.dir}: until two more have been written, {days} of a running assess"


def _until(settings: dict[str, Any], now: datetime) -> str:
    kept = settings.get("retention.ms", {}).get("value")
    if kept is None:
        return "the broker does not say how long it is kept"
    if int(kept) < 0:
        return "kept for ever: shorten its retention.ms, or delete the topic"
    try:
        until = now + timedelta(milliseconds=int(kept))
    except OverflowError:
        return "kept for ever: shorten its retention.ms, or delete the topic"
    return f"records written until now are removed by {until:%Y-%m-%d %H:%M} UTC (retention.ms={kept})"


def forget(config: Config, account: str) -> Iterator[str]:
    """Write the event, and say in lines what it does and what it cannot do.

    Raises:
        UsageError, BrokerError: as `request`.
    """
    clients, topics = Clients(config.kafka), Topics(config.kafka.topic_prefix)
    now_ms = time.time_ns() // 1_000_000
    name = request(clients, topics, account, now_ms)
    delay_s = config.allowed_lateness_s + config.tick_s
    yield (
        f"written to {topics.posts} as event {name}: assess removes the account from its state, its alerts and the "
        f"topic {topics.accounts} in about {delay_s} s of event time, as soon as the stream has come that far"
    )
    yield "Only retention removes the rest:"
    for line in remains(clients, topics, config, datetime.now(UTC)):
        yield f"  {line}"
