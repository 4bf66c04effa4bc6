"""Prices on reach, posters who learn under them, a moderator that learns to set them, and its trial."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.lab.moderator import Moderators, Schooling, moderated, pay, schooled
from simulation.lab.moderator_report import frontier_drawing, frontier_table
from simulation.lab.moderator_trial import FinishedTrial, ModeratorTrial, PricingRow, PricingRule, schoolings, tried
from simulation.lab.poster_societies import (
    EPISODE_WINDOWS,
    GradientPosters,
    Posters,
    PpoPosters,
    Report,
    Societies,
    drawn,
)
from simulation.lab.reach_prices import BANDS, CELLS, Limits, no_price, reach, tariff, tax
from simulation.sampling import Floats
from streaming.cli import main


class Still:
    """Posters who always post at the same polarity."""

    def __init__(self, polarity: float) -> None:
        self._polarity = polarity
        self.ends: list[bool] = []

    def act(self, counts: Floats, together: int) -> Floats:
        return np.full((together, *counts.shape[1:]), self._polarity)

    def won(self, rewards: Floats, counts: Floats, end: bool) -> None:
        self.ends.append(end)

    def learn(self) -> None:
        pass


def few(societies: int, posters: int = 4, rate: float = 0.5) -> Posters:
    one = np.ones((societies, posters))
    return Posters(rate * one, 0 * one, 100 * one)


@given(st.floats(0, 1), st.lists(st.floats(0, 10), min_size=BANDS, max_size=BANDS), st.floats(0, 1))
def test_no_price_gives_a_post_more_than_the_hottest_has_and_none_takes_a_civil_post_below_nothing(
    polarity: float, bands: list[float], worth: float
) -> None:
    price = tariff(np.array([bands]))
    won = reach(np.array([[polarity]]), price, worth)[0, 0]
    assert 0 <= won <= 1
    assert won <= reach(np.array([[polarity]]), price)[0, 0] <= 10 * polarity
    assert reach(np.array([[polarity]]), no_price()[None])[0, 0] == polarity


def test_prices_are_those_of_their_band_and_a_bonus_is_worth_what_it_is_said_to_be() -> None:
    price = tariff(np.array([[4.0, 1.0, 1.0, 1.0, 0.0]]))
    polarity = np.array([[0.1, 0.19, 0.21, 0.79, 0.81, 1.0]])
    assert reach(polarity, price)[0] == pytest.approx([0.4, 0.76, 0.21, 0.79, 0.0, 0.0])
    assert reach(polarity, price, worth=0.5)[0] == pytest.approx([0.25, 0.475, 0.21, 0.79, 0.0, 0.0])
    assert tax(0.5)[[0, CELLS - 1]] == pytest.approx([1 - 0.5 * 0.025, 1 - 0.5 * 0.975])
    assert tax(2.0).min() == 0.0


def test_posters_held_out_differ_in_each_respect_from_all_that_a_moderator_learned_with() -> None:
    rng = np.random.default_rng(0)
    training, held_out = drawn(rng, 50, 8, "training"), drawn(rng, 50, 8, "held-out")
    slow, fast = training.rate.min(), training.rate.max()
    assert not ((held_out.rate >= slow) & (held_out.rate <= fast)).any()
    assert {(held_out.rate < slow).any(), (held_out.rate > fast).any()} == {True}
    assert np.abs(held_out.polarity).min() >= 0.5 >= np.abs(training.polarity).max()
    assert held_out.followers.min() >= 1000 >= training.followers.max()


@pytest.mark.parametrize("polarity", [0.1, 1.0])
def test_a_window_wins_what_prices_let_through(polarity: float) -> None:
    learner = Still(polarity)
    societies = Societies(few(2), learner, np.random.default_rng(1))
    price = tariff(np.array([[3.0, 1, 1, 1, 0.5], [1.0, 1, 1, 1, 1]]))
    report = societies.window(price)
    assert report.polarity == pytest.approx(polarity)
    assert report.seen == pytest.approx(polarity)
    assert report.bands[0].tolist() == ([1, 0, 0, 0, 0] if polarity == 0.1 else [0, 0, 0, 0, 1])
    won = report.engagement / report.possible
    assert won == pytest.approx(reach(np.full((2, 1), polarity), price)[:, 0], rel=0.2)
    assert learner.ends.count(True) == 0
    for _ in range(EPISODE_WINDOWS - 1):
        societies.window(price)
    assert learner.ends.count(True) == 1
    assert learner.ends[-1]


def test_reading_accounts_now_and_then_changes_little() -> None:
    reports = [
        Societies(few(1, 40), Still(1.0), np.random.default_rng(1), hold, together).window(no_price()[None])
        for hold, together in ((1, 1), (40, 10))
    ]
    assert reports[1].possible == pytest.approx(reports[0].possible, rel=0.05)
    assert reports[1].engagement == pytest.approx(reports[0].engagement, rel=0.05)


@pytest.mark.parametrize(("bands", "low", "high"), [([1.0] * 5, 0.7, 1.0), ([10.0, 5.0, 1.0, 0.0, 0.0], 0.0, 0.5)])
def test_gradient_posters_become_extreme_where_nobody_moderates_and_civil_where_that_pays(
    bands: list[float], low: float, high: float
) -> None:
    rng = np.random.default_rng(2)
    posters = few(1, 8, rate=3.0)
    societies = Societies(posters, GradientPosters(posters, rng, 40), rng, 40, 10)
    reports = [societies.window(tariff(np.array([bands]))) for _ in range(60)]
    assert low <= reports[-1].polarity[0] <= high
    assert reports[0].polarity[0] == pytest.approx(0.63, abs=0.06)


def test_ppo_posters_act_learn_and_repeat_themselves() -> None:
    def reports() -> list[Report]:
        rng = np.random.default_rng(3)
        posters = few(1, 2)
        societies = Societies(posters, PpoPosters(posters, rng), rng)
        return [societies.window(no_price()[None]) for _ in range(2)]

    first, second = reports(), reports()
    assert first[0].polarity[0] == pytest.approx(0.63, abs=0.05)
    assert all(np.array_equal(*pair) for one in zip(first, second, strict=True) for pair in zip(*one, strict=True))


def test_a_moderator_is_paid_for_civility_less_weighed_loss() -> None:
    one = np.ones(1)
    report = Report(0.25 * one, one, np.ones((1, BANDS)), 60 * one, 100 * one)
    assert pay(report, 2.0)[0] == pytest.approx(0.75 - 2 * 0.4)


def test_a_moderator_sets_prices_from_what_it_sees_within_its_limits() -> None:
    weights = np.zeros((2, BANDS, 4))
    weights[0, 0, 1] = 2.0  # the more polar posts are, the larger the bonus of the lowest band
    weights[1, :, 0] = 50.0
    moderators = Moderators(weights, Limits(most_bonus=8.0))
    last = Report(np.array([1.0, 1.0]), np.ones(2), np.ones((2, BANDS)), np.ones(2), np.ones(2))
    assert moderators.prices(None, 0)[0] == pytest.approx([4.0] * BANDS)
    prices = moderators.prices(last, 1)
    assert prices[0] == pytest.approx([8 / (1 + math.exp(-2)), 4, 4, 4, 4])
    assert prices[1] == pytest.approx([8.0] * BANDS)


def test_training_pays_and_repeats_itself() -> None:
    options = Schooling(seed=1, weight=0.5, candidates=16, rounds=4, windows=30)
    trained = schooled(options)
    assert np.array_equal(trained, schooled(options))
    posters = drawn(np.random.default_rng(9), 1, 8, "held-out").repeated(2)
    rng = np.random.default_rng(4)
    moderators = Moderators(np.stack([trained, np.zeros_like(trained)]), options.limits, options.windows)
    reports = moderated(Societies(posters, GradientPosters(posters, rng, 40), rng, 40, 10), moderators)
    better, untrained = np.mean([pay(each, options.weight) for each in reports], axis=0)
    assert better > untrained + 0.05
    fixed = schooled(Schooling(seed=1, weight=0.5, fixed=True, candidates=5, rounds=1, windows=5))
    assert not fixed[:, 1:].any()


def test_losses_on_trial_are_against_the_same_posters_without_a_moderator() -> None:
    ways = PricingRule(name="no moderator"), PricingRule(name="tax", level=1.0)
    trial = ModeratorTrial(population=0, learner="gradient", posters=3, ways=ways, windows=1)
    (outcome,) = tried([trial])
    assert outcome.options == trial
    first, taxed = outcome.rows
    assert (first.lost, first.late_lost) == (0.0, 0.0)
    assert taxed.lost == pytest.approx(1 - taxed.engagement / first.engagement)
    assert taxed.lost > 0.5
    assert tried([trial])[0].rows == outcome.rows


def test_the_table_and_the_drawing_have_each_way_with_its_interval() -> None:
    def row(name: str, lost: float, polarity: float) -> PricingRow:
        values = {"polarity": 0.5, "seen": 0.5, "late_seen": 0.5, "engagement": 9.0, "lost": lost}
        return PricingRow(name=name, level=1.0, late_polarity=polarity, late_lost=lost, **values)

    ways = PricingRule(name="no moderator"), PricingRule(name="moderator", level=1.0)
    outcomes = [
        FinishedTrial(
            options=ModeratorTrial(population=number, learner="gradient", posters=2, ways=ways),
            rows=[row("no moderator", 0.0, 0.9), row("moderator", 0.1, polarity)],
        )
        for number, polarity in enumerate((0.28, 0.32))
    ]
    lines = frontier_table(outcomes).splitlines()
    assert len(lines) == 4
    half = 12.706 * 0.02
    assert lines[3].startswith(
        f"| moderator, engagement weighs 1 | 0.30 ({0.3 - half:.2f} to {0.3 + half:.2f}) | 0.10 (0.10 to 0.10) |"
    )
    assert lines[3].endswith("| 1 of 2 |")
    assert 'id="late_polarity-moderator"' in frontier_drawing(outcomes)


def test_the_command_trains_tries_and_goes_on_from_what_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "moderator"
    small = "--moderators 1 --populations 1 --ppo-populations 0 --posters 2 --candidates 5 --rounds 1 --episodes 1"
    typed = ["lab", "moderate", "--out", str(out), *small.split()]
    assert main(typed) == 0
    printed = capsys.readouterr()
    assert printed.out == (out / "frontier.md").read_text()
    assert printed.out.count("\n") == 2 + 1 + 4 + 4 + 4
    assert "8 of 8 moderators" in printed.err
    names = {"moderators.jsonl", "trials.jsonl", "frontier.csv", "frontier.md", "frontier.svg"}
    assert {path.name for path in out.iterdir()} == names
    before = {name: (out / name).read_bytes() for name in names}
    assert main(typed) == 0
    assert {name: (out / name).read_bytes() for name in names} == before


def test_there_are_a_moderator_and_a_fixed_tariff_for_each_weight_and_seed() -> None:
    assert len(set(schoolings(2, Limits(), 5, 1))) == 2 * 4 * 2
