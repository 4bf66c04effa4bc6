"""Extension points, as docs/how-to/ explains them: a package made of the pages' own code is installed and used."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.docs.commands import blocks as command_blocks
from tests.streaming.assess import societies
from tests.streaming.builders import write_lines

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("add-a-command", "add-a-source", "add-a-sink", "add-a-text-model", "add-a-trace")
BLOCK = re.compile(r"^```(?:toml|python)\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


SHOWN = [
    line
    for page in PAGES
    for _, block in command_blocks(ROOT / "docs" / "how-to" / f"{page}.md")
    for line in block.splitlines()
]
"""The command lines of the pages."""


def blocks() -> dict[str, str]:
    """File name -> text, of all pages; pieces of one file are joined."""
    found: dict[str, str] = {}
    for page in PAGES:
        text = (ROOT / "docs" / "how-to" / f"{page}.md").read_text(encoding="utf-8")
        for name, body in BLOCK.findall(text):
            found[name] = f"{found[name]}\n{body}" if name in found else body
    return found


SERVER = """
import json, os, sys
import streaming.pipeline
from detector.text.meaning import MeaningEncoder
from streaming.cli import main
MeaningEncoder().vectors(["all is loaded"])
for line in sys.stdin:
    child = os.fork()
    if not child:
        for number, name in ((1, "stdout.txt"), (2, "stderr.txt")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        status = 70
        try:
            status = main(json.loads(line))
        except SystemExit as ended:
            status = ended.code or 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Runs each line of its input, a list of arguments, in a process of its own that has everything imported already."""


@dataclass
class Package:
    """The package, installed into a folder, and the folder for its outputs."""

    site: Path
    work: Path
    server: subprocess.Popen[str]

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run `swarmlight ARGUMENTS...` where the package is installed; what it printed."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps(arguments) + "\n")
        self.server.stdin.flush()
        ended = int(self.server.stdout.readline())
        out, errors = ((self.work / f"{name}.txt").read_text(encoding="utf-8") for name in ("stdout", "stderr"))
        assert ended == status, errors
        return out if status == 0 else errors


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Package]:
    """What `pip install .` makes of the pages, written by hand: modules, and the metadata with the entry points."""
    site, work = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("work")
    files = blocks()
    project = tomllib.loads(files["pyproject.toml"])["project"]
    for name, text in files.items():
        target = (site if name.endswith(".py") else work) / name
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")
    (site / "my_package" / "__init__.py").touch()
    folder = site / f"my_package-{project['version']}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        f"Summary: {project['description']}\n"
    )
    points = project["entry-points"]
    (folder / "entry_points.txt").write_text(
        "\n".join(f"[{group}]\n" + "\n".join(f"{k} = {v}" for k, v in lines.items()) for group, lines in points.items())
    )
    environ = {key: value for key, value in os.environ.items() if not key.startswith("SWARMLIGHT_")}
    paths = os.pathsep.join([str(site), str(ROOT)])
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=work,
        env=environ | {"PYTHONPATH": paths},
    ) as server:  # fmt: skip
        yield Package(site, work, server)
        assert server.stdin is not None
        server.stdin.close()


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_page_shows_a_module_and_its_entry_point() -> None:
    files = blocks()
    points = tomllib.loads(files["pyproject.toml"])["project"]["entry-points"]
    assert len(points) == len(PAGES)
    for lines in points.values():
        for target in lines.values():
            assert f"{target.partition(':')[0].replace('.', '/')}.py" in files


def test_a_run_reads_and_writes_through_the_package(package: Package) -> None:
    posts = "id,author,time,body\n" + "".join(
        f'{i},author {i % 3},2026-01-05T10:{i:02d}:00Z,"As an AI language model, I like number {i}, and trains"\n'
        for i in range(30)
    )
    (package.work / "posts.csv").write_text(posts + ",,now,\n", encoding="utf-8")
    items = societies.campaign(0, people=30, hours=10, rounds=40)
    for item in items:
        if item["account"].startswith("m"):  # of one round, all begin alike
            item["text"] = f"Round {item['id'].partition('-')[0]} has begun: {item['text']}"
    events = write_lines(package.work / "events.jsonl", items)
    package.run(
        "run", "--format", "auto", "--input", "posts.csv", str(events), "--config", "swarmlight.toml",
        "--sink", "digest:today.txt", "jsonl:sunk.jsonl", "--scores", "scores.jsonl", "--summary", "summary.json",
        "--dead-letters", "dead.jsonl", "--alerts", "alerts.jsonl", "--details", "details.jsonl",
    )  # fmt: skip
    (summary,) = rows(package.work / "summary.json")
    assert summary["read"] == 31 + len(events.read_text().splitlines())
    assert summary["models"]["expert"] == "phrases@1"
    assert {f"author {i}" for i in range(3)} <= {row["account"] for row in rows(package.work / "scores.jsonl")}
    (letter,) = rows(package.work / "dead.jsonl")
    assert letter["source"] == "posts.csv:32"
    alerts = rows(package.work / "alerts.jsonl")
    assert any(edge["kind"] == "opening" for alert in alerts for edge in alert["edges"])
    assert (package.work / "sunk.jsonl").read_bytes() == (package.work / "alerts.jsonl").read_bytes()
    digest = (package.work / "today.txt").read_text().splitlines()
    assert len(digest) == sum(alert["revision"] == 1 or alert["status"] != "open" for alert in alerts)


def test_a_named_format_is_read_and_another_file_refused(package: Package) -> None:
    (package.work / "one.csv").write_text("id,author,time,body\n1,ann,2026-01-05T10:00:00Z,hello\n", encoding="utf-8")
    assert "1 post" in package.run("count", "--format", "csv-posts", "--input", "one.csv")
    write_lines(package.work / "one.jsonl", societies.campaign(0, people=1, hours=1, rounds=1))
    said = package.run("run", "--format", "csv-posts", "--input", "one.jsonl", status=2)
    assert "not of the format csv-posts: the first line has to be id,author,time,body" in said
    assert "did you mean csv-posts?" in package.run("run", "--format", "csvposts", "--input", "one.csv", status=2)


def test_a_kind_of_trace_is_one_of_coordination(package: Package) -> None:
    table = "account,object,at\n" + "".join(
        f"{who},once upon a {i},{1_700_000_000_000 + i * 60_000_000 + k * 1000}\n"
        for i in range(4)
        for k, who in enumerate(["ann", "bob"])
    )
    (package.work / "openings.csv").write_text(table, encoding="utf-8")
    told = package.run("coordinate", "--input", "openings.csv", "--kind", "opening", "--min-shared", "4")
    assert "1 pairs of 2 accounts" in told
    assert "opening" in package.run("coordinate", "--input", "openings.csv", "--kind", "beginning", status=2)


def test_a_command_is_listed_completed_and_run(package: Package) -> None:
    listed = package.run("--help").splitlines()
    assert "  count       Counts events by kind" in listed[listed.index("Of other packages:") :]
    assert "--input FILE..." in package.run("count", "-h")
    events = write_lines(package.work / "few.jsonl", societies.campaign(0, people=2, hours=1, rounds=2))
    total = len(events.read_text().splitlines())
    told = package.run("count", "--input", str(events), str(events), "--score")
    counts = [int(number.replace(",", "")) for number in re.findall(r"^ +([\d,]+) \w+$", told, flags=re.MULTILINE)]
    assert sum(counts) == 2 * total
    assert re.search(r"\d+ of \d+ accounts flagged", told)
    (package.work / "bad.jsonl").write_text("{}\n")
    assert "bad.jsonl:1: this is no event" in package.run("count", "--input", "bad.jsonl", status=2)


@pytest.mark.parametrize(
    ("sink", "said"),
    [
        ("digest", "name a file"),
        ("digest:none/x.txt", "cannot be written"),
        ("digest:clash.jsonl", "is also --input"),
        ("jsonl", "name a file"),
        ("digst:x", "did you mean digest?"),
    ],
)
def test_a_sink_that_cannot_be_opened_is_refused_before_anything_is_read(
    package: Package, sink: str, said: str
) -> None:
    source = write_lines(package.work / "clash.jsonl", societies.campaign(0, people=1, hours=1, rounds=1))
    before = source.read_bytes()
    assert said in package.run("run", "--input", "clash.jsonl", "--sink", sink, status=2)
    assert source.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("line", SHOWN)
def test_a_command_line_of_the_pages_does_what_it_says(package: Package, line: str) -> None:
    for suffix in ("", ".gz"):
        write_bytes(package.work / f"posts.csv{suffix}", b"id,author,time,body\n1,ann,2026-01-05T10:00:00Z,hello\n")
    rows = "account,object,at\nann,once upon a,1700000000\nbob,once upon a,1700000009\n"
    (package.work / "openings.csv").write_text(rows)
    for name in ("events", "monday", "tuesday"):
        write_lines(package.work / f"{name}.jsonl", societies.campaign(0, people=3, hours=2, rounds=2))
    words = shlex.split(line)
    assert words[0] == "swarmlight"
    package.run(*words[1:])
    for option, value in itertools.pairwise(words):
        if option in {"--scores", "--alerts"}:
            assert (package.work / value).is_file()


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data`, compressed where the name says so."""
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
