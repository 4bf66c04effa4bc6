"""Posters that learn: what is measured of an episode, seeds, and a run that is broken off and goes on."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from detector.errors import ConfigError
from simulation.lab import finished
from simulation.lab.finished import read_done
from simulation.lab.polarity_reference import train
from simulation.lab.polarity_report import PUBLISHED, drawing, estimate, markdown, variants_table, write_rows
from simulation.lab.polarity_training import EpisodeRow, Trained, Training, measured, train_all, train_group, variants
from simulation.lab.ppo import Ppo
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
    options = [Training(seed=seed, episodes=1, steps=600) for seed in range(4)]
    rows = [one.rows[0] for one in train_group(options)]
    assert rows == [one.rows[0] for one in train_group(options)]
    # Of a standard normal variable cut to [-1, 1]: E|x| = 2 (phi(0) - phi(1)) + P(|x| > 1), E x^2 likewise.
    assert np.mean([row.steps_polarity for row in rows]) == pytest.approx(0.631, abs=0.04)
    assert np.mean([row.steps_variance for row in rows]) == pytest.approx(0.516, abs=0.04)
    # d posts / d steps = log(F + L) / posts, with some 150 followers and likes at the end.
    assert np.mean([row.posts for row in rows]) == pytest.approx((2 * 600 * np.log(100)) ** 0.5, rel=0.1)


def test_a_poster_of_stable_baselines3_is_alike() -> None:
    options = Training(seed=3, episodes=1, steps=256, learner="stable-baselines3", ppo=Ppo(epochs=1))
    (first,) = train(options).rows
    (other,) = train_group([options])[0].rows
    assert first.steps_polarity == pytest.approx(other.steps_polarity, abs=0.1)
    assert first.posts == pytest.approx(other.posts, rel=0.4)


def test_each_variant_differs_from_the_others_and_shows_in_what_is_posted() -> None:
    named = variants(TINY)
    assert len(set(named.values())) == len(named)
    squashed = train_group([named["tanh in place of cutting off"]])[0].rows[0]
    assert squashed.steps_polarity < train_group([TINY])[0].rows[0].steps_polarity
    apart = train_group([named["new posts are not added"]])[0].rows[0]
    assert apart.reward > 10 * train_group([named["start with 100 posts"]])[0].rows[0].reward


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
    assert read_done(path, Trained) == {TINY: found[0], other: found[1]}
    monkeypatch.setattr(finished, "ProcessPoolExecutor", None)  # nothing is left to train
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
    assert "1 of 1 posters" in printed.err
    assert {path.name for path in (tmp_path / "lab").iterdir()} == {
        "posters.jsonl", "episodes.csv", "table.md", "polarity.svg",
    }  # fmt: skip


def test_the_command_varies_what_the_experiment_leaves_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "variants")
    assert main(["lab", "platform", "--vary", "--out", out, "--seeds", "1", "--episodes", "1", "--steps", "32"]) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "variants" / "variants.md").read_text()
    assert "| logarithms are observed | 1 | 0." in printed
    assert "| published | 1 | 0.64 | 0.53 | |" in printed


def test_variants_are_compared_after_the_first_and_the_ninth_episode() -> None:
    rows = {"as it is": [row(0, episode, episode / 10) for episode in range(1, 11)]}
    lines = variants_table(rows).splitlines()[2:]
    assert [[cell.strip() for cell in line.split("|")[1:4]] for line in lines] == [
        ["as it is", "1", "0.10"],
        ["", "9", "0.90"],
        ["published", "1", "0.64"],
        ["", "9", "0.97"],
    ]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--observation", "blurred"], "raw, log"),
        (["--learner", "rote"], "group, stable-baselines3"),
        (["--vary", "--learner", "stable-baselines3"], "leave --learner out"),
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
