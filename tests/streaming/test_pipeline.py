"""`run_recording`: the run that the command line, training and the red team share."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from detector.errors import ModelError, UsageError
from detector.models import SHIPPED, load_models
from streaming.config import load_config
from streaming.pipeline import RunProgress, run_recording
from streaming.schema.score import read_scores
from tests.streaming.assess import societies
from tests.streaming.builders import event, write_lines

pytestmark = pytest.mark.usefixtures("texts_read_once")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    items: list[dict[str, Any] | bytes] = [*societies.campaign(0, people=30, hours=10, rounds=40), b"this is no event"]
    return write_lines(tmp_path_factory.mktemp("pipeline") / "in.jsonl", items)


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped models without the second stage, which takes most of a run's time and is not the matter here."""
    folder = tmp_path_factory.mktemp("light") / "models"
    shutil.copytree(SHIPPED, folder)
    (folder / "expert.json").unlink()
    return folder


def test_the_result_holds_what_the_files_hold(recording: Path, tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("alerts", "details", "scores", "summary", "dead_letters")}
    result = run_recording(
        [recording],
        config=load_config(None, {"SWARMLIGHT_MEANING_TEXTS_PER_S": "0"}),
        alerts=files["alerts"],
        details=files["details"],
        scores=files["scores"],
        summary=files["summary"],
        dead_letters=files["dead_letters"],
    )
    assert result.scores
    assert result.scores == list(read_scores(files["scores"].read_bytes().splitlines()))
    assert result.alerts
    assert [alert.body for alert in result.alerts] == files["alerts"].read_bytes().splitlines()
    assert json.loads(files["summary"].read_text()) == msgspec.to_builtins(result.summary)
    assert result.summary.dead == len(files["dead_letters"].read_text().splitlines()) == 1
    assert result.summary.accounts == len(result.scores)


def test_nothing_is_kept_unless_asked(recording: Path) -> None:
    unread = load_config(None, {"SWARMLIGHT_SECOND_STAGE_TEXTS_PER_S": "0", "SWARMLIGHT_MEANING_TEXTS_PER_S": "0"})
    result = run_recording([recording], config=unread, keep=False)
    assert (result.scores, result.alerts) == ([], [])
    assert result.summary.accounts > 0


def test_models_are_given_loaded_as_a_folder_or_in_the_configuration(
    recording: Path, light: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    shutil.copytree(light, folder)
    (folder / "graph.json").unlink()
    config = load_config(None, {"SWARMLIGHT_MODELS__DIR": str(folder)})
    by_config, by_folder = run_recording([recording], config=config), run_recording([recording], models=folder)
    loaded = run_recording([recording], models=load_models(folder))
    assert "graph" not in by_config.summary.models
    assert by_config.scores == by_folder.scores == loaded.scores
    short = write_lines(tmp_path / "short.jsonl", [event("ann"), event("bob")])
    assert run_recording([short]).summary.models["graph"]


def test_the_environment_of_the_process_changes_nothing(
    recording: Path, light: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run_recording([recording], models=light)
    monkeypatch.setenv("SWARMLIGHT_PRIOR", "0.5")
    assert run_recording([recording], models=light).scores == before.scores
    prior = load_config(None, {"SWARMLIGHT_PRIOR": "0.5"})
    assert run_recording([recording], models=light, config=prior).scores != before.scores


def test_parts_are_left_out(recording: Path) -> None:
    rows = run_recording([recording], without=["graph", "coordination"]).scores
    assert {row.abstained["graph"] for row in rows} == {"switched off"}
    assert {row.llr.coordination for row in rows} == {0.0}


def test_progress_is_told_after_every_chunk(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "in.jsonl", [event(str(i)) for i in range(4100)])
    told: list[RunProgress] = []
    result = run_recording([source], on_step=told.append)
    assert [each.events for each in told][-1] == result.summary.read == 4100
    assert [each.events for each in told] == sorted(each.events for each in told)
    assert all(each.share is not None and 0 < each.share <= 1 for each in told)
    assert len(told) >= 3


def test_errors_are_raised_here(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no input"):
        run_recording([])
    with pytest.raises(UsageError, match="luck"):
        run_recording([recording], without=["luck"])
    with pytest.raises(UsageError, match="another file"):
        run_recording([recording], scores=tmp_path / "x", alerts=tmp_path / "x")
    with pytest.raises(ModelError):
        run_recording([recording], models=tmp_path)
