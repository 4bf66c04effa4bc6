"""The account model: components that add up and abstain, and answers that do not depend on who else is asked about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.account import features
from detector.account.features import BEHAVIOUR_DIM, TEXT_DIM, AccountFeatures
from detector.account.model import (
    BEHAVIOUR_LIMIT_NATS,
    AccountModel,
    BehaviourAbstain,
    Head,
    Mixture,
    behaviour_inputs,
    text_inputs,
)
from detector.account.trees import Trees
from detector.errors import ModelError
from detector.text.features import TextAbstain


def stumps(rng: np.random.Generator, count: int, width: int) -> Trees:
    """Trees of one comparison each."""
    root = np.arange(count) * 3
    children = root[:, None, None] + np.array([[1, 2], [1, 1], [2, 2]])
    feature, threshold = np.zeros((count, 3), np.int64), np.zeros((count, 3))
    feature[:, 0], threshold[:, 0] = rng.integers(0, width, count), rng.normal(size=count)
    value = rng.normal(size=3 * count) * 0.2
    return Trees(root, feature.reshape(-1), threshold.reshape(-1), children.reshape(-1, 2), value)


def head(width: int, seed: int, mix: tuple[float, float, float] = (0.1, 1.0, 0.5)) -> Head:
    rng = np.random.default_rng(seed)
    terms = min(width, 30)
    return Head(
        column=rng.choice(width, terms, replace=False),
        centre=rng.normal(size=terms),
        scale=rng.uniform(0.5, 2, terms),
        shrink=rng.uniform(1, 5, terms),
        weight=rng.normal(size=terms) * 0.3,
        trees=stumps(rng, 20, terms),
        mix=np.array(mix),
    )


def model() -> AccountModel:
    text = Mixture((head(TEXT_DIM + 2, 1), head(TEXT_DIM + 2, 4)), np.array([0.2, 0.9]))
    return AccountModel("account", "t", text, head(BEHAVIOUR_DIM, 2), head(BEHAVIOUR_DIM, 3), {})


def some_features(n: int, seed: int = 0) -> AccountFeatures:
    rng = np.random.default_rng(seed)
    posts = rng.integers(1, 60, n).astype(np.uint32)
    return AccountFeatures(
        text=rng.normal(size=(n, TEXT_DIM)).astype(np.float32),
        behaviour=rng.normal(size=(n, BEHAVIOUR_DIM)).astype(np.float32),
        weight=posts.astype(np.float32),
        second_stage=(posts // 3).astype(np.float32),
        events=(posts + 5).astype(np.float32),
        written=(posts + 3).astype(np.float32),
        posts=posts,
        language=np.full(n, 149, np.uint16),
        abstain=np.zeros(n, np.uint8),
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**31))
def test_a_score_does_not_depend_on_its_neighbours(n: int, seed: int) -> None:
    seen = some_features(n, seed)
    raw = model().text.logit(*text_inputs(seen))
    assert raw.shape == (n,)
    for i in range(n):
        alone = seen.take(np.array([i]))
        assert model().text.logit(*text_inputs(alone))[0] == raw[i]
        assert model().joint.logit(*behaviour_inputs(alone))[0] == model().joint.logit(*behaviour_inputs(seen))[i]


def test_a_logit_mixes_a_line_and_trees_of_the_terms() -> None:
    mixed = Head(
        column=np.array([1]),
        centre=np.array([1.0]),
        scale=np.array([2.0]),
        shrink=np.full(1, 1e-9),
        weight=np.array([3.0]),
        trees=Trees(
            root=np.array([0]),
            feature=np.array([0, 0, 0]),
            threshold=np.array([0.5, 0.0, 0.0]),
            children=np.array([[1, 2], [1, 1], [2, 2]]),
            value=np.array([0.0, 10.0, 20.0]),
        ),
        mix=np.array([0.25, 0.5, 2.0]),
    )
    values = np.array([[9.0, 2.0], [9.0, 2.1]])  # terms 0.5 and 0.55: one on the threshold, one above it
    assert mixed.logit(values, np.ones_like(values)) == pytest.approx([0.25 + 0.75 + 20, 0.25 + 0.825 + 40])


def test_a_mixture_says_what_the_mean_of_the_likelihoods_says() -> None:
    seen = some_features(9)
    text = model().text
    one, other = (part.logit(*text_inputs(seen)) for part in text.heads)
    assert text.logit(*text_inputs(seen)) == pytest.approx(0.2 + 0.9 * np.log((np.exp(one) + np.exp(other)) / 2))


def test_a_term_has_half_its_weight_at_its_shrink() -> None:
    linear = Head(
        column=np.array([0]),
        centre=np.array([1.0]),
        scale=np.array([2.0]),
        shrink=np.array([3.0]),
        weight=np.array([1.0]),
        trees=Trees.none(),
        mix=np.array([0.0, 1.0, 0.0]),
    )
    assert linear.logit(np.array([[3.0]]), np.array([[3.0]]))[0] == 0.5
    assert linear.logit(np.array([[3.0]]), np.array([[0.0]]))[0] == 0.0


def test_behaviour_is_bounded_and_parts_are_whole_millinats() -> None:
    components = model().components(some_features(300))
    assert np.abs(components.behaviour).max() <= BEHAVIOUR_LIMIT_NATS
    for component in (components.text, components.behaviour):
        assert np.allclose(component * 1000, np.rint(component * 1000), atol=1e-9)


def test_switched_off_parts_abstain() -> None:
    seen = some_features(5)
    off = model().components(seen, text=False)
    assert not off.text.any()
    assert (off.text_abstain == TextAbstain.SWITCHED_OFF).all()
    alone = model().behaviour.logit(*behaviour_inputs(seen))
    assert np.allclose(off.behaviour, np.clip(alone, -BEHAVIOUR_LIMIT_NATS, BEHAVIOUR_LIMIT_NATS), atol=1e-3)
    off = model().components(seen, behaviour=False)
    assert not off.behaviour.any()
    assert np.array_equal(off.text, model().components(seen).text)


def test_an_account_without_evidence_says_why() -> None:
    seen = some_features(2)._replace(
        abstain=np.array([TextAbstain.LANGUAGE, 0], np.uint8), written=np.array([1.0, 9.0], np.float32)
    )
    components = model().components(seen)
    assert components.text[0] == components.behaviour[0] == 0.0
    assert components.text_abstain.tolist() == [TextAbstain.LANGUAGE, 0]
    assert components.behaviour_abstain.tolist() == [BehaviourAbstain.TOO_FEW, 0]


def test_a_model_comes_back_from_its_files(tmp_path: Path) -> None:
    model().save(tmp_path, {"provenance": "test"})
    again = AccountModel.load(tmp_path)
    seen = some_features(50)
    assert np.allclose(again.components(seen).text, model().components(seen).text, atol=2e-3)


def test_a_model_for_other_features_is_refused(tmp_path: Path) -> None:
    text = Mixture((head(TEXT_DIM + 40, 1),), np.array([0.0, 1.0]))
    wrong = AccountModel("account", "t", text, model().joint, model().behaviour, {})
    wrong.save(tmp_path)
    with pytest.raises(ModelError, match="does not have"):
        AccountModel.load(tmp_path)


def test_a_model_of_another_layout_is_refused_though_its_shapes_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model().save(tmp_path)
    monkeypatch.setattr(features, "LLR_EDGES", features.LLR_EDGES + 0.1)
    with pytest.raises(ModelError, match="other features"):
        AccountModel.load(tmp_path)
