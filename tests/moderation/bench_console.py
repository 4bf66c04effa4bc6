"""How long the console's pages take, as multiples of `/healthz` on the same connection: `make bench-console`.

Fills a database with open alerts (100,000 on PostgreSQL, where its programs are here, and 20,000 on SQLite) and some
thousand decided ones, serves it with `swarmlight feed` as a process, and asks one page after the other on one
connection that stays open, as a browser does, each after a `/healthz`, which does nothing. Prints medians and their
multiples, and the processor time that the feed and the database's server take for a request, which other work on the
machine changes little, where the clock's time is mostly a wait for a core. Fails where the search for a rare word takes
more than 20 times the processor time of a `/healthz`.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import insert, text

from moderation import ingest, users
from moderation.database_tables import DecisionRow
from moderation.db import Database, now_ms
from moderation.permissions import SYSTEM
from moderation.topic_records import read_alert, read_page
from simulation.demo.processes import free_port
from tests.moderation import postgres
from tests.moderation.builders import alert, line, pages
from tests.moderation.load import index_alerts, insert_alerts, start

MOST_TIMES: Final = 20.0
"""Multiples of `/healthz` within which a rare word is to be found."""

DECIDED: Final = 5000

CASES: Final = 20
"""Alerts whose pages are asked for: campaigns of twelve with their whole networks and time lines."""

LEAST_ROUNDS: Final = 20
"""Of fewer, a median says nothing, and nothing fails."""

WARM: Final = 5
"""Rounds that are not counted: templates are read, connections made."""


def fill(database: Database, alerts: int) -> None:
    """Put open alerts in, decided ones, and the cases that are looked at."""
    with database.write() as connection:
        insert_alerts(connection, alerts)
        index_alerts(connection)
        counts = ingest.IngestCounts()
        names = [f"member_{number}" for number in range(12)]
        for number in range(CASES):
            record = alert(f"case{number}", accounts=names)
            ingest.store_alerts(connection, [read_alert(line(record))], now_ms(), counts)
            found = [read_page(line(page)) for page in pages(f"case{number}", accounts=names, edges=60)]
            ingest.store_pages(connection, found, counts)
        users.add_user(connection, SYSTEM, "nadia", "lead", None, now_ms())
        person = users.user_by_name(connection, "nadia")
        now = now_ms()
        for begin in range(0, DECIDED, 500):
            rows = [
                {"id": f"{number:08d}-0000-4000-8000-000000000000", "alert_id": f"past{number}", "account": None,
                 "verdict": ("llm_campaign", "not_a_campaign")[number % 7 == 0], "undoes": None, "undone_by": None,
                 "at": now - 60_000 * number, "user_id": person.id, "policy": "", "reason": "", "note": "",
                 "revision": 1, "part_of": None, "batch": None, "kind": "campaign", "odds": 0.5 + number % 50 / 100,
                 "members": 3 + number % 40, "arrived": now - 120_000 * number, "text_nats": number % 8,
                 "behaviour_nats": 0.1, "coordination_nats": number % 5, "graph_nats": 0.0}
                for number in range(begin, begin + 500)
            ]  # fmt: skip
            connection.execute(insert(DecisionRow).values(rows))


def cookie(database: Database) -> str:
    """The cookie of somebody who is in."""
    with database.write() as connection:
        person = users.user_by_name(connection, "nadia")
        return users.begin_session(connection, person.id, now_ms(), "bench").cookie


def busy_s(pids: Iterable[int]) -> float:
    """Seconds for which processes and their children were on a core, until now."""
    wanted, parents = set(pids), {}
    for each in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(each.parent.name)] = int(each.read_text().rsplit(")", 1)[1].split()[1])
    wanted |= {pid for pid, parent in parents.items() if parent in wanted}
    total = 0
    for pid in wanted:
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(task.read_text().split()[0])
    return total / 1e9


def measure(
    port: int, secret: str, rounds: int, alerts: int, pids: Sequence[int]
) -> tuple[dict[str, list[tuple[float, float]]], dict[str, float]]:
    """What is asked for -> (seconds it took, seconds of the `/healthz` before it), and -> seconds on a core, of one.

    Args:
        port: of the feed.
        secret: the cookie of somebody who is in.
        rounds: how often each is asked for.
        alerts: how many there are.
        pids: of the feed and of the database's server.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    busy: dict[str, float] = defaultdict(float)
    headers = {"cookie": f"swarmlight={secret}"}
    for turn in range(rounds + WARM):
        asked = {
            "queue": "/queue",
            # Of five digits, as any number begins longer ones: the word of one alert alone.
            "search for a rare word": f"/queue?q=number{10_000 + turn * 37 % max(1, alerts - 10_000)}",
            "search for a common word": "/queue?q=harbour",
            "case": f"/alerts/case{turn % CASES}",
            "account": "/account?name=member_3",
            "results": "/results",
        }
        for name, path in asked.items():
            took = []
            for each in ("/healthz", path):
                before = busy_s(pids)
                began = time.perf_counter()
                connection.request("GET", each, headers=headers)
                answer = connection.getresponse()
                answer.read()
                took.append(time.perf_counter() - began)
                if turn >= WARM:
                    share = rounds * len(asked) if each == "/healthz" else rounds
                    busy["/healthz" if each == "/healthz" else name] += (busy_s(pids) - before) / share
                if answer.status != 200:
                    raise SystemExit(f"{each} answered with status {answer.status}")
            if turn >= WARM:
                found[name].append((took[1], took[0]))
            # The feed takes 50 requests a second of one person.
            time.sleep(max(0.0, 0.045 - sum(took)))
    connection.close()
    return found, busy


def run(url: str, where: str, alerts: int, rounds: int) -> bool:
    """Measure on one database; whether the search is as fast as it has to be."""
    database = Database(url)
    began = time.monotonic()
    fill(database, alerts)
    if not database.is_sqlite:
        # What autovacuum does within minutes; SQLite does nothing of the kind by itself.
        postgres.run(url, "VACUUM ANALYZE")
    print(f"\n{where}, {alerts:,} open alerts, made in {time.monotonic() - began:.0f} s; {rounds} rounds", flush=True)
    with tempfile.TemporaryDirectory(prefix="swarmlight-console-") as name:
        folder, port = Path(name), free_port()
        (folder / "alerts.jsonl").touch()
        served = start(url, folder, port)
        try:
            pids = [served.pid]
            if not database.is_sqlite:
                with database.read() as connection:
                    backend = connection.scalar(text("SELECT pg_backend_pid()"))
                pids.append(int(Path(f"/proc/{backend}/stat").read_text().rsplit(")", 1)[1].split()[1]))
            found, busy = measure(port, cookie(database), rounds, alerts, pids)
        finally:
            served.send_signal(signal.SIGTERM)
            served.wait(30)
            database.close()
    idle = statistics.median(took for asked in found.values() for _, took in asked)
    print(
        f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n"
        f"| {'page':<24} | on a core, ms | times | median ms | times | 95% ms |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        f"| {'/healthz':<24} | {1000 * busy['/healthz']:.2f} | 1 | {1000 * idle:.2f} | 1 | |"
    )
    times = {}
    for name, asked in found.items():
        took = [each for each, _ in asked]
        times[name] = busy[name] / busy["/healthz"]
        print(
            f"| {name:<24} | {1000 * busy[name]:.1f} | {times[name]:.1f} | {1000 * statistics.median(took):.1f} "
            f"| {statistics.median(took) / idle:.1f} | {1000 * statistics.quantiles(took, n=20)[-1]:.1f} |"
        )
    return times["search for a rare word"] <= MOST_TIMES


def main() -> int:
    """Measure on both databases; exit status 1 where the search is too slow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--postgresql", type=int, default=100_000, metavar="N", help="open alerts there; 0 leaves it out"
    )
    parser.add_argument("--sqlite", type=int, default=20_000, metavar="N", help="open alerts there; 0 leaves it out")
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    good = []
    if options.postgresql and postgres.program("initdb") is None:
        print("PostgreSQL's server is not on this machine: SQLite alone is measured")
    elif options.postgresql:
        with postgres.server() as address:
            good.append(run(address, "PostgreSQL", options.postgresql, options.rounds))
    if options.sqlite:
        with tempfile.TemporaryDirectory(prefix="swarmlight-console-") as name:
            good.append(run(f"sqlite:///{Path(name) / 'feed.db'}", "SQLite", options.sqlite, options.rounds))
    if options.rounds < LEAST_ROUNDS:
        return 0
    if not all(good):
        print(f"the search for a rare word costs more than {MOST_TIMES:.0f} times what /healthz does", file=sys.stderr)
    return 0 if all(good) else 1


if __name__ == "__main__":
    raise SystemExit(main())
