"""`swarmlight lab run`: made once, found again, and refused where it cannot be."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from simulation.lab.feed_mixes import kept_mixes
from simulation.lab.interventions import Assumed
from simulation.lab.live_detector import Finding, LiveDetector, NewlyNamed
from simulation.lab.trial_society import SocietySettings
from simulation.sampling import DAY_MS
from simulation.world import Chunk
from streaming.assess import AlertRevision
from streaming.cli import main
from streaming.schema.alert import AlertKind, AlertRecord, AlertStatus, MemberRecord
from streaming.schema.lab_run import read_lab_run

START_MS = 1_709_510_400_000
"""2024-03-04, when simulated populations begin."""

OPTIONS = (
    "--people-texts", "none", "--machine-texts", "none", "--societies", "2", "--varied", "0", "--mixed", "0",
    "--accounts", "100", "--days", "0.2", "--processes", "1",
)  # fmt: skip


def prepared(tmp_path: Path) -> Path:
    """A folder in which the detector has been asked already, and two policies."""
    out = tmp_path / "lab"
    out.mkdir()
    named = Finding(START_MS + DAY_MS // 10, "campaign", "c", tuple(range(40)))
    for seed in (0, 1):
        (out / f"findings-{seed}-0.01.json").write_bytes(msgspec.json.encode([named]))
    (tmp_path / "nothing.toml").write_text('name = "nothing"\nmeasure = "nothing"\n', encoding="utf-8")
    (tmp_path / "mine.toml").write_text('name = "mine"\nmeasure = "remove"\n', encoding="utf-8")
    return out


def test_a_second_run_makes_nothing_again_and_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = prepared(tmp_path)
    policies = [str(tmp_path / "nothing.toml"), str(tmp_path / "mine.toml")]
    assert main(["lab", "run", *policies, "--out", str(out), *OPTIONS]) == 0
    first = capsys.readouterr().out
    assert "| mine |" in first
    report = (out / "report.html").read_bytes()
    made = {path.name: path.stat().st_mtime_ns for path in out.glob("outcome-*.json")}
    assert len(made) == 4  # two policies in two societies
    next(out.glob("outcome-*.json")).unlink()  # as if it had been broken off
    assert main(["lab", "run", *policies, "--out", str(out), *OPTIONS]) == 0
    again = {path.name: path.stat().st_mtime_ns for path in out.glob("outcome-*.json")}
    assert set(again) == set(made)
    assert sum(made[name] != again[name] for name in made) == 1
    assert capsys.readouterr().out == first
    assert (out / "report.html").read_bytes() == report
    assert (out / "campaigns.parquet").stat().st_size > 0
    said = read_lab_run((out / "run.json").read_bytes())
    assert (said.policies, said.societies, said.seed) == (["nothing", "mine"], 2, 0)
    assert said.best in said.headline


def test_in_the_closed_loop_operators_answer_and_the_report_says_what_they_turned_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A detector that names whoever acts first in a step."""

    def read(self: LiveDetector, events: Chunk, texts: object) -> list[Finding]:
        who = np.unique(events.account)
        return [Finding(int(events.at[-1]), "account", str(name), (name,)) for name in who.tolist()]

    monkeypatch.setattr(LiveDetector, "__init__", lambda self, renderer, models, target_fpr: None)
    monkeypatch.setattr(LiveDetector, "read", read)
    out = prepared(tmp_path)
    for name in out.glob("findings-*"):
        name.unlink()
    command = ["lab", "run", *(str(tmp_path / f"{name}.toml") for name in ("nothing", "mine")), "--out", str(out)]
    assert main([*command, *OPTIONS, "--rounds", "2"]) == 2
    assert "--rounds needs --closed" in capsys.readouterr().err
    looped = [*command, *OPTIONS, "--closed", "--rounds", "2", "--spare", "0.5", "--societies", "2", "--varied", "0"]
    assert main(looped) == 0
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "it read each society anew beside each policy" in report
    assert "looked 2 times" in report
    assert "accounts lost" in report
    assert main([*command, *OPTIONS]) == 2
    assert "other settings" in capsys.readouterr().err


def test_what_cannot_be_compared_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = prepared(tmp_path)
    mine = str(tmp_path / "mine.toml")
    assert main(["lab", "run", mine, "--out", str(out), *OPTIONS]) == 2
    assert 'measure = "nothing"' in capsys.readouterr().err
    (tmp_path / "bad.toml").write_text('name = "bad"\nmeasure = "remove"\nspeed = 1\n', encoding="utf-8")
    assert main(["lab", "run", str(tmp_path / "bad.toml"), "--out", str(out), *OPTIONS]) != 0
    assert "bad.toml:3" in capsys.readouterr().err
    (out / "trial.json").write_text('{"accounts": 7}', encoding="utf-8")
    nothing = str(tmp_path / "nothing.toml")
    assert main(["lab", "run", nothing, mine, "--out", str(out), *OPTIONS]) == 2
    assert "other settings" in capsys.readouterr().err


def test_findings_are_what_alerts_newly_name() -> None:
    def revision(number: int, kind: AlertKind, members: list[str], status: AlertStatus = "open") -> AlertRevision:
        record = AlertRecord(
            v=3, id="a", kind=kind, revision=number, status=status, at=f"2024-03-04T0{number}:00:00.000Z",
            members=[MemberRecord(account=name) for name in members],
        )  # fmt: skip
        return AlertRevision("a", number, kind, status, msgspec.json.encode(record))

    index = {"ann": 0, "bob": 1, "cy": 2}
    said = [
        revision(1, "campaign", ["ann", "bob"]), revision(2, "campaign", ["ann", "bob", "cy"]),
        revision(3, "campaign", ["ann"], "withdrawn"), revision(4, "coordination", ["cy"]),
    ]  # fmt: skip
    found = NewlyNamed(index).take(said)
    assert [each.accounts for each in found] == [(0, 1), (2,)]
    assert [each.at - START_MS for each in found] == [3_600_000, 7_200_000]
    one_by_one = NewlyNamed(index)
    assert [each for revision in said for each in one_by_one.take([revision])] == found


def test_pushed_campaigns_are_seen_more_alone_and_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulation.lab.feed_mixes.ALONE", ("engagement", "amplification"))
    made = kept_mixes(SocietySettings(accounts=100, days=0.2), {0: [], 1: []}, Assumed(), tmp_path)
    monkeypatch.setattr("simulation.lab.feed_mixes.mixes", None)  # not made again
    assert kept_mixes(SocietySettings(accounts=100, days=0.2), {0: [], 1: []}, Assumed(), tmp_path) == made
    alone, pushed, both = made
    assert (alone.names, pushed.names) == (("engagement",), ("amplification",))
    assert pushed.campaigns > both.campaigns > alone.campaigns > 0
    assert both.expected == pytest.approx((alone.campaigns + pushed.campaigns) / 2)
    assert alone.expected is None


def test_a_search_gives_a_front_and_the_same_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = prepared(tmp_path)
    (out / "findings-0-0.05.json").write_bytes((out / "findings-0-0.01.json").read_bytes())
    options = (*OPTIONS[:4], *OPTIONS[10:14])
    command = ["lab", "search", "--out", str(out), *options, "--societies", "1", "--tries", "4"]
    assert main(command) == 0
    front = capsys.readouterr().out
    rows = [line.split("|") for line in front.splitlines()[2:]]
    assert 1 <= len(rows) <= 4
    points = [tuple(float(cell.strip(" %")) for cell in row[6:9]) for row in rows]
    assert len(set(points)) == len(points)
    assert (out / "front.md").read_text(encoding="utf-8") == front
    made = len(list(out.glob("outcome-*.json")))
    assert main(command) == 0
    assert capsys.readouterr().out == front
    assert len(list(out.glob("outcome-*.json"))) == made
