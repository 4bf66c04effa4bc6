"""A small simulated population: its events are valid, its truth complete, its bytes a function of the seed."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.errors import ConfigError, UsageError
from simulation.output import Renderer
from simulation.population_config import PopulationConfig
from simulation.population_files import PRESETS, parse, preset
from simulation.world import Chunk, World
from streaming.cli import invoke, main
from streaming.schema.event import parse as parse_event

SMALL = """
accounts = 400
days = 0.5
burn_in_hours = 6.0
machines = 0.1
[[operators]]
name = "waves"
size = [5, 20]
[[operators]]
name = "drip"
size = [5, 20]
tactics = { cadence = "drip", wording = "verbatim", clique = 0.5 }
"""


@pytest.fixture(scope="module")
def population(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("society") / "society.toml"
    path.write_text(SMALL, encoding="utf-8")
    return path


def simulate(population: Path, folder: Path, *more: str) -> tuple[bytes, bytes]:
    events, truth = folder / "events.jsonl", folder / "truth.jsonl"
    assert main(["simulate", "--config", str(population), "--events", str(events), "--truth", str(truth), *more]) == 0
    return events.read_bytes(), truth.read_bytes()


def rows(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def test_every_event_is_a_valid_post_event_and_they_come_in_order_of_time(population: Path, tmp_path: Path) -> None:
    events, _ = simulate(population, tmp_path)
    parsed = [parse_event(line, now_ms=2**50) for line in events.splitlines()]
    assert len(parsed) > 500
    times = [event.at for event in parsed]
    assert times == sorted(times)
    assert len({event.id for event in parsed}) == len(parsed)
    assert {event.kind.name for event in parsed} == {"POST", "REPLY", "REPOST", "QUOTE", "LIKE", "FOLLOW"}


def test_reactions_are_to_earlier_events_of_others(population: Path, tmp_path: Path) -> None:
    events = rows(simulate(population, tmp_path)[0])
    at = {event["id"]: event["at"] for event in events}
    author = {event["id"]: event["account"] for event in events}
    known = [event for event in events if event.get("target") in at]
    assert len(known) > 100
    for event in known:
        assert at[event["target"]] < event["at"]
        assert author[event["target"]] == event["target_account"] != event["account"]


def test_equal_seeds_give_equal_bytes_and_others_do_not(population: Path, tmp_path: Path) -> None:
    first = simulate(population, tmp_path, "--seed", "3")
    assert simulate(population, tmp_path, "--seed", "3") == first
    assert simulate(population, tmp_path, "--seed", "4")[0] != first[0]


def test_compressed_output_is_the_same_bytes_too(population: Path, tmp_path: Path) -> None:
    plain, _ = simulate(population, tmp_path)
    packed = []
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        path = tmp_path / name
        assert (
            invoke(
                ["simulate", "--config", str(population), "--events", str(path), "--truth", str(tmp_path / "t.jsonl")]
            )
            == 0
        )
        packed.append(path.read_bytes())
    assert packed[0] == packed[1]
    assert gzip.decompress(packed[0]) == plain


def test_the_truth_names_every_account_once_and_is_consistent(population: Path, tmp_path: Path) -> None:
    events, truth = (rows(data) for data in simulate(population, tmp_path))
    names = [row["account"] for row in truth]
    assert len(set(names)) == len(names) == 400
    assert {event["account"] for event in events} <= set(names)
    for row in truth:
        assert {"account", "label", "campaign", "group", "slice"} <= set(row)
        assert (row["label"] == 1) == (row["campaign"] is not None)
        assert row["slice"] in {"waves", "drip"} if row["label"] else row["slice"] not in {"waves", "drip"}


def test_every_campaign_has_an_matched_control_of_its_size(population: Path, tmp_path: Path) -> None:
    truth = rows(simulate(population, tmp_path)[1])
    campaigns = {row["campaign"] for row in truth} - {None}
    assert campaigns
    for campaign in campaigns:
        controls = [row for row in truth if row["twin_of"] == campaign]
        assert len(controls) == sum(row["campaign"] == campaign for row in truth)
        assert all(row["label"] == 0 and row["slice"] == "twin" and row["group"] is None for row in controls)


def test_machines_are_as_many_as_asked_for() -> None:
    world = World(parse(SMALL, "here"), 0)
    assert 35 <= int(world.roles.label.sum()) <= 40


@pytest.mark.parametrize("name", PRESETS)
def test_presets_load_and_differ(name: str) -> None:
    population = preset(name)
    assert population.about
    assert population.easy == (name == "botnet-classic")
    assert (population.machines == 0) == (name == "null")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("acounts = 5", "did you mean accounts"),
        ("[activity]\nmean_per_dai = 5.0", "did you mean mean_per_day"),
        ("[[operators]]\nname = 'a'\ntactics = { cadense = 'drip' }", "did you mean cadence"),
        ("days = -1.0", "days"),
        ("machines = 0.1", "operators"),
        ("start = 'yesterday'", "start"),
        ("[feed]\nclose = 0.9\nanswer = 0.9", "sum to at most 1"),
        ("days = ", "not TOML"),
    ],
)
def test_a_population_that_cannot_be_used_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(text, "society.toml")


def test_an_unknown_preset_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean town"):
        preset("tow")


def test_steps_may_be_of_any_length_without_events_being_lost() -> None:
    """The number of events does not depend on the length of a step, but for chance."""
    counts = []
    for minutes in (10.0, 60.0):
        text = SMALL.replace("days = 0.5", f"days = 2.0\nstep_minutes = {minutes}")
        world = World(parse(text, "here"), 1)
        counts.append(len(Chunk.joined(list(world.chunks()))))
    assert abs(counts[0] - counts[1]) < 0.15 * counts[0]


def test_profiles_come_with_the_first_event_of_an_account_only() -> None:
    world = World(PopulationConfig(accounts=200, days=0.5, machines=0.0, burn_in_hours=6.0), 0)
    renderer = Renderer(world)
    seen: set[str] = set()
    for chunk in world.chunks():
        for event in rows(renderer.lines(chunk)):
            assert ("profile" in event) == (event["account"] not in seen)
            seen.add(event["account"])
    assert len(seen) > 50
    assert np.all(world.graph.followers >= 0)


def test_a_population_may_be_moved_to_now(population: Path, tmp_path: Path) -> None:
    before = time.time() * 1000
    events, _ = simulate(population, tmp_path, "--start", "now")
    times = [parse_event(line, now_ms=2**50).at for line in events.splitlines()]
    assert before - 0.5 * 86_400_000 - 120_000 <= min(times)
    assert max(times) <= time.time() * 1000
    assert max(times) > before - 3_600_000


def test_a_population_may_be_moved_to_any_time_and_to_no_other_word(
    population: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events, _ = simulate(population, tmp_path, "--start", "2026-03-04T00:00:00Z")
    assert 0 <= rows(events)[0]["at"] - 1_772_582_400_000 < 3_600_000
    assert main(["simulate", "--config", str(population), "--events", str(tmp_path / "no"), "--start", "soon"]) == 2
    assert "--start" in capsys.readouterr().err
