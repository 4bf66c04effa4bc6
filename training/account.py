"""Training the account model: row weights, heads of linear models and boosted trees, calibration out of fold.

Every snapshot of an account after 1, 2, 3, 5, ... posts is a row. Accounts weigh alike within their group, groups as
`group_weight` says, and the classes alike at every number of posts, so a logit of 0 is no evidence at any age.
`train_account` makes the model with its report, `save_account` writes it with its card.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from detector.account.features import BEHAVIOUR_NAMES, PAIRS, TEXT_DIM, TEXT_NAMES
from detector.account.model import (
    BEHAVIOUR_LIMIT_NATS,
    MIN_WRITTEN,
    NAME,
    AccountModel,
    Head,
    Mixture,
    behaviour_inputs,
    text_inputs,
)
from detector.account.trees import Floats, Indices, Trees
from training.account_training_set import CHAT, STREAM, TrainingSet
from training.boosting import BoostingSettings, boost
from training.cards import account_card
from training.linear import Block, fit_logistic
from training.model_reports import account_report, ranking_within_sources
from training.text import ProgressCallback, quiet, version_of

SHRINK_POSTS: Final = 3.0
"""Posts at which a term has half of its size; 1 and 8 did no better out of source."""

_AGES: Final = np.array([2, 4, 7, 11, 18, 28])
"""Numbers of posts that divide the ages at which classes weigh alike."""

BOOST: Final = BoostingSettings(min_samples_leaf=40, l2_regularization=50.0)
"""Chosen among six on the mean AUROC of sources left out of training (0.914 to 0.918), out of fold alone."""

TEXT_PENALTY: Final = 8e-4
"""Penalty of squared weights of the linear part per unit of mean loss; half and twice do as well out of source."""

BEHAVIOUR_PENALTY: Final = 0.07
"""The same for behaviour, stronger: one platform's habits."""

FOLDS: Final = 5


def group_weight(group: str) -> float:
    """How much a group weighs within its class.

    Real accounts weigh as a dozen sources of single posts, chat people as three; sources of people only are many and
    small, and those whose two sides differ by topic or by a generator of ten years ago teach little of today.
    """
    if group.startswith(STREAM):
        return 12.0
    if group == CHAT:
        return 3.0
    if group.startswith("people/"):
        return 0.25
    if group in {"showerthoughts", "liang_toefl", "electai", "tweepfake"}:
        return 0.5
    if group.startswith("frontier_social") or group == "matched_replies":
        return 0.7
    return 1.0


def row_weights(rows: TrainingSet, rounds: int = 8) -> Floats:
    """(n,) weights of mean 1: accounts alike within their group and class, groups by `group_weight`, classes by age."""
    _, account, count = np.unique(rows.account, return_inverse=True, return_counts=True)
    weight: Floats = 1.0 / count[account]
    _, first, part = np.unique(
        np.char.add(np.char.add(rows.group, "/"), rows.label.astype(str)), return_index=True, return_inverse=True
    )
    target = np.array([group_weight(str(rows.group[i])) for i in first])
    age = np.searchsorted(_AGES, rows.posts, side="right") * 2 + rows.label
    for _ in range(rounds):
        weight *= (target / np.bincount(part, weights=weight))[part]
        totals = np.bincount(age, weights=weight, minlength=2 * (len(_AGES) + 1)).reshape(-1, 2)
        wanted = np.where(totals > 0, totals.mean(axis=1, keepdims=True) / np.where(totals > 0, totals, 1), 1.0)
        weight *= wanted.reshape(-1)[age]
    balanced: Floats = weight / weight.mean()
    return balanced


def linear_inputs(rows: TrainingSet) -> tuple[Floats, Floats]:
    """`text_inputs` as the linear part learns from them: what a bag cannot tell of an account rests on nothing.

    A bag without an author that mixes people varies more than any of them. One of a machine's posts varies at least as
    much as an account of that machine would; only whether its posts resemble each other is its topic's doing. What is
    masked counts as lying at the centre of all accounts that are not. Trees would take the mask itself for a person's
    mark, so they learn from `text_inputs`.
    """
    values, counts = text_inputs(rows.features)
    counts[np.ix_(rows.mixed, np.arange(PAIRS.start, PAIRS.stop))] = 0.0
    counts[~rows.authored, TEXT_NAMES.index("self_similarity")] = 0.0
    return values, counts


def standardised(values: Floats, counts: Floats, columns: Indices, shrink: float, weight: Floats) -> Head:
    """A head whose terms are standardised and whose weights are all zero.

    Args:
        values: (n, D) features.
        counts: (n, D) how many observations each rests on.
        columns: (J,) features of the terms.
        shrink: observations at which a term has half of its size.
        weight: (n,) weights of the rows; centre and scale weigh each value by what it rests on, too.
    """
    trust = weight[:, None] * counts[:, columns] / (counts[:, columns] + shrink)
    total = np.maximum(trust.sum(axis=0), 1e-9)
    centre = (values[:, columns] * trust).sum(axis=0) / total
    scale = np.sqrt(((values[:, columns] - centre) ** 2 * trust).sum(axis=0) / total)
    terms = len(columns)
    return Head(
        column=columns,
        centre=_as_stored(centre),
        scale=_as_stored(scale + _LEAST_SCALE),
        shrink=np.full(terms, shrink),
        weight=np.zeros(terms),
        trees=Trees.none(),
        mix=np.array([0.0, 1.0, 1.0]),
    )


def _as_stored(values: Floats) -> Floats:
    """Rounded to the 32 bits of a weights file, so that trees are fitted to the terms that they will compare."""
    return values.astype(np.float32).astype(np.float64)


_LEAST_SCALE: Final = 1e-3


def fit_text(rows: TrainingSet, settings: BoostingSettings = BOOST, seed: int = 0) -> Mixture:
    """The text component before calibration: one head taught by all rows, one by those without the stream's bots.

    Those bots are one contest's, and weigh a lot for being whole accounts: a head that has met them bends to their
    style, one that has not knows other machines better.

    Args:
        rows: to learn from.
        settings: of boosting.
        seed: of boosting.
    """
    abroad = rows.take(~(rows.timed & (rows.label == 1)))
    learners = [rows, abroad] if (abroad.label == 1).any() else [rows]
    heads = [_fit_text(part, settings, seed + i) for i, part in enumerate(learners)]
    return Mixture(tuple(heads), np.array([0.0, 1.0]))


def _fit_text(rows: TrainingSet, settings: BoostingSettings, seed: int) -> Head:
    """Mean of a linear model and trees, both within groups: what a group alone says goes into its intercept."""
    weight = row_weights(rows)
    values, counts = linear_inputs(rows)
    head = standardised(values, counts, np.arange(TEXT_DIM), SHRINK_POSTS, weight)
    linear = fit_logistic([Block(head.terms(values, counts), TEXT_PENALTY)], rows.label, weight, rows.group)
    terms = head.terms(*text_inputs(rows.features))
    boosted = boost(terms, rows.label, weight, settings, seed=seed, offset=linear.intercepts)
    mix = np.array([(linear.bias + boosted.bias) / 2, 0.5, 0.5])
    return replace(head, weight=linear.weights[0], trees=boosted.trees, mix=mix)


PLAIN: Final = ("llr_mean", "expert_mean")
"""What the plain rival has: the mean evidence of an account's posts, by either stage."""


def fit_plain(rows: TrainingSet) -> Mixture:
    """The plain rival of the text component: logistic regression on `PLAIN`, taught by the same rows and weights."""
    weight = row_weights(rows)
    values, counts = linear_inputs(rows)
    columns = np.array([TEXT_NAMES.index(name) for name in PLAIN])
    head = standardised(values, counts, columns, SHRINK_POSTS, weight)
    fitted = fit_logistic([Block(head.terms(values, counts), _LINE_PENALTY)], rows.label, weight, rows.group)
    linear = replace(head, weight=fitted.weights[0], mix=np.array([fitted.bias, 1.0, 0.0]))
    return Mixture((linear,), np.array([0.0, 1.0]))


def text_logit(head: Mixture, rows: TrainingSet) -> Floats:
    """What `head` says of rows, as in use."""
    return head.logit(*text_inputs(rows.features))


def behaviour_columns(rows: TrainingSet) -> Indices:
    """Behaviour features that the timed rows can teach: those that vary, links not among them.

    The contest's links are one per distinct text, made when its records were; hours of the day depend on how long an
    account has been watched.
    """
    spread = rows.features.behaviour[rows.timed].std(axis=0)
    artefact = {"linked_share", "hour_entropy", "quiet_hours"}
    named = np.array([name not in artefact for name in BEHAVIOUR_NAMES])
    return np.flatnonzero((spread > _LEAST_SCALE) & named)


def fit_behaviour(rows: TrainingSet, text: Floats | None) -> Head:
    """What behaviour says: beside `text` (n,) out-of-fold text logits, or alone where that is None."""
    chosen = rows.timed & (rows.features.written >= MIN_WRITTEN - 0.5)
    part = rows.take(chosen)
    weight = row_weights(part)
    values, counts = behaviour_inputs(part.features)
    head = standardised(values, counts, behaviour_columns(part), SHRINK_POSTS, weight)
    offset = None if text is None else text[chosen]
    linear = fit_logistic([Block(head.terms(values, counts), BEHAVIOUR_PENALTY)], part.label, weight, offset=offset)
    return replace(head, weight=linear.weights[0], mix=np.array([linear.bias, 1.0, 0.0]))


def fold_of(rows: TrainingSet, folds: int = FOLDS) -> Indices:
    """(n,) fold of every row: by account where accounts are real, by cluster otherwise, so each is scored unseen."""
    real = rows.timed | (rows.group == CHAT)
    key = np.where(real, np.array(rows.name)[rows.account], rows.cluster)
    names, inverse = np.unique(key, return_inverse=True)
    digests = [hashlib.blake2b(str(name).encode(), digest_size=8).digest() for name in names]
    fold = np.array([int.from_bytes(digest, "little") % folds for digest in digests])
    return fold[inverse]


def out_of_fold(
    rows: TrainingSet,
    fit: Callable[[TrainingSet], Mixture],
    folds: int = FOLDS,
    say: Callable[[float], None] = lambda share: None,
) -> Floats:
    """Logits of every row by a head that saw neither its account nor, for bags, its cluster.

    Args:
        rows: n rows.
        fit: trains the head on a part of them.
        folds: how many parts.
        say: told of the share that is done.

    Returns:
        (n,).
    """
    fold = fold_of(rows, folds)
    logit = np.zeros(len(rows))
    for index in range(folds):
        say(index / folds)
        held = fold == index
        if held.any():
            logit[held] = text_logit(fit(rows.take(~held)), rows.take(held))
    return logit


def calibrated(head: Mixture, logit: Floats, rows: TrainingSet) -> tuple[Mixture, Floats]:
    """`head` with its logits made LLRs by Platt's line on out-of-fold `logit`, and those LLRs.

    Of people only those count whose texts are their own, where there are any: few accounts are a mixture of people.
    The slope is at most 1: what is known out of fold never makes evidence stronger than it was fitted.

    Args:
        head: trained on all rows.
        logit: (n,) from `out_of_fold`.
        rows: n rows.
    """
    own = ~rows.mixed if (rows.authored & (rows.label == 0)).any() else np.ones(len(rows), np.bool_)
    known = rows.take(own)
    line = fit_logistic([Block(logit[own, None], _LINE_PENALTY)], known.label, row_weights(known))
    slope, shift = float(np.clip(line.weights[0][0], 0.05, 1.0)), line.bias
    return replace(head, line=np.array([shift, slope])), logit * slope + shift


_LINE_PENALTY: Final = 1e-6
"""Enough to bound the slope where the classes are apart."""


def train_account(
    rows: TrainingSet, readers: dict[str, str], *, seed: int = 0, folds: int = FOLDS, say: ProgressCallback = quiet
) -> AccountModel:
    """The account model trained on `rows`, with its report.

    Args:
        rows: from `training.account_training_set.gather`.
        readers: versions of the text models whose features they hold.
        seed: of boosting.
        folds: of the out-of-fold calibration.
        say: progress.
    """
    unseen = out_of_fold(rows, lambda part: fit_text(part, seed=seed), folds, lambda share: say("out of fold", share))
    say("fitting on everything", 0.95)
    text, llr = calibrated(fit_text(rows, seed=seed), unseen, rows)
    joint, alone = fit_behaviour(rows, llr), fit_behaviour(rows, None)
    arrays = {**text.arrays("text"), **joint.arrays("joint"), **alone.arrays("behaviour")}
    report: dict[str, Any] = {
        **account_report(rows, llr),
        "left_out": {
            "model": ranking_within_sources(rows, llr),
            "plain": ranking_within_sources(rows, out_of_fold(rows, fit_plain)),
        },
        "accounts": _counts(rows),
        "readers": readers,
        "trees": BOOST.max_iter,
        "boosting": asdict(BOOST),
        "behaviour_limit_nats": BEHAVIOUR_LIMIT_NATS,
        "slope": round(float(text.line[1]), 4),
    }
    say("done", 1.0)
    return AccountModel("account", version_of(arrays), text, joint, alone, report)


def save_account(model: AccountModel, out: Path, *, excluded: Collection[str], seed: int) -> None:
    """Write the model and its card.

    Args:
        model: with its report.
        out: models directory.
        excluded: what was left out of training on request.
        seed: of training.
    """
    about: dict[str, Any] = {"excluded": sorted(excluded), "seed": seed}
    model.save(out, about)
    described = {**about, "name": model.name, "version": model.version, "report": model.report}
    (out / f"{NAME}.card.md").write_text(account_card(described), encoding="utf-8")


def _counts(rows: TrainingSet) -> dict[str, dict[str, int]]:
    _, first = np.unique(rows.account, return_index=True)
    counts: dict[str, dict[str, int]] = {}
    for group, label in zip(rows.group[first].tolist(), rows.label[first].tolist(), strict=True):
        place = counts.setdefault(_set_of(group), {"people": 0, "machine": 0})
        place["machine" if label else "people"] += 1
    return counts


def _set_of(group: str) -> str:
    head = group.split("/")[0]
    return {"people": "human_short_text", "stream": group}.get(head, head)
