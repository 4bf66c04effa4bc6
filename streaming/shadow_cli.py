"""The command `swarmlight shadow`: whom a shadow adds and removes, by the alerts of both as they are now."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from detector.errors import UsageError
from detector.times import rfc3339
from streaming.commands import ConfigFile
from streaming.config import load_config
from streaming.schema.shadow_comparison import encode_comparison
from streaming.shadow import Comparison, moved_lines


def shadow_command(
    config: ConfigFile = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write all accounts that are added or removed, as JSON lines")
    ] = None,
) -> int:
    """Say whom a shadow lists in open alerts and the live deployment does not, and the other way round.

    Both are compared at the newest tick that both have committed. The worker of the shadow says the same all along, in
    the topic comparison and as metrics.

    Args:
        out: one record of the topic comparison a line.

    Raises:
        UsageError: the configuration is of no shadow, or one of both has decided nothing yet.
        BrokerError: the broker is away.
    """
    from streaming.kafka.client import Clients, Topics
    from streaming.kafka.journal import JournalReader
    from streaming.kafka.pair_stage import TopicReader, ticks
    from streaming.kafka.shadow_worker import feed

    loaded = load_config(config, os.environ)
    clients, topics = Clients(loaded.kafka), Topics.of(loaded.kafka, loaded.shadow)
    live = topics.live
    if live is None:
        raise UsageError("this configuration is of no shadow: set [shadow] log to live or own (swarmlight config)")
    journals = [JournalReader(clients, each) for each in (live, topics)]
    reader = TopicReader(clients, [live.alerts, topics.alerts])
    try:
        for each in journals:
            each.read_end()
        committed = [tick for tick in ticks(journals) if tick is not None]
        if len(committed) < len(journals):
            raise UsageError("the live deployment or the shadow has decided nothing yet: wait, or start their workers")
        comparison = Comparison()
        feed(comparison, reader, live.alerts)
        comparison.settle(min(committed))
    finally:
        reader.close()
        for each in journals:
            each.close()
    found = list(comparison.differences())
    print(f"{comparison.tally.both:,} accounts in alerts of both, at {rfc3339(min(committed))}")
    moved = {change: [each.account for each in found if each.change == change] for change in ("added", "removed")}
    print("\n".join(moved_lines(moved["added"], moved["removed"])))
    if loaded.shadow.begin:
        print(f"the shadow has not seen what was written before {loaded.shadow.begin}")
    behind_s = (committed[0] - committed[1]) / 1000
    if behind_s > 0:
        print(f"it is {json.dumps(behind_s)} s behind the live deployment")
    if out is not None:
        out.write_bytes(b"".join(encode_comparison(each) + b"\n" for each in found))
    return 0
