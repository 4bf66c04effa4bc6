"""Four parts to one total that says no more than the calibration people support."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.account.model import whole_millinats

FloatArray = NDArray[np.float64]


class Fused(NamedTuple):
    """Parts of n accounts after the cap; `total` is their sum."""

    text: FloatArray
    behaviour: FloatArray
    coordination: FloatArray
    graph: FloatArray
    total: FloatArray


def combine(text: FloatArray, behaviour: FloatArray, coordination: FloatArray, graph: FloatArray, cap: float) -> Fused:
    """Add the parts, and shrink them together so that the total stays under `cap`.

    n people cannot show that an event is rarer than 1 / (n + 1), so no total beyond log(n + 1) nats can be checked.
    The sum s becomes cap * tanh(s / cap): small sums stay as they are, order stays, and every part is scaled by the
    same factor, so the parts still add up and none changes sign.

    Args:
        text, behaviour, coordination, graph: (n,) LLRs in nats; 0.0 where a part abstains.
        cap: largest absolute total, in nats, positive.
    """
    total = text + behaviour + coordination + graph
    bounded = cap * np.tanh(total / cap)
    factor = np.where(np.abs(total) > _TINY, bounded / np.where(np.abs(total) > _TINY, total, 1.0), 1.0)
    parts = [whole_millinats(part * factor) for part in (text, behaviour, coordination, graph)]
    return Fused._make((*parts, whole_millinats(parts[0] + parts[1] + parts[2] + parts[3])))


_TINY = 1e-9


def posterior(total: FloatArray, prior: float) -> FloatArray:
    """P(a language model drives the account) for prior share `prior` of such accounts, in (0, 1)."""
    logit = total + np.log(prior / (1.0 - prior))
    result: FloatArray = 1.0 / (1.0 + np.exp(-logit))
    return result
