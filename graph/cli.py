"""`swarmlight coordinate`: find coordinated groups in a record of (account, object, time, kind)."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from detector.errors import UsageError
from graph.coincidences import coordinated_pairs
from graph.permutation import NullTrial, PlantTrial, null_trial, plant_trial, run, upper_rate
from graph.traces import HOUR_MS, TRACE_KINDS, Columns, CoordinationSettings, Records, TraceKind, read_records


def command(argv: list[str]) -> int:
    """Run the subcommand with its arguments; the exit status.

    Raises:
        UsageError: unusable arguments or input.
    """
    args = _parser().parse_args(argv)
    columns = _columns(args)
    records = read_records([Path(p) for p in args.input], columns)
    if not records.touches:
        raise UsageError("the input holds no record: give a file with at least one")
    print(f"{len(records.touches):,} records of {len(records.names):,} accounts")
    settings = CoordinationSettings(target_fdr=args.target_fdr)
    if args.min_shared is not None:
        result = _pairs(records, args)
    elif args.null_seeds or args.plant:
        result = _trials(records, settings, args)
    else:
        result = _groups(records, settings, args)
    if args.out:
        Path(args.out).write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="swarmlight coordinate",
        description="Find groups of accounts that act together in a record of (account, object, time, kind).",
    )
    add = parser.add_argument
    add("--input", action="append", required=True, metavar="FILE", help=".jsonl, .csv (also .gz) or .parquet")
    add("--columns", default="account,object,at,kind", help="names of the fields: account,object,at[,kind]")
    add("--kind", default="repost", help="kind of records without one: link, repost, hashtags, reply_target, ...")
    add("--seconds", action="store_true", help="numeric times are seconds since 1970, not milliseconds")
    add("--target-fdr", type=float, default=0.05, help="share of the accepted groups that may be false")
    add("--seed", type=int, default=0)
    add("--out", metavar="FILE", help="write the result as JSON")
    add("--null-seeds", type=int, default=0, metavar="N", help="swap accounts within blocks, N times, and count")
    add("--block-h", type=float, default=6.0, help="length of a block in hours")
    add("--plant", default="", metavar="SIZES", help="plant groups of these sizes into swapped records: 5,10,20")
    add("--shared", default="3,4,5,6,8,10", metavar="NUMBERS", help="how many objects a planted group shares")
    add("--plant-seeds", type=int, default=10, metavar="N", help="planted groups per size and number")
    add("--plant-days", type=float, default=4.0, help="days over which the shared objects are spread")
    add("--plant-lag-s", type=float, default=600.0, help="mean lag of a member behind the first, in seconds")
    add("--min-shared", type=int, metavar="N", help="instead list pairs that share N objects within --window-s")
    add("--window-s", type=float, default=60.0)
    return parser


def _columns(args: argparse.Namespace) -> Columns:
    names = args.columns.split(",")
    if len(names) not in (3, 4) or not all(names):
        raise UsageError(f"--columns {args.columns}: name three or four fields, as in account,object,at,kind")
    kind = args.kind.upper()
    if kind not in TraceKind.__members__ or TraceKind[kind] >= TRACE_KINDS:
        known = ", ".join(k.label for k in TraceKind if k < TRACE_KINDS)
        raise UsageError(f"--kind {args.kind}: known are {known}")
    column = names[3] if len(names) == 4 else ""
    return Columns(names[0], names[1], names[2], column, TraceKind[kind], args.seconds)


def _pairs(records: Records, args: argparse.Namespace) -> dict[str, Any]:
    pairs = coordinated_pairs(records.touches, round(args.window_s * 1000), args.min_shared)
    accounts = {account for pair in pairs for account in pair}
    print(
        f"{len(pairs)} pairs of {len(accounts)} accounts share at least {args.min_shared} objects "
        f"within {args.window_s:g} s"
    )
    named = [{"a": records.names[a], "b": records.names[b], "count": n} for (a, b), n in pairs.items()]
    return {"pairs": named, "accounts": len(accounts)}


def _groups(records: Records, settings: CoordinationSettings, args: argparse.Namespace) -> dict[str, Any]:
    outcome = run(records.touches, records.names, settings, args.seed)
    print(
        f"{outcome.hypotheses} groups tested, {outcome.coordination.discoveries} accepted at "
        f"target_fdr {settings.target_fdr:g}; still standing at the end:"
    )
    accepted = sorted(outcome.accepted, key=lambda g: (-g.log_e, g.id))
    print("id                        members  log e  hits  expected")
    for group in accepted:
        bets = group.bets
        print(f"{group.id}  {len(group.members):7d}  {group.log_e:5.1f}  {bets.hits:4d}  {bets.expected:8.1f}")
    return {
        "hypotheses": outcome.hypotheses,
        "target_fdr": settings.target_fdr,
        "groups": [
            {
                "id": g.id,
                "members": [records.names[row] for row in sorted(g.members)],
                "log_e": round(g.log_e, 3),
                "accepted_at_ms": g.accepted_ms,
                "hits": g.bets.hits,
                "expected": round(g.bets.expected, 3),
            }
            for g in accepted
        ],
    }


def _trials(records: Records, settings: CoordinationSettings, args: argparse.Namespace) -> dict[str, Any]:
    block_ms = round(args.block_h * HOUR_MS)
    if block_ms <= 0:
        raise UsageError(f"--block-h {args.block_h}: must be positive")
    result: dict[str, Any] = {}
    if args.null_seeds:
        nulls = []
        for seed in range(args.seed, args.seed + args.null_seeds):
            nulls.append(null_trial(records, block_ms, seed, settings))
            _progress(f"swapped, seed {seed}: {nulls[-1].accepted} of {nulls[-1].hypotheses} groups accepted")
        print(_null_table(nulls, settings))
        result["null"] = [trial._asdict() for trial in nulls]
    if args.plant:
        planted = []
        for size in _numbers("--plant", args.plant):
            for shared in _numbers("--shared", args.shared):
                for seed in range(args.seed, args.seed + args.plant_seeds):
                    trial = plant_trial(
                        records, block_ms, size, shared, seed, settings,
                        days=args.plant_days, lag_ms=round(args.plant_lag_s * 1000),
                    )  # fmt: skip
                    planted.append(trial)
                    _progress(f"planted {size} sharing {shared}, seed {seed}: accepted {trial.accepted}")
        print(_plant_table(planted))
        result["planted"] = [trial._asdict() for trial in planted]
    return result


def _null_table(trials: list[NullTrial], settings: CoordinationSettings) -> str:
    found = sum(t.accepted > 0 for t in trials)
    hypotheses = sum(t.hypotheses for t in trials)
    mean = sum(t.sum_e for t in trials) / max(hypotheses, 1)
    rate = f"{found / len(trials):.3f}; at most {upper_rate(found, len(trials)):.3f} at 95%"
    return (
        f"swapped {len(trials)} times: groups found in {found} ({rate}; target {settings.target_fdr:g})\n"
        f"{hypotheses} groups tested, mean e-value {mean:.3f}, largest {max(t.max_e for t in trials):.1f}"
    )


def _plant_table(trials: Iterable[PlantTrial]) -> str:
    cells: dict[tuple[int, int], list[PlantTrial]] = {}
    for trial in trials:
        cells.setdefault((trial.size, trial.shared), []).append(trial)
    lines = ["size  shared  accepted  members found  others in it  objects begun when accepted (median)  false groups"]
    for (size, shared), group in sorted(cells.items()):
        accepted = [t for t in group if t.accepted]
        after = sorted(t.found_after for t in accepted if t.found_after is not None)
        members = sum(t.members for t in accepted) / max(len(accepted), 1)
        others = sum(t.others for t in accepted) / max(len(accepted), 1)
        median = str(after[len(after) // 2]) if after else "-"
        lines.append(
            f"{size:4d}  {shared:6d}  {len(accepted):3d} of {len(group):2d}  {members:13.1f}  {others:12.1f}  "
            f"{median:>38s}  {sum(t.false for t in group):12d}"
        )
    return "\n".join(lines)


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
