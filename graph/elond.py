"""e-LOND: online control of the false-discovery rate with e-values under any dependence (Xu & Ramdas 2024).

Hypothesis t (t = 1, 2, ... in the order of first bets) is accepted as a discovery once its e-value reaches
1 / (fdr * gamma_t * (discoveries so far + 1)), with sum of gamma_t at most 1. With e-processes the rule may be applied
at any time: at the moment of acceptance the e-value is one at a stopping time, and discoveries only grow in
number.
"""

from __future__ import annotations

import math
from typing import Final

GAMMA_SUM: Final = 2.0
"""Upper bound of the sum over t >= 1 of 1 / (t (1 + ln t)^2): 1 for t = 1 plus the integral from 1, which is 1."""


def gamma(number: int) -> float:
    """Share of the error budget that hypothesis `number` (from 1) has. Falls slowly, so that late ones have some."""
    return 1.0 / (GAMMA_SUM * number * (1.0 + math.log(number)) ** 2)


def log_bar(number: int, discoveries: int, fdr: float) -> float:
    """The log e-value (nats) at which hypothesis `number` is accepted after `discoveries` earlier acceptances."""
    return -math.log(fdr * gamma(number) * (discoveries + 1))
