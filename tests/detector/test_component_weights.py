"""What decisions taught about the components is kept in a bundle and counts in every total."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detector.component_weights import ComponentCurve, ComponentWeights
from detector.errors import ModelError
from detector.weights_io import save_weights
from tests.streaming.assess import harness
from tests.streaming.assess.fakes import models as fake_models
from tests.streaming.builders import batch, end

PLAIN = ComponentCurve()


def test_a_bundle_without_them_counts_each_component_as_it_is(tmp_path: Path) -> None:
    found = ComponentWeights.load(tmp_path)
    assert found.of("graph", np.array([1.5])) == 1.5
    assert found.version == ""


def test_they_come_back_as_they_were_saved(tmp_path: Path) -> None:
    made = ComponentWeights().then((ComponentCurve(0.25, 0.5, -1.0, 2.0), PLAIN, PLAIN, PLAIN), {"decisions": 200})
    made.save(tmp_path)
    assert ComponentWeights.load(tmp_path) == made
    assert ComponentWeights().then((ComponentCurve(0.5), PLAIN, PLAIN, PLAIN), {}).version != made.version


def test_what_is_learned_again_counts_on_top(tmp_path: Path) -> None:
    first, second = ComponentCurve(0.5, 0.3, 0.2, 1.0), ComponentCurve(-2.0)
    made = ComponentWeights().then((first, PLAIN, PLAIN, PLAIN), {}).then((second, PLAIN, PLAIN, PLAIN), {})
    made.save(tmp_path)
    evidence = np.linspace(-5.0, 5.0, 11)
    assert list(ComponentWeights.load(tmp_path).of("text", evidence)) == pytest.approx(list(-2.0 * first.of(evidence)))


def test_factors_of_earlier_releases_still_count(tmp_path: Path) -> None:
    meta = {"name": "decisions", "version": "1.x"}
    save_weights(tmp_path / "decisions", {"weights": np.array([1.0, -2.0, 1.0, 1.0])}, meta)
    assert ComponentWeights.load(tmp_path).of("behaviour", np.array([1.5])) == -3.0


def test_what_no_decisions_could_teach_is_refused(tmp_path: Path) -> None:
    ComponentWeights().then((ComponentCurve(1.0, 9.0), PLAIN, PLAIN, PLAIN), {}).save(tmp_path)
    with pytest.raises(ModelError, match="steeper"):
        ComponentWeights.load(tmp_path)


def test_a_bend_speaks_both_ways_goes_on_straight_and_makes_nothing_of_nothing() -> None:
    curve = ComponentCurve(weight=0.0, bend=1.0, centre=-0.5, scale=1.0)
    low, nothing, high = curve.of(np.array([-4.5, 0.0, 3.5]))
    assert nothing == 0.0
    assert low == pytest.approx(high)
    assert low > 5.0
    far = curve.of(np.array([10.0, 11.0, 12.0]))
    assert np.diff(far) == pytest.approx([2.5, 2.5])
    around = curve.of(np.array([0.4999, 0.5001]))
    assert np.diff(around)[0] / 0.0002 == pytest.approx(curve.slopes()[1], rel=1e-3)


def test_evidence_is_worth_what_it_counts_for_each_nat() -> None:
    curve = ComponentCurve(0.5, 1.0, 0.0, 1.0)
    made = ComponentWeights().then((curve, PLAIN, PLAIN, PLAIN), {})
    assert made.worth("text", -2.0) * -2.0 == pytest.approx(float(curve.of(np.array([-2.0]))[0]))
    assert made.worth("text", 0.0) == pytest.approx(0.5, abs=1e-4)
    assert ComponentWeights().worth("graph", 3.0) == 1.0


@pytest.mark.parametrize("factor", [0.5, -1.0])
def test_an_account_is_judged_by_them(factor: float) -> None:
    observed = harness.score(harness.posts("ada", 3))
    bundle = fake_models()
    curves = (ComponentCurve(factor), PLAIN, PLAIN, PLAIN)
    weighted = replace(bundle, weights=ComponentWeights().then(curves, {}))
    plain, other = (
        harness.play([batch(observed), end(len(observed))], bundle=each).scores()["ada"] for each in (bundle, weighted)
    )
    assert plain.llr.text > 0.1
    # The cap bends large totals a little; these are small.
    assert other.llr.text == pytest.approx(factor * plain.llr.text, rel=0.1)


def test_an_account_that_lies_far_on_the_other_side_is_judged_by_the_bend() -> None:
    observed = harness.score(harness.posts("ada", 3))
    bundle = fake_models()
    plain = harness.play([batch(observed), end(len(observed))], bundle=bundle).scores()["ada"].llr.text
    curve = ComponentCurve(1.0, 1.0, plain + 2.0, 1.0)
    bent = replace(bundle, weights=ComponentWeights().then((curve, PLAIN, PLAIN, PLAIN), {}))
    found = harness.play([batch(observed), end(len(observed))], bundle=bent).scores()["ada"].llr.text
    assert found == pytest.approx(float(curve.of(np.array([plain]))[0]), abs=0.1)
    assert abs(found - plain) > 0.2
