"""The command line: help, errors and exit statuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from detector.errors import ConfigError, FencedError, ModelError, SwarmlightError
from streaming import cli


class FakeEntry:
    def __init__(self, run: Callable[[list[str]], int]) -> None:
        self.run = run

    def load(self) -> Callable[[list[str]], int]:
        return self.run


def install(monkeypatch: pytest.MonkeyPatch, run: Callable[[list[str]], int]) -> None:
    monkeypatch.setattr(cli, "commands", lambda: {"act": FakeEntry(run)})
    monkeypatch.delenv(cli.DEBUG_VARIABLE, raising=False)


def failing(error: BaseException) -> Callable[[list[str]], int]:
    def run(argv: list[str]) -> int:
        raise error

    return run


def test_a_command_gets_its_arguments_and_gives_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def run(argv: list[str]) -> int:
        seen.extend(argv)
        return 7

    install(monkeypatch, run)
    assert cli.main(["act", "--debug", "x"]) == 7
    assert seen == ["--debug", "x"]


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
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in ("run", "worker", "demo", "config", "dlq"))
    assert cli.main([]) == 2


def test_the_module_runs_as_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "streaming", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()[0]) == (0, "swarmlight")
