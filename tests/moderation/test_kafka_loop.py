"""The whole circle on a broker: the worker raises alerts, a moderator decides, the worker obeys, the feed shows it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.streaming.kafka.bench import ROOT, Deployment
from tests.streaming.kafka.brokers import make_broker
from tests.streaming.kafka.streams import START_MS, society
from tests.streaming.kafka.test_equality import FAST

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]

DAY_MS = 86_400_000


class Program:
    """A program that works the queue with a token, at the feed on its port."""

    def __init__(self, base: str, token: str) -> None:
        self._base, self._headers = base, {"authorization": f"Bearer {token}", "content-type": "application/json"}

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON answer."""
        sent = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._base}/api/v1{path}", sent, self._headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)


def until(wanted: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """The first answer that is something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if found := wanted():
                return found
        except urllib.error.URLError:
            pass
        time.sleep(0.3)
    raise AssertionError(f"{what} did not happen within {seconds:.0f} s")


def later(first: int, count: int) -> list[dict[str, Any]]:
    """People who chat on, a post every two minutes: event time passes, and with it ticks."""
    return [
        {"id": f"later{n}", "account": f"person{n % 5}", "at": START_MS + DAY_MS + n * 120_000, "kind": "post",
         "text": "late train again, coffee in the rain"}
        for n in range(first, first + count)
    ]  # fmt: skip


def test_a_decision_comes_back_as_the_worker_s_withdrawal(tmp_path: Path) -> None:
    broker = make_broker(tmp_path)
    deployment = Deployment(broker.address, "circle-", tmp_path)
    served = None
    try:
        deployment.create(deployment.topics.posts, 1)
        deployment.worker("all", None, top=FAST)
        deployment.write(society(600), partitions=1)
        feed = [sys.executable, "-m", "streaming", "feed", "--config", str(deployment.config()), "--database",
                f"sqlite:///{tmp_path / 'feed.db'}"]  # fmt: skip
        environ = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run([*feed[:4], "user", "add", "ada", "--role", "moderator", *feed[4:]], input="a long password\n",
                       text=True, check=True, capture_output=True, cwd=ROOT, env=environ)  # fmt: skip
        made = subprocess.run([*feed[:4], "token", "add", "ada", "--scope", "read", "--scope", "work", *feed[4:]],
                              text=True, check=True, capture_output=True, cwd=ROOT, env=environ)  # fmt: skip
        served = subprocess.Popen([*feed, "--kafka", "--port", "0"], stdout=subprocess.PIPE, text=True, cwd=ROOT,
                                  stderr=subprocess.DEVNULL, env=environ)  # fmt: skip
        assert served.stdout is not None
        told = served.stdout.readline()
        token = re.search(r"\S{30,}", made.stdout)
        assert token is not None
        program = Program(told.split()[-1], token.group())

        alert = until(lambda: program.ask("POST", "/claim-next"), "an alert in the queue")
        name = alert["id"]
        assert program.ask("GET", f"/alerts/{name}")["alert"]["status"] == "open"
        body = {"decision": "not_a_campaign", "reason": "a train spotters' club"}
        number = program.ask("POST", f"/alerts/{name}/decisions", body)["id"]
        until(lambda: deployment.read(deployment.topics.feedback), "a record of feedback")
        (record,) = deployment.read(deployment.topics.feedback)
        assert record.key.decode() == name
        assert json.loads(record.value)["id"] == number

        written = 0

        def withdrawn() -> bool:
            nonlocal written
            # The next ticks, with nothing new about anybody in the alert.
            deployment.write(later(written, 5), partitions=1)
            written += 5
            return bool(program.ask("GET", f"/alerts/{name}")["alert"]["status"] == "withdrawn")

        until(withdrawn, "the withdrawal of what was decided")
        last = deployment.alerts()[name][-1]
        assert last["status"] == "withdrawn"
        assert "moderator" in last["why"][0]
        # It does not come back to the queue.
        assert name not in [each["id"] for each in program.ask("GET", "/alerts?limit=200")["alerts"]]
    finally:
        if served is not None:
            served.terminate()
            assert served.wait(20) == 0
        deployment.stop_all()
        broker.stop()
