"""What decisions taught about the components is kept in a bundle and counts in every total."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detector.component_weights import ComponentWeights
from detector.errors import ModelError
from detector.weights_io import save_weights
from tests.streaming.assess import harness
from tests.streaming.assess.fakes import models as fake_models
from tests.streaming.builders import batch, end


def test_a_bundle_without_them_counts_each_component_as_it_is(tmp_path: Path) -> None:
    assert ComponentWeights.load(tmp_path).values == (1.0, 1.0, 1.0, 1.0)
    assert ComponentWeights.load(tmp_path).version == ""


def test_they_come_back_as_they_were_saved(tmp_path: Path) -> None:
    made = ComponentWeights.learned((0.25, 2.0, 1.0, -1.0), {"decisions": 200})
    made.save(tmp_path)
    assert ComponentWeights.load(tmp_path) == made
    assert (made.of("text"), made.of("graph")) == (0.25, -1.0)
    assert ComponentWeights.learned((0.5, 2.0, 1.0, -1.0), {}).version != made.version


def test_what_no_decisions_could_teach_is_refused(tmp_path: Path) -> None:
    meta = {"name": "decisions", "version": "1.x"}
    save_weights(tmp_path / "decisions", {"weights": np.array([1.0, 1.0, 99.0, 1.0])}, meta)
    with pytest.raises(ModelError, match="beyond"):
        ComponentWeights.load(tmp_path)


@pytest.mark.parametrize("factor", [0.5, -1.0])
def test_an_account_is_judged_by_them(factor: float) -> None:
    observed = harness.score(harness.posts("ada", 3))
    bundle = fake_models()
    weighted = replace(bundle, weights=ComponentWeights.learned((factor, 1.0, 1.0, 1.0), {}))
    plain, other = (
        harness.play([batch(observed), end(len(observed))], bundle=each).scores()["ada"] for each in (bundle, weighted)
    )
    assert plain.llr.text > 0.1
    # The cap bends large totals a little; these are small.
    assert other.llr.text == pytest.approx(factor * plain.llr.text, rel=0.1)
