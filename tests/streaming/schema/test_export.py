"""The committed JSON Schemas are those of the Structs, and what the program writes is what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from detector.errors import UsageError
from detector.reasons import Reason
from streaming.cli import main
from streaming.config import load_config
from streaming.pipeline import run_recording
from streaming.schema.export import RECORDS, WRITTEN, rendered, schema
from tests.moderation.builders import alert
from tests.streaming.assess import harness, societies
from tests.streaming.assess.fakes import ScriptedGroups
from tests.streaming.builders import T0, batch, end, event, write_lines

COMMITTED = Path(__file__).resolve().parents[3] / "docs" / "reference" / "schema"


def problems(name: str, record: Any) -> list[str]:
    """What is wrong with a record, in the words of its schema."""
    return [error.message for error in Draft202012Validator(schema(name)).iter_errors(record)]


def test_the_committed_files_are_what_the_structs_export() -> None:
    assert {path.stem: path.read_text(encoding="utf-8") for path in COMMITTED.glob("*.json")} == {
        name: rendered(name) for name in RECORDS
    }


@pytest.mark.parametrize("name", RECORDS)
def test_every_schema_is_a_schema(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))


def test_the_command_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--output", str(tmp_path / "out")]) == 0
    assert {path.stem for path in (tmp_path / "out").iterdir()} == set(RECORDS)
    assert main(["schema", "score"]) == 0
    assert json.loads(capsys.readouterr().out) == schema("score")
    with pytest.raises(UsageError, match="choose from action"):
        schema("nothing")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """All that a run writes, by record."""
    folder = tmp_path_factory.mktemp("run")
    lines: list[dict[str, Any] | bytes] = [*societies.campaign(0, people=10, hours=2, rounds=6), b"this is no event"]
    recording = write_lines(folder / "in.jsonl", lines)
    files = {
        name: folder / f"{name}.jsonl" for name in WRITTEN - {"action", "comparison", "lab-run"}
    }  # which others write
    run_recording(
        [recording],
        config=load_config(None, {"SWARMLIGHT_BLIND_SAMPLE_PER_DAY": "1000"}),
        alerts=files["alert"],
        details=files["alert-details"],
        scores=files["score"],
        summary=files["summary"],
        dead_letters=files["dead-letter"],
        blind_sample=files["blind-sample"],
    )
    return {name: [json.loads(line) for line in path.read_bytes().splitlines()] for name, path in files.items()}


@pytest.mark.parametrize("name", ["blind-sample", "dead-letter", "score", "summary"])
def test_what_a_run_writes_is_what_the_schema_says(written: dict[str, list[Any]], name: str) -> None:
    assert written[name]
    for record in written[name]:
        assert problems(name, record) == []


def test_alerts_of_accounts_and_groups_and_their_pages_are_what_the_schema_says() -> None:
    observed = harness.score(societies.campaign(0, people=10))
    script = [(T0 + 2 * 3_600_000, {"g": [f"m{i}" for i in range(6)]}, dict[str, str]())]
    played = harness.play([batch(observed), end(len(observed))], groups=ScriptedGroups(script))
    alerts = [json.loads(each.body) for output in played.outputs for each in output.alerts]
    pages = [json.loads(body) for output in played.outputs for _, body in output.details if body is not None]
    scores = [json.loads(body) for output in played.outputs for _, body in output.accounts if body is not None]
    assert {each["kind"] for each in alerts} == {"account", "campaign"}
    assert pages
    assert scores
    for record in alerts:
        assert problems("alert", record) == []
        assert record["reasons"]
    for record in pages:
        assert problems("alert-details", record) == []
    for record in scores:
        assert problems("score", record) == []


def test_events_are_told_from_what_is_none() -> None:
    good = event("1")
    assert problems("event", good) == []
    assert problems("event", good | {"lang": None, "mentions": None, "unknown": 1}) == []
    for change in ({"id": ""}, {"kind": "poke"}, {"account": None}, {"v": 2}):
        assert problems("event", good | change), change


def test_a_record_that_lacks_a_field_is_none_that_this_program_wrote() -> None:
    whole = msgspec.to_builtins(alert())
    assert problems("alert", whole) == []
    for name in ("reasons", "limitations", "merged_into"):
        assert problems("alert", {key: value for key, value in whole.items() if key != name})
    assert problems("alert", whole | {"v": 1})
    assert problems("alert", whole | {"reasons": [{"code": 1}]})
    assert msgspec.to_builtins(Reason("x")).keys() == {
        "code", "component", "nats", "observed", "expected", "posts", "objects"
    }  # fmt: skip
