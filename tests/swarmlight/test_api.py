"""`import swarmlight`: what a program may use, on recordings of a few accounts."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import swarmlight
from detector.evidence import COMPONENTS
from swarmlight.records import frame
from tests.streaming.assess import societies
from tests.streaming.builders import event, write_lines


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hours of people and of accounts that push links, newest first, with a record that is none."""
    items = societies.campaign(0, people=6, machines=4, hours=2, rounds=3)
    folder = tmp_path_factory.mktemp("api")
    return write_lines(folder / "posts.jsonl", [*reversed(items), b"this is no event"])


@pytest.fixture(scope="module")
def run(recording: Path) -> swarmlight.Run:
    """Judged without any evidence: what the judges say is not the matter here, and takes long."""
    return swarmlight.assess(recording, without=COMPONENTS)


def test_a_recording_is_read_by_time_and_as_a_table(recording: Path) -> None:
    read = swarmlight.read(recording)
    times = [item.at for item in read]
    assert times == sorted(times)
    table = read.to_pandas(limit=3)
    assert len(table) == 3
    assert table["urls"].notna().any()
    assert repr(read) == f"Recording({str(recording)!r}, format='auto')"


def test_saving_a_recording_says_what_became_of_every_record(recording: Path, tmp_path: Path) -> None:
    told = swarmlight.read(recording).save(tmp_path / "events.jsonl.gz", dead_letters=tmp_path / "dead.jsonl")
    assert (told.events, told.dead.letters) == (len(list(swarmlight.read(recording))), 1)
    assert len((tmp_path / "dead.jsonl").read_text().splitlines()) == 1


def test_a_table_is_read_with_a_map_of_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "posts.csv"
    path.write_text("who;when;words\nann;2026-01-01T00:00:00Z;hello you\n")
    (found,) = swarmlight.read(path, format="table:account=who,at=when,text=words")
    assert (found.account, found.text) == ("ann", "hello you")


def test_what_cannot_be_read_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(swarmlight.SwarmlightError, match=r"nothing\.jsonl"):
        swarmlight.read(tmp_path / "nothing.jsonl")
    (tmp_path / "posts.csv").write_text("x")
    with pytest.raises(swarmlight.SwarmlightError, match="did you mean reddit"):
        swarmlight.read(tmp_path / "posts.csv", format="redit")


def test_a_run_has_a_row_for_every_account(run: swarmlight.Run, recording: Path) -> None:
    assert [row.account for row in run.scores] == sorted({item.account for item in swarmlight.read(recording)})
    table = run.scores.to_pandas()
    assert list(table["account"]) == [row.account for row in run.scores]
    assert not table["flagged"].any()
    assert (run.summary.dead, run.summary.accounts) == (1, len(table))
    assert repr(run).startswith(f"<Run: {run.summary.read:,} records, {len(table)} accounts, 0 flagged")


def test_alerts_are_a_table_also_where_there_are_none(run: swarmlight.Run) -> None:
    assert len(run.alerts) == len(run.revisions) == 0
    table = run.alerts.to_pandas()
    assert list(table.columns)[:3] == ["id", "revision", "kind"]
    assert table.empty


def test_a_run_is_shown_kept_and_opened_again(recording: Path, tmp_path: Path) -> None:
    made = swarmlight.assess(swarmlight.read(recording), folder=tmp_path / "kept", without=COMPONENTS)
    page = made.report(tmp_path / "page.html", title="Ours & yours").read_text(encoding="utf-8")
    assert "Ours &amp; yours" in page
    assert "srcdoc=" in made._repr_html_()
    made.save_network(tmp_path / "net.graphml")
    assert (tmp_path / "net.graphml").read_text().endswith("</graphml>\n")
    again = swarmlight.open_run(tmp_path / "kept")
    assert again.scores.rows() == made.scores.rows()
    with pytest.raises(swarmlight.SwarmlightError, match=r"it lacks alerts\.jsonl"):
        swarmlight.open_run(tmp_path)


def test_the_files_of_a_run_without_folder_go_with_it(recording: Path) -> None:
    made = swarmlight.assess(recording, without=COMPONENTS)
    folder = made.folder
    assert folder.is_dir()
    del made
    assert not folder.exists()


def test_texts_are_scored_one_by_one() -> None:
    said = ["thoughtful planning can truly transform our daily journeys for the better", "ok", "wo ist der bus"]
    found = swarmlight.score(said, lang="en", second_stage=False)
    assert [each.text for each in found] == said
    assert found[0].abstained is None
    assert found[0].nats != 0.0
    assert (found[1].nats, found[1].abstained) == (0.0, "texts too short")
    assert list(found.to_pandas().columns) == ["text", "lang", "nats", "abstained"]
    assert list(swarmlight.score(said[0], lang="en", second_stage=False)) == [found[0]], "a text is no list of letters"


def test_coordination_is_found_in_a_table_and_in_a_recording(tmp_path: Path) -> None:
    rows = [f"u{n},post-{k},{1_700_000_000_000 + 1000 * (100 * k + n)}" for k in range(6) for n in range(4)]
    table = tmp_path / "shares.csv"
    table.write_text("account,object,at\n" + "\n".join(rows) + "\n")
    found = swarmlight.coordinate(table, min_shared=6)
    assert len(found.pairs) == 6
    assert found.pairs.to_pandas()["count"].tolist() == [6] * 6
    found.save_network(tmp_path / "ties.csv")
    assert len((tmp_path / "ties.csv").read_text().splitlines()) == 7
    events = [event(f"u{n}", at=1000 * (100 * k + n), id=f"{k}-{n}", kind="repost", target=f"post-{k}")
              for k in range(6) for n in range(4)]  # fmt: skip
    path = write_lines(tmp_path / "posts.jsonl", events)
    assert swarmlight.coordinate(swarmlight.read(path), min_shared=6).pairs.rows() == found.pairs.rows()
    groups = swarmlight.coordinate(table).groups
    assert "decoy_q" in groups.to_pandas().columns


def test_a_run_is_measured_against_a_truth(run: swarmlight.Run, tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    labels = [
        {"account": row.account, "label": int(row.account.startswith("m")), "campaign": None} for row in run.scores
    ]
    truth.write_text("".join(json.dumps(row) + "\n" for row in labels))
    found = swarmlight.evaluate(run, truth)
    assert found.ranking["auroc"] == 0.5  # nothing was looked at
    assert (found.flags["machines"], found.flags["false_flags"]) == (4, 0)
    assert found.accounts.to_pandas()["label"].sum() == 4
    truth.write_text('{"account": "nobody", "label": 1}\n')
    with pytest.raises(swarmlight.SwarmlightError, match="none of the 1 accounts"):
        swarmlight.evaluate(run, truth)


def test_without_pandas_everything_but_data_frames_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(swarmlight.SwarmlightError, match=r"pip install pandas, or 'swarmlight\[train\]'"):
        frame([{"a": 1}], ["a"])


def test_importing_it_imports_nothing_that_the_core_install_lacks() -> None:
    lacking = ["pandas", "pyarrow", "sklearn", "rich", "fastapi", "matplotlib", "jinja2"]
    code = (
        f"import sys\nfor name in {lacking}: sys.modules[name] = None\n"
        "import swarmlight\nassert swarmlight.assess\n"
        "try: swarmlight.evaluate('x', 'y')\n"
        "except swarmlight.SwarmlightError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'swarmlight[train]'" in done.stdout


def test_every_name_is_documented_and_typed() -> None:
    assert len(swarmlight.__all__) >= 12
    undocumented = [name for name in swarmlight.__all__ if not inspect.getdoc(getattr(swarmlight, name))]
    assert undocumented == []
    assert (Path(swarmlight.__file__).parent / "py.typed").is_file()
    assert inspect.signature(swarmlight.assess).return_annotation == "Run"
