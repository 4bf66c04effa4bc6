"""`python -m graph.bench`: what `swarmlight coordinate` costs.

    python -m graph.bench groups TABLE         the search with decoys, reading included
    python -m graph.bench colink --rival BIN   pairs by definition, beside coordination-network-toolkit
    python -m graph.bench table --rows N       a table of N rows, made, read and searched; its memory

`colink` makes a table of co-link posts, has both find the pairs that share two links within a minute, compares every
pair and its count, and prints the seconds of the processor that each took; ours includes writing the
pairs. Seconds of the processor, of all processes together, are what a busy machine does not change.
"""

from __future__ import annotations

import csv
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer

from detector.errors import UsageError
from graph.co_sharing import co_sharing
from graph.tables import read_tables
from graph.traces import REPOST

WINDOW_S: Final = 60

MIN_SHARED: Final = 2

START_S: Final = 1_700_000_000

app = typer.Typer(add_completion=False, rich_markup_mode=None, help="What `swarmlight coordinate` costs.")


def write_posts(path: Path, posts: int, links: int, seed: int) -> None:
    """Write co-link posts with the columns of coordination-network-toolkit.

    Links have a birth, a heavy-tailed popularity and lags of hours; accounts are heavy-tailed too, and one in a hundred
    is of a team whose members post the same links within a minute. An account posts a link once, so that counting
    posts, as the toolkit does, and counting links is the same.

    Args:
        path: where to.
        posts: how many.
        links: how many different ones they share.
        seed: of all that is drawn.
    """
    rng = np.random.default_rng(seed)
    accounts = max(posts // 20, 2)
    fame = rng.pareto(1.1, links) + 0.1
    link = rng.choice(links, posts, p=fame / fame.sum())
    busy = rng.lognormal(0, 1.2, accounts)
    account = rng.choice(accounts, posts, p=busy / busy.sum())
    birth = rng.uniform(0, 30 * 86_400, links)
    at = birth[link] + rng.lognormal(np.log(3 * 3600), 1.2, posts)
    teams = accounts // 1000
    for team in range(teams):
        members = accounts + 10 * team + np.arange(10)
        places = rng.choice(posts, 200, replace=False).reshape(20, 10)
        shared = rng.choice(links, 20, replace=links < 20)
        link[places] = shared[:, None]
        account[places] = members
        at[places] = rng.uniform(0, 30 * 86_400, 20)[:, None] + rng.exponential(20, (20, 10))
    _, once = np.unique(account.astype(np.int64) * links + link, return_index=True)
    order = once[np.argsort(at[once], kind="stable")]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ("message_id", "user_id", "username", "repost_id", "reply_id", "message", "timestamp", "urls")
        )  # fmt: skip
        for number, place in enumerate(order.tolist()):
            who, when = f"u{account[place]:07d}", START_S + int(at[place])
            writer.writerow((number, who, who, "", "", "", when, f"https://site.example/{link[place]}"))


def processor_seconds(command: list[str]) -> tuple[float, float, float]:
    """Run a command; seconds of the processor, of the clock, and MiB of its largest process.

    Raises:
        UsageError: it fails.
    """
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours, or as asked for
    if done.returncode:
        raise UsageError(f"{command[0]} ended with {done.returncode}: {done.stderr[-500:]!a}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, time.monotonic() - begun, after.ru_maxrss / 1024


def _search_seconds(table: Path, posts: int) -> float:
    """Seconds of the processor for the pairs, once the table is read."""
    read = read_tables([table], kind=REPOST, now_ms=round(time.time() * 1000))
    begun = time.process_time()
    co_sharing(
        read.at, read.account, read.object, window_ms=1000 * WINDOW_S, min_shared=MIN_SHARED, max_object=posts
    )  # fmt: skip
    return time.process_time() - begun


def edges(path: Path) -> dict[tuple[str, str], float]:
    """Pairs and weights of a CSV of edges that we wrote, each pair in the order of the names."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {(row["Source"], row["Target"]): float(row["Weight"]) for row in rows}


def edges_found(store: Path) -> dict[tuple[str, str], float]:
    """The same of the toolkit's database, where each pair stands twice, and accounts beside themselves."""
    with closing(sqlite3.connect(store)) as database:
        rows = database.execute("SELECT user_1, user_2, weight FROM co_link_network WHERE user_1 < user_2").fetchall()
    return {(str(one), str(two)): float(weight) for one, two, weight in rows}


@app.command()
def groups(table: Annotated[Path, typer.Argument(metavar="TABLE", help="who shared what, when")]) -> int:
    """Time the search among all accounts, on one core, reading and decoys included."""
    command = [sys.executable, "-m", "streaming", "coordinate", str(table)]
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    used, clock, memory = processor_seconds(command)
    print(f"{table.name}: {used:.1f} s of one core ({clock:.1f} s by the clock), {memory:,.0f} MiB")
    return 0


@app.command()
def colink(
    rival: Annotated[Path, typer.Option(metavar="PYTHON", help="of an environment with coordination-network-toolkit")],
    posts: Annotated[int, typer.Option(metavar="N", help="posts to make")] = 1_000_000,
    links: Annotated[int, typer.Option(metavar="N", help="different links; a tenth of the posts where 0")] = 0,
    seed: Annotated[int, typer.Option(metavar="N", help="of the posts")] = 0,
) -> int:
    """Time pairs that share links within a minute, beside coordination-network-toolkit on the same posts.

    Args:
        rival: the Python of an environment in which the toolkit is installed.
        posts: how many are made.
        links: how many different ones they share; a tenth of the posts where 0.
        seed: of the posts.

    Raises:
        UsageError: the two disagree, or one fails.
    """
    with tempfile.TemporaryDirectory(prefix="swarmlight-") as folder:
        place = Path(folder)
        table, ours, store = (place / name for name in ("posts.csv", "ours.csv", "posts.sqlite"))
        write_posts(table, posts, links or max(posts // 10, 1), seed)
        command = [
            sys.executable, "-m", "streaming", "coordinate", str(table), "--min-shared", str(MIN_SHARED),
            "--window-s", str(WINDOW_S), "--max-object", str(posts), "--edges", str(ours),
        ]  # fmt: skip
        mine = processor_seconds(command)
        tool = [str(rival), "-m", "coordination_network_toolkit", str(store)]
        read = processor_seconds([*tool, "preprocess", str(table)])
        window = ["--time_window", str(WINDOW_S), "--min_edge_weight", str(MIN_SHARED)]
        found = processor_seconds([*tool, "compute", "co_link", *window])
        search = _search_seconds(table, posts)
        pairs, same = edges(ours), edges_found(store)
    if pairs != same:
        raise UsageError(f"the two disagree: {len(pairs):,} pairs here and {len(same):,} there")
    print(f"{posts:,} posts, {len(pairs):,} pairs, the same with the same weights; seconds of the processor (clock)")
    print(f"swarmlight coordinate           {mine[0]:8.1f} ({mine[1]:.1f}), {mine[2]:,.0f} MiB")
    print(f"  of it the search              {search:8.1f}")
    print(f"coordination-network-toolkit    {read[0] + found[0]:8.1f} ({read[1] + found[1]:.1f})")
    print(f"  of it preprocess              {read[0]:8.1f} ({read[1]:.1f})")
    print(f"  of it compute co_link         {found[0]:8.1f} ({found[1]:.1f})")
    print(f"ratio {(read[0] + found[0]) / mine[0]:.1f}; of the search alone {found[0] / search:.1f}")
    return 0


def write_shares(path: Path, rows: int, seed: int) -> None:
    """Write a table of who shared which link, and when, of any size: CSV, or Parquet by its ending.

    One link in three is shared once, a few very often; it has a birth within two months and lags of hours. Accounts
    share some twenty links each, busy ones hundreds. One row in five hundred is of teams of ten that share the same
    fresh link within a minute. Rows are in no order of time.

    Args:
        path: where to.
        rows: how many.
        seed: of all that is drawn.
    """
    import duckdb

    accounts, links, teams = max(rows // 20, 100), max(rows // 2, 100), max(rows // 100_000, 1)
    draw = "(hash(i * 8 + {n} + " + f"{8 * seed * rows}" + ") >> 11) / 9007199254740992.0"  # 53 bits, of [0, 1)
    one, two, three = (draw.format(n=n) for n in range(3))
    span = 60 * 86_400
    query = f"""
        SELECT CASE WHEN team THEN 't' || (i // 500) // 10 % {teams} || '-' || (i // 500) % 10
                    ELSE 'u' || floor({accounts} * pow({one}, 1.8))::BIGINT END AS account,
            'https://site.example/' || link AS link,
            {START_S} + (hash(link) % {span} + CASE WHEN team THEN 50 * {three}
                         ELSE -21600 * ln(1 - {three}) END)::BIGINT AS at
        FROM (SELECT i, i % 500 = 0 AS team, CASE WHEN i % 500 = 0 THEN 'team-' || (i // 500) // 10
                     ELSE floor({links} * pow({two}, 2.2))::BIGINT::VARCHAR END AS link
              FROM range({rows}) AS numbers(i))
    """  # noqa: S608 - numbers
    form = "parquet" if path.suffix == ".parquet" else "csv, header"
    with duckdb.connect(config={"autoinstall_known_extensions": False, "memory_limit": "2GB"}) as database:
        database.execute(f"SET temp_directory = '{path.parent}'; SET preserve_insertion_order = false")
        database.execute(f"COPY ({query}) TO '{path}' (FORMAT {form})")


@app.command("table")
def table_command(
    rows: Annotated[int, typer.Option(metavar="N", help="rows to make")] = 100_000_000,
    ending: Annotated[str, typer.Option(metavar="csv|parquet", help="what file to make")] = "parquet",
    min_shared: Annotated[
        int, typer.Option(metavar="N", help="list pairs that share N links within a minute; 0 searches for groups")
    ] = 2,
    folder: Annotated[Path | None, typer.Option(metavar="DIR", help="for the table, which is removed again")] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="of the rows")] = 0,
) -> int:
    """Make a table, have `swarmlight coordinate` read and search it, and print seconds, memory and what was found.

    Args:
        rows: how many.
        ending: CSV or Parquet.
        min_shared: links that a pair shares; 0 for groups with their decoys.
        folder: where there is room for the table and for what does not fit into memory.

    Raises:
        UsageError: the search fails.
    """
    with tempfile.TemporaryDirectory(prefix="swarmlight-", dir=folder) as place:
        os.environ["TMPDIR"] = place
        table = Path(place) / f"shares.{ending}"
        begun = time.process_time()
        write_shares(table, rows, seed)
        print(f"{rows:,} rows made, {table.stat().st_size / 2**30:.2f} GiB, {time.process_time() - begun:.0f} s")
        command = [sys.executable, "-m", "streaming", "coordinate", str(table), "--columns", "account,link,at"]
        command += ["--kind", "link", "--edges", str(table.with_name("ties.csv"))]
        command += ["--min-shared", str(min_shared)] if min_shared else []
        used, clock, memory = processor_seconds(command)
        ties = len(edges(table.with_name("ties.csv")))
    print(f"{ties:,} ties found", end="; ")
    print(f"{table.name}: {used:.0f} s of the processor ({clock:.0f} s by the clock), {memory:,.0f} MiB at most")
    return 0


if __name__ == "__main__":
    sys.exit(app(standalone_mode=False))
