"""The study of societies: what counts as wrong, that it goes on where it was, and what its tables say."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from simulation.population_config import PopulationConfig
from training import null_societies as module
from training.null_societies import Searcher, SocietyFindings, Task, population, report, study, tasks, trial


def made(**changes: object) -> SocietyFindings:
    plain = SocietyFindings(
        kind="people", seed=0, accounts=300, days=2.0, sizes=[], found=[], seen=[], right=0, wrong=0, crowds=0,
        circles=0, wrong_sizes=[], seconds=1.0,
    )  # fmt: skip
    return msgspec.structs.replace(plain, **changes)


def test_a_part_of_a_study_is_a_smaller_one() -> None:
    small, large = tasks(2, 1, 7), tasks(3, 2, 7)
    assert {task.name for task in small} < {task.name for task in large}
    assert len({task.name for task in large}) == len(large)
    assert [task.kind for task in small[:4]] == ["people", "mixture", "people", "mixture"]


@pytest.mark.parametrize("size", [3, 200])
def test_a_campaign_of_the_table_has_its_members_and_people_around_it(size: int) -> None:
    drawn = population(Task("table", 0, size, 21.0), np.random.default_rng(0))
    assert [operator.size for operator in drawn.operators] == [(size, size)]
    assert drawn.accounts >= 5 * size
    assert drawn.days == 21.0


def test_a_group_is_right_by_its_members() -> None:
    campaign = np.array([0, 0, 0, 0, -1, -1, 1, 1])
    assert module._mostly(campaign[[0, 1, 4, 5]])
    assert not module._mostly(campaign[[0, 4, 5]])
    assert module._found([[0, 1, 4], [4, 5, 6]], campaign, [4, 2]) == [True, False]


def test_a_society_of_people_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    def small(task: Task, rng: np.random.Generator) -> PopulationConfig:
        return PopulationConfig(accounts=60, days=0.5, machines=0.0, burn_in_hours=0.0, step_minutes=60.0)

    monkeypatch.setattr(module, "population", small)
    found = trial(Task("people", 3), Searcher())
    assert (found.kind, found.seed, found.sizes, found.right) == ("people", 3, [], 0)
    assert 20 < found.accounts <= 60


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    wanted = [Task("people", 0), Task("mixture", 0)]
    for task in wanted:
        (tmp_path / f"{task.name}.json").write_bytes(msgspec.json.encode(made(kind=task.kind)))
    said: list[str] = []
    found = study(wanted, tmp_path, 1, 0.0, lambda words, share: said.append(words))
    assert [each.kind for each in found] == ["people", "mixture"]
    assert not said
    assert study([*wanted, Task("people", 1)], tmp_path, 1, 0.0, lambda words, share: None) == found


def test_the_tables_count_societies_and_name_the_bound(tmp_path: Path) -> None:
    trials = [made(seed=n, circles=n % 2, wrong_sizes=[3] * (n % 2)) for n in range(20)]
    trials += [
        made(kind="mixture", seed=n, sizes=[8], found=[n > 4], seen=[True], wrong=int(n == 0)) for n in range(20)
    ]
    trials += [made(kind="table", sizes=[50], days=7.0, found=[True], seen=[True])]
    said = report(trials)
    assert "| 20 of people | 0 | 0.139 |" in said
    assert "| 20 with campaigns | 1 | 0.216 | 15 of 20 | 20 of 20 |" in said
    assert "is not shown (0.113 at 95%" in said
    assert "| 50 | 1, 1 of 1 |" in said
    assert "10 of 3." in said


def test_no_time_is_no_study(tmp_path: Path) -> None:
    argv = ["--societies", "1", "--each", "0", "--minutes", "0", "--work", str(tmp_path)]
    assert module.main(argv) == 2
    assert module.main(["--processes", "0"]) == 2
