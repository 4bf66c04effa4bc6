"""Two linear models of hashed n-grams in one: logistic regression, which is strong on what resembles its sources, and
naive Bayes over sources, which is strong on what does not. Their weights add up, so together they cost no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import coo_array, csr_array, vstack

from detector.text.encode import encode
from detector.text.ngrams import BUCKETS, entries
from detector.text.style import FOR_TEXT, styles

CHUNK: Final = 2048

STYLE_LIMIT: Final = 3.0
"""Standard deviations at which a style feature is clipped: no single oddity decides."""

SMOOTHING: Final = 3e-4
"""Share of texts that is added to both classes of a bucket: rarer n-grams say little either way."""

Floats = NDArray[np.float64]


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
    ratio_share: float = 0.5
    """Spread of the naive Bayes score over that of the fitted one in their sum; 0 for none."""
    iterations: int = 60


def log_ratios(grams: csr_array, label: NDArray[np.int64], weight: Floats, smoothing: float = SMOOTHING) -> Floats:
    """Log ratio of how often machines and people use each bucket, (BUCKETS,).

    log((m + a) / (p + a)), where m and p are the weighted shares of machine and of people's texts that use the bucket:
    naive Bayes (Wang and Manning 2012 for its use beside a fitted model). No bucket's weight depends on another's, so
    nothing is fitted to how one source's topics hang together.
    """
    owner = np.repeat(np.arange(grams.shape[0]), np.diff(grams.indptr))
    shares = []
    for kind in (1, 0):
        own = np.where(label == kind, weight, 0.0)
        shares.append(np.bincount(grams.indices, weights=own[owner], minlength=BUCKETS) / own.sum())
    ratio: Floats = np.log((shares[0] + smoothing) / (shares[1] + smoothing))
    return ratio


def fit(rows: Design, label: NDArray[np.int64], weight: Floats, settings: FitSettings) -> Linear:
    """Minimise mean weighted logistic loss + penalty/2 |w|^2, by L-BFGS from zero; then add `log_ratios`.

    Args:
        rows: the texts.
        label: (n,) 1 = machine.
        weight: (n,) how much each counts.
        settings: penalties and limits.
    """
    mean = np.average(rows.style, axis=0, weights=weight)
    spread = np.sqrt(np.average((rows.style - mean) ** 2, axis=0, weights=weight)) + 1e-3
    z = np.clip((rows.style - mean) / spread, -STYLE_LIMIT, STYLE_LIMIT) * FOR_TEXT
    grams = rows.grams
    if not settings.use_grams:
        kept = np.zeros(0, dtype=np.intp)
    else:
        kept = np.flatnonzero(np.bincount(grams.indices, minlength=BUCKETS))
    matrix = csr_array(grams[:, kept]).astype(np.float32)
    transposed = csr_array(matrix.T)
    sign = np.where(label == 1, 1.0, -1.0)
    share = weight / weight.sum()
    size, dims = len(kept), z.shape[1]
    penalties = np.concatenate([np.full(size, settings.penalty), np.full(dims, settings.style_penalty), [0.0]])

    def loss(theta: Floats) -> tuple[float, Floats]:
        raw = matrix @ theta[:size].astype(np.float32) + z @ theta[size:-1] + theta[-1]
        margin = sign * raw
        value = float(share @ np.logaddexp(0, -margin)) + 0.5 * float(penalties @ (theta * theta))
        slope = -share * sign / (1 + np.exp(np.clip(margin, -60, 60)))
        gradient = np.concatenate([transposed @ slope.astype(np.float32), z.T @ slope, [slope.sum()]])
        return value, gradient + penalties * theta

    found = minimize(
        loss,
        np.zeros(len(penalties)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": settings.iterations, "ftol": 1e-7, "gtol": 1e-7},
    )
    weights = np.zeros(BUCKETS)
    weights[kept] = found.x[:size]
    if settings.use_grams and settings.ratio_share:
        ratio = log_ratios(grams, label, weight)
        fitted, naive = (_spread(grams @ one, share) for one in (weights, ratio))
        weights += settings.ratio_share * fitted / max(naive, 1e-9) * ratio
    return Linear(weights, found.x[size : size + dims] * FOR_TEXT, mean, spread, float(found.x[-1]))


def _spread(score: Floats, share: Floats) -> float:
    middle = share @ score
    return float(np.sqrt(share @ (score - middle) ** 2))
