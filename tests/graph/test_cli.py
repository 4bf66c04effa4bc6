"""`swarmlight coordinate`: from a table to groups, pairs, studies and files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from detector.errors import UnusableError, UsageError
from graph.permutation import Injection, injected
from graph.traces import HOUR_MS
from streaming.cli import invoke
from tests.graph.test_dense_groups import people

START_MS = 1_700_000_000_000


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """People, and a group of six, the first of whom has a hostile name."""
    traces, members = injected(people(3), Injection(6, 10, 3.0, 60_000), 1)
    names = {member: f"member {n}" for n, member in enumerate(members)} | {members[0]: "=cmd|' /C calc'!A0\x1b[2J"}
    rows = [
        {"account": names.get(who, f"u{who}"), "object": f"o{item}", "at": START_MS + at}
        for at, who, item in zip(traces.at.tolist(), traces.account.tolist(), traces.item.tolist(), strict=True)
    ]
    path = tmp_path_factory.mktemp("table") / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run(*arguments: object) -> int:
    return invoke(["coordinate", *map(str, arguments)])


def test_a_group_is_found_said_and_written(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {name: tmp_path / name for name in ("r.json", "n.graphml", "n.csv", "e.csv")}
    options = ("--out", "--graph", "--nodes", "--edges")
    assert run(table, *(word for pair in zip(options, files.values(), strict=True) for word in pair)) == 0
    result = json.loads(files["r.json"].read_text(encoding="utf-8"))
    best = result["groups"][0]
    assert best["accepted"]
    assert best["decoy_q"] <= 0.05
    assert sum(each["account"].startswith(("member", "=cmd")) for each in best["members"]) == 6
    assert best["shared_objects"] >= 10
    assert {"kind": "repost", "object": best["objects"][0]["object"], "members": 6} == best["objects"][0]
    assert best["from"] < best["to"]
    said = capsys.readouterr().out
    assert "accepted: beyond what 39 draws of exchanged accounts show" in said
    assert "member " in said
    assert "\x1b" not in said
    assert said.rstrip().splitlines()[-1].startswith(f"{result['reading']['rows']:,} rows: ")
    assert files["n.graphml"].read_text(encoding="utf-8").count("<node ") == sum(
        len(each["members"]) for each in result["groups"] if each["accepted"]
    )
    assert "'=cmd" in files["n.csv"].read_text(encoding="utf-8")
    assert files["e.csv"].read_text(encoding="utf-8").count("\n") > 15


def test_pairs_by_definition_are_listed_with_their_parts(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, nodes = tmp_path / "p.json", tmp_path / "p.csv"
    assert run(table, "--min-shared", 8, "--window-s", 300, "--out", out, "--nodes", nodes) == 0
    pairs = json.loads(out.read_text(encoding="utf-8"))["pairs"]
    assert len(pairs) == 15
    assert all(pair["count"] >= 8 for pair in pairs)
    assert "15 pairs of 6 accounts share at least 8 objects within 300 s" in capsys.readouterr().out
    assert nodes.read_text(encoding="utf-8").count(",1,") == 6


def test_groups_are_measured_against_a_truth(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    accounts = sorted({json.loads(line)["account"] for line in table.read_text(encoding="utf-8").splitlines()})
    truth = [{"account": name, "campaign": "six" if name.startswith(("member", "=cmd")) else None} for name in accounts]
    (tmp_path / "truth.jsonl").write_text("".join(json.dumps(row) + "\n" for row in truth), encoding="utf-8")
    assert run(table, "--truth", tmp_path / "truth.jsonl") == 0
    said = capsys.readouterr().out
    assert re.search(r"^ +6 +6  six$", said, re.MULTILINE)
    assert "pairs in groups that are of one campaign: 15 of 15 (1.000)" in said
    for row, said in (
        ({"account": "m1", "campaign": "six"}, "none of its 1 accounts shares"),
        ({"account": "m1"}, "no c"),
    ):
        (tmp_path / "truth.jsonl").write_text(json.dumps(row) + "\n")
        with pytest.raises(UsageError, match=said):
            run(table, "--truth", tmp_path / "truth.jsonl")
    (tmp_path / "truth.jsonl").write_text("{}\n")
    with pytest.raises(UsageError, match="line 1: has no text `account`"):
        run(table, "--truth", tmp_path / "truth.jsonl")


def test_what_is_left_out_is_said(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(table, "--min-shared", 2, "--max-object", 5) == 0
    assert "each shared more than 5 times (--max-object)" in capsys.readouterr().out


def test_a_picture_is_drawn(table: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert run("--input", table, "--picture", tmp_path / "g.svg") == 0
    assert "member 1" in (tmp_path / "g.svg").read_text(encoding="utf-8")


def test_kinds_are_looked_at_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        f"{who},{kind[0]}{n},{START_MS + 60_000 * n},{kind}"
        for who in "ab"
        for n in range(3)
        for kind in ("link", "quote")
    ]
    (tmp_path / "k.csv").write_text("account,object,at,kind\n" + "\n".join(lines), encoding="utf-8")
    assert run(tmp_path / "k.csv", "--min-shared", 1) == 0
    assert run(tmp_path / "k.csv", "--min-shared", 1, "--only", "link") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")] == ["6", "3"]
    with pytest.raises(UsageError, match="no record of that kind"):
        run(tmp_path / "k.csv", "--only", "hashtag")


def test_studies_are_run_and_written(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "s.json"
    study = ("--plant", "6", "--shared", "8", "--plant-seeds", 2, "--plant-days", 2)
    assert run(table, "--null-seeds", 2, *study, "--out", out) == 0
    result = json.loads(out.read_text(encoding="utf-8"))
    assert [trial["accepted"] for trial in result["null"]] == [0, 0]
    assert [trial["accepted"] for trial in result["planted"]] == [True, True]
    said = capsys.readouterr().out
    assert "permuted 2 times: groups accepted in 0" in said
    assert re.search(r"^ +6 +8 +2 of +2 +6\.0 +0\.0 +0$", said, re.MULTILINE)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--columns", "a,b"], "name three or four columns"),
        (["--kind", "telepathy"], "--kind 'telepathy': known are link"),
        (["--time-unit", "h"], "is none of auto, s, ms, us, ns"),
        (["--plant", "x"], "give whole numbers"),
        (["--null-seeds", "1", "--block-h", "0"], "must be positive"),
        (["--target-fdr", "2"], "must lie between 0 and 1"),
        (["--min-shared", "0"], "at least 1"),
        (["--out", "x.xlsx"], "has to end in .json"),
        (["--picture", "none/x.png"], "there is no folder"),
    ],
)
def test_unusable_arguments_are_refused(table: Path, extra: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        run(table, *extra)


def test_no_table_and_an_unusable_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name a table"):
        run()
    (tmp_path / "t.csv").write_text("account,object,at\na,,1\n")
    with pytest.raises(UnusableError) as refused:
        run(tmp_path / "t.csv")
    assert refused.value.exit_status == 3


def test_a_table_of_seconds_an_hour_apart_is_no_pair_within_a_minute(tmp_path: Path) -> None:
    hour_s = HOUR_MS // 1000
    rows = [f"{who},x{n},{START_MS // 1000 + n + late}" for n in range(4) for who, late in (("a", 0), ("b", hour_s))]
    (tmp_path / "t.csv").write_text("account,object,at\n" + "\n".join(rows))
    assert run(tmp_path / "t.csv", "--min-shared", 1, "--out", tmp_path / "p.json") == 0
    assert json.loads((tmp_path / "p.json").read_text())["pairs"] == []


def test_the_whole_of_a_table_is_searched_whatever_its_length(tmp_path: Path) -> None:
    days = np.arange(200)
    begins = [(day, START_MS + day * 24 * HOUR_MS) for day in days.tolist()]
    rows = [f"{who},d{day},{at + 1000 * n}" for day, at in begins[::20] for n, who in enumerate("abcde")]
    rows += [f"p{day}{n},q{day}{n % 7},{at + 1000 * n}" for day, at in begins for n in range(20)]
    (tmp_path / "t.csv").write_text("account,object,at\n" + "\n".join(rows))
    assert run(tmp_path / "t.csv", "--out", tmp_path / "g.json") == 0
    best = json.loads((tmp_path / "g.json").read_text())["groups"][0]
    assert [each["account"] for each in best["members"]] == ["a", "b", "c", "d", "e"]


def test_recordings_of_a_platform_are_read_in_its_format(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
    shares = tmp_path / "qut.csv"
    shares.write_text(
        "message_id,user_id,timestamp,repost_id\n"
        + "".join(f"m{n},{row['account']},{row['at'] / 1000},{row['object']}\n" for n, row in enumerate(rows))
        + "broken,nobody,never,1\n"
    )
    found = []
    for arguments in ((table,), (shares, "--format", "qut")):
        out = tmp_path / "pairs.json"
        assert run(*arguments, "--min-shared", 5, "--window-s", 3600, "--out", out) == 0
        found.append(json.loads(out.read_text(encoding="utf-8"))["pairs"])
    assert found[0] == found[1] != []
    said = capsys.readouterr()
    assert f"read {len(rows) + 1:,}: {len(rows):,} events, 0 skipped, 1 dead" in said.err
    assert "events.jsonl" not in said.out + said.err, "a temporary file is nobody's business"
