"""Puts the facts of two streams beside each other and says which miss.

Intervals are percentiles of a bootstrap over accounts or objects. A simulated fact *fits* where its 95% interval meets
the real one, is *near* within a quarter of the real value, and *misses* otherwise. A real interval leaves out how the
sample came about, so a miss of little may be the sample's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from simulation.report.acts import Acts
from simulation.report.facts import Fact, measure

DRAWS: Final = 200

LARGEST: Final = 20_000
"""Values that a draw resamples: of more, a part says as much."""

NEAR: Final = 0.25

Judgement: TypeAlias = Literal["fits", "near", "misses"]


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """One fact in both streams."""

    name: str
    real: Estimate
    simulated: Estimate

    @property
    def judgement(self) -> Judgement:
        """Whether the simulated fact fits."""
        real, made = self.real, self.simulated
        if made.low <= real.high and real.low <= made.high:
            return "fits"
        return "near" if abs(made.value - real.value) <= NEAR * abs(real.value) else "misses"


def estimate(fact: Fact, rng: np.random.Generator) -> Estimate:
    """A fact with its bootstrap interval."""
    values = fact.values
    drawn = min(len(values), LARGEST)
    results = [fact.summed(values[rng.integers(0, len(values), drawn)]) for _ in range(DRAWS)]
    shrink = np.sqrt(drawn / len(values))
    value = fact.summed(values)
    if not np.isfinite(results).any():
        return Estimate(value, value, value)
    low, high = (value + (np.nanpercentile(results, q) - np.nanmedian(results)) * shrink for q in (2.5, 97.5))
    return Estimate(value, float(low), float(high))


def compare(real: Acts, simulated: Acts, rng: np.random.Generator) -> list[Line]:
    """Every fact that both streams show."""
    made = {fact.name: fact for fact in measure(simulated, rng)}
    lines = []
    for fact in measure(real, rng):
        other = made.get(fact.name)
        if other is not None:
            line = Line(fact.name, estimate(fact, rng), estimate(other, rng))
            if np.isfinite([line.real.value, line.simulated.value]).all():
                lines.append(line)
    return lines
