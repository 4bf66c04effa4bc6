"""Posters that learn: what is measured of an episode, seeds, and a run that is broken off and goes on."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from detector.errors import ConfigError
from simulation.lab import polarity_training
from simulation.lab.polarity_report import PUBLISHED, drawing, estimate, markdown, write_rows
from simulation.lab.polarity_training import EpisodeRow, Trained, Training, measured, read_done, train, train_all
from streaming.cli import main

TINY = Training(seed=3, episodes=2, steps=64)


def row(seed: int, episode: int, polarity: float, one_sign: float = 1.0) -> EpisodeRow:
    values = {"steps_polarity": polarity, "steps_variance": 0.5, "posts_polarity": polarity, "posts_variance": 0.5}
    return EpisodeRow(seed=seed, episode=episode, posts=10, one_sign=one_sign, reward=100.0, policy_std=1.0, **values)


def test_measures_of_posts_count_a_step_once_for_each_post_that_it_brought_about() -> None:
    found = measured(
        np.array([1.0, -0.5, 0.5, 0.0]), np.array([3, 1, 0, 0]), seed=1, episode=2, reward=5.0, policy_std=0.9
    )
    assert found.posts == 4
    assert found.steps_polarity == pytest.approx(0.5)
    assert found.steps_variance == pytest.approx(np.var([1.0, -0.5, 0.5, 0.0]))
    assert found.posts_polarity == pytest.approx(3.5 / 4)
    assert found.posts_variance == pytest.approx(np.var([1.0, 1.0, 1.0, -0.5]))
    assert found.one_sign == 0.75


def test_an_episode_without_posts_has_no_measures_of_them() -> None:
    found = measured(np.array([0.5]), np.array([0]), seed=1, episode=1, reward=0.0, policy_std=1.0)
    assert found.posts == 0
    assert np.isnan([found.posts_polarity, found.posts_variance, found.one_sign]).all()
    assert estimate([float("nan"), 0.5]).mean == 0.5


def test_equal_seeds_give_equal_rows_and_the_policy_begins_as_a_normal_distribution_that_is_cut_off() -> None:
    options = Training(seed=3, episodes=1, steps=256)
    first = train(options).rows
    assert first == train(options).rows
    # Of a standard normal variable cut to [-1, 1]: E|x| = 2 (phi(0) - phi(1)) + P(|x| > 1), E x^2 likewise.
    assert first[0].steps_polarity == pytest.approx(0.631, abs=0.1)
    assert first[0].steps_variance == pytest.approx(0.516, abs=0.1)


def test_a_run_goes_on_with_what_is_left_and_a_line_cut_off_in_writing_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "posters.jsonl"
    done = Trained(options=TINY, rows=[row(3, 1, 0.25)], cpu_s=1.0)
    path.write_bytes(msgspec.json.encode(done) + b"\n" + b'{"options":{"see')
    other = msgspec.structs.replace(TINY, seed=4)
    found = list(train_all([other, TINY], path, 1))
    assert found[0] == done
    assert found[1].options == other
    assert read_done(path) == {TINY: found[0], other: found[1]}
    monkeypatch.setattr(polarity_training, "ProcessPoolExecutor", None)  # nothing is left to train
    assert {one.options.seed for one in train_all([TINY, other], path, 1)} == {3, 4}


def test_other_options_are_other_posters() -> None:
    assert len({TINY, msgspec.structs.replace(TINY, posts_enter="each"), msgspec.structs.replace(TINY, steps=65)}) == 3


def test_a_file_of_something_else_is_refused_with_the_line_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "posters.jsonl"
    path.write_text("hello\n")
    with pytest.raises(ConfigError, match=r"posters.jsonl, line 1: not a result"):
        list(train_all([TINY], path, 1))
    assert path.read_text() == "hello\n"


def test_the_table_has_means_intervals_and_the_published_figures_beside_them() -> None:
    rows = [row(0, 1, 0.60), row(1, 1, 0.70, one_sign=0.5), row(0, 4, 0.9), row(0, 19, 1.0), row(1, 19, 1.0)]
    lines = markdown(rows).splitlines()
    half = 12.706 * 0.05  # Student's quantile with one degree of freedom times the standard error
    assert lines[2] == (
        f"| 1 | 0.65 ({0.65 - half:.2f} to {0.65 + half:.2f}) | 0.64 | 0.50 (0.50 to 0.50) | 0.53 | 100 | 1 of 2 |"
    )
    assert lines[3].startswith("| 19 | 1.00 (1.00 to 1.00) | 1.00 | ")
    assert len(lines) == 4


def test_the_drawing_has_every_seed_and_the_published_marks(tmp_path: Path) -> None:
    rows = [row(seed, episode, 0.5) for seed in (0, 1) for episode in (1, 2)]
    text = drawing(rows)
    assert {f'id="posts_polarity-seed-{seed}"' in text for seed in (0, 1)} == {True}
    assert 'id="posts_variance-published"' in text
    assert text == drawing(rows)
    write_rows(rows, tmp_path / "rows.csv")
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 5
    assert [each.episode for each in PUBLISHED] == [1, 9, 19]


def test_the_command_prints_the_table_and_writes_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "lab")
    small = ["--seeds", "1", "--episodes", "1", "--steps", "128"]
    assert main(["lab", "platform", "--out", out, *small]) == 0
    printed = capsys.readouterr()
    assert printed.out == (tmp_path / "lab" / "table.md").read_text()
    assert "poster 0: 1 of 1" in printed.err
    assert {path.name for path in (tmp_path / "lab").iterdir()} == {
        "posters.jsonl", "episodes.csv", "table.md", "polarity.svg",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--observation", "blurred"], "raw, log"),
        (["--start", "0,0,0,0"], "log"),
        (["--start", "1,a"], "such as 1,0,1,1"),
    ],
)
def test_unusable_options_are_refused_before_anything_is_written(
    option: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lab", "platform", "--out", str(tmp_path / "lab"), *option]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "lab").exists()
