"""`make bench-worker`: a live stream through Apache Kafka and the worker, at a rate, and how long decisions take.

Copies of a recording laid over each other (`streaming.loadtest`) are sent with the present as their time, at an even
rate, which squeezes the recording's days into minutes. `score` and `assess` are processes of their own; a
reader of committed records sees when each tick is decided. A decision's delay is counted from its tick plus the allowed
lateness, before which it cannot be taken. Afterwards the same records are read once by a loop that does nothing but
consume, decode and produce, and by a second deployment that catches up.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from detector.times import format_time
from streaming.kafka.client import Topics, compile_checksums
from streaming.kafka.journal import decode
from streaming.loadtest import main as load_test
from streaming.schema.event import parse
from tests.streaming.kafka.bench import Deployment, Worker
from tests.streaming.kafka.brokers import ApacheKafka, kafka_home

PARTITIONS: Final = 4

SLICE_S: Final = 0.02
"""Events are sent in slices of this length."""

LATENESS_S: Final = 5
TICK_S: Final = 2

DRAIN_S: Final = 120.0
"""Longest wait for the last tick after the last event."""

WARM_S: Final = 30.0
"""After the first event: until then models are loaded and everybody is new. What counts is a worker that has been there
for long."""

PROMISED_S: Final = 2.0
"""Of the delay beyond lateness and tick, at the 99th percentile."""

FEW: Final = 200_000
"""Events that the bare loop reads: its rate is the same for more."""

CLOCK_TICKS: Final = os.sysconf("SC_CLK_TCK")
"""Of the kernel's accounts, a second."""


class Line(NamedTuple):
    """A record around its time."""

    account: bytes
    before: bytes
    after: bytes


def lines(path: Path) -> Iterator[Line]:
    """The records of a file of events, in order."""
    with path.open("rb") as file:
        for line in file:
            account = line.partition(b'"account":"')[2].partition(b'"')[0]
            before, mark, rest = line.rstrip().partition(b'"at":"')
            yield Line(account, before + mark, rest[rest.index(b'"') :])


def send(address: str, topic: str, path: Path, rate: float, seconds: float, out: multiprocessing.Queue[float]) -> None:
    """Send events at a rate, timed as they go; puts the rate that was reached into `out`."""
    compile_checksums()
    producer = KafkaProducer(bootstrap_servers=address, linger_ms=5, compression_type="lz4", acks="all")
    source = lines(path)
    begun, sent = time.monotonic(), 0
    while (elapsed := time.monotonic() - begun) < seconds:
        due = int(elapsed * rate) - sent
        now = format_time(int(time.time() * 1000)).encode()
        for _ in range(due):
            line = next(source, None)
            if line is None:
                raise SystemExit(f"{path} has only {sent:,} events: more copies are needed")
            producer.send(topic, line.before + now + line.after, key=line.account)
        sent += due
        time.sleep(SLICE_S)
    producer.flush(60)
    out.put(sent / (time.monotonic() - begun))
    producer.close()


def committed_ticks(consumer: KafkaConsumer, ticks: dict[int, float], timeout_ms: int) -> None:
    """Note when a reader of committed records first sees each entry of the journal.

    Args:
        consumer: of the journal.
        ticks: tick, ms -> seconds since 1970.
        timeout_ms: longest wait.
    """
    for batch in consumer.poll(timeout_ms).values():
        for record in batch:
            ticks.setdefault(decode(record.value, "the journal").tick_ms, time.time())


def delays(ticks: dict[int, float], first_ms: int, last_ms: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Of every tick in a span, seconds from the earliest moment it could be decided to its decision."""
    seen = sorted(ticks.items())
    found, place = [], 0
    step = int(TICK_S * 1000)
    for tick in range(-(-first_ms // step) * step, last_ms + 1, step):
        while place < len(seen) and seen[place][0] < tick:
            place += 1
        if place == len(seen):
            break
        found.append(seen[place][1] - tick / 1000 - LATENESS_S)
    return np.array(found)


def used_s(worker: Worker) -> float:
    """Seconds of the processor that a worker and the processes it began have taken."""
    total = 0
    for pid in (str(worker.process.pid), *children(worker.process.pid)):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / CLOCK_TICKS


def children(pid: int) -> list[str]:
    """Process ids of those that a process began."""
    found: list[str] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += task.read_text().split()
        except OSError:
            continue
    return found


def resident_mib(worker: Worker) -> float:
    """Resident memory of a worker and the processes it began."""
    total = 0
    for pid in (str(worker.process.pid), *children(worker.process.pid)):
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except OSError:
            continue
    return total * os.sysconf("SC_PAGE_SIZE") / 2**20


def journal_reader(deployment: Deployment) -> KafkaConsumer:
    """A reader of committed entries from the journal's beginning."""
    consumer = KafkaConsumer(
        bootstrap_servers=deployment.address, isolation_level="read_committed", enable_auto_commit=False,
        auto_offset_reset="earliest",
    )  # fmt: skip
    place = TopicPartition(deployment.topics.journal, 0)
    consumer.assign([place])
    consumer.seek_to_beginning(place)
    return consumer


def live(deployment: Deployment, path: Path, rate: float, seconds: float) -> tuple[bool, int]:
    """Send and watch.

    Args:
        deployment: without workers.
        path: events.
        rate: events a second.
        seconds: how long.

    Returns:
        Whether all was decided in time to its end, and how many events were sent.
    """
    workers = {stage: deployment.worker(stage, None) for stage in ("score", "assess")}
    for worker in workers.values():
        worker.wait_for("worker begins", 120)
    reader = journal_reader(deployment)
    queue: multiprocessing.Queue[float] = multiprocessing.Queue()
    sender = multiprocessing.Process(
        target=send, args=(deployment.address, deployment.topics.posts, path, rate, seconds, queue)
    )
    ticks: dict[int, float] = {}
    before = {stage: used_s(worker) for stage, worker in workers.items()}
    first_ms = int(time.time() * 1000)
    sender.start()
    row = first_ms / 1000
    print(f"{'s':>5} {'ticks':>6} {'p50 s':>7} {'p99 s':>7} {'score %':>8} {'assess %':>9} {'MiB':>7}", flush=True)
    last_used = dict(before)
    while sender.is_alive():
        committed_ticks(reader, ticks, 200)
        if time.time() - row >= 60:
            spent = {stage: used_s(worker) for stage, worker in workers.items()}
            shares = [100 * (spent[stage] - last_used[stage]) / (time.time() - row) for stage in workers]
            so_far = delays(ticks, int(row * 1000), int(time.time() * 1000))
            values = np.quantile(so_far, [0.5, 0.99]) if len(so_far) else (np.nan, np.nan)
            print(
                f"{time.time() - first_ms / 1000:>5.0f} {len(so_far):>6} {values[0]:>7.2f} {values[1]:>7.2f}"
                f" {shares[0]:>8.0f} {shares[1]:>9.0f} {sum(map(resident_mib, workers.values())):>7.0f}",
                flush=True,
            )
            row, last_used = time.time(), spent
    reached = queue.get(timeout=5)
    last_ms = int(time.time() * 1000)
    deadline = time.monotonic() + DRAIN_S
    # The tick that the last events themselves make due: later ones wait for later events.
    wanted = last_ms - int((LATENESS_S + 2 * TICK_S) * 1000)
    while time.monotonic() < deadline and max(ticks, default=0) < wanted:
        committed_ticks(reader, ticks, 200)
    first_ms += int(WARM_S * 1000)
    found = delays(ticks, first_ms, wanted)
    spent = {stage: used_s(worker) - before[stage] for stage, worker in workers.items()}
    reader.close()
    for worker in workers.values():
        assert worker.end(60) == 0, worker.said()
    expected = (wanted - first_ms) // int(TICK_S * 1000)
    print("each tick's:", " ".join(f"{one:.1f}" for one in found[-60:]))
    p50, p99 = np.quantile(found, [0.5, 0.99])
    print(
        f"sent {reached:,.0f} events a second for {seconds:.0f} s; {len(found)} of {expected} ticks of {TICK_S} s "
        f"decided; delay beyond lateness and tick: median {p50:.2f} s, p99 {p99:.2f} s, longest {found.max():.2f} s; "
        + ", ".join(f"{stage} {value / seconds:.2f} cores" for stage, value in spent.items())
    )
    return len(found) >= expected - 1 and bool(p99 < PROMISED_S), int(reached * seconds)


def bare(deployment: Deployment, events: int) -> float:
    """Consume, decode and produce all of `posts`, and nothing else; events a second of one process."""
    compile_checksums()
    consumer = KafkaConsumer(bootstrap_servers=deployment.address, enable_auto_commit=False, max_poll_records=2000)
    producer = KafkaProducer(bootstrap_servers=deployment.address, linger_ms=5, compression_type="lz4")
    places = [TopicPartition(deployment.topics.posts, number) for number in range(PARTITIONS)]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    deployment.create(f"{deployment.topics.prefix}bare", PARTITIONS)
    done, begun, now_ms = 0, time.monotonic(), int(time.time() * 1000)
    while done < events:
        for batch in consumer.poll(1000).values():
            for record in batch:
                parse(record.value, now_ms=now_ms)
                producer.send(f"{deployment.topics.prefix}bare", record.value, key=record.key)
                done += 1
    producer.flush(60)
    rate = done / (time.monotonic() - begun)
    consumer.close()
    producer.close()
    return rate


def catch_up(deployment: Deployment, rate: float, limit_s: float) -> float:
    """Events a second that a worker decides on which finds posts waiting that were sent at an even rate.

    Args:
        deployment: new, reading another's posts.
        rate: at which they were sent, events a second.
        limit_s: of seconds from the first decision.
    """
    workers = [deployment.worker(stage, None) for stage in ("score", "assess")]
    workers[1].wait_for("worker begins", 120)
    reader = journal_reader(deployment)
    ticks: dict[int, float] = {}
    while not ticks or time.time() - min(ticks.values()) < limit_s:
        committed_ticks(reader, ticks, 200)
        assert all(worker.alive for worker in workers), "\n".join(worker.said() for worker in workers)
    reader.close()
    for worker in workers:
        worker.kill()
    times = sorted(ticks.items())
    (first, begun), (last, ended) = times[0], times[-1]
    return rate * (last - first) / 1000 / (ended - begun)


def main(argv: Sequence[str] | None = None) -> int:
    """Run it. Exit status 1 where decisions fall behind."""
    parser = argparse.ArgumentParser(prog="python -m tests.streaming.kafka.rates", description=__doc__)
    parser.add_argument("--input", type=Path, required=True, help="recording")
    parser.add_argument("--copies", type=int, default=130)
    parser.add_argument("--rate", type=float, default=2500.0, help="events a second")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--prepared", type=Path, help="copies made before, in place of making them")
    options = parser.parse_args(argv)
    home = kafka_home()
    if home is None:
        print("needs Apache Kafka: set KAFKA_HOME to its folder, and have Java 17", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        path = options.prepared or folder / "copies.jsonl"
        if options.prepared is None:
            load_test(["--input", str(options.input), "--copies", str(options.copies), "--out", str(path)])
        (folder / "broker").mkdir()
        broker = ApacheKafka(folder / "broker", home)
        broker.start()
        deployment = Deployment(broker.address, "live-", folder)
        deployment.settings[""] |= {"allowed_lateness_s": LATENESS_S, "tick_s": TICK_S}
        try:
            deployment.create(Topics("live-").posts, PARTITIONS)
            in_time, events = live(deployment, path, options.rate, options.seconds)
            alone = bare(deployment, min(events, FEW))
            print(f"consume, decode and produce alone: {alone:,.0f} events a second")
            again = Deployment(broker.address, "again-", folder)
            again.settings[""] |= deployment.settings[""]
            again.settings["kafka"]["posts_topic"] = deployment.topics.posts
            reached = catch_up(again, options.rate, min(60.0, options.seconds / 4))
            print(f"catching up: {reached:,.0f} events a second, {reached / alone:.2f} of that")
        finally:
            deployment.stop_all()
            broker.stop()
        return 0 if in_time else 1


if __name__ == "__main__":
    sys.exit(main())
