"""A moderator with an economic incentive: it sets prices on reach and is paid for civility less lost engagement.

It sees what a platform counts: how polar the posts of the last window were, how much was followed and liked of what
could have been, and how much of the time is gone. It sees nothing of how posters learn. After each window it is paid

    1 - mean |p| of posts - weight (1 - engagement / possible engagement)

where the weight says how much a lost follower or like counts beside civility; there is one moderator for each weight.
It learns by the cross-entropy method (Rubinstein 1999) on societies whose posters go on learning: candidates are drawn
around the best so far, each moderates a society of its own for all of its windows, and the next are drawn around those
that were paid best. A `fixed` moderator sees nothing and sets one tariff for good; it is searched for in the same way.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from simulation.lab.poster_societies import WINDOWS, GradientPosters, Report, Societies, drawn
from simulation.lab.reach_prices import BANDS, Limits, tariff
from simulation.sampling import Floats, stream

WEIGHTS: Final = (0.25, 0.5, 1.0, 2.0)
"""Of lost engagement against civility, as the frontier is drawn: from a quarter as much to twice as much."""

POSTERS: Final = 8
"""In a society."""

HOLD, TOGETHER = 40, 10
"""Of societies in training: accounts are read five times a window, ten actions then stand for forty steps each."""

SEEN: Final = 3
"""Numbers that a moderator sees."""

FIRST_SPREAD: Final = 1.5
"""Standard deviation of the first candidates' weights: at 1.5 a price is anywhere between none and the largest."""

ELITE: Final = 0.2
"""Share of candidates that the next are drawn around."""

LEAST_SPREAD: Final = 0.1
"""Of candidates: without it a search ends where a lucky one stood."""


class Schooling(msgspec.Struct, frozen=True, kw_only=True):
    """How a moderator is trained.

    Args:
        seed: of everything.
        weight: of lost engagement.
        fixed: it sees nothing and sets one tariff.
        candidates: of a round, each with a society of its own.
        rounds: of candidates.
        limits: of bonuses.
        windows: of a life of posters.
    """

    seed: int
    weight: float
    fixed: bool = False
    candidates: int = 48
    rounds: int = 14
    limits: Limits = Limits()
    windows: int = WINDOWS


class Moderators:
    """Moderators of societies side by side, each linear in what it sees.

    Args:
        weights: shape (societies, BANDS, 1 + SEEN): of a constant and of what is seen.
        limits: of bonuses.
        windows: of the posters' life.
    """

    def __init__(self, weights: Floats, limits: Limits, windows: int = WINDOWS) -> None:
        self._weights, self._limits, self.windows = weights, limits, windows

    def prices(self, last: Report | None, window: int) -> Floats:
        """Multipliers by band, shape (societies, BANDS), between 0 and the largest bonus.

        Args:
            last: of the window before; none at the beginning, when half is taken for what is not known.
            window: number of this one, from 0.
        """
        known = np.zeros((len(self._weights), 1 + SEEN))
        known[:, 0] = 1.0
        known[:, 3] = 2 * window / self.windows - 1
        if last is not None:
            known[:, 1] = 2 * last.polarity - 1
            known[:, 2] = 2 * np.minimum(last.engagement / last.possible, 1) - 1
        inner = np.einsum("sbk,sk->sb", self._weights, known)
        return np.asarray(self._limits.most_bonus / (1 + np.exp(-inner)))


def pay(report: Report, weight: float) -> Floats:
    """What a moderator is paid for a window, shape (societies,), where lost engagement has this weight."""
    return np.asarray(1 - report.polarity - weight * (1 - report.engagement / report.possible))


def moderated(societies: Societies, moderators: Moderators) -> list[Report]:
    """Reports on all windows of societies, each under its moderator."""
    reports: list[Report] = []
    for window in range(moderators.windows):
        bands = moderators.prices(reports[-1] if reports else None, window)
        reports.append(societies.window(tariff(bands)))
    return reports


def schooled(options: Schooling) -> Floats:
    """Train a moderator: its weights, shape (BANDS, 1 + SEEN)."""
    rng = stream(options.seed, "lab", "moderator", str(options.weight), str(options.fixed))
    centre = np.zeros((BANDS, 1 + SEEN))
    spread = np.full_like(centre, FIRST_SPREAD)
    if options.fixed:
        spread[:, 1:] = 0.0
    best = max(2, round(ELITE * options.candidates))
    for _ in range(options.rounds):
        tried = centre + spread * rng.standard_normal((options.candidates, *centre.shape))
        # The same posters for all candidates, so that these differ by what they do.
        posters = drawn(rng, 1, POSTERS, "training").repeated(options.candidates)
        learner = GradientPosters(posters, rng, HOLD)
        societies = Societies(posters, learner, rng, HOLD, TOGETHER, options.limits.worth)
        reports = moderated(societies, Moderators(tried, options.limits, options.windows))
        paid = np.mean([pay(each, options.weight) for each in reports], axis=0)
        elite = tried[np.argsort(paid)[-best:]]
        centre = elite.mean(0)
        spread = np.maximum(elite.std(0), LEAST_SPREAD) * (spread > 0)
    return centre
