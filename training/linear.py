"""The linear models of the first stage: random-intercept logistic regression, naive Bayes, and a plain fit, in one sum.

Sources differ in how many of their texts are a machine's, and in their topics, lengths and typography. A plain fit
learns to tell the sources apart and calls that evidence. In `fit_logistic` every source has an intercept of its own,
drawn towards 0 (a mixed-effects model, Breslow and Clayton 1993, by penalised likelihood); it takes up what the source
alone says and is dropped when a new text is judged. `fit` adds log ratios of n-grams (naive Bayes) and the weights of a
plain logistic regression to these weights, so together they cost no more than one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import coo_array, csr_array, vstack

from detector.text.features import BUCKETS, FOR_TEXT, entries, styles
from detector.text.tokenize import encode

INTERCEPT_PENALTY: Final = 1e-3
"""Penalty of a source's intercept per unit of mean loss: among forty sources, free up to about two nats."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Block:
    """Columns of one kind: (n, d) values, dense or sparse, and their penalty per unit of mean loss, one or (d,)."""

    values: csr_array | NDArray[Any]
    penalty: float | Floats


@dataclass(frozen=True, slots=True)
class RandomInterceptFit:
    """A fit: weights of each block, the common bias, and of each row (n,) the intercept of its source."""

    weights: list[Floats]
    bias: float
    intercepts: Floats


def fit_logistic(
    blocks: Sequence[Block],
    label: NDArray[np.int64],
    weight: Floats,
    source: NDArray[np.str_] | None = None,
    *,
    offset: Floats | None = None,
    iterations: int = 150,
) -> RandomInterceptFit:
    """Minimise mean weighted logistic loss + sum of penalty / 2 x squares, by L-BFGS from zero.

    Args:
        blocks: columns of n rows.
        label: (n,) 1 = machine.
        weight: (n,) how much each row counts; the scale does not matter.
        source: (n,) where each row is from; None for one intercept alone.
        offset: (n,) logits known beforehand; None for 0.
        iterations: of L-BFGS, at most.
    """
    place = np.zeros(len(label), np.intp) if source is None else np.unique(source, return_inverse=True)[1]
    groups = 0 if source is None else int(place.max()) + 1
    sizes = [block.values.shape[1] for block in blocks]
    cuts = np.cumsum([0, *sizes])
    bias = int(cuts[-1])
    penalties = np.concatenate(
        [
            *(
                np.broadcast_to(np.asarray(block.penalty, np.float64), size)
                for block, size in zip(blocks, sizes, strict=True)
            ),
            [0.0],
            np.full(groups, INTERCEPT_PENALTY),
        ]
    )
    columns = [block.values.astype(np.float32) for block in blocks]
    rows = [csr_array(one.T) if isinstance(one, csr_array) else one.T for one in columns]
    sign = np.where(label == 1, 1.0, -1.0)
    start = np.zeros(len(label)) if offset is None else offset
    share = weight / weight.sum()

    def loss(theta: Floats) -> tuple[float, Floats]:
        raw = start + theta[bias]
        for k, one in enumerate(columns):
            raw += one @ theta[cuts[k] : cuts[k + 1]].astype(np.float32)
        if groups:
            raw += theta[bias + 1 :][place]
        margin = sign * raw
        value = float(share @ np.logaddexp(0, -margin)) + 0.5 * float(penalties @ (theta * theta))
        slope = -share * sign / (1 + np.exp(np.clip(margin, -60, 60)))
        parts = [one @ slope.astype(np.float32) for one in rows]
        tail = np.bincount(place, slope, groups) if groups else np.zeros(0)
        return value, np.concatenate([*parts, [slope.sum()], tail]) + penalties * theta

    found = minimize(
        loss,
        np.zeros(len(penalties)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": iterations, "ftol": 1e-7, "gtol": 1e-7},
    ).x
    weights = [found[cuts[k] : cuts[k + 1]] for k in range(len(blocks))]
    intercepts = found[bias + 1 :][place] if groups else np.zeros(len(label))
    return RandomInterceptFit(weights, float(found[bias]), intercepts)


CHUNK: Final = 2048

STYLE_LIMIT: Final = 3.0
"""Standard deviations at which a style feature is clipped: no single oddity decides."""

SMOOTHING: Final = 3e-3
"""Share of a source's texts that is added to both classes of a bucket: rarer n-grams say little either way."""

MIN_EACH: Final = 20
"""Texts of either class by which a source has log ratios of its own."""


@dataclass(frozen=True, slots=True)
class Design:
    """Rows of texts: `grams` (n, BUCKETS) sparse, `style` (n, STYLE_DIM)."""

    grams: csr_array
    style: Floats

    def take(self, rows: NDArray[np.intp]) -> Design:
        """The rows named."""
        return Design(self.grams[rows], self.style[rows])


def design(texts: Sequence[str]) -> Design:
    """N-grams and style of normalised texts."""
    grams, style = [], []
    for begin in range(0, len(texts), CHUNK):
        encoded = encode(texts[begin : begin + CHUNK])
        owner, bucket, value = entries(encoded)
        grams.append(csr_array(coo_array((value, (owner, bucket)), shape=(encoded.size, BUCKETS))))
        style.append(styles(encoded).astype(np.float64))
    return Design(csr_array(vstack(grams, format="csr")), np.concatenate(style))


@dataclass(frozen=True, slots=True)
class Linear:
    """A fitted model: score = grams @ `weights` + clip((style - mean) / spread) @ `style_weights` + `bias`."""

    weights: Floats
    style_weights: Floats
    mean: Floats
    spread: Floats
    bias: float

    def score(self, rows: Design) -> Floats:
        """Raw scores (log-odds at equal classes), (n,)."""
        z = np.clip((rows.style - self.mean) / self.spread, -STYLE_LIMIT, STYLE_LIMIT)
        out: Floats = rows.grams @ self.weights + z @ self.style_weights + self.bias
        return out


@dataclass(frozen=True, slots=True)
class FitSettings:
    """What the fit is told. Penalties are per unit of mean loss; larger is smoother."""

    penalty: float = 1e-5
    style_penalty: float = 1e-3
    use_grams: bool = True
    use_sources: bool = True
    """Whether each source has an intercept of its own (`training.linear`)."""
    ratio_share: float = 0.25
    """Spread of the naive Bayes score over that of the fitted one in their sum; 0 for none."""
    pooled_share: float = 1.0
    """Spread of a plain fit over that of the two above in the sum; 0 for none. The plain fit has one intercept and less
    of a penalty: it errs on other texts, and the sum of both ranks accounts of sources left out better."""
    iterations: int = 80


_PLAIN_PENALTIES: Final = (1e-3, 1.4e-6)
"""Penalties of style and n-grams in the plain fit: C = 8 for ninety thousand texts, as the plain rival has."""


def log_ratios(grams: csr_array, label: NDArray[np.int64], weight: Floats, smoothing: float = SMOOTHING) -> Floats:
    """Log ratio of how often machines and people use each bucket, (BUCKETS,).

    log((m + a) / (p + a)), where m and p are the weighted shares of machine and of people's texts that use the bucket:
    naive Bayes (Wang and Manning 2012 for its use beside a fitted model). No bucket's weight depends on another's, so
    nothing is fitted to how one source's topics hang together.

    Args:
        grams: (n, BUCKETS).
        label: (n,) 1 = machine.
        weight: (n,) how much each text counts.
        smoothing: a, share of the texts.
    """
    owner = np.repeat(np.arange(grams.shape[0]), np.diff(grams.indptr))
    shares = []
    for kind in (1, 0):
        own = np.where(label == kind, weight, 0.0)
        shares.append(np.bincount(grams.indices, weights=own[owner], minlength=BUCKETS) / own.sum())
    ratio: Floats = np.log((shares[0] + smoothing) / (shares[1] + smoothing))
    return ratio


def within_sources(grams: csr_array, label: NDArray[np.int64], source: NDArray[np.str_]) -> Floats:
    """Mean over sources of their `log_ratios`.

    Args:
        grams: (n, BUCKETS).
        label: (n,) 1 = machine.
        source: (n,) where each text is from.

    Returns:
        (BUCKETS,), over the sources that have enough texts of both classes; zeros where there is none.
    """
    total, count = np.zeros(BUCKETS), 0
    for name in np.unique(source):
        rows = np.flatnonzero(source == name)
        machine = int(label[rows].sum())
        if min(machine, len(rows) - machine) >= MIN_EACH:
            total += log_ratios(csr_array(grams[rows]), label[rows], np.ones(len(rows)))
            count += 1
    return total / max(count, 1)


def fit(
    rows: Design, label: NDArray[np.int64], weight: Floats, source: NDArray[np.str_], settings: FitSettings
) -> Linear:
    """Logistic regression with a random intercept for each source; naive Bayes within sources and a plain fit added.

    Args:
        rows: the texts.
        label: (n,) 1 = machine.
        weight: (n,) how much each counts.
        source: (n,) where each is from.
        settings: penalties and limits.
    """
    mean = np.average(rows.style, axis=0, weights=weight)
    spread = np.sqrt(np.average((rows.style - mean) ** 2, axis=0, weights=weight)) + 1e-3
    z = np.clip((rows.style - mean) / spread, -STYLE_LIMIT, STYLE_LIMIT) * FOR_TEXT
    blocks = [Block(z, settings.style_penalty)]
    kept = np.zeros(0, dtype=np.intp)
    if settings.use_grams:
        kept = np.flatnonzero(np.bincount(rows.grams.indices, minlength=BUCKETS))
        blocks.append(Block(csr_array(rows.grams[:, kept]), settings.penalty))
    found = fit_logistic(
        blocks, label, weight, source if settings.use_sources else None, iterations=settings.iterations
    )
    weights, bias = np.zeros(BUCKETS), found.bias
    if settings.use_grams:
        weights[kept] = found.weights[1]
    if settings.use_grams and settings.ratio_share:
        ratio = within_sources(rows.grams, label, source)
        share = weight / weight.sum()
        (_, fitted), (middle, naive) = (_moments(rows.grams @ one, share) for one in (weights, ratio))
        scale = settings.ratio_share * fitted / max(naive, 1e-9)
        weights += scale * ratio
        bias -= scale * middle
    style = found.weights[0]
    if settings.use_grams and settings.pooled_share:
        plain = fit_logistic(
            [Block(block.values, penalty) for block, penalty in zip(blocks, _PLAIN_PENALTIES, strict=True)],
            label, weight, None, iterations=settings.iterations,
        )  # fmt: skip
        plain_weights = np.zeros(BUCKETS)
        plain_weights[kept] = plain.weights[1]
        share = weight / weight.sum()
        (_, own), (middle, other) = (
            _moments(rows.grams @ grams + z @ styled, share)
            for grams, styled in ((weights, style), (plain_weights, plain.weights[0]))
        )
        scale = settings.pooled_share * own / max(other, 1e-9)
        weights = weights + scale * plain_weights
        style = style + scale * plain.weights[0]
        bias += scale * plain.bias
    return Linear(weights, style * FOR_TEXT, mean, spread, bias)


def _moments(score: Floats, share: Floats) -> tuple[float, float]:
    """Weighted mean and standard deviation."""
    middle = float(share @ score)
    return middle, float(np.sqrt(share @ (score - middle) ** 2))
