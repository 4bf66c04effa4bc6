"""What plain features are worth: exactly, where the model is a line, and nothing where it does not look."""

from __future__ import annotations

import numpy as np
import pytest

from detector.account.features import TEXT_DIM, TEXT_NAMES
from detector.account.model import AccountModel, Mixture, text_inputs
from detector.account.plain_features import FEATURE_WORDS, PLAIN_FEATURES, plain_features
from detector.text.features import STYLE_NAMES
from tests.detector.account.test_model import head, model, some_features

COMMAS = TEXT_NAMES.index(f"style_mean_{STYLE_NAMES.index('commas')}")


def line() -> AccountModel:
    """A model that looks at nothing but commas, 0.5 nats a standard deviation above 0.2."""
    only = head(TEXT_DIM + 2, 0, mix=(0.3, 1.0, 0.0))
    one = np.ones(1)
    commas = type(only)(np.array([COMMAS]), one * 0.2, one * 0.1, one * 2.0, one * 0.5, only.trees, only.mix)
    text = Mixture((commas,), np.array([0.0, 1.0]))
    return AccountModel("account", "t", text, model().joint, model().behaviour, {})


def test_a_feature_is_worth_its_term_and_no_other_is_named() -> None:
    seen = some_features(1)
    seen.text[0, COMMAS] = 0.4
    found = plain_features(line(), seen, worth=2.0)
    assert [each.name for each in found] == ["commas"]
    posts = float(seen.weight[0])
    assert found[0].nats == pytest.approx(2.0 * 0.5 * 2.0 * posts / (posts + 2.0), rel=1e-6)
    assert found[0].observed == pytest.approx(0.4)
    assert found[0].expected == pytest.approx(0.2)


def test_what_is_left_without_a_feature_is_what_an_account_scores_of_which_it_is_not_known() -> None:
    seen = some_features(1)
    found = plain_features(model(), seen)
    assert found == sorted(found, key=lambda each: -each.nats)
    values, counts = text_inputs(seen)
    whole = model().text.logit(values, counts)[0]
    for each in found:
        if each.name in STYLE_NAMES:
            unknown = counts.copy()
            unknown[0, TEXT_NAMES.index(f"style_mean_{STYLE_NAMES.index(each.name)}")] = 0
            assert whole - each.nats == pytest.approx(model().text.logit(values, unknown)[0])
    assert any(each.name in STYLE_NAMES for each in found)


def test_there_are_words_for_every_feature() -> None:
    assert set(FEATURE_WORDS) == set(PLAIN_FEATURES)
