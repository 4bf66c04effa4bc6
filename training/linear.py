"""Logistic regression on hashed n-grams and style, fitted by L-BFGS on sparse rows, deterministic for one input."""

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
    sources_needed: int = 0
    place_penalty: float = 0.0
    use_grams: bool = True
    iterations: int = 60


def shared_buckets(grams: csr_array, source: NDArray[np.intp], needed: int, rows_each: int = 2) -> NDArray[np.bool_]:
    """Buckets that at least `needed` sources use in at least `rows_each` texts: the rest is one source's topic."""
    count = np.zeros(BUCKETS, dtype=np.int32)
    for one in np.unique(source):
        used = np.bincount(grams[np.flatnonzero(source == one)].indices, minlength=BUCKETS)
        count += used >= rows_each
    return count >= needed


def place_columns(label: NDArray[np.int64], source: NDArray[np.intp]) -> Floats:
    """One indicator per source that has both classes, (n, sources): what the place itself says, to be thrown away."""
    both = [one for one in np.unique(source) if len(np.unique(label[source == one])) == 2]
    columns: Floats = np.equal.outer(source, np.array(both, dtype=np.intp)).astype(np.float64)
    return columns


def fit(
    rows: Design, label: NDArray[np.int64], weight: Floats, source: NDArray[np.intp], settings: FitSettings
) -> Linear:
    """Minimise mean weighted logistic loss + penalty/2 |w|^2, by L-BFGS from zero.

    Args:
        rows: the texts.
        label: (n,) 1 = machine.
        weight: (n,) how much each counts.
        source: (n,) which source each is of, for `FitSettings.sources_needed`.
        settings: penalties and limits.
    """
    mean = np.average(rows.style, axis=0, weights=weight)
    spread = np.sqrt(np.average((rows.style - mean) ** 2, axis=0, weights=weight)) + 1e-3
    z = np.clip((rows.style - mean) / spread, -STYLE_LIMIT, STYLE_LIMIT) * FOR_TEXT
    grams = rows.grams
    if not settings.use_grams:
        kept = np.zeros(0, dtype=np.intp)
    elif settings.sources_needed:
        kept = np.flatnonzero(shared_buckets(grams, source, settings.sources_needed))
    else:
        kept = np.flatnonzero(np.bincount(grams.indices, minlength=BUCKETS))
    matrix = csr_array(grams[:, kept]).astype(np.float32)
    transposed = csr_array(matrix.T)
    sign = np.where(label == 1, 1.0, -1.0)
    share = weight / weight.sum()
    places = place_columns(label, source) if settings.place_penalty else np.zeros((len(label), 0))
    size, dims = len(kept), z.shape[1]
    z = np.concatenate([z, places], axis=1)
    penalties = np.concatenate(
        [
            np.full(size, settings.penalty),
            np.full(dims, settings.style_penalty),
            np.full(places.shape[1], settings.place_penalty),
            [0.0],
        ]
    )

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
    return Linear(weights, found.x[size : size + dims] * FOR_TEXT, mean, spread, float(found.x[-1]))
