"""The command `swarmlight coordinate`: find coordinated groups in a record of (account, object, time, kind).

Reads tables of who acted on what, and when (`graph.traces.read_records`); prints groups, or pairs, or what the null and
power studies of `graph.permutation` found, and writes the same as JSON. Needs no texts, no models and no Kafka.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from detector.errors import UsageError
from graph.coincidences import coordinated_pairs
from graph.permutation import InjectionTrial, NullTrial, injection_trial, null_trial, run, upper_rate
from graph.traces import GIVEN_NAMES, HOUR_MS, Columns, CoordinationSettings, Records, given_kind, read_records


class _Trials(NamedTuple):
    """What the null and power studies are asked to do."""

    null_seeds: int
    block_h: float
    injected_sizes: str
    shared: str
    injection_seeds: int
    injection_days: float
    injection_lag_s: float
    seed: int


def coordinate_command(
    inputs: Annotated[
        list[Path], typer.Option("--input", metavar="FILE...", help=".jsonl, .csv (also .gz) or .parquet")
    ],
    columns: Annotated[
        str, typer.Option(metavar="NAMES", help="names of the fields: account,object,at[,kind]")
    ] = "account,object,at,kind",
    kind: Annotated[
        str,
        typer.Option(metavar="KIND", help="kind of records without one: link, repost, hashtags, reply_target, ..."),
    ] = "repost",
    seconds: Annotated[
        bool, typer.Option("--seconds", help="numeric times are seconds since 1970, not milliseconds")
    ] = False,
    target_fdr: Annotated[
        float, typer.Option(metavar="SHARE", help="share of the accepted groups that may be false")
    ] = 0.05,
    seed: Annotated[int, typer.Option(metavar="N", help="of every random choice")] = 0,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="write the result as JSON")] = None,
    null_seeds: Annotated[
        int, typer.Option(metavar="N", help="permute accounts within blocks, N times, and count")
    ] = 0,
    block_h: Annotated[float, typer.Option(metavar="HOURS", help="length of a block")] = 6.0,
    injected_sizes: Annotated[
        str,
        typer.Option("--plant", metavar="SIZES", help="inject groups of these sizes into permuted records: 5,10,20"),
    ] = "",
    shared: Annotated[
        str, typer.Option(metavar="NUMBERS", help="how many objects an injected group shares")
    ] = "3,4,5,6,8,10",
    injection_seeds: Annotated[
        int, typer.Option("--plant-seeds", metavar="N", help="injected groups per size and number")
    ] = 10,
    injection_days: Annotated[
        float, typer.Option("--plant-days", metavar="DAYS", help="days over which the shared objects are spread")
    ] = 4.0,
    injection_lag_s: Annotated[
        float, typer.Option("--plant-lag-s", metavar="SECONDS", help="mean lag of a member behind the first")
    ] = 600.0,
    min_shared: Annotated[
        int | None, typer.Option(metavar="N", help="instead list pairs that share N objects within --window-s")
    ] = None,
    window_s: Annotated[
        float, typer.Option(metavar="SECONDS", help="within which a pair shares an object, for --min-shared")
    ] = 60.0,
) -> int:
    """Find groups of accounts that act together in a record of (account, object, time, kind).

    Args:
        inputs: records, in any order.

    Raises:
        UsageError: unusable arguments or input.
    """
    records = read_records(inputs, _columns(columns, kind, seconds=seconds))
    if not records.traces:
        raise UsageError("the input holds no record: give a file with at least one")
    print(f"{len(records.traces):,} records of {len(records.names):,} accounts")
    settings = CoordinationSettings(target_fdr=target_fdr)
    if min_shared is not None:
        result = _pairs(records, min_shared, window_s)
    elif null_seeds or injected_sizes:
        trials = _Trials(
            null_seeds, block_h, injected_sizes, shared, injection_seeds, injection_days, injection_lag_s, seed
        )
        result = _trials(records, settings, trials)
    else:
        result = _groups(records, settings, seed)
    if out is not None:
        out.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return 0


def _columns(columns: str, kind: str, *, seconds: bool) -> Columns:
    names = columns.split(",")
    if len(names) not in (3, 4) or not all(names):
        raise UsageError(f"--columns {columns}: name three or four fields, as in account,object,at,kind")
    number = given_kind(kind)
    if number is None:
        raise UsageError(f"--kind {kind}: known are {', '.join(GIVEN_NAMES)}")
    column = names[3] if len(names) == 4 else ""
    return Columns(names[0], names[1], names[2], column, number, seconds)


def _pairs(records: Records, min_shared: int, window_s: float) -> dict[str, Any]:
    pairs = coordinated_pairs(records.traces, round(window_s * 1000), min_shared)
    accounts = {account for pair in pairs for account in pair}
    print(f"{len(pairs)} pairs of {len(accounts)} accounts share at least {min_shared} objects within {window_s:g} s")
    named = [{"a": records.names[a], "b": records.names[b], "count": n} for (a, b), n in pairs.items()]
    return {"pairs": named, "accounts": len(accounts)}


def _groups(records: Records, settings: CoordinationSettings, seed: int) -> dict[str, Any]:
    outcome = run(records.traces, records.names, settings, seed)
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


def _trials(records: Records, settings: CoordinationSettings, asked: _Trials) -> dict[str, Any]:
    block_ms = round(asked.block_h * HOUR_MS)
    if block_ms <= 0:
        raise UsageError(f"--block-h {asked.block_h}: must be positive")
    result: dict[str, Any] = {}
    if asked.null_seeds:
        nulls = []
        for seed in range(asked.seed, asked.seed + asked.null_seeds):
            nulls.append(null_trial(records, block_ms, seed, settings))
            _progress(f"permuted, seed {seed}: {nulls[-1].accepted} of {nulls[-1].hypotheses} groups accepted")
        print(_null_table(nulls, settings))
        result["null"] = [trial._asdict() for trial in nulls]
    if asked.injected_sizes:
        injected = []
        for size in _numbers("--plant", asked.injected_sizes):
            for shared in _numbers("--shared", asked.shared):
                for seed in range(asked.seed, asked.seed + asked.injection_seeds):
                    trial = injection_trial(
                        records, block_ms, size, shared, seed, settings,
                        days=asked.injection_days, lag_ms=round(asked.injection_lag_s * 1000),
                    )  # fmt: skip
                    injected.append(trial)
                    _progress(f"injected {size} sharing {shared}, seed {seed}: accepted {trial.accepted}")
        print(_injection_table(injected))
        result["planted"] = [trial._asdict() for trial in injected]
    return result


def _null_table(trials: list[NullTrial], settings: CoordinationSettings) -> str:
    found = sum(t.accepted > 0 for t in trials)
    hypotheses = sum(t.hypotheses for t in trials)
    mean = sum(t.sum_e for t in trials) / max(hypotheses, 1)
    rate = f"{found / len(trials):.3f}; at most {upper_rate(found, len(trials)):.3f} at 95%"
    return (
        f"permuted {len(trials)} times: groups found in {found} ({rate}; target {settings.target_fdr:g})\n"
        f"{hypotheses} groups tested, mean e-value {mean:.3f}, largest {max(t.max_e for t in trials):.1f}"
    )


def _injection_table(trials: Iterable[InjectionTrial]) -> str:
    cells: dict[tuple[int, int], list[InjectionTrial]] = {}
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
