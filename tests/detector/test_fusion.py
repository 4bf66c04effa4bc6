"""Parts that add up, under a cap that keeps their order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.fusion import combine, posterior

nats = st.floats(-40, 40)


@given(st.lists(st.tuples(nats, nats, nats, nats), min_size=1, max_size=20), st.floats(1, 9))
def test_parts_sum_to_a_total_within_the_cap(rows: list[tuple[float, float, float, float]], cap: float) -> None:
    text, behaviour, coordination, graph = np.array(rows).T
    fused = combine(text, behaviour, coordination, graph, cap)
    assert np.allclose(fused.text + fused.behaviour + fused.coordination + fused.graph, fused.total, atol=1e-9)
    assert (np.abs(fused.total) <= cap + 0.003).all()
    raw = text + behaviour + coordination + graph
    order = np.argsort(raw, kind="stable")
    assert (np.diff(fused.total[order]) >= -0.005).all()


@given(nats)
def test_an_abstaining_part_stays_zero(value: float) -> None:
    one, none = np.array([value]), np.zeros(1)
    fused = combine(one, none, none, none, 5.0)
    assert fused.behaviour[0] == fused.coordination[0] == fused.graph[0] == 0.0
    assert fused.total[0] == fused.text[0]


def test_small_evidence_is_left_as_it_is() -> None:
    small = np.array([0.3])
    fused = combine(small, small, -small, np.zeros(1), 5.7)
    assert fused.total[0] == pytest.approx(0.3, abs=2e-3)


def test_the_posterior_without_evidence_is_the_prior() -> None:
    assert posterior(np.zeros(1), 0.01)[0] == pytest.approx(0.01)
    assert posterior(np.array([np.log(99)]), 0.01)[0] == pytest.approx(0.5)
