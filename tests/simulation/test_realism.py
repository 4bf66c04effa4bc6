"""Real streams of every form are read, facts are what they are said to be, and what misses is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from detector.errors import UnusableError, UsageError
from simulation import world as kinds
from simulation.population_config import PopulationConfig
from simulation.realism import Acts, BootstrapEstimate, Fact, Line, compare, estimate, hill, like, mean, measure, read
from streaming.cli import invoke

MINUTE = 60_000


def acts(rows: list[tuple[int, int, int, int, int, int]]) -> Acts:
    table = np.array(rows, np.int64).T
    return Acts(table[0], table[1], table[2].astype(np.int8), table[3], table[4], table[5])


def facts(found: Acts) -> dict[str, Fact]:
    return {fact.name: fact for fact in measure(found, np.random.default_rng(0))}


def test_events_and_tables_are_read_alike(tmp_path: Path) -> None:
    events = tmp_path / "s.jsonl"
    rows = [{"id": "2", "account": "b", "at": 9000, "kind": "repost", "target": "x", "target_account": "z"},
            {"id": "1", "account": "a", "at": 5000, "kind": "post", "text": "see https://a.test/1"},
            {"id": "3", "account": "b", "at": 9500, "kind": "delete", "target": "2"}]  # fmt: skip
    events.write_text("\n".join([*map(json.dumps, rows), "no json"]), encoding="utf-8")
    found = read(events)
    assert found.at.tolist() == [5000, 9000]
    assert found.kind.tolist() == [kinds.POST, kinds.REPOST]
    assert (found.link >= 0).tolist() == [True, False]
    table = tmp_path / "s.csv"
    table.write_text("account_id,object_id,timestamp_share\na,x,9\nb,x,5\n", encoding="utf-8")
    shared = read(table)
    assert shared.at.tolist() == [5000, 9000]
    assert shared.link[0] == shared.link[1] >= 0
    assert shared.kinds() == [kinds.REPOST]


@pytest.mark.parametrize(("name", "content"), [("a.jsonl", ""), ("a.csv", "x,y\n1,2\n"), ("a.parquet", "PAR1")])
def test_what_is_no_stream_is_refused(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=name):
        read(path)


def regular(accounts: int = 12, n: int = 20, gap: int = 10 * MINUTE) -> Acts:
    """Accounts that act like clocks, in two sessions three hours apart, each on an object of its own."""
    rows = []
    for account in range(accounts):
        for i in range(n):
            at = i * gap + (180 * MINUTE if i >= n // 2 else 0)
            rows.append((account, at, kinds.POST, -1, -1, account))
    return acts(sorted(rows, key=lambda row: row[1]))


def test_clocks_are_regular_sit_twice_and_repeat_themselves() -> None:
    found = facts(regular())
    assert found["acts per account"].values.tolist() == [20.0] * 12
    assert found["acts per session"].values.tolist() == [10.0] * 12
    assert np.median(found["median gap inside a session, s"].values) == 600
    assert mean(found["repeated uses per use"].values) == 1
    assert mean(found["share of objects with one account"].values) == 1
    assert mean(found["burstiness of an account's gaps"].values) == pytest.approx(0.26, abs=0.15)


def test_a_poisson_process_has_no_burstiness() -> None:
    rng = np.random.default_rng(0)
    rows = [(a, int(t), 0, -1, -1, -1) for a in range(40) for t in np.cumsum(rng.exponential(MINUTE, 200))]
    found = facts(acts(sorted(rows, key=lambda row: row[1])))
    assert abs(mean(found["burstiness of an account's gaps"].values)) < 0.03


@pytest.mark.parametrize("exponent", [1.2, 2.5])
def test_the_tail_exponent_is_that_of_a_pareto(exponent: float) -> None:
    rng = np.random.default_rng(0)
    assert hill((1 - rng.random(50_000)) ** (-1 / exponent)) == pytest.approx(exponent, rel=0.05)


def test_swapping_accounts_inside_blocks_breaks_up_those_who_meet_on_purpose() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for thing in range(60):  # five accounts share everything; forty share at random
        rows += [(a, thing * 10 * MINUTE + a, kinds.REPOST, thing, -1, thing) for a in range(5)]
    for account in range(5, 45):
        times = rng.integers(0, 600, 12)
        rows += [(account, int(t) * MINUTE, kinds.REPOST, int(t // 10), -1, int(t // 10)) for t in times]
    found = facts(acts(sorted(rows, key=lambda row: row[1])))
    real = found["pairs per account sharing two objects"].values
    swapped = found["the same, accounts swapped in blocks"].values
    assert real[:5].min() >= 4
    assert real.mean() > 0
    assert mean(found["share of co-shares within a minute"].values) > 0.5
    assert len(swapped) == len(real)


def test_the_bootstrap_covers_and_a_fact_that_is_off_misses() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(60):
        found = estimate(Fact("x", rng.exponential(1.0, 300), mean), rng)
        covered += found.low <= 1.0 <= found.high
    assert covered >= 50
    near = BootstrapEstimate(1.0, 0.95, 1.05)
    assert Line("x", near, BootstrapEstimate(1.03, 0.99, 1.08)).judgement == "fits"
    assert Line("x", near, BootstrapEstimate(1.2, 1.15, 1.24)).judgement == "near"
    assert Line("x", near, BootstrapEstimate(2.0, 1.9, 2.1)).judgement == "misses"


def test_a_population_fits_itself_and_not_clocks() -> None:
    rng = np.random.default_rng(0)
    one, other = (facts_of(seed) for seed in (1, 2))
    lines = compare(one, other, rng)
    assert len(lines) > 12
    assert sum(line.judgement == "misses" for line in lines) <= 2
    clocks = compare(regular(30, 40), other, rng)
    assert sum(line.judgement == "misses" for line in clocks) >= 4


def facts_of(seed: int) -> Acts:
    from simulation.realism import of_chunk
    from simulation.world import Chunk, World

    world = World(PopulationConfig(accounts=800, days=2.0, machines=0.0, burn_in_hours=6.0), seed)
    return of_chunk(Chunk.joined(list(world.chunks())))


def test_the_simulated_sample_is_of_the_same_make() -> None:
    simulated = facts_of(1)
    texts = regular(30)
    cut = like(simulated, texts, np.random.default_rng(0))
    assert cut.kinds() == [kinds.POST]
    assert len(np.unique(cut.account)) <= 30
    assert cut.days <= texts.days + 0.01


def test_the_command_prints_and_rewrites_its_part_of_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real = tmp_path / "real.jsonl"
    rng = np.random.default_rng(0)
    lines = [
        {
            "id": f"{a}-{i}",
            "account": f"a{a}",
            "at": 1_760_000_000_000 + int(t),
            "kind": "post",
            "urls": [f"https://a.test/{rng.integers(50)}"],
        }
        for a in range(60)
        for i, t in enumerate(np.sort(rng.integers(0, 86_400_000, 15)))
    ]
    real.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text("# Before\n", encoding="utf-8")
    arguments = ["--preset", "null", "--accounts", "400", "--report", str(real), "--report-out", str(page)]
    for form in ("events", "auto"):
        assert invoke(["simulate", *arguments, "--format", form]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.count("<!-- realism real.jsonl -->") == 1
    assert text.count("<!-- realism real.jsonl.jsonl -->") == 1  # the same, recognised and converted
    assert text.startswith("# Before")
    assert "| acts per account |" in text
    assert "facts miss" in capsys.readouterr().out.replace("\n", " ")


def test_a_stream_of_which_most_is_no_event_is_refused_and_not_half_read(tmp_path: Path) -> None:
    real = tmp_path / "real.jsonl"
    real.write_text('{"id": "1", "account": "a", "at": 5, "kind": "post"}\n' + '{"did": "x"}\n' * 2)
    with pytest.raises(UnusableError, match="2 of 3 lines are no post events; name its --format"):
        read(real)
