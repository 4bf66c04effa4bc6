"""Load test of the feed: a large queue, many moderators, and a kill: `make bench-feed`.

Fills a database with open alerts, starts the feed as a process, lets simulated people work the queue through the API
(claim the next alert, read it, look at the list, decide) while new alerts arrive in its file, kills it half way with
SIGKILL, starts it again, and then checks in the database that nothing was claimed twice and nothing was lost. Latencies
are those that a client sees on this machine, with all clients on it, beside those of `/healthz`, which does nothing.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select, text

from moderation import audit, console_config, users
from moderation.cases import summarise
from moderation.database_tables import AlertRow, DecisionRow, Meta
from moderation.db import Database, now_ms
from moderation.ingest import SUMMARY_KEY, summary_mark
from moderation.odds import WATCH_BELOW_POSTS
from moderation.permissions import RIGHTS, SYSTEM, Actor
from moderation.topic_records import dump, read_alert
from moderation.word_index import words_of_record
from simulation.demo.processes import free_port
from tests.moderation import postgres
from tests.moderation.builders import alert, line

START_S: Final = 180.0
DRAIN_S: Final = 30.0
"""Longest time for the last decisions to reach the file of feedback."""

VERDICTS: Final = ("llm_campaign", "not_a_campaign", "human_coordination", "permitted_automation", "needs_more")


@dataclass
class Measurements:
    """What the clients measured."""

    latencies: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    """By what was asked: when it began, and the seconds it took."""
    down: tuple[float, float] = (0.0, 0.0)
    """From the kill until the service answered again."""
    claims: list[tuple[str, str]] = field(default_factory=list)
    decided: list[tuple[str, str]] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class LoadModerator(threading.Thread):
    """Somebody who works the queue until told to stop. A request that broke off is made again, word for word."""

    def __init__(
        self, name: str, token: str, port: int, measured: Measurements, stop: threading.Event, think_s: float
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        self._port = port
        self._measured = measured
        self._stop_event = stop
        self._think_s = think_s
        self._random = random.Random(name)
        self._connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        self._pause()
        while not self._stop_event.is_set():
            claimed = self._ask("claim", "POST", "/api/v1/claim-next")
            if not claimed:
                continue
            name = str(claimed["id"])
            with self._measured.lock:
                self._measured.claims.append((name, self.name))
            self._pause()
            self._ask("read", "GET", f"/api/v1/alerts/{name}")
            self._ask("list", "GET", "/api/v1/alerts?limit=50")
            self._ask("no-op", "GET", "/healthz")
            self._pause()
            number = str(uuid.uuid4())
            body = {"decision": self._random.choice(VERDICTS), "reason": "load", "id": number}
            if self._ask("decide", "POST", f"/api/v1/alerts/{name}/decisions", body) is not None:
                with self._measured.lock:
                    self._measured.decided.append((number, name))

    def _pause(self) -> None:
        self._stop_event.wait(self._random.expovariate(1 / self._think_s))

    def _ask(self, what: str, method: str, path: str, body: Any = None) -> Any:
        sent = json.dumps(body) if body is not None else None
        while True:
            try:
                started = time.perf_counter()
                if self._connection is None:
                    self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
                self._connection.request(method, path, sent, self._headers)
                answer = self._connection.getresponse()
                read = answer.read()
                took = time.perf_counter() - started
            except (OSError, http.client.HTTPException):
                self._connection = None
                with self._measured.lock:
                    self._measured.broken += 1
                # After the end of the run what is open is still made certain, for a while.
                time.sleep(0.2)
                continue
            with self._measured.lock:
                self._measured.latencies[what].append((started, took))
                self._measured.statuses[f"{what} {answer.status}"] += 1
            if answer.status == 429:
                time.sleep(0.5)
                continue
            return json.loads(read) if answer.status in (200, 201) else None


def insert_alerts(connection: Connection, count: int) -> None:
    """Put that many open alerts in, all made from one by the database itself."""
    record = read_alert(line(alert("seed0", accounts=("ada", "bob", "cyd"))))
    summary = summarise(record)
    now = now_ms()
    row = {
        "id": "seed0", "kind": "campaign", "status": "open", "revision": 1, "at": now, "first_post_at": now,
        "last_post_at": now, "members": 3, "urgency": summary.urgency, "title": summary.title,
        "body": dump(record), "arrived": now - 60_000, "changed": now - 60_000,
    }  # fmt: skip
    connection.execute(insert(AlertRow).values(**row))
    numbers = (
        f"generate_series(1, {count - 1}) AS numbers(n)"
        if connection.dialect.name == "postgresql"
        else f"(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {count - 1}) SELECT n FROM c)"
    )
    columns = ", ".join(row)
    changed = {"id": "'seed' || n", "urgency": "urgency + (n % 1000) / 100.0", "at": "at - n",
               "body": "replace(body, 'seed0', 'seed' || n)"}  # fmt: skip
    values = ", ".join(changed.get(name, name) for name in row)
    connection.execute(
        text(f"INSERT INTO alerts ({columns}) SELECT {values} FROM alerts, {numbers} WHERE id = 'seed0'")
    )
    accounts = "(SELECT 'ada' AS account, 0 AS place UNION SELECT 'bob', 1 UNION SELECT 'cyd', 2) AS who"
    connection.execute(
        text(
            "INSERT INTO members (alert_id, account, place, total) "
            f"SELECT id, account, place, 4.8 FROM alerts, {accounts}"
        )
    )


def index_alerts(connection: Connection) -> None:
    """Let the alerts be found as if they had been stored one by one: each by a word of its own, too.

    The feed takes them as summed up: else its start would make 100,000 summaries anew, without that word.
    """
    mark = summary_mark(console_config.current(connection), WATCH_BELOW_POSTS)
    connection.execute(insert(Meta).values(key=SUMMARY_KEY, value=mark))
    words = " ".join(words_of_record(read_alert(line(alert("seed0", accounts=("ada", "bob", "cyd"))))))
    connection.execute(text("INSERT INTO search_parts (alert_id, part) SELECT id, 0 FROM alerts"))
    if connection.dialect.name == "sqlite":
        statement = (
            "INSERT INTO search_words (rowid, words) "
            "SELECT id, :words || ' ' || alert_id || ' number' || substr(alert_id, 5) FROM search_parts"
        )
    else:
        statement = (
            "UPDATE search_parts SET words = array_to_tsvector(string_to_array("
            ":words || ' ' || alert_id || ' number' || substr(alert_id, 5), ' '))"
        )
    connection.execute(text(statement), {"words": words})


def add_moderators(database: Database, count: int) -> list[tuple[str, str]]:
    """Add that many moderators; name and token of each."""
    found = []
    for number in range(count):
        with database.write() as connection:
            name = f"person{number}"
            users.add_user(connection, SYSTEM, name, "moderator", None, now_ms())
            user = users.user_by_name(connection, name)
            actor = Actor(user.id, name, user.pseudonym, user.role, RIGHTS["moderator"])
            found.append((name, users.add_token(connection, actor, user, "load", ["read", "work"], 1, now_ms())[1]))
    return found


def start(url: str, folder: Path, port: int) -> subprocess.Popen[bytes]:
    """The feed on its port, answering."""
    command = [
        sys.executable, "-m", "streaming", "feed", "--alerts", str(folder / "alerts.jsonl"), "--feedback",
        str(folder / "feedback.jsonl"), "--database", url, "--port", str(port),
    ]  # fmt: skip
    with (folder / "feed.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return process
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"the feed did not start: {(folder / 'feed.log').read_text(errors='replace')[-2000:]}")


class Arrivals(threading.Thread):
    """Appends new alerts to the feed's file at a rate."""

    def __init__(self, path: Path, per_s: float, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.written: dict[str, int] = {}
        self._path = path
        self._per_s = per_s
        self._stop_event = stop

    def run(self) -> None:
        began = time.monotonic()
        with self._path.open("ab", buffering=0) as file:
            while not self._stop_event.wait(0.02):
                while len(self.written) < (time.monotonic() - began) * self._per_s:
                    name = f"new{len(self.written)}"
                    self.written[name] = now_ms()
                    file.write(line(alert(name, accounts=[f"{name}a", f"{name}b", f"{name}c"])))


@contextmanager
def database_url(folder: Path, sqlite: bool) -> Iterator[str]:
    """PostgreSQL where there is one, unless SQLite is asked for."""
    if sqlite or postgres.program("initdb") is None:
        yield f"sqlite:///{folder / 'feed.db'}"
        return
    with postgres.server() as address:
        yield address


def main() -> int:
    """Run, print what was measured, and fail where anything was lost or done twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alerts", type=int, default=100_000, help="open alerts at the beginning")
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--rate", type=float, default=50.0, help="alerts that arrive in a second")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--think", type=float, default=1.0, help="mean seconds a person thinks between two steps")
    parser.add_argument("--sqlite", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="swarmlight-load-") as name:
        folder = Path(name)
        with database_url(folder, options.sqlite) as url:
            return measure(options, folder, url)


def measure(options: argparse.Namespace, folder: Path, url: str) -> int:
    """Run the load test on a database; exit status.

    Args:
        options: of the command line.
        folder: for the feed's files.
        url: of the database.
    """
    database = Database(url)
    began = time.monotonic()
    with database.write() as connection:
        insert_alerts(connection, options.alerts)
        index_alerts(connection)
    if not database.is_sqlite:
        # What autovacuum does within minutes.
        postgres.run(url, "VACUUM ANALYZE")
    people = add_moderators(database, options.people)
    where = "SQLite" if database.is_sqlite else "PostgreSQL"
    print(f"{options.alerts:,} open alerts on {where}, made in {time.monotonic() - began:.1f} s", flush=True)
    (folder / "alerts.jsonl").touch()
    port, stop, measured = free_port(), threading.Event(), Measurements()
    served = start(url, folder, port)
    arrivals = Arrivals(folder / "alerts.jsonl", options.rate, stop)
    moderators = [LoadModerator(name, token, port, measured, stop, options.think) for name, token in people]
    for thread in (arrivals, *moderators):
        thread.start()
    time.sleep(options.seconds / 2)
    served.send_signal(signal.SIGKILL)
    served.wait()
    killed = time.perf_counter()
    served = start(url, folder, port)
    measured.down = (killed, time.perf_counter())
    print(
        f"killed after {options.seconds / 2:.0f} s, answering again {measured.down[1] - killed:.1f} s later", flush=True
    )
    time.sleep(options.seconds / 2)
    stop.set()
    for thread in (arrivals, *moderators):
        thread.join(60)
    drain(database, folder, measured, arrivals)
    served.send_signal(signal.SIGTERM)
    status = served.wait(30)
    report(measured, arrivals, database)
    problems = check(database, folder, measured, arrivals, options.alerts)
    if status:
        problems.append(f"the feed ended with status {status}")
    database.close()
    for problem in problems:
        print(f"WRONG: {problem}")
    print("nothing claimed twice, nothing lost" if not problems else "FAILED")
    return bool(problems)


def drain(database: Database, folder: Path, measured: Measurements, arrivals: Arrivals) -> None:
    """Wait until what was written and decided has arrived."""
    deadline = time.monotonic() + DRAIN_S
    while time.monotonic() < deadline:
        with database.read() as connection:
            new = connection.scalar(select(func.count()).select_from(AlertRow).where(AlertRow.id.like("new%"))) or 0
        if new >= len(arrivals.written) and len(sent(folder)) >= len(measured.decided):
            return
        time.sleep(0.2)


def sent(folder: Path) -> list[str]:
    """Ids in the file of feedback."""
    path = folder / "feedback.jsonl"
    return [json.loads(each)["id"] for each in path.read_bytes().splitlines()] if path.exists() else []


def check(database: Database, folder: Path, measured: Measurements, arrivals: Arrivals, open_before: int) -> list[str]:
    """What is wrong, in words."""
    problems = []
    holders: dict[str, set[str]] = defaultdict(set)
    for name, who in measured.claims:
        holders[name].add(who)
    # "Needs more" gives an alert back at its next revision, of which there is none here.
    twice = [name for name, people in holders.items() if len(people) > 1]
    if twice:
        problems.append(f"{len(twice)} alerts were claimed by two people, {twice[0]} among them")
    with database.read() as connection:
        rows = connection.execute(select(DecisionRow.id, DecisionRow.alert_id, DecisionRow.verdict)).all()
        kept = {row.id for row in rows}
        per_alert = Counter(row.alert_id for row in rows)
        total = connection.scalar(select(func.count()).select_from(AlertRow)) or 0
        chain = audit.verify(connection)
    lost = [number for number, _ in measured.decided if number not in kept]
    if lost:
        problems.append(f"{len(lost)} decisions that were acknowledged are not in the database")
    unsent = kept - set(sent(folder))
    if unsent:
        problems.append(f"{len(unsent)} decisions did not reach the file of feedback")
    if any(count > 1 for count in per_alert.values()):
        problems.append("an alert was decided twice")
    if total != open_before + len(arrivals.written):
        problems.append(f"{total} alerts are there, {open_before + len(arrivals.written)} should be")
    if chain.problem is not None:
        problems.append(f"the audit log does not hold: {chain.problem}")
    print(f"{len(measured.claims)} claims, {len(measured.decided)} decisions, {len(arrivals.written)} arrivals, "
          f"{measured.broken} requests broken off and repeated, audit log of {chain.entries} entries")  # fmt: skip
    return problems


def report(measured: Measurements, arrivals: Arrivals, database: Database) -> None:
    """Latencies by what was asked, and their ratio to the request that does nothing."""
    normal = {
        what: [took for began, took in asked if not waited(measured, began, took)]
        for what, asked in measured.latencies.items()
    }
    waits = [took for asked in measured.latencies.values() for began, took in asked if waited(measured, began, took)]
    base = quantiles(normal["no-op"])
    print("milliseconds        median      p95      p99      max   times no-op (median, p95)")
    for what in ("no-op", "claim", "read", "list", "decide"):
        found = quantiles(normal[what])
        ratio = f"{found[0] / base[0]:6.1f} {found[1] / base[1]:6.1f}"
        print(f"{what:<16} {found[0]:>9.1f} {found[1]:>8.1f} {found[2]:>8.1f} {found[3]:>8.1f}   {ratio}")
    print(f"left out: {len(waits)} requests that met the restart, the longest waited {max(waits, default=0.0):.1f} s")
    with database.read() as connection:
        rows = connection.execute(select(AlertRow.id, AlertRow.arrived).where(AlertRow.id.like("new%"))).all()
    delays = quantiles([(row.arrived - arrivals.written[row.id]) / 1000 for row in rows if row.id in arrivals.written])
    print(f"{'arrival to queue':<16} {delays[0]:>9.1f} {delays[1]:>8.1f} {delays[2]:>8.1f} {delays[3]:>8.1f}")
    print("statuses: " + ", ".join(f"{name}: {count}" for name, count in sorted(measured.statuses.items())))


def waited(measured: Measurements, began: float, took: float) -> bool:
    """Whether a request was under way while the service was down."""
    return began <= measured.down[1] and began + took >= measured.down[0]


def quantiles(seconds: list[float]) -> tuple[float, float, float, float]:
    """Median, 95th, 99th percentile and maximum, ms."""
    if len(seconds) < 2:
        return (float("nan"),) * 4
    cut = statistics.quantiles(seconds, n=100, method="inclusive")
    return 1000 * cut[49], 1000 * cut[94], 1000 * cut[98], 1000 * max(seconds)


if __name__ == "__main__":
    raise SystemExit(main())
