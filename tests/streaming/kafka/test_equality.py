"""`swarmlight worker` on a broker says what `swarmlight run` says on the same events (contract, Determinism)."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from tests.streaming.kafka.bench import ROOT, Deployment, Worker, last_revisions
from tests.streaming.kafka.brokers import ApacheKafka, Broker
from tests.streaming.kafka.streams import shuffled, society

pytestmark = pytest.mark.kafka

TOLERANCE: Final = 1e-4

TOP: Final[dict[str, object]] = {
    "target_fpr": 0.2,
    "target_fdr": 0.2,
    "second_stage_texts_per_s": 0.001,
    "meaning_texts_per_s": 0.001,
}
"""Loose enough that six hundred events make alerts; a hundred texts a day for either reading of texts."""


FAST: Final = TOP | {"second_stage_texts_per_s": 0, "meaning_texts_per_s": 0}
"""The same without the encoder, which takes seconds to load in every process."""


def run(
    deployment: Deployment, events: Iterable[dict[str, Any]], top: dict[str, object] = TOP
) -> dict[str, dict[str, Any]]:
    """Last revisions of all alerts of `swarmlight run`."""
    folder = deployment.folder
    (folder / "events.jsonl").write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
    config = deployment.config(top=top)
    subprocess.run(
        [
            *(sys.executable, "-m", "streaming", "run", "--config", str(config)),
            *("--input", str(folder / "events.jsonl"), "--alerts", str(folder / "alerts.jsonl")),
        ],
        check=True,
        cwd=ROOT,
        capture_output=True,
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for line in (folder / "alerts.jsonl").read_bytes().splitlines():
        alert = msgspec.json.decode(line)
        found.setdefault(alert["id"], []).append(alert)
    return last_revisions(found)


def differences(a: Any, b: Any, where: str = "") -> list[str]:
    """Where two alerts differ: `revision` may, and numbers by `TOLERANCE`."""
    if isinstance(a, dict) and isinstance(b, dict):
        keys = (a.keys() | b.keys()) - {"revision"}
        return [each for key in sorted(keys) for each in differences(a.get(key), b.get(key), f"{where}.{key}")]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [each for i, (x, y) in enumerate(zip(a, b, strict=True)) for each in differences(x, y, f"{where}[{i}]")]
    both = isinstance(a, float | int) and isinstance(b, float | int)
    same = math.isclose(a, b, rel_tol=0, abs_tol=TOLERANCE) if both else a == b
    return [] if same else [f"{where}: {a!r} is not {b!r}"]


def check_equal(deployment: Deployment, expected: dict[str, dict[str, Any]]) -> None:
    alerts = last_revisions(deployment.alerts())
    assert alerts.keys() == expected.keys()
    assert [each for name in expected for each in differences(alerts[name], expected[name], name)] == []


def process(
    deployment: Deployment,
    events: list[dict[str, Any]],
    *,
    workers: int,
    partitions: int,
    keyed: bool,
    records: int,
    trickle: bool,
    top: dict[str, object] = TOP,
) -> None:
    """Have `workers` process `events` from a topic of `partitions`, written before or while they run."""
    deployment.create(deployment.topics.posts, partitions)
    taken: dict[str, object] = {"poll_records": records}
    if not trickle:
        deployment.write(events, partitions=partitions, keyed=keyed)
    running = [deployment.worker(exit_s=6.0 if trickle else 2.0, top=top, kafka=taken) for _ in range(workers)]
    if trickle:
        wait_until_shared(running, partitions)
        deployment.write(events, partitions=partitions, keyed=keyed, pause_s=0.003)
    for worker in running:
        assert worker.wait(240) == 0, worker.said()


def wait_until_shared(workers: list[Worker], partitions: int) -> None:
    """Wait until as many workers own partitions as can."""
    deadline = time.monotonic() + 60
    while sum("owns" in worker.wrote() for worker in workers) < min(len(workers), partitions):
        assert time.monotonic() < deadline, "\n".join(worker.said() for worker in workers)
        time.sleep(0.02)


@pytest.mark.slow
def test_one_worker_and_one_partition(deployment: Deployment) -> None:
    events = society(600)
    expected = run(deployment, events)
    assert expected
    process(deployment, events, workers=1, partitions=1, keyed=True, records=2000, trickle=False)
    check_equal(deployment, expected)


def test_one_worker_taking_records_and_their_edits_singly_from_unkeyed_partitions(deployment: Deployment) -> None:
    posts = society(400, seed=1)
    edits = [
        each | {"at": each["at"] + 30_000, "text": f"{each['text']} corrected"}
        for each in [each for each in posts if each["kind"] == "post" and each["id"]][::3]
    ]
    events = sorted([*posts, *edits], key=lambda each: int(each["at"]))
    expected = run(deployment, events, FAST)
    assert any("corrected" in post.get("text", "") for alert in expected.values() for post in alert["posts"])
    process(deployment, events, workers=1, partitions=4, keyed=False, records=1, trickle=False, top=FAST)
    check_equal(deployment, expected)


@pytest.mark.slow
def test_three_workers_and_a_trickle_out_of_order(apache: Broker, deployment: Deployment) -> None:
    events = society(600, seed=2)
    expected = run(deployment, events, FAST)
    assert expected
    late = shuffled(events, within_ms=59_000)
    process(deployment, late, workers=3, partitions=4, keyed=True, records=2000, trickle=True, top=FAST)
    check_equal(deployment, expected)


MATRIX: Final = list(product([1, 3], [1, 4], [True, False], [1, 2000], [False, True]))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("workers", "partitions", "keyed", "records", "trickle"), MATRIX)
def test_every_combination(
    broker: Broker, deployment: Deployment, workers: int, partitions: int, keyed: bool, records: int, trickle: bool
) -> None:
    if workers > 1 and not isinstance(broker, ApacheKafka):
        pytest.skip("several workers need Apache Kafka")
    seed = MATRIX.index((workers, partitions, keyed, records, trickle))
    events = society(600, seed=seed)
    expected = run(deployment, events, FAST)
    arriving = shuffled(events, within_ms=59_000, seed=seed)
    process(
        deployment,
        arriving,
        workers=workers,
        partitions=partitions,
        keyed=keyed,
        records=records,
        trickle=trickle,
        top=FAST,
    )
    check_equal(deployment, expected)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_recording(deployment: Deployment, data_dir: Path) -> None:
    """All of `planted-dev`, with the thresholds as shipped."""
    import gzip

    with gzip.open(data_dir / "streams" / "planted-dev.jsonl.gz") as file:
        events = [msgspec.json.decode(line) for line in file]
    expected = run(deployment, events)
    process(deployment, events, workers=1, partitions=4, keyed=True, records=2000, trickle=False)
    check_equal(deployment, expected)
