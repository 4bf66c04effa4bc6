"""A shadow model learned from decisions: what moves it, what does not, and whose threshold it has."""

from __future__ import annotations

import numpy as np
import pytest

from detector.errors import UsageError
from training import decision_learning
from training.decision_learning import Floats, Shadow, conformal_threshold, counted, fit

PEOPLE = np.random.default_rng(1).normal(-0.5, 1.0, (500, 4))
EVERYBODY = np.random.default_rng(4).normal(-0.5, 1.0, (2000, 4))


def weights(shadow: Shadow) -> list[float]:
    """Its slopes where most accounts are."""
    return [curve.weight for curve in shadow.curves]


def society(seed: int, text: float) -> tuple[Floats, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """1,000 accounts, a third of them machines, whose text evidence has a mean of `text` nats."""
    rng = np.random.default_rng(seed)
    machine = np.arange(1000) % 3 == 0
    components = rng.normal(-0.5, 1.0, (1000, 4))
    components[machine] += [text + 0.5, 1.0, 1.0, 1.0]
    return components, machine


def test_a_component_that_says_nothing_any_more_is_worth_less() -> None:
    components, machine = society(0, -0.5)
    shadow = fit(components, machine, np.ones(1000), PEOPLE, EVERYBODY, prior=0.3, target_fpr=0.01)
    assert abs(weights(shadow)[0]) < 0.3
    assert min(weights(shadow)[1:]) > 0.7


def test_a_component_that_turned_round_is_turned_round() -> None:
    components, machine = society(0, -2.5)
    shadow = fit(components, machine, np.ones(1000), PEOPLE, EVERYBODY, prior=0.3, target_fpr=0.01)
    assert weights(shadow)[0] < -1.0


def test_a_component_that_speaks_both_ways_bends_where_weights_alone_cannot() -> None:
    components, machine = society(0, -0.5)
    machines = np.flatnonzero(machine)
    components[machines[::2], 0] += 2.5
    components[machines[1::2], 0] -= 2.5
    bent, straight = (
        fit(components, machine, np.ones(1000), PEOPLE, EVERYBODY, prior=0.3, target_fpr=0.01, bent=each)
        for each in (True, False)
    )
    low, high = bent.curves[0].slopes()
    assert low < -0.5 < 0.5 < high
    assert [curve.bend for curve in straight.curves] == [0.0] * 4
    assert bent.flags(components[machine]).mean() > straight.flags(components[machine]).mean() + 0.2


def test_turned_machines_are_not_taken_for_slips() -> None:
    # Few machines, all turned: from the live model on, the climb ends where their decisions would be wrong ones.
    rng = np.random.default_rng(4)
    components = rng.normal(-0.5, 1.0, (150, 4))
    components[:10] += [-4.0, 0.0, 0.0, 0.0]
    machine = np.arange(150) < 10
    shadow = fit(components, machine, np.ones(150), PEOPLE, EVERYBODY, prior=0.02, target_fpr=0.01)
    assert weights(shadow)[0] < 0.0
    assert shadow.wrong < 0.03


def test_few_decisions_change_little() -> None:
    components, machine = society(0, -0.5)
    few = fit(components[:15], machine[:15], np.ones(15), PEOPLE, EVERYBODY, prior=0.3, target_fpr=0.01)
    many = fit(components, machine, np.ones(1000), PEOPLE, EVERYBODY, prior=0.3, target_fpr=0.01)
    assert abs(weights(few)[0] - 1.0) < abs(weights(many)[0] - 1.0)


def test_what_was_shown_more_often_counts_less() -> None:
    components, machine = society(0, 0.5)
    # What made an alert of an account was more than its four components: machines are shown always, people seldom.
    rng = np.random.default_rng(2)
    chance = np.where(machine, 1.0, 0.15)
    drawn = rng.random(1000) < chance
    right = fit(components, machine, np.ones(1000), PEOPLE, EVERYBODY, prior=0.3, target_fpr=0.01)
    weighted = fit(components[drawn], machine[drawn], chance[drawn], PEOPLE, EVERYBODY, prior=0.3, target_fpr=0.01)
    taken = fit(
        components[drawn], machine[drawn], np.ones(int(drawn.sum())), PEOPLE, EVERYBODY, prior=0.3, target_fpr=0.01
    )
    # A quarter of the way back, as the weights are flattened; the intercept is in no score.
    assert right.intercept < weighted.intercept < taken.intercept - 0.3


def test_the_threshold_is_the_calibration_peoples_and_nothing_else_is() -> None:
    components, machine = society(0, 0.5)
    first = fit(components, machine, np.ones(1000), PEOPLE, EVERYBODY, prior=0.3, target_fpr=0.02)
    other = fit(components, machine, np.ones(1000), PEOPLE + 1.0, EVERYBODY, prior=0.3, target_fpr=0.02)
    assert first.curves == other.curves
    assert other.threshold > first.threshold
    assert (first.score(PEOPLE) > first.threshold).mean() <= 0.02


@pytest.mark.parametrize(("rate", "rank"), [(0.01, 5), (0.02, 10), (0.5, 250)])
def test_the_threshold_is_the_right_one_from_the_top(rate: float, rank: int) -> None:
    scores = np.random.default_rng(0).permutation(500).astype(np.float64)
    assert conformal_threshold(scores, rate) == 500 - rank


def test_one_rare_decision_does_not_decide_alone() -> None:
    counts, effective = counted(np.array([1.0, 1.0, 1.0, 1e-6]), np.ones(4))
    assert counts.sum() == pytest.approx(effective)
    assert counts[3] / counts[0] == pytest.approx(10)


def test_slips_are_told_from_what_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    components, machine = society(0, 0.5)
    slips = np.random.default_rng(3).random(1000) < 0.08
    clean = fit(components, machine, np.ones(1000), PEOPLE, EVERYBODY, prior=0.3, target_fpr=0.01)
    wrong = fit(components, machine ^ slips, np.ones(1000), PEOPLE, EVERYBODY, prior=0.3, target_fpr=0.01)
    assert clean.wrong < 0.02 < wrong.wrong < 0.13
    monkeypatch.setattr(decision_learning, "WRONG", 1e-6)
    monkeypatch.setattr(decision_learning, "WRONG_SPREAD", 0.01)
    credulous = fit(components, machine ^ slips, np.ones(1000), PEOPLE, EVERYBODY, prior=0.3, target_fpr=0.01)
    assert sum(weights(clean)) > sum(weights(wrong)) > 1.2 * sum(weights(credulous))


def test_too_little_to_learn_from_is_said() -> None:
    components, machine = society(0, 0.5)
    with pytest.raises(UsageError, match="of each are needed"):
        fit(components[:9], machine[:9], np.ones(9), PEOPLE, EVERYBODY, prior=0.3, target_fpr=0.01)
    with pytest.raises(UsageError, match="finer"):
        fit(components, machine, np.ones(1000), PEOPLE[:50], EVERYBODY, prior=0.3, target_fpr=0.01)
    with pytest.raises(UsageError, match="sampled_with"):
        fit(components, machine, np.zeros(1000), PEOPLE, EVERYBODY, prior=0.3, target_fpr=0.01)
