"""Whether a group, as a group, is driven by machines: the second of the two statements that make a campaign.

The statistic is the mean, over the group's members with text, of what their own text and behaviour say (nats, bounded
like a total, without the coordination component, which is derived from it). It is held against groups of people of that
size. What is known of people are the running maxima of the calibration people, with mean m and standard deviation s; a
running maximum is at least the present value, so this errs on the side of people. Members of a real community are alike
(language, topic, style), and what they share does not average out: with correlation r, the mean of k of them has
variance s^2 (r + (1 - r) / k). The threshold is m + z s sqrt(r + (1 - r) / k), z the normal quantile of
1 - `target_fdr`.

A mean can be carried by two loud members, so at least half of the members with text must show evidence above zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from detector.thresholds import Thresholds

ALIKE: Final = 0.3
"""Correlation assumed between the evidence of people of one community. A 1% cut from one population of people flagged
4.6 to 6.5% of another, a shift of 0.7 standard deviations common to all of them; a correlation of 0.3 allows for one of
0.55 standard deviations two times out of three, and the running maxima leave room beyond."""

FEWEST: Final = 3
"""Members with text below which nothing is said about a group: two accounts are not a campaign."""

CEASE_NATS: Final = 0.0
"""A campaign once shown to be machine-driven stays one while its mean evidence is above this: it must speak for people
before the statement is taken back, so that an alert does not flicker around the threshold."""


@dataclass(frozen=True)
class GroupEvidence:
    """What the texts of a group's members say of the group."""

    members: int
    """Members whose text gives evidence."""
    nats: float
    """Their mean evidence, 0.0 where there are too few."""
    threshold: float
    """What the mean has to exceed for groups of that size."""
    positive: int
    """Members with text whose evidence is above zero."""

    @property
    def machine(self) -> bool:
        """Whether the group is shown to be machine-driven."""
        return self.members >= FEWEST and self.nats > self.threshold and 2 * self.positive >= self.members

    @property
    def still_machine(self) -> bool:
        """Whether a group once shown to be machine-driven still counts as one."""
        return self.members >= FEWEST and self.nats > CEASE_NATS


FEWEST_PEOPLE: Final = 30
"""Calibration people of a population by whom it says what groups of its people are like: the mean and spread of fewer
are guesses, and the strictest guess would decide."""


def _large_enough(thresholds: Thresholds) -> list[NDArray[np.float64]]:
    """Running maxima of the populations with enough people; of all where none has."""
    every = list(thresholds.maxima.values())
    return [maxima for maxima in every if len(maxima) >= FEWEST_PEOPLE] or every


class GroupJudge:
    """Judges groups against groups of the calibration people.

    Args:
        thresholds: with the running maxima of people, by population; the strictest population counts.
        target_fdr: share of groups of people that may pass.
    """

    def __init__(self, thresholds: Thresholds, target_fdr: float) -> None:
        self._z = -float(ndtri(target_fdr))
        self._people = [
            (float(np.mean(maxima)), float(np.std(maxima, ddof=1)) if len(maxima) > 1 else 0.0)
            for maxima in _large_enough(thresholds)
        ]
        self._known: dict[int, float] = {}

    def threshold(self, members: int) -> float:
        """What the mean evidence of `members` accounts has to exceed, nats."""
        if members not in self._known:
            spread = float(np.sqrt(ALIKE + (1.0 - ALIKE) / max(members, 1)))
            self._known[members] = max(mean + self._z * deviation * spread for mean, deviation in self._people)
        return self._known[members]

    def judge(self, evidence: NDArray[np.float64]) -> GroupEvidence:
        """Judge a group by the text and behaviour evidence (nats) of its members with text, in any order."""
        k = len(evidence)
        nats = round(float(np.sort(evidence).mean()), 6) if k >= FEWEST else 0.0
        return GroupEvidence(k, nats, self.threshold(k), int((evidence > 0).sum()))
