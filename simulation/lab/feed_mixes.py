"""Feed algorithms alone and in pairs: what one adds to another in the same societies.

Each algorithm works alone and with each other one, half and half (`FeedPlan`, `together="weights"`), beside a policy
that does nothing. `moderation` is engagement with flagged accounts removed, `amplification` is engagement with the
campaigns' posts pushed, as operators buy it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np

from simulation.feeds.plan import Algorithm, FeedPlan, algorithm
from simulation.feeds.scorers import Amplification, Moderation
from simulation.feeds.society import FeedSociety
from simulation.lab.enforcement import feed_plan, reading_of
from simulation.lab.interventions import Assumed
from simulation.lab.live_detector import Finding
from simulation.lab.spoken_words import SpokenWords, default_ratings
from simulation.lab.trial_society import SocietySettings, population
from simulation.population_files import written
from simulation.sampling import Flags
from simulation.world import World

ALONE: Final = ("engagement", "chronological", "follows", "societal", "moderation", "amplification")
"""Algorithms that are put together."""


class FeedMix(NamedTuple):
    """One algorithm, or two together: campaigns' share of exposures, and engagement a society (`outcomes`)."""

    names: tuple[str, ...]
    campaigns: float
    engagement: float
    expected: float | None
    """Share of campaigns if the two did not interact: the mean of both alone. None for one alone."""


def _algorithm(name: str, label: Flags, removed: Flags, society: FeedSociety) -> Algorithm:
    if name == "moderation":
        society.standing.removed |= removed
        return Algorithm(name, (*algorithm("engagement").scorers, Moderation(society.standing)))
    if name == "amplification":
        return Algorithm(name, (*algorithm("engagement").scorers, Amplification(label)))
    return algorithm(name)


def mixes(trial: SocietySettings, found: dict[int, Sequence[Finding]], assumed: Assumed) -> list[FeedMix]:
    """Every algorithm alone and all pairs, over the societies of `found`.

    Args:
        trial: what societies share.
        found: seed -> what the detector says in that society; everybody named is removed from the start.
        assumed: how people read.
    """
    pairs: list[tuple[str, ...]] = [(name,) for name in ALONE]
    pairs += list(combinations(ALONE, 2))
    shares: dict[tuple[str, ...], tuple[float, float]] = {}
    for names in pairs:
        seen = of_campaigns = 0
        engagement = 0.0
        for seed, findings in found.items():
            world = World(population(trial, seed), seed)
            label = world.roles.label
            removed = np.zeros(len(label), bool)
            removed[[account for each in findings for account in each.accounts]] = True
            pushed = label if "amplification" in names else None
            words = SpokenWords(world, default_ratings())
            society = FeedSociety(world, feed_plan(), reading_of(assumed), words, pushed, shared_luck=True)
            society.plan = FeedPlan([(_algorithm(name, label, removed, society), 1.0) for name in names], "weights")
            for step in society.steps():
                seen += len(step.exposures)
                of_campaigns += int(label[step.exposures.author].sum())
                engagement += float(step.exposures.appeal.sum(dtype=np.float64))
        shares[names] = of_campaigns / max(seen, 1), engagement / max(len(found), 1)
    result = []
    for names, (share, engagement) in shares.items():
        expected = float(np.mean([shares[(name,)][0] for name in names])) if len(names) > 1 else None
        result.append(FeedMix(names, share, engagement, expected))
    return result


def kept_mixes(
    trial: SocietySettings, found: dict[int, Sequence[Finding]], assumed: Assumed, folder: Path
) -> list[FeedMix]:
    """As `mixes`; kept in a folder under all that they depend on, and found again there.

    Args:
        trial: what societies share.
        found: seed -> what the detector says in that society.
        assumed: how people read.
        folder: keeps them.
    """
    said = msgspec.json.encode((trial, sorted(found.items()), assumed, ALONE))
    file = folder / f"mixes-{hashlib.sha256(said).hexdigest()[:24]}.json"
    if file.exists():
        return msgspec.json.decode(file.read_bytes(), type=list[FeedMix])
    made = mixes(trial, found, assumed)
    with written(file) as out:
        out.write(msgspec.json.encode(made))
    return made
