"""The command line: help, errors and exit statuses."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from detector.errors import ConfigError, FencedError, ModelError, StoppedError, SwarmlightError
from streaming import cli
from streaming.interrupts import terminable


class FakeEntry:
    """What an entry point of an installed package is to the dispatcher."""

    dist = None

    def __init__(self, target: Any) -> None:
        self.target = target

    def load(self) -> Any:
        return self.target


def install(monkeypatch: pytest.MonkeyPatch, target: Any, name: str = "act") -> None:
    monkeypatch.setattr(cli, "commands", lambda: {name: FakeEntry(target)})
    monkeypatch.delenv(cli.DEBUG_VARIABLE, raising=False)


def failing(error: BaseException) -> Callable[[], int]:
    def run() -> int:
        raise error

    return run


def test_a_command_gets_its_arguments_and_gives_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def act(word: str, debug: Annotated[bool, typer.Option("--debug")] = False) -> int:
        seen.extend([word, debug])
        return 7

    install(monkeypatch, act)
    assert cli.main(["act", "--debug", "x"]) == 7
    assert seen == ["x", True]
    install(monkeypatch, lambda: None)
    assert cli.main(["act"]) == 0


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigError("c.toml:3: bad"), 2),
        (ModelError("text.json: damaged"), 1),
        (FencedError("stop"), 1),
        (SwarmlightError("no"), 1),
    ],
)
def test_an_error_is_one_line_and_a_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: SwarmlightError, status: int
) -> None:
    install(monkeypatch, failing(error))
    assert cli.main(["act"]) == status
    assert capsys.readouterr().err == f"swarmlight: {error}\n"


def test_a_bug_is_one_escaped_line_unless_asked_for_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, failing(RuntimeError("odd\x1b[31m\ntext")))
    assert cli.main(["act"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "unexpected RuntimeError" in err
    assert "\x1b" not in err
    assert cli.main(["--debug", "act"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_is_no_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    install(monkeypatch, failing(KeyboardInterrupt()))
    assert cli.main(["act"]) == 130
    assert capsys.readouterr().err == ""


def test_an_unknown_command_names_the_nearest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, failing(RuntimeError()))
    assert cli.main(["actt"]) == 2
    assert "did you mean act?" in capsys.readouterr().err


def test_help_lists_the_commands_and_no_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    for ask in ("--help", "-h", "help"):
        assert cli.main([ask]) == 0
        out = capsys.readouterr().out
        assert all(f"  {name} " in out for name in ("run", "worker", "demo", "config", "dlq"))
    assert cli.main([]) == 2
    assert "worker" in capsys.readouterr().err


def test_every_command_stands_in_the_list_with_one_line_under_a_heading(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = {name: [line for line in lines if re.match(rf"  {name} +\w", line)] for name in cli.commands()}
    assert set(found) >= set(cli.SUMMARIES)
    assert all(len(rows) == 1 and rows[0].endswith(cli.SUMMARIES[name].line) for name, rows in found.items())
    assert {"Detect:", "Moderate and operate:", "Train and measure:"} <= set(lines)


@pytest.mark.parametrize("name", sorted(cli.SUMMARIES))
def test_every_command_has_help_without_what_is_for_python(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name, "-h"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: swarmlight {name} ")
    assert "Options:" in out
    assert not re.search(r"^\s*(Args|Raises|Returns):", out, flags=re.MULTILINE)


def test_listing_and_completing_import_no_command() -> None:
    script = (
        "import sys\nfrom streaming.cli import main\nmain(['--help'])\n"
        "print(sorted({'torch', 'fastapi', 'kafka', 'streaming.commands'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


@pytest.mark.parametrize(("typed", "offered"), [("swarmlight ru", "run"), ("swarmlight run --sc", "--scores")])
def test_shells_complete_commands_and_options(typed: str, offered: str) -> None:
    asked = {"_SWARMLIGHT_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    script = "from streaming.cli import main; main([])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, env=os.environ | asked
    )
    assert done.stdout.split() == [offered]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--inputt", "x"], "--input"),
        (["--input", "x", "--number", "x"], "--number"),
        (["--word", "c", "--input", "x"], "none of a, b"),
        ([], "Missing option '--input'"),
        (["--input", "x", "y", "--pair", "one"], "give it LEFT RIGHT"),
        (["--input", "x", "extra\x1b[31m"], "extra"),
    ],
)
def test_arguments_that_cannot_be_parsed_are_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    def act(
        inputs: Annotated[list[str], typer.Option("--input")],
        number: int = 0,
        word: Annotated[list[str] | None, typer.Option(callback=cli.among(("a", "b")))] = None,
        pair: Annotated[list[str] | None, typer.Option(metavar="LEFT RIGHT")] = None,
    ) -> int:
        return 0

    install(monkeypatch, act)
    assert cli.main(["act", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("swarmlight: ")
    assert message in err
    assert err.count("\n") == 1
    assert "\x1b" not in err


def test_options_take_several_values_pairs_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[object, ...]] = []

    def act(
        inputs: Annotated[list[str], typer.Option("--input", metavar="FILE...")],
        rest: Annotated[list[str] | None, typer.Argument()] = None,
        pair: Annotated[list[str] | None, typer.Option(metavar="LEFT RIGHT")] = None,
        broker: Annotated[str | None, typer.Option(metavar="[HOST:PORT]")] = None,
    ) -> None:
        seen.append((inputs, rest, pair, broker))

    install(monkeypatch, act)
    for arguments in (
        ["--input", "a", "-", "--input", "b"],
        ["left over", "--broker", "--input=a", "--pair", "1", "2", "--pair", "3", "4"],
        ["--input", "a", "--broker", "x:1"],
        ["--input", "a", "--broker"],
        ["--input", "a", "--", "--broker"],
    ):
        assert cli.main(["act", *arguments]) == 0
    assert seen == [
        (["a", "-", "b"], None, None, None),
        (["a"], ["left over"], ["1", "2", "3", "4"], ""),
        (["a"], None, None, "x:1"),
        (["a"], None, None, ""),
        (["a"], ["--broker"], None, None),
    ]


def test_an_app_with_subcommands_is_a_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = typer.Typer()

    @app.command()
    def one(words: Annotated[list[str], typer.Option("--words", metavar="WORD...")]) -> int:
        print(words)
        return 3

    @app.command()
    def two() -> None:
        """Do nothing."""

    install(monkeypatch, app)
    assert cli.main(["act", "one", "--words", "x", "y"]) == 3
    assert capsys.readouterr().out == "['x', 'y']\n"
    assert cli.main(["act", "three"]) == 2
    assert cli.main(["act", "two", "--help"]) == 0


def test_a_package_that_is_no_command_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, 7)
    assert cli.main(["act"]) == 1
    assert "'act' is neither a Typer app nor a function" in capsys.readouterr().err


def test_a_function_runs_as_a_program_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    def act(words: Annotated[list[str], typer.Option("--words", metavar="WORD...")]) -> int:
        """Say words."""
        print(*words)
        return 0

    assert cli.run_function(act, "python -m act", ["--words", "x", "y"]) == 0
    assert capsys.readouterr().out == "x y\n"
    assert cli.run_function(act, "python -m act", []) == 2
    assert capsys.readouterr().err.startswith("python -m act: ")
    assert cli.run_function(act, "python -m act", ["-h"]) == 0
    assert "Usage: python -m act" in capsys.readouterr().out


def test_the_module_runs_as_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "streaming", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()[0]) == (0, "swarmlight")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_temporary_files_go_also_amid_a_query(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: signal.Signals, tmp_path: Path
) -> None:
    def busy(error: BaseException | None) -> Callable[[], int]:
        def work() -> int:
            with tempfile.TemporaryDirectory(dir=tmp_path):
                try:
                    signal.raise_signal(number)
                except KeyboardInterrupt:
                    raise error or KeyboardInterrupt from None
            return 0

        return work

    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, usual)  # it is ignored where the tests run in the background
    for error, said in (
        (None, ""),
        (RuntimeError("Query interrupted"), ""),
        (StoppedError("so far", number), "so far"),
    ):
        install(monkeypatch, busy(error))
        assert cli.main(["act"]) == 128 + number
        assert said in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []
    assert signal.signal(number, before) == usual


def test_a_signal_that_is_ignored_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_IGN)
    taken: list[int] = []
    monkeypatch.setattr(signal, "signal", lambda number, handler: taken.append(number))
    with terminable() as received:
        assert (taken, received) == ([], [])
