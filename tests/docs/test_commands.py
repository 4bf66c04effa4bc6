"""Every command that the documentation shows exists with its options, and is run, here or by a test that is named.

A line is run as the page has it on small data, with options added where a page leaves something to be filled in or
where the whole would take too long (`RUN`, `SLOW`, `MADE`); or in the order of its page (`TRAINING`, the tutorial, the
pages of extension points); or by another test, whose code has to hold the command line and its options (`TESTED`); or
by nobody, for a reason (`NOT_RUN`).
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pytest
import zstandard

from detector.data_splits import split_of
from detector.models import load_models
from detector.plugins import load_entry
from detector.text.huggingface import KIND
from detector.thresholds import Thresholds
from streaming.cli import SUMMARIES, as_command, main
from streaming.cli import commands as installed
from tests.detector.text.test_huggingface import tiny_classifier
from tests.docs.commands import PAGES, ROOT, blocks, commands
from tests.docs.invocations import lacking
from tests.streaming import test_run_report
from tests.streaming.assess import societies
from tests.streaming.builders import lines, write_lines
from tests.streaming.sources import test_mastodon as mastodon
from tests.streaming.sources.samples import SAMPLES
from tests.streaming.test_extensions import SHOWN as OF_EXTENSIONS
from tests.training import textsets

pytestmark = pytest.mark.usefixtures("texts_read_once")

ALL: Final = [command for page in PAGES for command in commands(page)]

EXAMPLE: Final = "swarmlight count "
"""The command that docs/how-to/add-a-command.md adds; tests/streaming/test_extensions.py installs and runs it."""

SWARMLIGHT: Final = sorted(
    {line for line in (command.line for command in ALL) if line.startswith("swarmlight ") and EXAMPLE not in line}
)

MAKE: Final = sorted({command.line for command in ALL if command.line.startswith("make ")})

TYPED: Final = {
    line
    for _, block in blocks(ROOT / "docs" / "tutorial.md")
    for line in re.sub(r"\\\n\s*", "", block).splitlines()
    if line.startswith("swarmlight ")
}
"""Lines of the tutorial, which tests/docs/test_tutorial.py types from the first to the last."""

DATABASE: Final = "--database sqlite:///feed.db"

RUN: Final[dict[str, str]] = {
    "swarmlight --version": "",
    "swarmlight --help": "",
    "swarmlight audit --data DATA": "",
    "swarmlight audit --data DATA --left-out": "--help",
    "swarmlight calibrate STREAM": "--help",
    "swarmlight evaluate STREAM --truth FILE --reading": "--help",
    "swarmlight config": "",
    "swarmlight config > swarmlight.toml": "",
    "swarmlight calibrate --help": "",
    "swarmlight train text --help": "",
    "swarmlight run --input events.jsonl.gz --scores scores.jsonl --alerts alerts.jsonl": "",
    "swarmlight run --input events.jsonl.gz --alerts alerts.jsonl --scores scores.jsonl --summary summary.json": "",
    "swarmlight run --input events.jsonl.gz --scores scores.jsonl --alerts alerts.jsonl --summary summary.json": "",
    "swarmlight run --input events.jsonl.gz --scores no-text.jsonl --without text": "",
    "swarmlight run --sink NAME:TARGET": "--input events.jsonl.gz",
    "swarmlight run --format NAME": "--input events.jsonl.gz",
    "swarmlight dlq --input FILE": "",
    "swarmlight ingest outbox.json posts.csv posts.jsonl.gz": "",
    "swarmlight report results --out report.html": "",
    "swarmlight report results --network ties.csv --out report.html": "",
    "swarmlight run events.jsonl.gz --scores scores.csv --alerts alerts.parquet --network groups.graphml": "",
    "swarmlight coordinate --null-seeds": "2 --input records.csv",
    "swarmlight coordinate shares.csv": "",
    "swarmlight coordinate shares.csv --out groups.json --graph net.graphml --nodes accounts.csv --edges ties.csv "
    "--picture net.png": "",
    "swarmlight coordinate shares.csv --min-shared 2 --window-s 60": "",
    "swarmlight coordinate shares.csv --null-seeds 50": "--null-seeds 1",
    "swarmlight coordinate shares.csv --plant 5,10,20 --shared 3,6,12,24 --plant-days 42": (
        "--plant 3 --shared 3 --plant-seeds 1 --plant-days 1"
    ),
    "swarmlight simulate --config society.toml --events - | head": "",
    "swarmlight feed user add NAME --role ROLE": DATABASE,
    "swarmlight feed link NAME": DATABASE,
    "swarmlight feed user list": DATABASE,
    "swarmlight feed token add NAME --scope report": DATABASE,
    "swarmlight feed link NAME --page /alerts/ID": DATABASE,
    "swarmlight feed token add NAME --scope read --days 90": DATABASE,
    "swarmlight feed verify-audit --head HASH": DATABASE,
    "swarmlight feed forget ACCOUNT": DATABASE,
}
"""Command as the pages have it -> what is added to run it here, in a folder with the files that it names."""

SMALL: Final = "--accounts 300 --days 0.5"
"""In place of a preset's own size: of an option given twice the last counts."""

SLOW: Final[dict[str, str]] = {
    "swarmlight run events.jsonl.gz --report report.html": "",
    "swarmlight run --format auto jetstream.jsonl.zst --scores scores.jsonl --alerts alerts.jsonl": "",
    "swarmlight run --format table:account=user_id,at=created,text=body posts.csv --scores scores.jsonl": "",
    "swarmlight run --format youtube comments.json --without behaviour coordination graph --scores scores.jsonl": "",
    "swarmlight calibrate --input people.jsonl --out models": "",
    "swarmlight evaluate STREAM --truth FILE": "--draws 20",
    "swarmlight evaluate STREAM --truth TRUTH": "--draws 20",
    "swarmlight evaluate events.jsonl.gz --truth truth.jsonl": "--draws 20",
    "swarmlight simulate --preset NAME --gate": "--accounts 3000 --days 2",
    "swarmlight simulate --preset election --accounts 100000 --days 1": f"--events big.jsonl {SMALL}",
    "swarmlight simulate --preset election --events events.jsonl --truth truth.jsonl": SMALL,
    "swarmlight simulate --preset town --adaptive 20 --out curve.json --plot curve.svg": f"{SMALL} --adaptive 1",
    "swarmlight simulate --preset town --events town.jsonl.zst --truth town.truth.jsonl --seed 1 --plot town.svg": (
        SMALL
    ),
    "swarmlight simulate --preset town --report REAL --report-out docs/explanation/simulation.md": SMALL,
}
"""As `RUN`, for what takes longer than a second or two."""

TRAINING: Final = (
    "swarmlight train text --data DATA --out models",
    "swarmlight train account --data DATA --models models --out models",
    "swarmlight train fusion --data DATA --models models --out models",
)
"""Each works on what the one before wrote."""

TESTED: Final[dict[str, tuple[str, ...]]] = {
    "swarmlight calibrate STREAM --out models": (
        "tests/training/test_cli.py::test_a_platform_s_own_accounts_set_them_without_labels",
    ),
    "swarmlight batch posts.parquet --out results": (
        "tests/streaming/spark/test_batch.py::test_an_archive_in_parquet_gives_what_run_gives",
    ),
    "swarmlight flink": (
        "tests/streaming/flink/test_flink_job.py::test_without_flink_the_command_says_where_to_find_it",
    ),
    "swarmlight demo": ("tests/simulation/demo/test_run.py::test_the_command_does_all_that_with_the_second_stage",),
    "swarmlight feed --alerts alerts.jsonl --details details.jsonl --feedback feedback.jsonl": (
        "tests/moderation/test_cli.py::test_serving_from_files_through_a_kill_to_the_last_decision",
    ),
    "swarmlight feed --kafka --config swarmlight.toml": (
        "tests/moderation/test_kafka_loop.py::test_a_decision_comes_back_as_the_worker_s_withdrawal",
    ),
    "swarmlight forget ACCOUNT": (
        "tests/streaming/kafka/test_admin.py::test_it_writes_the_event_and_names_what_only_retention_removes",
    ),
    "swarmlight shadow --config shadow.toml --out moved.jsonl": (
        "tests/streaming/kafka/test_shadow_worker.py::test_who_is_added_and_removed_is_in_a_topic_and_in_metrics",
    ),
    "swarmlight lab bench": (
        "tests/simulation/feeds/test_cli.py::test_the_benchmark_counts_what_was_acted_out_and_prints_a_row_a_size",
    ),
    "swarmlight lab bench --days 0.25": (
        "tests/simulation/feeds/test_cli.py::test_the_benchmark_counts_what_was_acted_out_and_prints_a_row_a_size",
    ),
    "swarmlight lab explain --out why.html": (
        "tests/simulation/feeds/test_explain.py::test_the_command_prints_the_reasons_and_writes_the_page",
    ),
    "swarmlight lab explain --feeds societal=1 --values partisan_animosity=2,social_distance": (
        "tests/simulation/feeds/test_explain.py::test_the_command_takes_another_feed_and_stated_values",
    ),
    "swarmlight lab feeds": (
        "tests/simulation/feeds/test_study.py::test_the_command_prints_effects_beside_what_was_published",
    ),
    "swarmlight lab feeds --seeds 40": (
        "tests/simulation/feeds/test_study.py::test_the_command_prints_effects_beside_what_was_published",
    ),
    "swarmlight lab feeds --numbers": (
        "tests/simulation/feeds/test_study.py::test_the_command_prints_effects_beside_what_was_published",
    ),
    "swarmlight lab rate": (
        "tests/simulation/feeds/test_raters.py::test_agreement_is_printed_value_by_value_and_pair_by_pair",
    ),
    "swarmlight lab rate --rater default --rater csv:ratings.csv --posts posts.jsonl --part all": (
        "tests/simulation/feeds/test_raters.py::test_posts_of_one_s_own_are_rated",
    ),
    "swarmlight lab read --preset town --feeds engagement=0.5,chronological=0.5 --exposures seen.parquet": (
        "tests/simulation/feeds/test_cli.py::test_reading_writes_who_saw_what_and_says_how_much",
    ),
    "swarmlight lab moderate --out moderator": (
        "tests/simulation/lab/test_moderator.py::test_the_command_trains_tries_and_goes_on_from_what_it_has",
    ),
    "swarmlight lab platform --vary --out variants --seeds 4 --episodes 9": (
        "tests/simulation/lab/test_polarity_training.py::test_the_command_varies_what_the_experiment_leaves_open",
    ),
    "swarmlight lab platform --out lab --seeds 10": (
        "tests/simulation/lab/test_polarity_training.py::test_the_command_prints_the_table_and_writes_everything",
    ),
    "swarmlight lab run --out lab": (
        "tests/simulation/lab/test_run_cli.py::test_a_second_run_makes_nothing_again_and_says_the_same",
    ),
    "swarmlight lab run --closed --rounds 3 --spare 1 --societies 6 --varied 0 --out closed": (
        "tests/simulation/lab/test_run_cli.py::test_in_the_closed_loop_operators_answer_and_the_report_says_what_they_turned_to",
    ),
    "swarmlight lab run nothing.toml mine.toml --out lab": (
        "tests/simulation/lab/test_run_cli.py::test_a_second_run_makes_nothing_again_and_says_the_same",
    ),
    "swarmlight lab search --out lab": (
        "tests/simulation/lab/test_run_cli.py::test_a_search_gives_a_front_and_the_same_again",
    ),
    "swarmlight listen bluesky --to bluesky.jsonl.gz": (
        "tests/streaming/live/test_cli.py::test_a_signal_ends_it_in_order_and_the_last_line_accounts_for_everything",
    ),
    "swarmlight listen bluesky --console": (
        "tests/streaming/live/test_cli.py::test_the_console_runs_beside_the_stages_and_ends_with_them",
    ),
    "swarmlight listen mastodon --host https://mastodon.example --to kafka --config swarmlight.toml": (
        "tests/streaming/kafka/test_listen.py::test_statuses_go_to_posts_and_rubbish_to_dead_letters",
    ),
    "swarmlight simulate --preset election --to-kafka HOST:PORT --rate 5000": (
        "tests/simulation/test_output.py::test_a_preset_is_sent_at_a_rate",
    ),
    "swarmlight study attacks --data DATA": (
        "tests/training/studies/test_text_attacks.py::test_the_command_prints_what_each_attack_costs",
    ),
    "swarmlight study explanations STREAM --truth FILE": (
        "tests/training/studies/test_cited_posts.py::test_flags_rest_on_what_is_quoted",
    ),
    "swarmlight study few-examples --data DATA": (
        "tests/training/studies/test_few_examples.py::test_what_is_left_of_it_is_found_and_others_keep_their_evidence",
    ),
    "swarmlight study few-examples --data DATA --cluster authormimic --rival": (
        "tests/training/studies/test_few_examples.py::test_what_is_left_of_it_is_found_and_others_keep_their_evidence",
    ),
    "swarmlight study hard-cases --data DATA": (
        "tests/training/studies/test_hard_cases.py::test_the_command_prints_machines_and_helped_people_apart",
    ),
    "swarmlight study peers --data DATA": (
        "tests/training/studies/test_peers.py::test_each_peer_has_a_row_and_what_is_missing_is_named",
    ),
    "swarmlight train text --add posts.jsonl --decisions feedback.jsonl --data DATA --out models": (
        "tests/training/test_families.py::test_posts_of_the_new_generator_gain_and_others_do_not_sink",
        "tests/training/test_families.py::add",
    ),
    "swarmlight train text --add posts.jsonl --truth truth.jsonl --data DATA --out models": (
        "tests/training/test_families.py::test_posts_of_the_new_generator_gain_and_others_do_not_sink",
        "tests/training/test_families.py::add",
    ),
    "swarmlight train text --second-stage MODEL": (
        "tests/docs/test_commands.py::test_the_lines_that_train_do_so_in_the_order_of_their_page",
    ),
    "swarmlight worker --config swarmlight.toml": (
        "tests/streaming/kafka/test_equality.py::test_one_worker_and_one_partition",
        "tests/streaming/kafka/bench.py::Deployment.worker",
    ),
}
"""Command -> the test that runs it, on a broker or for longer; where a helper of another file has the command line,
the helper too. `tests.docs.invocations` looks for command and options in their code."""

NOT_RUN: Final[dict[str, str]] = {
    'make chaos ARGS="tests/streaming/kafka/test_faults.py -k hundreds"': (
        "it is one of the tests of make chaos, with the size that the page states"
    ),
    "swarmlight worker --config shadow.toml": (
        "tests/streaming/kafka/test_shadow_worker.py runs a shadow's worker with a smaller core, and its stages by hand"
    ),
    "swarmlight train sample --scores scores.jsonl --key-file key --share 0.001": (
        "its function runs on made files in tests/training/test_learning_cli.py"
    ),
    "swarmlight train decisions --scores scores.jsonl --people people-scores.jsonl --decisions feedback.jsonl "
    "--people-input people.jsonl --bundle learned": "as above; thresholds of fifty people take a minute",
    "swarmlight train shadow --live scores.jsonl --shadow scores-learned.jsonl": (
        "its function runs on made files in tests/training/test_learning_cli.py"
    ),
    "swarmlight train decisions --scores scores.jsonl --people people-scores.jsonl --decisions feedback.jsonl": (
        "its function runs on made files in tests/training/test_learning_cli.py"
    ),
    "swarmlight feed user change NAME --role ROLE --password --active no --subject ID": (
        "needs a provider of sign-in in the configuration; tests/moderation has one"
    ),
    "swarmlight train text --data DATA --report leave-one-source-out": (
        "minutes on real sets; tests/training/test_text.py prints the report of made-up ones"
    ),
    "swarmlight train text --recording posts.csv --truth truth.jsonl --format table --out models": (
        "needs eighty labelled texts; tests/training/test_own_texts.py has them"
    ),
    "swarmlight train graph --data DATA --out models": "half an hour; tests/training/test_train_graph.py trains on "
    "four tiny societies",
    "swarmlight train graph --data DATA --out DIR": "as above",
    "make ablation DATA=folder": "hours, and streams that are not in the repository; its steps are tested in "
    "tests/training/test_ablation.py",
    "make audit-graph": "it is the tests of tests/training/test_pair_audits.py themselves",
    "make bench-colink": "a million posts, and a package that it installs; minutes",
    "make bench-graph": "simulates 58,000 accounts first, for a minute or more",
    'make bench-assess ARGS="--events 400000"': "a minute or more; in small it is tests/streaming/test_assess_bench.py",
    'make bench-assess ARGS="--accounts 1000000 --events 6400000"': "as above",
    "make bench-worker STREAM=planted-dev.jsonl.gz KAFKA_HOME=folder": (
        "ten minutes; in small it is tests/streaming/kafka/test_rates.py"
    ),
    "make null-societies": "minutes; its steps are tested in tests/training/test_null_societies.py",
    'make null-societies ARGS="--each 2"': "as above",
    "make flink-setup": "two gigabytes, most of them torch again",
    "make flink STREAM=planted-dev.jsonl.gz": (
        "minutes, and needs `make flink-setup`; on a small stream it is tests/streaming/flink/test_flink_job.py"
    ),
    "make chaos": "it is the slow tests themselves",
    "make fuzz-sources": "it is the slow tests of tests/streaming/sources/test_formats.py themselves",
    "make notebooks": "it is the tests of tests/docs/test_notebooks.py themselves",
    "make listen-soak": "ten minutes; in small it is tests/streaming/live/test_soak.py",
    "make red-team": "hours; its steps are tested in tests/simulation/test_redteam.py",
    'make red-team ARGS="--people-texts corpus:FILE --machine-texts SOURCE"': "as above",
    "make screenshots": "needs chromium, and is a slow test itself: tests/moderation/browser/test_screenshots.py",
    'make setup PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu"': "needs that very index",
    "make test": "it is the tests themselves",
    'make test ARGS="--durations 30"': "as above",
    "make typecheck": "minutes; every change has to pass it (.ci/run)",
}
"""Command that no test runs -> why."""

MADE: Final[dict[str, str]] = {
    "make bench STREAM=planted-dev.jsonl.gz": 'STREAM=EVENTS ARGS="--copies 2"',
    'make bench ... ARGS="--copies 3 --rounds N"': 'STREAM=EVENTS ARGS="--copies 3 --rounds 2 --memory-ratio 9"',
    "make bench-console": 'ARGS="--sqlite 200 --postgresql 0 --rounds 2"',
    "make bench-feed": 'ARGS="--sqlite --alerts 200 --people 3 --seconds 5"',
    "make bench-learning": 'ARGS="--seeds 2 --samples 5 --drift moved"',
    "make bench-simulate": 'ARGS="--accounts 300 --days 0.5"',
    "make bench-sort": 'ARGS="--events 1000"',
    "make bench-tables": 'ARGS="--rows 20000"',
    "make demo": 'ARGS="--seconds 6 --no-wait"',
    "make docs": "",
    "make figures": "",
    "make lint": "",
    "make test PROCESSES=0": "ARGS=tests/detector/test_times.py",
    "make train DATA=folder OUT=models": 'OUT=OUTPUT ARGS="--cache OUTPUT"',
}
"""`make` line -> what is added to run it in the checkout."""

BY_SETUP: Final = "make setup"
"""tests/docs/test_tutorial.py types it, among the slow tests: with nothing to set up (`.ci/run`), and from nothing."""

PLACEHOLDERS: Final = {
    "NAME": "zoe", "ROLE": "lead", "ACCOUNT": "a1", "FILE": "file.jsonl", "/alerts/ID": "/queue", "N": "3",
    "STREAM": "events.jsonl.gz", "TRUTH": "truth.jsonl", "REAL": "events.jsonl.gz", "NAME:TARGET": "jsonl:sunk.jsonl",
    "DATA": "data",
}  # fmt: skip
"""What stands for a word that the reader has to replace."""

OTHERWISE: Final = {
    "swarmlight run --format NAME": {"NAME": "auto"},
    "swarmlight simulate --preset NAME --gate": {"NAME": "town"},
    "swarmlight evaluate STREAM --truth FILE": {"FILE": "truth.jsonl"},
}
"""Where a line's placeholder means something else."""

PEOPLE: Final = 60
"""People in the recordings: ten more than a language needs to be calibrated."""


def write_people(path: Path) -> list[str]:
    """A recording of people who say unconnected things, and their names."""
    made = societies.campaign(0, people=PEOPLE, machines=0, hours=12)
    write_lines(path, made)
    return sorted({item["account"] for item in made})


def write_truth(path: Path, machines: Sequence[str], people: Sequence[str]) -> None:
    """Labels of a recording's accounts."""
    rows = [{"account": name, "label": 1, "campaign": "c1", "slice": None} for name in machines]
    rows += [{"account": name, "label": 0, "campaign": None, "slice": None} for name in people]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the commands of the pages name; the current one."""
    items = societies.campaign(0, people=6, hours=2, rounds=2)
    (tmp_path / "events.jsonl.gz").write_bytes(gzip.compress(lines(items)))
    names = sorted({item["account"] for item in items})
    write_truth(
        tmp_path / "truth.jsonl", [n for n in names if n.startswith("m")], [n for n in names if n.startswith("p")]
    )
    place = {"at": "2025-06-02T12:00:00Z", "source": "x:1", "field": "at", "reason": "is missing"}
    dead = place | {"bytes": "e30=", "size": 2, "sha256": "0" * 64}
    (tmp_path / "file.jsonl").write_text(json.dumps(dead) + "\n")
    rows = [f"u{n},post-{k},{1_700_000_000_000 + 1000 * (100 * k + n)}" for k in range(6) for n in range(24)]
    for name in ("records.csv", "shares.csv"):
        (tmp_path / name).write_text("account,object,at\n" + "\n".join(rows) + "\n")
    (tmp_path / "posts.csv").write_text("user_id,created,body\nann,2026-01-01T00:00:00Z,hello\n")
    (tmp_path / "jetstream.jsonl.zst").write_bytes(zstandard.compress(SAMPLES["bluesky"]["jetstream"]))
    (tmp_path / "comments.json").write_bytes(SAMPLES["youtube"]["lines"])
    export = {"orderedItems": [mastodon.activity("Create", mastodon.note())]}
    (tmp_path / "outbox.json").write_text(json.dumps(export))
    test_run_report.folder(tmp_path / "results", [test_run_report.alert()], [test_run_report.score("ann", 1.0)])
    (tmp_path / "society.toml").write_text("accounts = 200\ndays = 1\nmachines = 0.0\n")
    (tmp_path / "data").mkdir()
    posts = pd.DataFrame({"text": ["we missed the bus again today"] * 40, "label": 0, "source": "x", "lang": "en"})
    posts.to_parquet(tmp_path / "data" / "human_short_text.parquet")
    (tmp_path / "docs" / "explanation").mkdir(parents=True)
    page = ROOT / "docs" / "explanation" / "simulation.md"
    (tmp_path / "docs" / "explanation" / "simulation.md").write_bytes(page.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words_of(line: str) -> list[str]:
    """The words of a page's `swarmlight` line after the first, without what the shell does with them."""
    return shlex.split(re.sub(r"\s*(?:[|>]).*$", "", line).replace(" ...", ""))[1:]


def completed(line: str) -> list[str]:
    """The arguments of a page's command with its placeholders filled."""
    meant = PLACEHOLDERS | OTHERWISE.get(line, {})
    return [meant.get(word, word) for word in words_of(line)]


def command_of(line: str) -> tuple[str, ...]:
    """The command of a line: `make` and its target, or the subcommand, with its own subcommand where it has one."""
    words = shlex.split(line) if line.startswith("make ") else words_of(line)
    if words[0] == "make" or words[0].startswith("-") or EXAMPLE in line:
        return tuple(words[:2])
    command: Any = as_command(words[0], load_entry(installed()[words[0]]))
    found = [words[0]]
    while len(words) > len(found) and words[len(found)] in getattr(command, "commands", {}):
        found.append(words[len(found)])
        command = command.commands[found[-1]]
    return tuple(found)


def is_name(line: str) -> bool:
    """Whether a line has a command's name and nothing else, as where a sentence speaks of it."""
    return list(command_of(line)) == (shlex.split(line) if line.startswith("make ") else words_of(line))


def test_the_pages_show_commands() -> None:
    assert len(SWARMLIGHT) > 30
    assert len(MAKE) > 10
    assert {command.page for command in ALL} >= {"README.md", "docs/tutorial.md", "docs/how-to/operate.md"}


def test_a_line_that_ends_within_a_command_is_read_on() -> None:
    assert "swarmlight run --format NAME" in SWARMLIGHT


def test_every_shown_command_is_run_somewhere_or_has_a_reason_why_not() -> None:
    places: Sequence[set[str]] = ({*RUN}, {*SLOW}, {*TRAINING}, {*TESTED}, {*NOT_RUN}, {*MADE}, {BY_SETUP})
    said = set().union(*places)
    assert sum(map(len, places)) == len(said), "a command in two places"
    assert said <= {*SWARMLIGHT, *MAKE}, "a command that no page shows any more"
    placed = said | TYPED | set(OF_EXTENSIONS)
    commands_placed = {command_of(line) for line in placed}
    lost = {
        line for line in {*SWARMLIGHT, *MAKE} - placed if not is_name(line) or command_of(line) not in commands_placed
    }
    assert not lost, f"nobody runs {sorted(lost)}: add each to RUN, SLOW, MADE, TESTED or, with the reason, NOT_RUN"


@pytest.mark.parametrize("line", SWARMLIGHT)
def test_a_shown_command_and_its_options_exist(line: str) -> None:
    words = words_of(line)
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


@pytest.mark.parametrize("line", sorted(TESTED))
def test_a_command_that_another_test_runs_stands_in_its_code(line: str) -> None:
    options = [word for word in words_of(line) if word.startswith("--")]
    assert lacking(TESTED[line], command_of(line), options) == ""


@pytest.mark.parametrize(
    ("steps", "command", "options", "said"),
    [
        (("tests/moderation/test_cli.py::test_people_tokens_links_and_the_log",), ("feed", "forget"), [], ""),
        (("tests/moderation/test_cli.py::test_people_tokens_links_and_the_log",), ("feed",), ["--kafka"], "--kafka"),
        (("tests/moderation/test_cli.py::test_people_tokens_links_and_the_log",), ("worker",), [], "no command line"),
        (("tests/docs/commands.py::blocks", "tests/streaming/kafka/bench.py::Deployment.worker"), ("worker",), [],
         "does not call worker"),
        (("tests/training/test_text.py::test_a_cached_table_keeps_its_columns",), (), [], "runs no command line"),
    ],
)  # fmt: skip
def test_code_that_does_not_run_a_command_is_told_from_code_that_does(
    steps: tuple[str, ...], command: tuple[str, ...], options: list[str], said: str
) -> None:
    found = lacking(steps, command, options)
    assert said in found
    assert bool(found) == bool(said)


@pytest.mark.parametrize("line", [*sorted(RUN), *(pytest.param(line, marks=pytest.mark.slow) for line in sorted(SLOW))])
def test_a_shown_command_does_what_it_says(
    line: str, workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clean_environ: None
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a long enough password\n" * 4))
    if "people.jsonl" in line:
        write_people(workplace / "people.jsonl")
    words = [*completed(line), *shlex.split({**RUN, **SLOW}[line])]
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
    outputs = {"--scores", "--alerts", "--summary", "--events", "--truth", "--plot", "--out", "--report-out"}
    for option, value in pairwise(words):
        if option in outputs and value != "-":
            assert (workplace / value).exists(), f"{option} {value} was not written"


class Chats:
    """`chitchat_dataset.Dataset`, with a few made-up people of every role."""

    def values(self) -> list[dict[str, Any]]:
        said = ["we took the late bus home", "grandma made soup for us all", "my keys were under the cat again"]
        texts = [f"{one} on day {number}" for number, one in enumerate(said * 3)]
        at = "2018-06-02T12:00:00Z"
        return [
            {"messages": [[{"sender": f"chatter-{k}", "timestamp": at, "text": f"{text} for {k}"} for text in texts]]}
            for k in range(30)
        ]


def training_folder(folder: Path) -> Path:
    """Text sets and a labelled recording, as `train` wants them."""
    data = textsets.write(folder, rows=40)
    (data / "streams").mkdir()
    items = societies.campaign(0, people=2 * PEOPLE, machines=12, hours=24)
    write_lines(data / "streams" / "contest-dev.jsonl.gz", items)
    names = sorted({item["account"] for item in items})
    people = [name for name in names if name.startswith("p")]
    assert sum(split_of("contest", name) != "train" for name in people) > PEOPLE
    write_truth(data / "streams" / "contest-dev.truth.jsonl", [name for name in names if name.startswith("m")], people)
    return data


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_lines_that_train_do_so_in_the_order_of_their_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_environ: None, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = [line for _, block in blocks(ROOT / "docs" / "how-to" / "research.md") for line in block.splitlines()]
    assert [line for line in shown if line in TRAINING] == list(TRAINING)
    training_folder(tmp_path / "data")
    monkeypatch.setattr("chitchat_dataset.Dataset", Chats)
    monkeypatch.chdir(tmp_path)
    for line in TRAINING:
        assert main(completed(line)) == 0, f"{line}: {capsys.readouterr().err}"
    made = load_models(tmp_path / "models")
    assert made.second_stage is not None
    assert {"text", "expert", "account", "thresholds"} <= set(made.versions)
    assert Thresholds.load(tmp_path / "models").people > PEOPLE
    cards = {path.name for path in (tmp_path / "models").glob("*.card.md")}
    assert cards >= {"text.card.md", "expert.card.md", "account.card.md", "thresholds.card.md"}
    named = tiny_classifier(tmp_path / "named")
    assert main(["train", "text", "--data", "data", "--out", "other", "--second-stage", named]) == 0
    assert json.loads((tmp_path / "other" / "expert.json").read_text())["kind"] == KIND


@pytest.mark.parametrize("line", MAKE)
def test_a_shown_make_target_exists(line: str) -> None:
    given = [word for word in shlex.split(line)[1:] if word != "..."]
    variables = ("DATA", "STREAM", "TRUTH", "TABLE")
    needed = [f"{name}=x" for name in variables if not any(word.startswith(f"{name}=") for word in given)]
    done = subprocess.run(["make", "-n", *given, *needed], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("line", sorted(MADE))
def test_a_shown_make_target_does_its_work(line: str, tmp_path: Path, clean_environ: None) -> None:
    binaries = Path(sys.prefix) / "bin"
    if not (binaries / "swarmlight").exists():
        pytest.skip(f"no {binaries / 'swarmlight'}: `make` runs what `make setup` installs")
    if "train" in line:
        training_folder(tmp_path / "data")
    write_lines(tmp_path / "events.jsonl.gz", societies.campaign(0, people=6, hours=2, rounds=2))
    places = {"folder": "data", "EVENTS": "events.jsonl.gz", "OUTPUT": "out"}
    given = [word for word in shlex.split(line)[1:] if word != "..."] + shlex.split(MADE[line])
    filled = []
    for word in given:
        for name, place in places.items():
            word = re.sub(rf"\b{name}\b", str(tmp_path / place), word)
        filled.append(word)
    done = subprocess.run(
        ["make", "-o", ".venv/.ready", f"BIN={binaries}", *filled],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if "train" in line:
        load_models(tmp_path / "out")
