"""The metadata-only baseline beside every headline: gradient boosting on what is known without reading any text.

A stream whose machines counts, hours and domains give away measures little. `metadata_scores` scores every account of
a recording by a model that has seen neither it nor its campaign.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from training.account_data import KINDS, RawEvents, has_text

FOLDS: Final = 5

POPULAR: Final = 10
"""Sites that this many accounts link to have a feature of their own, the ten most linked at most."""


def metadata(raw: RawEvents) -> NDArray[np.float64]:
    """(accounts, features): counts and shares of kinds, texts, links, hours, pauses. No words, no contacts."""
    n = len(raw.names)
    kinds = np.zeros((n, KINDS))
    np.add.at(kinds, (raw.account, raw.kind), 1)
    hours = np.zeros((n, 24))
    np.add.at(hours, (raw.account, raw.at_ms // 3_600_000 % 24), 1)
    events = np.maximum(kinds.sum(axis=1, keepdims=True), 1)
    texts = np.bincount(raw.account, weights=has_text(raw.texts), minlength=n)[:, None]
    links = np.bincount(raw.account, weights=raw.links, minlength=n)[:, None]
    linked = np.bincount(raw.account, weights=raw.links > 0, minlength=n)[:, None]
    pauses = np.zeros((n, 4))
    order = np.lexsort((raw.at_ms, raw.account))
    same = raw.account[order][1:] == raw.account[order][:-1]
    gaps, owner = np.log1p(np.diff(raw.at_ms[order])[same] / 1000), raw.account[order][1:][same]
    for account in np.unique(owner):
        own = gaps[owner == account]
        pauses[account] = [own.mean(), own.std(), *np.quantile(own, [0.1, 0.9])]
    return np.hstack([kinds, kinds / events, hours / events, events, texts, texts / events, links, linked / events,
                      _sites(raw) / events, pauses])  # fmt: skip


def _sites(raw: RawEvents) -> NDArray[np.float64]:
    users = Counter(
        site for site, _ in {(site, account) for account, sites in _linked(raw) for site in sites}
    ).most_common(POPULAR)
    place = {site: i for i, (site, count) in enumerate(users) if count >= POPULAR}
    found = np.zeros((len(raw.names), POPULAR + 1))
    distinct: list[set[str]] = [set() for _ in raw.names]
    for account, sites in _linked(raw):
        distinct[account].update(sites)
        for site in sites:
            if site in place:
                found[account, place[site]] += 1
    found[:, POPULAR] = [len(sites) for sites in distinct]
    return found


def _linked(raw: RawEvents) -> list[tuple[int, tuple[str, ...]]]:
    return [(account, sites) for account, sites in zip(raw.account.tolist(), raw.sites, strict=True) if sites]


def metadata_scores(
    raw: RawEvents, label: NDArray[np.int64], cluster: NDArray[np.str_], seed: int = 0
) -> NDArray[np.float64]:
    """Out-of-fold scores of accounts by their metadata.

    Args:
        raw: the stream.
        label: (accounts,) truth in the order of `raw.names`.
        cluster: (accounts,) what is left out together: a campaign, or the account.
        seed: of folds and boosting.

    Returns:
        (accounts,) logits; 0 where the other folds lack a class.
    """
    features = metadata(raw)
    names, inverse = np.unique(cluster, return_inverse=True)
    fold = np.random.default_rng(seed).permutation(len(names))[inverse] % FOLDS
    scores = np.zeros(len(label))
    for index in range(FOLDS):
        train, test = fold != index, fold == index
        if not 0 < label[train].sum() < train.sum():
            continue
        model = HistGradientBoostingClassifier(
            max_iter=80,
            max_leaf_nodes=8,
            min_samples_leaf=5,
            l2_regularization=5.0,
            max_features=0.5,
            early_stopping=False,
            class_weight="balanced",
            random_state=seed,
        )
        scores[test] = model.fit(features[train], label[train]).decision_function(features[test])
    return scores
