"""`swarmlight run` from end to end with the shipped models: files, exit statuses, and what is in them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from detector.errors import UsageError
from detector.evidence import COMPONENTS
from streaming import commands
from streaming.cli import invoke, main
from streaming.pipeline import RunProgress
from tests.streaming.assess import societies
from tests.streaming.builders import event, lines, write_lines

pytestmark = pytest.mark.usefixtures("texts_read_once")

SUMMARY = {
    "read", "accepted", "duplicate", "late", "dead", "accounts", "flagged", "campaigns", "wall_s", "peak_rss_mib",
    "models", "people",
}  # fmt: skip

ITEMS: list[dict[str, Any] | bytes] = [
    *societies.campaign(0, people=20, hours=3, rounds=8),
    b"this is no event",
    event("early", at=0, id="early"),
]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class Run:
    """One run with all its outputs."""

    def __init__(self, folder: Path, *arguments: str, items: list[Any] | None = None, name: str = "in.jsonl") -> None:
        self.folder = folder
        source = write_lines(folder / name, ITEMS if items is None else items)
        self.outputs = {
            name: folder / f"{name}.json" for name in ("alerts", "details", "scores", "summary", "dead-letters")
        }
        named = [word for name, path in self.outputs.items() for word in (f"--{name}", str(path))]
        self.status = invoke(["run", "--input", str(source), *named, *arguments])

    def __getitem__(self, name: str) -> list[dict[str, Any]]:
        return read(self.outputs[name])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("run"))


def test_every_record_is_accounted_for(whole: Run) -> None:
    (summary,) = whole["summary"]
    assert whole.status == 0
    assert set(summary) == SUMMARY
    assert summary["read"] == len(ITEMS)
    assert (summary["dead"], summary["late"]) == (1, 0)
    assert summary["read"] == summary["accepted"] + summary["duplicate"] + summary["late"] + summary["dead"]
    assert summary["accounts"] == len(whole["scores"])
    assert summary["flagged"] == sum(row["flagged"] for row in whole["scores"])
    assert set(summary["models"]) >= {"text", "account", "thresholds"}


def test_scores_of_the_shipped_models_add_up(whole: Run) -> None:
    names = [row["account"] for row in whole["scores"]]
    assert names == sorted(names)
    assert "early" in names
    for row in whole["scores"]:
        llr = row["llr"]
        assert abs(sum(llr[component] for component in COMPONENTS) - llr["total"]) < 1e-6
        assert row["posterior"] == pytest.approx(1 / (1 + math.exp(-(llr["total"] + math.log(0.01 / 0.99)))))
        for component in set(COMPONENTS) & set(row["abstained"]):
            assert llr[component] == 0.0


def test_a_dead_letter_names_its_line(whole: Run) -> None:
    (letter,) = whole["dead-letters"]
    assert letter["source"].endswith(f"in.jsonl:{len(ITEMS) - 1}")


def test_revisions_have_no_gap(whole: Run) -> None:
    last: dict[str, int] = {}
    for alert in whole["alerts"]:
        assert alert["revision"] == last.get(alert["id"], 0) + 1
        last[alert["id"]] = alert["revision"]
    details = whole["details"]
    assert [(page["id"], page["page"]) for page in details] == sorted((page["id"], page["page"]) for page in details)
    assert {page["id"] for page in details} == set(last)
    assert all(page["revision"] == last[page["id"]] for page in details)


def test_runs_of_one_process_and_of_several_and_a_compressed_input_are_equal(whole: Run, tmp_path: Path) -> None:
    again = Run(tmp_path, "--seed", "0", "--processes", "2", name="in.jsonl.gz")
    for name in ("alerts", "details", "scores"):
        assert again[name] == whole[name]
    own = {"at", "source"}
    (letter,), (other,) = again["dead-letters"], whole["dead-letters"]
    assert {key: value for key, value in letter.items() if key not in own} == {
        key: value for key, value in other.items() if key not in own
    }
    counts = {"wall_s", "peak_rss_mib"}
    assert {**again["summary"][0], **dict.fromkeys(counts)} == {**whole["summary"][0], **dict.fromkeys(counts)}


def test_several_inputs_are_merged_by_time(whole: Run, tmp_path: Path) -> None:
    good = [item for item in ITEMS if isinstance(item, dict)]
    for number in range(2):
        write_lines(tmp_path / f"{number}.jsonl", good[number::2])
    scores = tmp_path / "scores"
    inputs = ["--input", str(tmp_path / "0.jsonl"), "--input", str(tmp_path / "1.jsonl")]
    assert invoke(["run", *inputs, "--scores", str(scores)]) == 0
    assert read(scores) == whole["scores"]


def test_accounts_that_left_keep_their_last_row(tmp_path: Path) -> None:
    day = 86_400_000
    items = [
        event("ann", text="one two three four"),
        event("cid"),
        event("bob", at=100 * day),
        event("cid", at=101 * day),
    ]
    items += [event("eve"), event("eve", at=102 * day, kind="delete_account")]
    run = Run(tmp_path, items=sorted(items, key=lambda item: int(item["at"])))
    assert [(row["account"], row["posts"]) for row in run["scores"]] == [("ann", 1), ("bob", 0), ("cid", 0)]
    assert run["summary"][0]["accounts"] == 3


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_left_out_is_zero_everywhere_and_says_so(component: str, tmp_path: Path) -> None:
    run = Run(tmp_path, "--without", component)
    assert len(run["scores"]) > 20
    for row in run["scores"]:
        assert row["llr"][component] == 0.0
        assert row["abstained"][component] == "switched off"
    if component in ("text", "behaviour"):
        assert not any(row["flagged"] for row in run["scores"])


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(lines([event(), event("bob")])))))
    summary = tmp_path / "summary"
    assert invoke(["run", "--input", "-", "--summary", str(summary)]) == 0
    assert read(summary)[0]["accounts"] == 2


def test_an_empty_recording_is_one(tmp_path: Path) -> None:
    run = Run(tmp_path, items=[])
    assert run.status == 0
    assert run["scores"] == run["alerts"] == []
    assert run["summary"][0]["read"] == 0


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_and_the_summary_everywhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = write_lines(tmp_path / "in.jsonl", [event(), event("bob")])
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stream)
        assert invoke(["run", "--input", str(source)]) == 0
        shown = stream.getvalue()
        assert ("2 events" in shown and "/s" in shown) == stream.isatty()
        assert shown.splitlines()[-1] == (
            "read 2: 2 accepted, 0 duplicate, 0 late, 0 dead; 2 accounts, 0 flagged, 0 campaigns; "
            "nothing was kept (--scores FILE and --alerts FILE keep it)"
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "{here}/none.jsonl"], "none.jsonl"),
        (["--input", "{here}/in.jsonl", "--scores", "{here}/no/such/folder"], "--scores"),
        (["--input", "{here}/in.jsonl", "--scores", "{here}/in.jsonl"], "--input"),
        (["--input", "{here}/in.jsonl", "--scores", "{here}/x", "--alerts", "{here}/x"], "another file"),
        (["--input", "{here}/in.jsonl", "--config", "{here}/none.toml"], "none.toml"),
        (["--input", "{here}/in.jsonl", "--seed", "-1"], "--seed"),
    ],
)
def test_unusable_arguments_are_refused_before_anything_is_written(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    source = write_lines(tmp_path / "in.jsonl", [event()])
    before = source.read_bytes()
    with pytest.raises(UsageError, match=message):
        invoke(["run", *(argument.format(here=tmp_path) for argument in arguments)])
    assert source.read_bytes() == before


def test_a_rate_finer_than_the_calibration_supports_is_refused(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "in.jsonl", [event()])
    config = tmp_path / "config.toml"
    config.write_text("target_fpr = 1e-9\n")
    with pytest.raises(UsageError, match="finest"):
        invoke(["run", "--input", str(source), "--config", str(config)])


@pytest.mark.parametrize("more", [[], ["--without", "luck"]])
def test_truncated_input_and_unknown_parts_exit_2(
    more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(lines([event(str(i)) for i in range(2000)]))[:-200])
    assert main(["run", "--input", str(cut), *more]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_it_is_a_command_of_the_installed_program(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "in.jsonl", [event()])
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    arguments = ["run", "--input", str(source), "--scores", "/dev/stdout"]
    done = subprocess.run([sys.executable, "-m", "streaming", *arguments], capture_output=True, text=True, env=environ)
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "read 1: 1 accepted, 0 duplicate, 0 late, 0 dead; 1 accounts, 0 flagged, 0 campaigns; scores in /dev/stdout"
    ]
    assert json.loads(done.stdout)["account"] == "ann"


def scores_of(folder: Path, items: list[Any], *more: str) -> list[dict[str, Any]]:
    """Rows of `--scores` of a run that succeeds."""
    source = write_lines(folder / "some.jsonl", items)
    scores = folder / "some-scores"
    assert invoke(["run", str(source), "--scores", str(scores), *more]) == 0
    return read(scores)


def test_any_order_gives_what_the_sorted_order_gives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sorted_ones = [item for item in ITEMS if isinstance(item, dict)]
    sorted_ones.sort(key=lambda item: (item["at"], item["account"]))
    unread = tmp_path / "unread.toml"  # the encoder takes long, and has no part in this
    unread.write_text("second_stage_texts_per_s = 0\nmeaning_texts_per_s = 0\n", encoding="utf-8")
    more = ("--config", str(unread))
    expected = scores_of(tmp_path, sorted_ones, *more)
    shuffled = random.Random(3).sample(sorted_ones, len(sorted_ones))
    ahead = event("x", at=200 * 86_400_000)
    capsys.readouterr()
    assert scores_of(tmp_path, sorted_ones[::-1], *more) == scores_of(tmp_path, shuffled, *more) == expected
    rows = scores_of(tmp_path, [ahead, *shuffled], *more)
    assert {row["account"] for row in rows} == {row["account"] for row in expected} | {"x"}
    assert capsys.readouterr().err.count(" 0 late, 0 dead") == 3


def small(count: int = 6) -> list[dict[str, Any]]:
    return [event(str(number % 3), at=number * 1000, id=str(number)) for number in range(count)]


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"id,account,at\n1,ann,2026\n", 3, ["0 of 2 records", "looks like CSV", "1 times (record): is not JSON"]),
        (b"", 0, []),
        (lines([*small(3), b"", b"", b""]), 0, []),
        (
            lines([{**small()[0], "at": small()[0]["at"] // 1000}, *small()]),
            0,
            ["6 accepted, 0 duplicate, 0 late, 1 dead"],
        ),
        (lines([*small(3), b"", b"", b"", b""]), 3, ["3 of 7 records", "4 times (record): is empty"]),
        (lines([item | {"at": item["at"] // 1000} for item in small()]), 2, ["look like seconds"]),
        (lines([item | {"at": "2076-01-01T00:00:00Z"} for item in small()]), 2, ["lie in the future"]),
        (gzip.compress(lines(small(3000)), mtime=0)[:-300], 2, ["beyond line", "ends too early", "s.partial"]),
    ],
)
def test_what_cannot_be_used_ends_with_its_reason_and_leaves_earlier_results(
    content: bytes, status: int, said: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, scores, summary = tmp_path / "in.jsonl", tmp_path / "s", tmp_path / "sum"
    source.write_bytes(content)
    for path in (scores, summary):
        path.write_bytes(b"earlier\n")
    assert main(["run", str(source), "--scores", str(scores), "--summary", str(summary)]) == status
    error = capsys.readouterr().err
    assert [part for part in said if part not in error] == []
    assert (scores.read_bytes() == b"earlier\n") == (summary.read_bytes() == b"earlier\n") == (status != 0)
    if "s.partial" in said:
        assert {row["account"] for row in read(tmp_path / "s.partial")} == {"0", "1", "2"}
        assert read(tmp_path / "sum.partial")[0]["accepted"] > 1000


def test_a_long_text_is_cut_and_counted(tmp_path: Path) -> None:
    run = Run(tmp_path, items=[event(text="word " * 20_000), *small()])
    assert (run["summary"][0]["texts_cut"], run["summary"][0]["dead"]) == (1, 0)


def test_scores_go_to_standard_output(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    source = write_lines(tmp_path / "in.jsonl", small())
    assert invoke(["run", str(source), "--scores", "-"]) == 0
    assert [json.loads(line)["account"] for line in capfdbinary.readouterr().out.splitlines()] == ["0", "1", "2"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_what_was_scored_under_another_name(
    number: signal.Signals, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    source, scores = write_lines(tmp_path / "in.jsonl", small(5000)), tmp_path / "s"
    scores.write_bytes(b"earlier\n")

    def show(line: commands.ProgressLine, now: RunProgress) -> None:
        if now.reading is None:
            signal.raise_signal(number)

    monkeypatch.setattr(commands.ProgressLine, "show", show)
    before = signal.getsignal(number)
    assert main(["run", str(source), "--scores", str(scores)]) == status
    assert signal.getsignal(number) == before
    assert scores.read_bytes() == b"earlier\n"
    assert {row["account"] for row in read(tmp_path / "s.partial")} == {"0", "1", "2"}
    error = capsys.readouterr().err
    assert f"stopped by {number.name} after" in error
    assert "of 5,000 records" in error
    assert "s.partial" in error


def test_a_signal_while_reading_ends_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_lines(tmp_path / "in.jsonl", small())
    monkeypatch.setattr(commands.ProgressLine, "show", lambda self, now: signal.raise_signal(signal.SIGTERM))
    assert main(["run", str(source), "--scores", str(tmp_path / "s")]) == 143
    assert "none was scored" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_page_that_a_full_disk_takes_no_more_is_not_said_to_be_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, scores = write_lines(tmp_path / "in.jsonl", small()), tmp_path / "s"
    assert main(["run", str(source), "--scores", str(scores), "--report", "/dev/full"]) == 2
    error = capsys.readouterr().err
    assert "--report '/dev/full' cannot be written: No space left on device" in error
    assert f"6 accepted, 0 duplicate, 0 late, 0 dead; 3 accounts, 0 flagged, 0 campaigns; scores in {scores}\n" in error
    assert len(read(scores)) == 3


def test_a_partial_file_never_overwrites_an_input(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "s.partial", small())
    before = source.read_bytes()
    with pytest.raises(UsageError, match="--input"):
        invoke(["run", str(source), "--scores", str(tmp_path / "s")])
    assert source.read_bytes() == before


def test_results_are_tables_where_they_are_named_so(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "in.jsonl", societies.campaign(0, people=6, hours=1, rounds=2))
    lines_, table, alerts, ties = (tmp_path / name for name in ("s.jsonl", "s.csv", "a.parquet", "net.graphml"))
    switched_off = ["--without", "text", "behaviour", "coordination", "graph"]
    assert invoke(["run", str(source), *switched_off, "--scores", str(lines_)]) == 0
    others = ["--alerts", str(alerts), "--network", str(ties), "--report", str(tmp_path / "page.html")]
    assert invoke(["run", str(source), *switched_off, "--scores", str(table), *others]) == 0
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["account"] for row in rows] == [row["account"] for row in read(lines_)]
    assert f"{len(rows)} accounts by total evidence" in (tmp_path / "page.html").read_text()
    assert ties.read_text().endswith("</graphml>\n")
    assert alerts.read_bytes().startswith(b"PAR1")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--details", "details.csv"], "only --scores and --alerts can be tables"),
        (["--network", "net.png"], "has to end in .graphml or .csv or .parquet"),
        (["--network", "x.csv", "--scores", "x.csv"], "is also another file of the run"),
        (["--network", "x.graphml", "--scores", "-"], "has to be a file"),
    ],
)
def test_tables_that_cannot_be_meant_are_refused_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    source = write_lines(tmp_path / "in.jsonl", [event("ann")])
    with pytest.raises(UsageError, match=re.escape(said)):
        invoke(["run", str(source), *arguments])
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
