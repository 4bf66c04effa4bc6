"""A few accounts that nothing flagged are published each day, the same whoever computes them."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from streaming.assess import AssessSettings
from streaming.config import load_config
from streaming.pipeline import run_recording
from streaming.schema.sample import read_sample
from tests.streaming.assess import harness, societies
from tests.streaming.assess.fakes import models as fake_models
from tests.streaming.builders import batch, end, event, write_lines

DAY_MS = 86_400_000
EVERYBODY = 1000.0


def settings(per_day: float) -> AssessSettings:
    return replace(harness.SETTINGS, blind_sample_per_day=per_day)


def people(count: int, *, days: int = 2) -> list[dict[str, object]]:
    return [
        each
        for day in range(days)
        for number in range(count)
        for each in harness.posts(f"p{number}", 3, "the old man went home", start=day * DAY_MS + number)
    ]


def drawn(played: harness.Played) -> list[tuple[str, str]]:
    found = [read_sample(each.body) for output in played.outputs for each in output.samples if each.body is not None]
    return [(each.day, each.account) for each in found]


def test_all_of_a_day_where_so_many_are_asked_for_and_none_where_none_are() -> None:
    observed = harness.score(sorted(people(5), key=lambda each: each["at"]))
    played = harness.play([batch(observed), end(len(observed))], settings(EVERYBODY))
    assert len(drawn(played)) == 10
    assert len({day for day, _ in drawn(played)}) == 2
    assert drawn(harness.play([batch(observed), end(len(observed))], settings(0))) == []


def test_a_record_has_what_was_written_and_with_which_probability_it_was_drawn() -> None:
    observed = harness.score(harness.posts("ada", 3, "the old man went home"))
    played = harness.play([batch(observed), end(len(observed))], settings(EVERYBODY))
    (found,) = [read_sample(each.body) for output in played.outputs for each in output.samples if each.body is not None]
    assert (found.account, found.sampled_with, found.population) == ("ada", 1.0, 1)
    assert "the old man went home" in [each.text for each in found.posts]
    assert len(found.moments) == 3


def test_flagged_accounts_and_those_without_text_are_none_of_it() -> None:
    observed = harness.score(societies.campaign(0, people=10))
    played = harness.play([batch(observed), end(len(observed))], settings(EVERYBODY))
    scores = played.scores()
    names = {name for _, name in drawn(played)}
    assert names
    assert not any(scores[name].flagged or scores[name].campaign or not scores[name].posts for name in names)


def test_the_draw_is_the_same_however_the_log_is_cut_and_after_a_snapshot() -> None:
    observed = harness.score(sorted(people(40), key=lambda each: each["at"]))
    whole = drawn(harness.play([batch(observed), end(len(observed))], settings(8)))
    assert 4 <= len(whole) <= 32
    (cut,) = harness.logs(observed, 1, random.Random(3))
    assert drawn(harness.play(cut, settings(8), snapshots=range(0, len(cut), 7))) == whole
    other = drawn(harness.play([batch(observed), end(len(observed))], replace(settings(8), seed=7)))
    assert other != whole


def test_who_is_deleted_is_forgotten_in_the_sample_too() -> None:
    lines = [
        *harness.posts("ada", 3),
        event("ada", at=2 * DAY_MS, id="d", kind="delete_account"),
        event("bob", at=3 * DAY_MS),
    ]
    observed = harness.score(lines)
    played = harness.play([batch(observed), end(len(observed))], settings(EVERYBODY))
    said = [each for output in played.outputs for each in output.samples]
    assert said[-1].account == "ada"
    assert said[-1].body is None


@pytest.mark.parametrize("per_day", ["0", "1000"])
def test_a_run_writes_it_to_a_file(tmp_path: Path, per_day: str) -> None:
    recording = write_lines(tmp_path / "in.jsonl", people(4, days=1))
    run_recording(
        [recording],
        config=load_config(None, {"SWARMLIGHT_BLIND_SAMPLE_PER_DAY": per_day}),
        models=fake_models(),
        blind_sample=tmp_path / "sample.jsonl",
        keep=False,
    )
    lines = (tmp_path / "sample.jsonl").read_bytes().splitlines()
    assert bool(lines) == (per_day != "0")
    assert all(json.loads(line)["v"] == 1 for line in lines)
