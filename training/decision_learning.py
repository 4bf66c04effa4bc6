"""Learns from decisions of moderators how much each evidence component is worth now: a shadow beside the live model.

The live model adds four components as they are. After a drift, say to a language model that none of the text models
has met, that sum is no longer the best one. Decisions say what was a machine, but of alerts mostly; so each counts
with the inverse of the probability with which it was shown (`detector.blind_sampling`), flattened by a root
(`FLATTENING`), and the blind sample stands for everybody else. What is fitted are a weight and a bend of each component
(`detector.component_weights`) and an intercept, drawn towards the live model's by a normal prior, so that few decisions
change little, and the share of decisions that are wrong (Copas 1988, Journal of the Royal Statistical Society B
50:225-265): a slip on an account that stands for hundreds would move everything else. Weights alone cannot say that a
component speaks both ways, as it does where machines are of two kinds; bends can, and each component still has its own
share of the score. Calibration people decide nothing here: they set the new score's threshold, as they set the live
one's, and are never fitted to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from detector.component_weights import ComponentCurve, bend_of
from detector.errors import UsageError

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

WEIGHT_SPREAD: Final = 1.0
"""Standard deviation of the prior on each component's weight, around 1: a component may turn out to be worth nothing,
or twice what it says."""

BEND_SPREAD: Final = 0.5
"""The same of each bend, around 0: one scale off the centre a component may be worth half a time more or less. Chosen
from 1/4, 1/2 and 1 as `FLATTENING` was."""

SMALLEST_SCALE: Final = 0.25
"""Nats; a component of which hardly anybody has evidence bends over no less."""

INTERCEPT_SPREAD: Final = 3.0
"""The same of the intercept, in nats, around the operator's base rate: that may be wrong by a factor of twenty."""

LARGEST_WEIGHT: Final = 10.0
"""Largest weight of a decision beside the median one. Beyond it a few accounts of the blind sample decide alone."""

FLATTENING: Final = 0.25
"""Power of the inverse probabilities, between 0 (each decision counts the same) and 1 (the sample counts as all
accounts do). Who is shown depends mostly on the components, so at 0 little is biased where the logistic model is right,
and at 1 nothing is where it is wrong, at the price of a variance that 200 decisions do not bear (Shimodaira 2000,
Journal of Statistical Planning and Inference 90:227-244). Chosen from 0, 1/4 and 1/2 on societies of
`training.learning_simulation` whose seeds (1000 and up) it does not measure on and on others with drifts drawn at
random: 0 and 1/4 hardly differ, and bring back up to 8 points more than 1/2."""

WRONG: Final = 0.02
WRONG_SPREAD: Final = 1.0
"""Share of decisions that are wrong before any was seen, and the standard deviation of its logit: 0.3% to 13%."""

MOST_WRONG: Final = 0.25
"""Beyond it decisions would say nothing."""

LEAST_OF_A_KIND: Final = 5
"""Decisions for, and against, a machine that are needed: with fewer the prior alone speaks."""


@dataclass(frozen=True)
class Shadow:
    """A model beside the live one.

    Args:
        curves: of the components, in the order of `COMPONENTS`; the live model's leave them as they are.
        intercept: nats; not part of the score, as the threshold is set after it.
        threshold: of the score, from the calibration people.
        live_threshold: of the plain sum, from the same people at the same rate.
        decisions: on how many accounts it rests.
        effective: as how many equally likely ones they count (Kish 1965).
        wrong: share of them that seem to be wrong.
    """

    curves: tuple[ComponentCurve, ...]
    intercept: float
    threshold: float
    live_threshold: float
    decisions: int
    effective: float
    wrong: float = 0.0

    def score(self, components: Floats) -> Floats:
        """The score of accounts; shape (accounts,).

        Args:
            components: shape (accounts, components), nats.
        """
        return scored(self.curves, components)

    def flags(self, components: Floats) -> Flags:
        """Whom the shadow would flag."""
        result: Flags = self.score(components) > self.threshold
        return result

    def live_flags(self, components: Floats) -> Flags:
        """Whom the plain sum flags, by the same people."""
        result: Flags = components.sum(axis=1) > self.live_threshold
        return result


def scored(curves: Sequence[ComponentCurve], components: Floats) -> Floats:
    """The sum of what components count; shape (accounts,).

    Args:
        curves: one of each component.
        components: shape (accounts, components), nats.
    """
    result: Floats = np.sum([curve.of(components[:, place]) for place, curve in enumerate(curves)], axis=0)
    return result


def conformal_threshold(people: Floats, target_fpr: float) -> float:
    """The score that at most a share `target_fpr` of people like these passes (split conformal prediction).

    Args:
        people: shape (people,), the score of each.
        target_fpr: the rate.

    Raises:
        UsageError: a rate finer than so many people support.
    """
    rank = int(np.floor(target_fpr * (len(people) + 1) + 1e-9))
    if rank < 1:
        raise UsageError(
            f"target_fpr = {target_fpr:g} is finer than {len(people)} calibration people support: give more people, or "
            f"a rate of at least {1 / (len(people) + 1):.2g}"
        )
    return float(np.sort(people)[-rank])


def counted(probabilities: Floats, shares: Floats) -> tuple[Floats, float]:
    """What each decision counts, and as how many equally likely ones they do together.

    Args:
        probabilities: shape (decisions,), with which each was shown.
        shares: shape (decisions,), what each counts beside one that is alone.

    Returns: weights that add up to the second number.
    """
    raw = shares * probabilities**-FLATTENING
    raw = np.minimum(raw, LARGEST_WEIGHT * float(np.median(raw)))
    effective = float(raw.sum() ** 2 / (raw**2).sum())
    return raw * (effective / raw.sum()), effective


def fit(
    components: Floats,
    machine: Flags,
    probabilities: Floats,
    people: Floats,
    everybody: Floats,
    *,
    prior: float,
    target_fpr: float,
    shares: Floats | None = None,
    bent: bool = True,
) -> Shadow:
    """Fit the shadow model.

    Args:
        components: shape (decisions, components), nats, of the accounts that were decided on.
        machine: shape (decisions,), whether it was decided that they are machine-driven.
        probabilities: shape (decisions,), with which each was shown to be decided on.
        people: shape (people, components), of the calibration people.
        everybody: shape (accounts, components), of all that were seen: where most of them are, and how far apart.
        prior: share of machine-driven accounts that the operator assumes.
        target_fpr: share of people that may be flagged.
        shares: shape (decisions,), what each counts beside one that is alone; None for 1.
        bent: whether components may bend; with weights alone otherwise, the plain rival.

    Raises:
        UsageError: too few decisions of a kind, a probability that is none, or too few people.
    """
    kinds = int(machine.sum()), int((~machine).sum())
    if min(kinds) < LEAST_OF_A_KIND:
        raise UsageError(
            f"{kinds[0]} decisions for a machine and {kinds[1]} against: at least {LEAST_OF_A_KIND} of each are needed "
            "to learn from"
        )
    if not ((probabilities > 0.0) & (probabilities <= 1.0)).all():
        raise UsageError("a decision was shown with a probability that is not above 0 and at most 1: see sampled_with")
    counts, effective = counted(probabilities, np.ones(len(machine)) if shares is None else shares)
    size = components.shape[1]
    centres, scales = np.median(everybody, axis=0), np.maximum(everybody.std(axis=0), SMALLEST_SCALE)
    bends = bend_of(components, centres, scales) if bent else components[:, :0]
    design = np.column_stack([components, bends, np.ones(len(components))])
    centre = np.concatenate([np.ones(size), np.zeros(bends.shape[1]), [np.log(prior / (1.0 - prior))]])
    spread = np.repeat([WEIGHT_SPREAD, BEND_SPREAD, INTERCEPT_SPREAD], [size, bends.shape[1], 1])
    found, wrong = _most_likely(design, machine.astype(np.float64), counts, centre, spread**-2.0)
    bend = found[size : 2 * size] if bent else np.zeros(size)
    numbers = np.column_stack([found[:size], bend, centres, scales])
    curves = tuple(ComponentCurve(*each) for each in numbers.tolist())
    return Shadow(
        curves=curves,
        intercept=float(found[-1]),
        threshold=conformal_threshold(scored(curves, people), target_fpr),
        live_threshold=conformal_threshold(people.sum(axis=1), target_fpr),
        decisions=len(machine),
        effective=effective,
        wrong=wrong,
    )


def _most_likely(
    design: Floats, target: Floats, counts: Floats, centre: Floats, precision: Floats
) -> tuple[Floats, float]:
    """The largest a-posteriori logistic coefficients, and the share of targets that are wrong, by BFGS.

    With wrong decisions there may be two maxima: machines that turned round, or decisions that were slips. So the climb
    starts from the live model and from ones whose first component turned, or whose own evidence says nothing.
    """
    start = np.append(centre, np.log(WRONG / (MOST_WRONG - WRONG)))
    weights = np.append(precision, WRONG_SPREAD**-2.0)

    def loss(at: Floats) -> tuple[float, Floats]:
        chance = expit(design @ at[:-1])
        share = float(expit(at[-1]))
        wrong = MOST_WRONG * share
        said = np.clip(wrong + (1.0 - 2.0 * wrong) * chance, _TINY, 1.0 - _TINY)
        likelihood = counts @ (target * np.log(said) + (1.0 - target) * np.log(1.0 - said))
        slope = counts * (target / said - (1.0 - target) / (1.0 - said))
        by_weight = design.T @ (slope * (1.0 - 2.0 * wrong) * chance * (1.0 - chance))
        by_wrong = float((slope * (1.0 - 2.0 * chance)).sum()) * wrong * (1.0 - share)
        away = at - start
        value = -float(likelihood) + 0.5 * float(weights @ away**2)
        return value, weights * away - np.append(by_weight, by_wrong)

    turned, silent = start.copy(), start.copy()
    turned[0], silent[:2] = -1.0, 0.0
    climbs = [minimize(loss, first, jac=True, method="BFGS") for first in (start, turned, silent)]
    found = min(climbs, key=lambda climb: float(climb.fun)).x
    result: Floats = found[:-1]
    return result, MOST_WRONG * float(expit(found[-1]))


_TINY: Final = 1e-12
"""Keeps the logarithm of a chance finite."""
