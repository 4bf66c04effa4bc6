"""What an event costs `assess` as a stream goes on, and what a live account takes: `python -m streaming.assess_bench`.

At the end a snapshot is taken, and another `Assess` started from it.

Accounts of one number do as much every day, for as many days as the events last: links, tags, reposts, replies and
likes of things that are popular for a day, without texts, so that only what remembers is measured. They are played into
`Assess` as its log has them. A row of the table is as many events as all rows before it: seconds of the processor an
event there, memory, and the longest tick since the row before. The exit status is 1 where the last row costs more than
`--growth` times the cheapest of the rows before.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer

from detector.errors import UsageError
from detector.models import load_models
from streaming.assess import Answer, Assess, AssessSettings, RerankRequest
from streaming.assess.snapshot import copied, restore, write_copied
from streaming.bench import resident_mib
from streaming.cli import run_function
from streaming.schema.observation import Batch, Kind, Observation

START_MS: Final = 1_767_225_600_000
DAY_MS: Final = 86_400_000

BATCH: Final = 2_000
"""Observations of one batch of the log."""

OBJECTS_A_DAY: Final = 0.3
"""New links, tags and posts to react to, for each event of a day."""

POPULARITY: Final = 1.3
"""Pareto exponent of how much an object is used."""

FIRST: Final = 100_000
"""Events of the first row: what comes before fills caches and tables."""

GROWTH: Final = 1.2
"""Largest cost of an event in the last row for each of the cheapest of those before."""

KINDS: Final = (Kind.POST, Kind.REPLY, Kind.REPOST, Kind.LIKE)
SHARES: Final = (0.4, 0.15, 0.25, 0.2)
"""What accounts do, and how often."""


@dataclass(frozen=True)
class CostRow:
    """Of the table: events so far, seconds of the processor an event and the longest tick since the row before, live
    accounts, MiB."""

    events: int
    seconds: float
    longest_tick: float
    accounts: int
    mib: float


@dataclass(frozen=True)
class RestartCosts:
    """Seconds of the wall to copy the state aside (ticks wait for that alone), to write the copy, and to begin from it;
    MiB of the file."""

    copying: float
    writing: float
    starting: float
    mib: float


def observations(events: int, accounts: int, per_day: float, seed: int) -> Iterator[list[Observation]]:
    """The stream, in batches in order of time.

    Args:
        events: how many.
        accounts: by whom; heavy-tailed.
        per_day: events of an account a day, on average.
        seed: of all that is drawn.
    """
    rng = np.random.default_rng(seed)
    busy = rng.lognormal(0, 1, accounts)
    busy /= busy.sum()
    a_day = max(int(accounts * per_day), 1)
    fresh = max(int(OBJECTS_A_DAY * a_day), 1)
    for begin in range(0, events, BATCH):
        n = min(BATCH, events - begin)
        at = START_MS + ((begin + np.arange(n)) * (DAY_MS / a_day)).astype(np.int64)
        day = (at - START_MS) // DAY_MS
        who = rng.choice(accounts, n, p=busy)
        kind = rng.choice(len(KINDS), n, p=SHARES)
        rank = np.minimum(rng.pareto(POPULARITY, n) * fresh / 4, fresh - 1).astype(np.int64)
        yield [
            _observation(begin + i, *row)
            for i, row in enumerate(
                zip(at.tolist(), who.tolist(), kind.tolist(), (day * fresh + rank).tolist(), strict=True)
            )
        ]


def _observation(offset: int, at: int, who: int, kind: int, thing: int) -> Observation:
    post = KINDS[kind] == Kind.POST
    return Observation(
        offset, False, at=at, account=f"a{who:07d}", id=str(offset), kind=int(KINDS[kind]),
        target="" if post else f"p{thing}", target_account="" if post else f"a{thing % 1000:07d}",
        urls=(f"https://s{thing % 97}.example/{thing}",) if post else (),
        hashtags=(f"t{thing % 9973}",) if post else (),
    )  # fmt: skip


def _unread(request: RerankRequest) -> Answer:
    """The answer of nobody: there are no texts."""
    return Answer.unread(len(request.texts), len(request.meanings))


def _assess() -> Assess:
    models = replace(load_models(), second_stage=None, meaning=None)
    return Assess(AssessSettings(), models, partitions=1)


def measure(assess: Assess, events: int, accounts: int, per_day: float, seed: int) -> Iterator[CostRow]:
    """Play a stream into `Assess`.

    Args:
        assess: that has seen nothing yet.
        events: how many.
        accounts: by whom.
        per_day: events of an account a day.
        seed: of the stream.
    """
    done, mark, spent, longest = 0, FIRST, 0.0, 0.0
    before = 0
    for held in observations(events, accounts, per_day, seed):
        lowest = held[-1].at - 1
        begun = time.process_time()
        assess.feed(Batch(0, 1, done, done + len(held), lowest, {}, held))
        spent += time.process_time() - begun
        while assess.ready():
            begun = time.process_time()
            assess.advance(_unread)
            took = time.process_time() - begun
            spent += took
            longest = max(longest, took)
        done += len(held)
        if done >= mark or done >= events:
            gc.collect()
            yield CostRow(done, spent / (done - before), longest, assess.accounts, resident_mib())
            before, spent, longest, mark = done, 0.0, 0.0, 2 * mark


def restarted(assess: Assess) -> RestartCosts:
    """Snapshot `assess`, and begin from that."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "state"
        begun = time.monotonic()
        state = copied(assess)
        copying = time.monotonic() - begun
        with file.open("w+b") as out:
            write_copied(out, state)
        writing = time.monotonic() - begun - copying
        del state
        begun = time.monotonic()
        again = _assess()
        restore(file, again)
        return RestartCosts(copying, writing, time.monotonic() - begun, file.stat().st_size / 2**20)


def bench(
    events: Annotated[int, typer.Option(metavar="N", help="of the whole stream")] = 10_000_000,
    accounts: Annotated[int, typer.Option(metavar="N", help="that post and react")] = 2_000,
    per_day: Annotated[float, typer.Option(metavar="N", help="events of an account a day, on average")] = 12.0,
    growth: Annotated[float, typer.Option(metavar="RATIO", help="of an event's cost, before status 1")] = GROWTH,
    seed: Annotated[int, typer.Option(metavar="N", help="of the stream")] = 0,
) -> int:
    """Measure what an event costs `assess` while a stream grows, and what an account takes.

    Args:
        events: of the whole stream.
        accounts: how many there are.
        per_day: events of an account a day.
        growth: largest ratio of the last row's cost to the cheapest before.
        seed: of the stream.

    Raises:
        UsageError: numbers that make no stream.
    """
    if events < 2 * FIRST or accounts < 1 or per_day <= 0:
        raise UsageError(f"--events is at least {2 * FIRST:,}, --accounts at least 1, --per-day above 0")
    empty = resident_mib()
    rows = []
    heads = ("us/event", 9), ("events/s", 9), ("longest tick", 13), ("accounts", 9), ("MiB", 8), ("KiB/account", 12)
    print(f"{'events':>12}", *(head.rjust(width) for head, width in heads))
    assess = _assess()
    for row in measure(assess, events, accounts, per_day, seed):
        each = 1024 * (row.mib - empty) / max(row.accounts, 1)
        print(
            f"{row.events:>12,} {1e6 * row.seconds:>9.1f} {1 / row.seconds:>9,.0f} {row.longest_tick:>11.2f} s"
            f" {row.accounts:>9,} {row.mib:>8,.0f} {each:>12.1f}",
            flush=True,
        )
        rows.append(row)
    costs = restarted(assess)
    print(
        f"a snapshot of {costs.mib:,.0f} MiB: {costs.copying:.2f} s to copy aside, {costs.writing:.1f} s to write; "
        f"{costs.starting:.1f} s to begin from it"
    )
    ratio = rows[-1].seconds / min(row.seconds for row in rows[:-1])
    print(f"the last row costs {ratio:.2f} times the cheapest before")
    return int(ratio > growth)


def main(argv: list[str] | None = None) -> int:
    """Run it as a program. Exit status 0; 1 where an event's cost grows; 2 unusable arguments."""
    return run_function(bench, "python -m streaming.assess_bench", argv)


if __name__ == "__main__":
    sys.exit(main())
