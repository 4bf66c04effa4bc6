"""The processes of the Compose file with its variables, without containers: a post becomes an alert in the feed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.moderation import postgres
from tests.moderation.test_kafka_loop import Program, until
from tests.streaming.kafka.bench import ROOT, Deployment
from tests.streaming.kafka.brokers import ApacheKafka, free_ports
from tests.streaming.kafka.streams import society
from tests.streaming.kafka.test_equality import FAST

yaml: Any = pytest.importorskip("yaml")

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(postgres.program("initdb") is None, reason="no PostgreSQL server on this machine"),
]

SERVICES: Final = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))["services"]


def variables(service: str, **places: str) -> dict[str, str]:
    """What the Compose file gives a service, with the names of other containers replaced by where they are here."""
    given = dict(SERVICES[service]["environment"])
    for name, value in given.items():
        for container, place in places.items():
            given[name] = given[name].replace(container, place)
        assert "kafka:" not in given[name], f"{name} = {value} names a container"
    return given


@contextmanager
def running(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "streaming", *command],
            stdout=file,
            stderr=file,
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        )
    try:
        yield process
        process.terminate()
        assert process.wait(60) == 0, log.read_text(errors="replace")[-3000:]
    finally:
        process.kill()
        process.wait()


def test_a_post_ends_as_an_alert_in_the_feed(home: Path, tmp_path: Path) -> None:
    broker = ApacheKafka(tmp_path, home)
    broker.start()
    try:
        with postgres.server() as database:
            _play(broker, database, tmp_path)
    finally:
        broker.stop()


def _play(broker: ApacheKafka, database: str, folder: Path) -> None:
    # Event time of a day in a minute; all else is the Compose file's.
    fast = {f"SWARMLIGHT_{name.upper()}": str(value) for name, value in FAST.items()}
    password = folder / "password"
    password.write_text("not asked for here\n")
    places = {"kafka:29092": broker.address, "0.0.0.0": "127.0.0.1"}
    workers = []
    for port in free_ports(SERVICES["worker"]["deploy"]["replicas"]):
        given = variables("worker", **places) | fast
        given["SWARMLIGHT_STATE__DIR"] = str(folder / "state")  # the image's, in a volume that both have
        given["SWARMLIGHT_METRICS__PORT"] = str(port)  # each container has one of its own
        workers.append((["worker"], given))
    (port,) = free_ports(1)
    feed = variables("feed", **places) | {"SWARMLIGHT_FEED__PORT": str(port)}
    feed["SWARMLIGHT_FEED__DATABASE"] = database
    feed["SWARMLIGHT_FEED__DATABASE_PASSWORD_FILE"] = str(password)

    deployment = Deployment(broker.address, "", folder)
    with (
        running(*workers[0], folder / "worker.log") as first,
        running(*workers[1], folder / "worker-2.log") as second,
    ):
        until(lambda: deployment.topics.posts in _topics(deployment), "the worker's topics", 120)
        deployment.write(society(600), partitions=4)
        with running(SERVICES["feed"]["command"], feed, folder / "feed.log") as served:
            token = until(lambda: _token(feed), "a token", 120)
            program = Program(f"http://127.0.0.1:{port}", token)
            alert = until(lambda: program.ask("POST", "/claim-next"), "an alert in the queue", 300)
            assert program.ask("GET", f"/alerts/{alert['id']}")["alert"]["status"] == "open"
            assert all(process.poll() is None for process in (first, second, served))


def _topics(deployment: Deployment) -> set[str]:
    from kafka import KafkaAdminClient

    admin = KafkaAdminClient(bootstrap_servers=deployment.address)
    try:
        return set(admin.list_topics())
    finally:
        admin.close()


def _token(feed: dict[str, str]) -> str | None:
    """A moderator, and a token of hers; None while the feed has not made its tables."""
    command, environment = [sys.executable, "-m", "streaming", "feed"], os.environ | feed
    for words, given in (
        (["user", "add", "ada", "--role", "moderator"], "a long password\n"),
        (["token", "add", "ada", "--scope", "read", "--scope", "work"], ""),
    ):
        made = subprocess.run(
            [*command, *words], input=given, text=True, capture_output=True, cwd=ROOT, env=environment, check=False
        )
        if made.returncode:
            return None
    found = re.search(r"\S{30,}", made.stdout)
    return None if found is None else found.group()
