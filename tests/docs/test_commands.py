"""Every command that the documentation shows exists with its options; those that are short are run as shown."""

from __future__ import annotations

import gzip
import io
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from detector.plugins import load_entry
from streaming.cli import SUMMARIES, as_command, main
from streaming.cli import commands as installed
from tests.docs.commands import PAGES, ROOT, commands
from tests.streaming.assess import societies
from tests.streaming.builders import lines

ALL: Final = [command for page in PAGES for command in commands(page)]

EXAMPLE: Final = "swarmlight count "
"""The command that docs/how-to/add-a-command.md adds; tests/streaming/test_extensions.py installs and runs it."""

SWARMLIGHT: Final = sorted(
    {line for line in (command.line for command in ALL) if line.startswith("swarmlight ") and EXAMPLE not in line}
)

MAKE: Final = sorted({command.line for command in ALL if command.line.startswith("make ")})

RUN: Final[dict[str, str]] = {
    "swarmlight --version": "",
    "swarmlight --help": "",
    "swarmlight config": "",
    "swarmlight config > swarmlight.toml": "",
    "swarmlight calibrate --help": "",
    "swarmlight train text --help": "",
    "swarmlight run --input events.jsonl.gz --scores scores.jsonl --alerts alerts.jsonl": "",
    "swarmlight run --input events.jsonl.gz --alerts alerts.jsonl --scores scores.jsonl --summary summary.json": "",
    "swarmlight run --input events.jsonl.gz --scores scores.jsonl --alerts alerts.jsonl --summary summary.json": "",
    "swarmlight run --input events.jsonl.gz --scores no-text.jsonl --without text": "",
    "swarmlight run --without text --without graph --scores FILE": "--input events.jsonl.gz",
    "swarmlight run --without text coordination": "--input events.jsonl.gz",
    "swarmlight run --scores FILE": "--input events.jsonl.gz",
    "swarmlight dlq --input FILE": "",
    "swarmlight coordinate --input records.csv --columns account,object,at --kind repost": "",
    "swarmlight coordinate ... --min-shared 2 --window-s 60": "--input records.csv",
    "swarmlight coordinate ... --null-seeds 50 --block-h 6": "--input records.csv --null-seeds 2",
    "swarmlight simulate --config society.toml --events - | head": "",
    "swarmlight feed user add NAME --role ROLE": "--database sqlite:///feed.db",
    "swarmlight feed user change NAME --role ROLE --password --active no": "--database sqlite:///feed.db",
    "swarmlight feed user list": "--database sqlite:///feed.db",
    "swarmlight feed link NAME --page /alerts/ID": "--database sqlite:///feed.db",
    "swarmlight feed token add NAME --scope read --days 90": "--database sqlite:///feed.db",
    "swarmlight feed verify-audit --head HASH": "--database sqlite:///feed.db",
    "swarmlight feed forget ACCOUNT": "--database sqlite:///feed.db",
}
"""Command as the pages have it -> what is added to run it here, in a folder with the files that it names."""

PLACEHOLDERS: Final = {"NAME": "zoe", "ROLE": "lead", "ACCOUNT": "a1", "FILE": "file.jsonl", "/alerts/ID": "/queue"}

ELSEWHERE: Final[dict[str, str]] = {
    "swarmlight worker": "tests/streaming/kafka/bench.py",
    "swarmlight demo": "tests/simulation/demo/test_run.py",
    "swarmlight feed": "tests/moderation/test_cli.py",
    "swarmlight forget": "tests/streaming/kafka/test_admin.py",
    "swarmlight dlq": "tests/streaming/kafka/test_admin.py",
    "swarmlight train": "tests/training/test_text.py",
    "swarmlight calibrate": "tests/training/test_cli.py",
    "swarmlight evaluate": "tests/training/test_cli.py",
    "swarmlight audit": "tests/training/test_cli.py",
    "swarmlight simulate": "tests/simulation/test_cli.py",
    "swarmlight coordinate": "tests/graph/test_cli.py",
    "swarmlight run": "tests/streaming/test_run.py",
    "swarmlight schema": "tests/docs/test_commands.py",
    "swarmlight config": "tests/streaming/test_config.py",
}
"""Subcommand -> the test file for it, where it takes a broker, a data set or longer than a page's test may.

That the file names the subcommand is all that is checked: the line of the page itself may be run by nobody."""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the commands of the pages name."""
    folder = tmp_path_factory.mktemp("pages")
    items = societies.campaign(0, people=6, hours=2, rounds=2)
    (folder / "events.jsonl.gz").write_bytes(gzip.compress(lines(items)))
    place = {"at": "2025-06-02T12:00:00Z", "source": "x:1", "field": "at", "reason": "is missing"}
    dead = place | {"bytes": "e30=", "size": 2, "sha256": "0" * 64}
    (folder / "file.jsonl").write_text(json.dumps(dead) + "\n")
    rows = [f"u{n},post-{k},{1_700_000_000_000 + 1000 * (20 * k + n)}" for k in range(6) for n in range(4)]
    (folder / "records.csv").write_text("account,object,at\n" + "\n".join(rows) + "\n")
    (folder / "society.toml").write_text("accounts = 200\ndays = 1\nmachines = 0.0\n")
    return folder


def completed(line: str) -> list[str]:
    """The arguments of a page's command with its placeholders filled."""
    line = re.sub(r"\s*(?:[|>]).*$", "", line).replace(" ...", "")
    return [PLACEHOLDERS.get(word, word) for word in shlex.split(line)[1:]]


def test_the_pages_show_commands() -> None:
    assert len(SWARMLIGHT) > 30
    assert len(MAKE) > 10
    assert {command.page for command in ALL} >= {"README.md", "docs/tutorial.md", "docs/how-to/operate.md"}
    assert set(RUN) <= set(SWARMLIGHT), "a command that no page shows any more"


@pytest.mark.parametrize("line", SWARMLIGHT)
def test_a_shown_command_and_its_options_exist(line: str) -> None:
    words = shlex.split(re.sub(r"\s*[|>].*$", "", line))[1:]
    name, rest = words[0], words[1:]
    if name.startswith("-"):
        assert name in {"--version", "--help"}
        return
    assert name in SUMMARIES, f"swarmlight has no {name}"
    command: Any = as_command(name, load_entry(installed()[name]))
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)} | {"--help"}
    unknown = [word for word in rest if word.startswith("--") and word not in known]
    assert not unknown, f"{name} has no {unknown}"


@pytest.mark.parametrize("line", [line for line in SWARMLIGHT if line not in RUN])
def test_a_command_that_is_not_run_here_has_a_test_file_that_names_its_subcommand(line: str) -> None:
    words = shlex.split(re.sub(r"\s*[|>].*$", "", line))
    place = ELSEWHERE.get(" ".join(words[:2]), "")
    if words[1] == "demo" or line in tutorial():
        place = place or "tests/docs/test_tutorial.py"
    assert place, f"nobody runs {line}: add it to RUN or ELSEWHERE"
    assert f'"{words[1]}"' in (ROOT / place).read_text(encoding="utf-8"), f"{place} does not run {words[1]}"


@pytest.mark.parametrize("line", [line for line in SWARMLIGHT if line in RUN])
def test_a_shown_command_does_what_it_says(
    line: str, workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clean_environ: None
) -> None:
    monkeypatch.chdir(workplace)
    monkeypatch.setattr("sys.stdin", io.StringIO("a long enough password\n" * 4))
    words = [*completed(line), *shlex.split(RUN[line])]
    if words[1:3] == ["user", "add"]:
        words[3] = "somebody"
    elif words[0] == "feed":
        main(["feed", "user", "add", "zoe", "--role", "lead", "--database", "sqlite:///feed.db"])
    if "HASH" in words:
        assert main([word for word in words if word not in {"--head", "HASH"}]) == 0
        words[words.index("HASH")] = capsys.readouterr().out.split()[-1]
    try:
        status = main(words)
    except SystemExit as done:
        status = int(done.code or 0)
    out = capsys.readouterr()
    assert status == 0, out.err


@pytest.mark.parametrize("line", MAKE)
def test_a_shown_make_target_exists(line: str) -> None:
    given = [word for word in shlex.split(line)[1:] if word != "..."]
    variables = ("DATA", "STREAM", "TRUTH", "TABLE")
    needed = [f"{name}=x" for name in variables if not any(word.startswith(f"{name}=") for word in given)]
    done = subprocess.run(["make", "-n", *given, *needed], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def tutorial() -> Iterator[str]:
    """The commands of the tutorial."""
    return (command.line for command in commands(ROOT / "docs" / "tutorial.md"))
