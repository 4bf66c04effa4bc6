"""The command `swarmlight`: finds the subcommand among the installed ones, runs it, turns errors into exit statuses.

Subcommands are entry points of the group `swarmlight.commands`: `command(argv) -> status`. Each parses its own
arguments and may raise `SwarmlightError`.

Exit status: 0 done; 1 an error; 2 unusable arguments, configuration or input; 130 interrupted.

`swarmlight run`: score a recording of events to its end.

`swarmlight worker`: the long-running process over Kafka; any number of them.

`swarmlight dlq`: look at dead letters, count them by problem, and send their records to `posts` again.

`swarmlight forget ACCOUNT`: remove everything that is kept of an account.
"""

from __future__ import annotations

import argparse
import difflib
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import msgspec

from detector.errors import SwarmlightError, UsageError
from detector.evidence import PARTS
from streaming import telemetry
from streaming.config import Config, load_config
from streaming.kafka.admin import forget
from streaming.kafka.worker import shipped, work
from streaming.pipeline import RunProgress, run_recording
from streaming.schema.dead_letter import Letter, Tally, letters
from streaming.sources.files import Inputs
from streaming.telemetry import shown

if TYPE_CHECKING:
    from streaming.kafka.admin import Replay


GROUP: Final = "swarmlight.commands"

DEBUG_VARIABLE: Final = "SWARMLIGHT_DEBUG"

INTERRUPTED: Final = 130
"""128 + SIGINT, as shells have it."""

SUMMARIES: Final = {
    "run": "score a recording of events to its end",
    "worker": "score the events of a Kafka topic, for as long as it lives",
    "demo": "play a stream with planted campaigns into a small broker and watch them being caught",
    "feed": "serve the moderators' feed: understand, claim and decide alerts in a browser",
    "config": "print all configuration keys with defaults and reasons",
    "dlq": "look at dead letters, or send them again",
    "forget": "remove everything that is kept of an account",
    "coordinate": "find coordinated groups in a table of who touched what, and when",
    "train": "fit the text, account or fusion model",
    "calibrate": "fit thresholds on people of one's own platform",
    "evaluate": "measure a stream with known truth, evidence by evidence",
    "audit": "measure false flags by group of people",
    "simulate": "make a society of people, crowds and operators, its events and the truth about them",
}
"""One line each for the help. A command that another package installs is listed without one."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `swarmlight ARGV...` and give the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")
    if "--debug" in arguments[:1]:
        debug, arguments = True, arguments[1:]
    try:
        return _dispatch(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (`swarmlight config | head`): nothing is wrong, but Python would complain
        # again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            traceback.print_exc()
        known = isinstance(error, SwarmlightError)
        what = str(error) if known else f"unexpected {type(error).__name__}: {shown(error, 500)}"
        hint = "" if known or debug else f" (set {DEBUG_VARIABLE}=1 to see where)"
        print(f"swarmlight: {what}{hint}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1


def commands() -> dict[str, EntryPoint]:
    """The installed subcommands by name; those of `SUMMARIES` first, in its order."""
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    return {name: found[name] for name in [*SUMMARIES, *sorted(set(found) - set(SUMMARIES))] if name in found}


def _dispatch(arguments: list[str]) -> int:
    known = commands()
    if not arguments:
        print(_help(known), file=sys.stderr)
        return 2
    name, rest = arguments[0], arguments[1:]
    if name in ("-h", "--help", "help"):
        print(_help(known))
        return 0
    if name in ("-V", "--version"):
        print(f"swarmlight {version('swarmlight')}")
        return 0
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        meant = f"did you mean {close[0]}? " if close else ""
        raise UsageError(f"no command {name!a}: {meant}`swarmlight --help` lists them")
    command: Callable[[list[str]], int] = known[name].load()
    return command(rest)


def _help(known: dict[str, EntryPoint]) -> str:
    width = max((len(name) for name in known), default=0)
    lines = [
        "usage: swarmlight [--debug] COMMAND ...",
        "",
        "Finds accounts that language models drive, and groups of them that act together, in a stream of posts.",
        "",
        *(f"  {name:<{width}}  {SUMMARIES.get(name, '')}".rstrip() for name in known),
        "",
        "`swarmlight COMMAND --help` says more about one of them.",
    ]
    return "\n".join(lines)


_LARGEST_SEED: Final = 2**32 - 1


def run_command(argv: list[str]) -> int:
    """Run `swarmlight run ARGV...`. Exit status 0 when every record is accounted for.

    Raises:
        UsageError: unusable arguments, or input that cannot be read to its end.
        ModelError: weights that cannot be used.
    """
    arguments = _run_parser().parse_args(argv)
    config = _run_config(arguments)
    line = ProgressLine(sys.stderr, time.monotonic)
    run_recording(
        arguments.input,
        config=config,
        without=arguments.without,
        alerts=arguments.alerts,
        details=arguments.details,
        scores=arguments.scores,
        summary=arguments.summary,
        dead_letters=arguments.dead_letters,
        trajectories=arguments.trajectories,
        account_graphs=arguments.account_graphs,
        keep=False,
        on_step=line.show,
    )
    line.close()
    return 0


PROGRESS_S: Final = 0.2
"""Seconds between two lines of progress: smooth to the eye, free for the work."""


class ProgressLine:
    """One line on a terminal that is written over; nothing where the stream is no terminal.

    Args:
        stream: standard error.
        clock: seconds, monotonic.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock
        self._on = stream.isatty()
        self._begun = clock()
        self._shown = self._begun
        self._last = RunProgress(None, 0, 0, 0, 0)

    def show(self, now: RunProgress) -> None:
        """Show how far the run is, if it is time to."""
        self._last = now
        if self._on and self._clock() - self._shown >= PROGRESS_S:
            self._shown = self._clock()
            share = f"{now.share:4.0%}  " if now.share is not None else ""
            self._write(share)

    def close(self) -> None:
        """Show the end."""
        if self._on:
            self._write("", end="\n")

    def _write(self, share: str, end: str = "") -> None:
        last = self._last
        rate = last.events / max(self._clock() - self._begun, 1e-9)
        self._stream.write(
            f"\r\x1b[K{share}{last.events:,} events  {rate:,.0f}/s  {last.accounts:,} accounts  "
            f"{last.flagged:,} flagged  {last.campaigns:,} campaigns{end}"
        )
        self._stream.flush()


def _run_parser() -> argparse.ArgumentParser:
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


def _run_config(arguments: argparse.Namespace) -> Config:
    config = load_config(arguments.config, os.environ)
    seed: Any = arguments.seed
    if seed is None:
        return config
    if not 0 <= seed <= _LARGEST_SEED:
        raise UsageError(f"--seed {seed}: it has to lie between 0 and {_LARGEST_SEED}")
    return msgspec.structs.replace(config, seed=seed)


def worker_command(argv: list[str]) -> int:
    """Run the worker.

    Raises:
        UsageError: unusable arguments.
    """
    parser = argparse.ArgumentParser(
        prog="swarmlight worker",
        description="Reads events from Kafka and writes alerts to Kafka. Start as many as you like: they share the "
        "partitions of `posts` among them, and one of them decides.",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file; environment variables win over it")
    parser.add_argument(
        "--stage",
        choices=("all", "score", "assess"),
        default="all",
        help="score: only read posts; assess: only decide, or stand by (default: all)",
    )
    parser.add_argument(
        "--exit-when-idle",
        type=float,
        metavar="SECONDS",
        help="the topic is bounded: close it once everything was read and nothing more came for SECONDS, and exit 0",
    )
    arguments = parser.parse_args(argv)
    exit_s: float | None = arguments.exit_when_idle
    if exit_s is not None and not (math.isfinite(exit_s) and exit_s >= 0):
        raise UsageError("--exit-when-idle takes a number of seconds, 0 or more")
    # Until the loops run there is nothing to finish; they install handlers of their own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    config = load_config(arguments.config, os.environ)
    telemetry.configure(config.log)
    work(config, arguments.stage, exit_s, shipped(config))
    return 0


SHOWN: Final = 20
"""Letters printed unless asked for more: a screen."""


def dlq_command(argv: list[str]) -> int:
    """Print letters and a count by problem; with `--replay`, send their records again. Exit status 0."""
    parser = argparse.ArgumentParser(
        prog="swarmlight dlq",
        description="Look at dead letters: records that are no post event, with the field and the reason.",
        epilog="With --replay the original bytes go to the topic posts once more, for instance when events came before "
        "their time. Records over 4 KiB are not kept whole and cannot be sent. Events older than the allowed "
        "lateness will be late: what has to be repaired first is repaired where the events are made.",
    )
    parser.add_argument(
        "--input",
        type=Path,
        metavar="FILE",
        help="a file written by run --dead-letters (default: the topic dead-letters)",
    )
    parser.add_argument(
        "--field", metavar="NAME", help="only letters about this field; 'record' for the record as a whole"
    )
    parser.add_argument(
        "--limit", type=int, default=SHOWN, metavar="N", help=f"letters to print (default {SHOWN}; all are counted)"
    )
    parser.add_argument("--replay", action="store_true", help="send the records to posts again")
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file")
    options = parser.parse_args(argv)
    config = load_config(options.config, os.environ)
    with ExitStack() as stack:
        replay: Replay | None = None
        if options.replay:
            from streaming.kafka.admin import Replay

            replay = stack.enter_context(Replay(config.kafka))
        tally = Tally()
        for letter in _letters(options.input, config, stack):
            if options.field is not None and options.field != (letter.field or "record"):
                continue
            tally.add(letter)
            if tally.letters <= options.limit:
                print(letter.line())
            if replay is not None:
                replay.send(letter.record())
        if replay is not None:
            replay.finish()
            print(f"{replay.sent} records sent to {replay.topic} again, {replay.incomplete} not kept whole")
    for line in tally.lines():
        print(line, file=sys.stderr)
    return 0


def _letters(path: Path | None, config: Config, stack: ExitStack) -> Iterator[Letter]:
    if path is not None:
        inputs = stack.enter_context(Inputs([path]))
        return letters((record.source, record.value) for record in inputs)
    from streaming.kafka.admin import dead_letters

    return letters(dead_letters(config.kafka))


def forget_command(argv: list[str]) -> int:
    """Write the event that does it, and say what only retention can remove. Exit status 0."""
    parser = argparse.ArgumentParser(
        prog="swarmlight forget",
        description="Remove everything that is kept of an account: state, alerts, scores. The request goes into the "
        "stream as a delete_account event, so that every replay forgets as well.",
    )
    parser.add_argument("account", metavar="ACCOUNT", help="name of the account, as events have it")
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file; environment variables win over it")
    arguments = parser.parse_args(argv)
    for line in forget(load_config(arguments.config, os.environ), arguments.account):
        print(line)
    return 0
