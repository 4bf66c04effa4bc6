"""The command `swarmlight`: finds the subcommand among the installed ones, runs it, turns errors into exit statuses.

Subcommands are entry points of the group `swarmlight.commands`: `command(argv) -> status`. Each parses its own
arguments and may raise `SwarmlightError`.

Exit status: 0 done; 1 an error; 2 unusable arguments, configuration or input; 130 interrupted.
"""

from __future__ import annotations

import difflib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points, version
from typing import Final

from detector.errors import SwarmlightError, UsageError
from streaming.logs import shown

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
