"""The command `swarmlight coordinate`: find coordinated groups in a table of who shared what, and when.

Reads tables as toolkits and spreadsheets write them (`graph.tables`); finds groups among all accounts with an error
rate by decoys (`graph.search`), or pairs by the definition of other tools (`graph.co_sharing`), or runs the null and
power studies of `graph.permutation`. Prints what it found, and writes it as JSON, GraphML, tables and a picture. Needs
no texts, no models and no Kafka. The search for groups is imported where it is used: that takes as long as reading a
small table.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
import typer

from detector.errors import UsageError
from detector.plugins import COMMANDS, load
from graph.co_sharing import MAX_OBJECT, find_pairs, pairs_want
from graph.decoys import BLOCK_MS, MANY_DRAWS
from graph.exports import Network, require_endings, write_edges, write_graphml, write_json, write_nodes
from graph.picture import ENDINGS, draw, require_drawing
from graph.table_layouts import given_or_refused
from graph.tables import UNITS, TimeUnit, read_tables
from graph.trace_table import EVERYTHING, SHARED, TraceTable
from graph.traces import HOUR_MS

PRINTED: Final = 20
"""Groups or pairs printed; all are in the files."""

NAMED: Final = 4
"""Members of a group that are printed by name."""

NAME_CHARACTERS: Final = 32


class _Files(NamedTuple):
    """What is written, and where."""

    out: Path | None
    graph: Path | None
    nodes: Path | None
    edges: Path | None
    picture: Path | None

    def check(self) -> None:
        """Refuse what could not be written, before anything that takes long.

        Raises:
            UsageError: an ending, a folder that is not there, or matplotlib that is not.
        """
        tables = (".csv", ".parquet")
        require_endings(
            (
                ("--out", self.out, (".json",)), ("--graph", self.graph, (".graphml",)),
                ("--nodes", self.nodes, tables), ("--edges", self.edges, tables), ("--picture", self.picture, ENDINGS),
            )
        )  # fmt: skip
        if self.picture is not None:
            require_drawing()

    def write(self, result: dict[str, Any], network: Network | None, title: str) -> None:
        """Write all that was asked for.

        Args:
            result: as JSON.
            network: of the groups; None where there is none to write.
            title: of the picture.
        """
        if network is not None:
            for path, write in ((self.graph, write_graphml), (self.nodes, write_nodes), (self.edges, write_edges)):
                if path is not None:
                    write(path, network)
            if self.picture is not None:
                draw(self.picture, network, title)
        if self.out is not None:
            write_json(self.out, result)
        written = [str(path) for path in self if path is not None and (network is not None or path is self.out)]
        if written:
            print(f"written: {', '.join(written)}")


class _Studies(NamedTuple):
    """What the null and power studies are asked to do."""

    null_seeds: int
    block_h: float
    sizes: str
    shared: str
    plant_seeds: int
    days: float
    lag_s: float


def coordinate_command(
    tables: Annotated[
        list[Path] | None,
        typer.Argument(metavar="TABLE...", help="CSV, TSV, JSON or Parquet, also .gz or .zst; - is standard input"),
    ] = None,
    inputs: Annotated[
        list[Path] | None, typer.Option("--input", metavar="FILE...", help="the same, as an option")
    ] = None,
    columns: Annotated[
        str,
        typer.Option(metavar="NAMES", help="columns of account,object,time[,kind], where they are not recognised"),
    ] = "",
    format_name: Annotated[
        str,
        typer.Option(
            "--format", metavar="NAME", help="read recordings of this input format, as run does, in place of tables"
        ),
    ] = "",
    kind: Annotated[
        str,
        typer.Option(metavar="KIND", help="kind of records without one: link, repost, hashtag, reply_target, ..."),
    ] = "repost",
    only: Annotated[
        str, typer.Option(metavar="KINDS", help="look at these kinds of records alone, with commas between")
    ] = "",
    time_unit: Annotated[
        str,
        typer.Option(metavar="UNIT", help="of times that are numbers since 1970: s, ms, us, ns; auto recognises it"),
    ] = "auto",
    target_fdr: Annotated[
        float, typer.Option(metavar="SHARE", help="share of the accepted groups that may be false")
    ] = 0.05,
    seed: Annotated[int, typer.Option(metavar="N", help="of every random choice")] = 0,
    out: Annotated[Path | None, typer.Option(metavar="FILE.json", help="write the whole result")] = None,
    graph: Annotated[
        Path | None,
        typer.Option(metavar="FILE.graphml", help="write the network, for Gephi, Cytoscape, igraph, networkx"),
    ] = None,
    nodes: Annotated[Path | None, typer.Option(metavar="FILE", help="write its accounts as .csv or .parquet")] = None,
    edges: Annotated[Path | None, typer.Option(metavar="FILE", help="write its ties as .csv or .parquet")] = None,
    picture: Annotated[Path | None, typer.Option(metavar="FILE", help="draw it, as .png, .svg or .pdf")] = None,
    truth: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="measure the groups: JSON lines of account and campaign (null: of none)"),
    ] = None,
    min_shared: Annotated[
        int | None,
        typer.Option(metavar="N", help="instead list pairs that share N objects within --window-s, as other tools do"),
    ] = None,
    window_s: Annotated[
        float, typer.Option(metavar="SECONDS", help="within which a pair shares an object, for --min-shared")
    ] = 60.0,
    max_object: Annotated[
        int, typer.Option(metavar="N", help="leave out objects shared more often, for --min-shared")
    ] = MAX_OBJECT,
    null_seeds: Annotated[
        int, typer.Option(metavar="N", help="exchange accounts within blocks, N times, and count what is accepted")
    ] = 0,
    block_h: Annotated[float, typer.Option(metavar="HOURS", help="length of a block")] = BLOCK_MS / HOUR_MS,
    injected_sizes: Annotated[
        str,
        typer.Option("--plant", metavar="SIZES", help="inject groups of these sizes into exchanged records: 5,10,20"),
    ] = "",
    shared: Annotated[
        str, typer.Option(metavar="NUMBERS", help="how many objects an injected group shares")
    ] = "3,6,12,24",
    injection_seeds: Annotated[
        int, typer.Option("--plant-seeds", metavar="N", help="injected groups per size and number")
    ] = 5,
    injection_days: Annotated[
        float, typer.Option("--plant-days", metavar="DAYS", help="days over which the shared objects are spread")
    ] = 4.0,
    injection_lag_s: Annotated[
        float, typer.Option("--plant-lag-s", metavar="SECONDS", help="mean lag of a member behind the first")
    ] = 600.0,
) -> int:
    """Find groups of accounts that act together in tables of who shared what, and when.

    The columns of CooRTweet and of coordination-network-toolkit are recognised, and usual names of others. With
    --format recordings of a platform are converted first; who shared what is read off their events.

    Args:
        tables: records, in any order.

    Raises:
        UsageError: unusable arguments or input.
    """
    files = _Files(out, graph, nodes, edges, picture)
    files.check()
    paths = [*(tables or []), *(inputs or [])]
    if not paths:
        raise UsageError("name a table to read: swarmlight coordinate TABLE")
    if time_unit not in UNITS:
        raise UsageError(f"--time-unit {time_unit!a}: is none of {', '.join(UNITS)}")
    if not 0 < target_fdr < 1:
        raise UsageError(f"--target-fdr {target_fdr:g}: must lie between 0 and 1, for instance 0.05")
    if min_shared is not None and (min_shared < 1 or window_s < 0 or max_object < 2):
        raise UsageError("--min-shared has to be at least 1, --window-s at least 0, --max-object at least 2")
    studies = _Studies(
        null_seeds, block_h, injected_sizes, shared, injection_seeds, injection_days, injection_lag_s
    )  # fmt: skip
    unit: TimeUnit = next(each for each in UNITS if each == time_unit)
    kinds = tuple(given_or_refused("--only", name.strip()) for name in only.split(",")) if only else None
    if min_shared is not None:
        wanted = pairs_want(window_s, max_object)
    else:
        wanted = EVERYTHING if null_seeds or injected_sizes else SHARED
    with TemporaryDirectory(prefix="swarmlight-") as folder:
        table = read_tables(
            [_as_events(paths, format_name, Path(folder))] if format_name else paths,
            columns=columns,
            kind=given_or_refused("--kind", kind),
            unit=unit,
            now_ms=round(time.time() * 1000),
            wanted=wanted._replace(kinds=kinds),
        )
    campaigns = None if truth is None else _campaigns(truth, table.accounts)
    for note in () if format_name else table.reading.notes:
        print(_shown(note, 300))
    network: Network | None = None
    if min_shared is not None:
        result, network = _pairs(table, min_shared, window_s, max_object)
    elif null_seeds or injected_sizes:
        result = _studied(table, studies, target_fdr, seed)
    else:
        result, network = _groups(table, target_fdr, seed)
        if campaigns is not None:
            result["truth"] = _measured(result["groups"], campaigns)
    reading = table.reading
    result["reading"] = {
        "rows": reading.rows, "used": reading.used, "bare": reading.bare, "traces": reading.traces,
        "skipped": {why: count for why, count in reading.skipped.items() if count},
    }  # fmt: skip
    files.write(result, network, f"{paths[0].name}: {reading.traces:,} traces")
    print(reading.sentence())
    return 0


def _as_events(paths: Sequence[Path], format_name: str, folder: Path) -> Path:
    """Recordings of an input format as post events, made by the command `ingest`, which says what became of them."""
    made = folder / "events.jsonl"
    load(COMMANDS, "ingest")([*map(str, paths), str(made)], format_name, kept=False)
    return made


def _shown(text: str, limit: int = NAME_CHARACTERS) -> str:
    """A stranger's text as short printable ASCII."""
    escaped = ascii(text)[1:-1]
    return escaped if len(escaped) <= limit else escaped[: limit - 3] + "..."


def _pairs(table: TraceTable, min_shared: int, window_s: float, max_object: int) -> tuple[dict[str, Any], Network]:
    """Pairs by definition, printed, as they are written, and the network of them."""
    found = find_pairs(table, min_shared, window_s, max_object)
    print(
        f"{len(found.pairs):,} pairs of {len(found.network.names):,} accounts share at least {min_shared:,} objects "
        f"within {window_s:g} s"
    )
    if found.left_out["objects"]:
        print(
            f"left out: {found.left_out['objects']:,} objects with {found.left_out['traces']:,} traces, each shared "
            f"more than {max_object:,} times (--max-object)"
        )
    label = dict(zip(found.network.names, found.network.labels, strict=True))
    for pair in found.pairs.most(PRINTED):
        print(f"{pair['count']:6,d}  {_shown(label[pair['a']])}  {_shown(label[pair['b']])}")
    _say_more(len(found.pairs), "pairs")
    return {"pairs": found.pairs, "accounts": len(found.network.names), "left_out": found.left_out}, found.network


def _groups(table: TraceTable, target_fdr: float, seed: int) -> tuple[dict[str, Any], Network]:
    """Groups among all accounts, printed, as they are written, and the network of the accepted."""
    from graph.coordination import find_groups

    found = find_groups(table, target_fdr, seed)
    accepted = sum(group["accepted"] for group in found.groups)
    print(
        f"{len(found.groups):,} groups found, {accepted:,} accepted: beyond what {MANY_DRAWS} draws of exchanged "
        f"accounts show (target_fdr {target_fdr:g})"
    )
    if accepted:
        print("number  members  contrast  decoy q  objects  from        to          strongest members")
    for group in found.groups[: min(accepted, PRINTED)]:
        members = group["members"]
        names = ", ".join(_shown(member["label"]) for member in members[:NAMED])
        more = len(members) - NAMED
        print(
            f"{group['number']:6d}  {len(members):7,d}  {group['contrast']:8.1f}  {group['decoy_q']:7.3f}  "
            f"{group['shared_objects']:7,d}  {group['from'][:10]}  {group['to'][:10]}  {names}"
            + (f" and {more:,} more" if more > 0 else "")
        )
    _say_more(accepted, "groups")
    return {"target_fdr": target_fdr, "groups": found.groups}, found.network


def _campaigns(path: Path, accounts: Sequence[str]) -> dict[str, str]:
    """Campaign of each account, "" for those of none.

    Raises:
        UsageError: it cannot be read, names no campaign, or none of the accounts that share anything.
    """
    out: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                row = json.loads(line)
                if not isinstance(row, dict) or not isinstance(row.get("account"), str):
                    raise UsageError(f"--truth {path}, line {number}: has no text `account`")
                out[row["account"]] = str(row.get("campaign") or "")
    except (OSError, ValueError) as error:
        raise UsageError(f"--truth {path}: cannot be read ({error})") from None
    if not any(out.values()):
        raise UsageError(f"--truth {path}: names no campaign")
    if not any(name in out for name in accounts):
        raise UsageError(
            f"--truth {path}: none of its {len(out):,} accounts shares anything in the table; they have to be named "
            f"alike, as {_shown(next(iter(out)))!a} there and {_shown(accounts[0])!a} in the table"
        )
    return out


def _measured(groups: Sequence[Mapping[str, Any]], campaigns: Mapping[str, str]) -> dict[str, Any]:
    """How much of each campaign is in accepted groups, and how many of the pairs in them are of one campaign."""
    members = [[each["account"] for each in group["members"]] for group in groups if group["accepted"]]
    found = Counter(campaigns.get(name, "") for group in members for name in group)
    right = sum(
        count * (count - 1) // 2
        for group in members
        for campaign, count in Counter(campaigns.get(name, "") for name in group).items()
        if campaign
    )
    pairs = sum(len(group) * (len(group) - 1) // 2 for group in members)
    sizes = Counter(campaigns.values())
    if not any(name in campaigns for group in members for name in group):
        print("the truth names none of the accounts in groups")
    print("accounts  in accepted groups  campaign")
    for campaign, size in sorted(sizes.items()):
        print(f"{size:8,d}  {found[campaign]:18,d}  {_shown(campaign) or '(none)'}")
    precision = right / pairs if pairs else None
    print(
        f"pairs in groups that are of one campaign: {right:,} of {pairs:,}" + (f" ({precision:.3f})" if pairs else "")
    )
    return {
        "campaigns": [
            {"campaign": name, "accounts": size, "found": found[name]} for name, size in sorted(sizes.items())
        ],
        "pair_precision": precision,
    }


def _say_more(count: int, what: str) -> None:
    if count > PRINTED:
        print(f"and {count - PRINTED:,} more {what}; --out, --nodes and --edges write them all")


def _studied(table: TraceTable, asked: _Studies, target_fdr: float, seed: int) -> dict[str, Any]:
    from graph.permutation import Injection, Traces, injection_table, injection_trial, null_table, null_trial

    block_ms = round(asked.block_h * HOUR_MS)
    if block_ms <= 0:
        raise UsageError(f"--block-h {asked.block_h}: must be positive")
    sizes = _numbers("--plant", asked.sizes) if asked.sizes else []
    shared = _numbers("--shared", asked.shared)
    if sizes and (min(sizes) < 2 or asked.days <= 0 or asked.lag_s < 0):
        raise UsageError("--plant: groups have two members or more, --plant-days above 0, --plant-lag-s at least 0")
    traces = Traces(
        table.at, table.account.astype(np.int64), table.kind.astype(np.int64), table.object, len(table.accounts)
    )
    result: dict[str, Any] = {"target_fdr": target_fdr}
    if asked.null_seeds:
        nulls = []
        for trial in range(seed, seed + asked.null_seeds):
            nulls.append(null_trial(traces, trial, target_fdr, block_ms))
            _progress(f"exchanged, seed {trial}: {nulls[-1].accepted} of {nulls[-1].groups} groups accepted")
        print(null_table(nulls, target_fdr))
        result["null"] = [each._asdict() for each in nulls]
    if sizes:
        injected = []
        for size in sizes:
            for objects in shared:
                group = Injection(size, objects, asked.days, round(asked.lag_s * 1000))
                for trial in range(seed, seed + asked.plant_seeds):
                    injected.append(injection_trial(traces, group, trial, target_fdr, block_ms))
                    _progress(f"injected {size} sharing {objects}, seed {trial}: accepted {injected[-1].accepted}")
        print(injection_table(injected))
        result["planted"] = [each._asdict() for each in injected]
    return result


def _numbers(option: str, text: str) -> list[int]:
    try:
        values = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"{option} {text}: give whole numbers with commas between, as in 5,10,20") from error
    if not values or min(values) < 1:
        raise UsageError(f"{option} {text}: numbers must be positive")
    return values


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        print(line, file=sys.stderr)
