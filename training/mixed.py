"""Logistic regression with a random intercept for each source: what tells machines from people *within* sources.

Sources differ in how many of their texts are a machine's, and in their topics, lengths and typography. A plain fit
learns to tell the sources apart and calls that evidence. Here every source has an intercept of its own, drawn towards
0 (a mixed-effects model, Breslow and Clayton 1993, by penalised likelihood); it takes up what the source alone says
and is dropped when a new text is judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array

INTERCEPT_PENALTY: Final = 1e-3
"""Penalty of a source's intercept per unit of mean loss: among forty sources, free up to about two nats."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Block:
    """Columns of one kind: (n, d) values, dense or sparse, and their penalty per unit of mean loss, one or (d,)."""

    values: csr_array | NDArray[Any]
    penalty: float | Floats


@dataclass(frozen=True, slots=True)
class Mixed:
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
) -> Mixed:
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
    return Mixed(weights, float(found[bias]), intercepts)
