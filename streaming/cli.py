"""The command `swarmlight`: finds subcommands among the installed ones, parses arguments, turns errors into statuses.

Subcommands are entry points of the group `swarmlight.commands`: a Typer app, or a function that Typer can make a
command of, which gives the exit status (None is 0) and may raise `SwarmlightError`. A subcommand is imported only when
it is used or its own help is asked for. `python -m streaming` is the same command.

Exit status: 0 done; 1 an error; 2 unusable arguments, configuration or input; 3 input of which less than half could be
used; 130 interrupted, 143 ended by SIGTERM.
"""

from __future__ import annotations

import difflib
import os
import re
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, version
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from detector.errors import StoppedError, SwarmlightError, UsageError
from detector.plugins import COMMANDS, installed, load_entry, package
from streaming.interrupts import terminable
from streaming.logs import shown

DEBUG_VARIABLE: Final = "SWARMLIGHT_DEBUG"

INTERRUPTED: Final = 130
"""128 + SIGINT, as shells have it."""

ABOUT: Final = "Finds accounts that language models drive, and groups of them that act together, in a stream of posts."


class CommandSummary(NamedTuple):
    """What the list of commands says of one: the heading it stands under, and one line."""

    heading: str
    line: str


SUMMARIES: Final[dict[str, CommandSummary]] = {
    name: CommandSummary(heading, line)
    for heading, lines in {
        "Detect": {
            "run": "score a recording of events to its end",
            "batch": "score an archive, its texts read by Apache Spark",
            "flink": "score a recording as a job of Apache Flink",
            "listen": "follow Bluesky or Mastodon as it happens",
            "ingest": "convert a recording of any platform to events",
            "report": "show what a run found on one page",
            "worker": "score the events of a Kafka topic, for as long as it lives",
            "shadow": "whom other models beside the live ones would add and remove",
            "demo": "play planted campaigns into a broker and watch them being caught",
            "coordinate": "find coordinated groups in a table of traces",
        },
        "Moderate and operate": {
            "feed": "serve the moderators' feed: alerts in a browser, to be decided",
            "config": "print all configuration keys with defaults and reasons",
            "schema": "print the JSON Schema of every record",
            "dlq": "look at dead letters, or send them again",
            "forget": "remove everything that is kept of an account",
        },
        "Train and measure": {
            "train": "fit the text, account, graph or fusion model",
            "calibrate": "fit thresholds on people of one's own platform",
            "evaluate": "measure a stream with known truth, evidence by evidence",
            "audit": "measure false flags by group of people",
            "study": "what attacks, hard cases, rivals and explanations come to",
            "simulate": "make a society of people and operators, its events and truth",
            "lab": "try what a platform could do on simulated people",
        },
    }.items()
    for name, line in lines.items()
}
"""The commands of this package in the order of the help, so that listing them imports none of them."""

OTHERS: Final = "Of other packages"
"""Heading of commands that other packages install; their line is the summary of their package."""

_COMPLETION: Final = {"install_completion", "show_completion"}
"""Parameters that Typer adds to an app by itself; only the whole program has them."""

_SECTION: Final = re.compile(r"^\s*(?:Args|Returns|Raises|Yields):", re.MULTILINE)
"""Where the part of a docstring begins that is for whoever calls the function from Python."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `swarmlight ARGV...` and give the exit status; errors are one line on standard error."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: invoke(arguments), debug="--debug" in arguments[:1])


def guarded(work: Callable[[], int], *, name: str = "swarmlight", debug: bool = False) -> int:
    """Do `work` and turn its errors into one line on standard error and an exit status.

    Args:
        work: gives the exit status.
        name: of the program, before the message.
        debug: whether a traceback is printed too; `SWARMLIGHT_DEBUG` set to anything but 0 asks for the same.
    """
    debug = debug or os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")
    with terminable() as signals:
        status = _guarded(work, name, debug, signals)
    return 128 + signals[0] if signals and status == INTERRUPTED else status


def _guarded(work: Callable[[], int], name: str, debug: bool, signals: Sequence[signal.Signals]) -> int:
    try:
        return work()
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
        if signals and not isinstance(error, StoppedError):
            return INTERRUPTED  # amid a query DuckDB makes an error of its own of it
        known = isinstance(error, SwarmlightError)
        what = str(error) if known else f"unexpected {type(error).__name__}: {shown(error, 500)}"
        hint = "" if known or debug else f" (set {DEBUG_VARIABLE}=1 to see where)"
        print(f"{name}: {what}{hint}", file=sys.stderr)
        return error.exit_status if isinstance(error, SwarmlightError) else 1


def invoke(argv: Sequence[str]) -> int:
    """Run `swarmlight ARGV...` and give the exit status; errors are raised.

    Raises:
        UsageError: arguments that no command takes.
        SwarmlightError: what the command itself raises.
    """
    arguments = ["--help"] if list(argv) == ["help"] else list(argv)
    program = typer.main.get_command(_program())
    if not arguments and not os.environ.get("_SWARMLIGHT_COMPLETE"):
        with program.make_context("swarmlight", [], resilient_parsing=True) as context:
            print(program.get_help(context), file=sys.stderr)
        return 2
    return run_command_line(program, "swarmlight", arguments)


def run_function(function: Callable[..., int | None], name: str, argv: Sequence[str] | None = None) -> int:
    """Run a function as a program of its own, as `python -m simulation.redteam` is; the exit status.

    Args:
        function: with Typer's annotations; gives the exit status.
        name: of the program, in its help and before messages.
        argv: its arguments; the process's own where None.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    command = as_command(name, function)
    command.context_settings = {"help_option_names": ["-h", "--help"]}
    return guarded(lambda: run_command_line(command, name, spread(command, arguments)), name=name)


def run_command_line(command: Any, name: str, arguments: list[str]) -> int:
    """Parse and run; the exit status.

    Args:
        command: a command of Typer.
        name: how it was called.
        arguments: without that name.

    Raises:
        UsageError: the arguments cannot be parsed.
        SwarmlightError: what the command itself raises.
    """
    try:
        status = command.main(arguments, prog_name=name, standalone_mode=False)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else name
        said = shown(error.format_message().replace("Value error, ", "").rstrip("."), 500)
        below = "" if path == name else f"{path.removeprefix(name).strip()}: "
        raise UsageError(f"{below}{said}; see `{path} --help`") from None
    except typer.Abort:
        raise UsageError(f"{name}: standard input ended where an answer was asked for") from None
    return status if isinstance(status, int) else 0


def commands() -> dict[str, EntryPoint]:
    """The installed subcommands by name; those of `SUMMARIES` first, in its order."""
    found = installed(COMMANDS)
    return {name: found[name] for name in [*SUMMARIES, *sorted(set(found) - set(SUMMARIES))] if name in found}


def as_command(name: str, target: Any) -> TyperCommand | TyperGroup:
    """What an entry point names, as a command.

    Args:
        name: of the subcommand.
        target: a Typer app, or a function with Typer's annotations; its docstring is the help, up to `Args:` or
            `Raises:`.

    Raises:
        SwarmlightError: it is neither.
    """
    if isinstance(target, typer.Typer):
        app = target
    elif callable(target):
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name)(target)
    else:
        raise SwarmlightError(f"the command {name!a} is neither a Typer app nor a function; uninstall its package")
    command = typer.main.get_command(app)
    command.params = [each for each in command.params if each.name not in _COMPLETION]
    assert isinstance(command, TyperCommand | TyperGroup)
    _shorten_help(command)
    return command


def _shorten_help(command: Any) -> None:
    """Leave out of a command's help, and its subcommands', what its docstring says to callers from Python."""
    if command.help:
        command.help = _SECTION.split(command.help, maxsplit=1)[0].rstrip()
    for below in command.commands.values() if isinstance(command, TyperGroup) else ():
        _shorten_help(below)


def spread(command: Any, arguments: Sequence[str]) -> list[str]:
    """Write arguments so that Typer reads them: three spellings that are convenient, and that Typer does not know.

    An option whose placeholder ends in `...` takes several values, `--input A B`, and becomes `--input A --input B`.
    One whose placeholder is of two words takes two, `--society EVENTS TRUTH`, and becomes a list of twice as many. One
    whose placeholder is in brackets may stand alone, `--to-kafka`, and gets an empty value.

    Args:
        command: of Typer; what follows the name of a subcommand is left to that.
        arguments: as they were given.

    Raises:
        UsageError: an option of several words got too few values.
    """
    options = {name: each for each in command.params for name in getattr(each, "opts", ()) if name.startswith("-")}
    rest, done = deque(arguments), list[str]()
    while rest:
        word = rest.popleft()
        done.append(word)
        if word == "--":
            break
        if isinstance(command, TyperGroup) and not word.startswith("-"):
            below = command.commands.get(word)
            return [*done, *(rest if below is None else spread(below, list(rest)))]
        option = options.get(word)
        if option is None or getattr(option, "is_flag", False):
            continue
        placeholder = option.metavar or ""
        if placeholder.startswith("[") and (not rest or _is_option(rest[0])):
            done.append("")
            continue
        if rest:
            done.append(rest.popleft())
        for _ in placeholder.split()[1:]:
            if not rest or _is_option(rest[0]):
                raise UsageError(f"{word}: give it {placeholder}")
            done += [word, rest.popleft()]
        while placeholder.endswith("...") and rest and not _is_option(rest[0]):
            done += [word, rest.popleft()]
    return [*done, *rest]


def among(words: Sequence[str]) -> Callable[[list[str] | None], list[str] | None]:
    """A Typer callback that refuses values of a list option that are not among `words`."""

    def check(values: list[str] | None) -> list[str] | None:
        for value in values or ():
            if value not in words:
                raise typer.BadParameter(f"{value!a} is none of {', '.join(words)}")
        return values

    return check


def one_of(words: Sequence[str]) -> Callable[[str | None], str | None]:
    """A Typer callback that refuses a value which is not among `words`."""

    def check(value: str | None) -> str | None:
        among(words)(None if value is None else [value])
        return value

    return check


def _is_option(word: str) -> bool:
    return word.startswith("-") and word != "-"


class _Later(TyperCommand):
    """A subcommand that is imported when its arguments are parsed."""

    def __init__(self, name: str, entry: EntryPoint, summary: CommandSummary) -> None:
        super().__init__(name, short_help=summary.line, help=summary.line, rich_markup_mode=None)
        self.heading = summary.heading
        self._entry = entry

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the imported command, with its arguments parsed."""
        command = as_command(str(self.name), load_entry(self._entry))
        return command.make_context(info_name, spread(command, args), parent, **extra)


class _Commands(TyperGroup):
    """The subcommands that are installed, under their headings."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, in the order of the help."""
        return list(commands())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The subcommand of that name, not yet imported; None where there is none."""
        entry = commands().get(cmd_name)
        return None if entry is None else _Later(cmd_name, entry, SUMMARIES.get(cmd_name) or _foreign(entry))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As Typer does it, but an unknown name gets our words.

        Raises:
            UsageError: there is no such command.
        """
        known = commands()
        if args and args[0] not in known and not ctx.resilient_parsing:
            close = difflib.get_close_matches(args[0], known, n=1)
            meant = f"did you mean {close[0]}? " if close else ""
            raise UsageError(f"no command {args[0]!a}: {meant}`swarmlight --help` lists them")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write them, a line each, under their headings."""
        rows: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            rows.setdefault(command.heading, []).append((name, command.short_help))
        widest = max((len(name) for row in rows.values() for name, _ in row), default=0)
        for heading, lines in rows.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(widest), line) for name, line in lines])


def _foreign(entry: EntryPoint) -> CommandSummary:
    about = entry.dist.metadata["Summary"] if entry.dist is not None else None
    return CommandSummary(OTHERS, shown(about, 100) if about else f"from the package {package(entry)}")


def _version(value: bool) -> None:
    if value:
        print(f"swarmlight {version('swarmlight')}")
        raise typer.Exit


def _program() -> typer.Typer:
    app = typer.Typer(
        name="swarmlight",
        cls=_Commands,
        help=ABOUT,
        epilog="`swarmlight COMMAND --help` says more about one of them.",
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    )

    @app.callback()
    def options(
        debug: Annotated[bool, typer.Option("--debug", help="print where an unexpected error comes from")] = False,
        show_version: Annotated[
            bool, typer.Option("--version", "-V", help="print the version", callback=_version, is_eager=True)
        ] = False,
    ) -> None:
        """Options of the program itself; `main` reads --debug before anything can fail."""

    return app
