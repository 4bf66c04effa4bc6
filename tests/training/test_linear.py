"""Logistic regression within sources."""

from __future__ import annotations

import numpy as np

from training.linear import Block, fit_logistic


def test_a_source_is_no_evidence() -> None:
    """Source b has more machines, and a word of its own; within both sources another word tells machines apart."""
    rng = np.random.default_rng(0)
    source = np.repeat(["a", "b"], 1000)
    label = (rng.random(2000) < np.where(source == "b", 0.9, 0.1)).astype(np.int64)
    word = (source == "b").astype(float)
    telling = (rng.random(2000) < np.where(label == 1, 0.7, 0.3)).astype(float)
    values = np.stack([word, telling], axis=1)
    within, plain = (
        fit_logistic([Block(values, 1e-2)], label, np.ones(2000), given).weights[0] for given in (source, None)
    )
    assert within[1] > 3 * abs(within[0])
    assert plain[0] > 2 * plain[1]


def test_the_fit_is_at_its_minimum() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    y = (rng.random(300) < 1 / (1 + np.exp(-x[:, 0]))).astype(np.int64)
    offset = rng.normal(size=300)
    found = fit_logistic([Block(x, 0.01)], y, np.ones(300), offset=offset)
    p = 1 / (1 + np.exp(-(offset + x @ found.weights[0] + found.bias)))
    slope = np.append(x.T @ (p - y) / 300 + 0.01 * found.weights[0], (p - y).mean())
    assert np.abs(slope).max() < 1e-3
