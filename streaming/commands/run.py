"""`swarmlight run`: score a recording of events to its end."""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import msgspec

from detector.bundle import load_models
from detector.errors import UsageError
from detector.evidence import PARTS
from streaming.account_graphs import AccountGraphs
from streaming.assess import Assess, AssessSettings
from streaming.config import Config, load_config
from streaming.local import live_experts, play, scorer_of
from streaming.outputs import Outputs, Progress
from streaming.sources import Inputs
from streaming.trajectories import Trajectories

_KIB: Final = 1024
_LARGEST_SEED: Final = 2**32 - 1


def command(argv: list[str]) -> int:
    """Run `swarmlight run ARGV...`. Exit status 0 when every record is accounted for.

    Raises:
        UsageError: unusable arguments, or input that cannot be read to its end.
        ModelError: weights that cannot be used.
    """
    arguments = _parser().parse_args(argv)
    started = time.monotonic()
    config = _config(arguments)
    settings = AssessSettings.from_config(config, arguments.without)
    with ExitStack() as stack:
        inputs = stack.enter_context(Inputs(arguments.input))
        outputs = stack.enter_context(
            Outputs(
                alerts=arguments.alerts,
                details=arguments.details,
                scores=arguments.scores,
                dead_letters=arguments.dead_letters,
                summary=arguments.summary,
                inputs=arguments.input,
            )
        )
        models = load_models(Path(config.models.dir) if config.models.dir else None)
        assess = Assess(settings, models, partitions=1)
        if arguments.trajectories:
            trajectories = stack.enter_context(Trajectories(arguments.trajectories))
            assess.watch(trajectories.write)
        if arguments.account_graphs:
            assess.watch_graphs(AccountGraphs(arguments.account_graphs).write)
        progress = Progress(inputs, sys.stderr, time.monotonic)
        for step in play(inputs, assess, scorer_of(models, settings), live_experts(models), _now_ms):
            outputs.write(step)
            progress.show(assess)
        accounts, flagged = outputs.finish(assess.scores())
        counts = assess.counts
        outputs.write_summary(
            {
                "read": counts.settled,
                "accepted": counts.accepted,
                "duplicate": counts.duplicate,
                "late": counts.late,
                "dead": counts.dead,
                "accounts": accounts,
                "flagged": flagged,
                "campaigns": assess.campaigns,
                "wall_s": round(time.monotonic() - started, 3),
                "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB, 1),
                "models": models.versions,
            }
        )
        progress.close(assess)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="swarmlight run",
        description="Score a recording of post events to its end, with the same stages as the worker.",
    )
    parser.add_argument(
        "--input",
        action="extend",
        nargs="+",
        required=True,
        metavar="FILE",
        help="events, one JSON object a line: .jsonl, .jsonl.gz, .jsonl.zst, or - for standard input; several are "
        "merged by their time",
    )
    outputs = {
        "alerts": "every revision of every alert, in order",
        "details": "the pages behind the alerts: whole networks and time lines",
        "scores": "one line per account",
        "summary": "one JSON object with counts, time, memory and model versions",
        "dead-letters": "records that are no event, with the reason",
    }
    for name, text in outputs.items():
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"write {text}")
    # What `swarmlight calibrate` reads: every total that was held against the threshold.
    parser.add_argument("--trajectories", type=Path, help=argparse.SUPPRESS)
    # What `swarmlight train graph` reads: what the graph model sees, twice a day.
    parser.add_argument("--account-graphs", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration (swarmlight config prints all keys)")
    parser.add_argument(
        "--without",
        action="extend",
        nargs="+",
        default=[],
        choices=PARTS,
        metavar="PART",
        help=f"leave a part of the evidence out everywhere: {', '.join(PARTS)}",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="seed of every random choice; over the configuration's")
    return parser


def _config(arguments: argparse.Namespace) -> Config:
    config = load_config(arguments.config, os.environ)
    seed: Any = arguments.seed
    if seed is None:
        return config
    if not 0 <= seed <= _LARGEST_SEED:
        raise UsageError(f"--seed {seed}: it has to lie between 0 and {_LARGEST_SEED}")
    return msgspec.structs.replace(config, seed=seed)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
