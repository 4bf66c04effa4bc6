"""Holds a generator to its stated distribution: it fits its own parameters, and none of them moved by a fifth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from simulation.population_config import Part

Any1: TypeAlias = NDArray[Any]

MOVED: Final = 0.2

DEVIATION: Final = 5.0
"""Standard errors: a right generator strays so far once in a million, and seeds are fixed."""


P = TypeVar("P", bound=Part)

Deviations: TypeAlias = Sequence[float]


def held(settings: P, names: Sequence[str], deviations: Callable[[P, P, np.random.Generator], Deviations]) -> None:
    """Assert that a sample made with `settings` agrees with them, and one made with any of `names` moved does not.

    Args:
        deviations: (made, stated, rng): statistics of a sample of `made` less what `stated` says, in standard errors.
    """
    fitting = deviations(settings, settings, np.random.default_rng(1))
    assert np.max(np.abs(fitting)) < DEVIATION, f"the generator is not what it says: {np.round(fitting, 1)}"
    for name in names:
        for factor in (1 - MOVED, 1 + MOVED):
            made = moved(settings, name, factor)
            found = deviations(made, settings, np.random.default_rng(2))
            assert np.max(np.abs(found)) > DEVIATION, f"{name} times {factor} goes unnoticed: {np.round(found, 1)}"


def moved(settings: P, name: str, factor: float) -> P:
    """The same settings with one of them multiplied, kept in its range."""
    value = getattr(settings, name)
    if isinstance(value, tuple):
        new: Any = tuple(type(item)(round(item * factor) if isinstance(item, int) else item * factor) for item in value)
    elif isinstance(value, int):
        new = round(value * factor)
    else:
        new = value * factor
    try:
        return msgspec.convert(msgspec.to_builtins(settings) | {name: new}, type=type(settings))
    except msgspec.ValidationError:
        return msgspec.convert(msgspec.to_builtins(settings) | {name: 1.0}, type=type(settings))


def mean(sample: Any1, expected: float, spread: float | None = None) -> float:
    """How many standard errors the mean is off; the spread is the sample's own where none is stated."""
    values = np.asarray(sample, float)
    deviation = float(values.std()) if spread is None else spread
    return float((values.mean() - expected) / max(deviation / np.sqrt(len(values)), 1e-12))


def spread(sample: Any1, expected: float) -> float:
    """How many standard errors the standard deviation is off, by the sample's own fourth moment."""
    values = np.asarray(sample, float)
    squares = (values - values.mean()) ** 2
    return mean(squares, expected**2)


def share(hits: int, n: int, expected: float) -> float:
    """How many standard errors a share is off."""
    return float((hits / n - expected) / np.sqrt(max(expected * (1 - expected), 1e-9) / n))


def count(found: float, expected: float) -> float:
    """How many standard errors a Poisson count is off."""
    return float((found - expected) / np.sqrt(expected))
