"""Societies made up without a simulator: campaigns that share links and words, a crowd that shares words, people."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from graph.traces import BUILT_IN, LINK, REPOST
from graph.wording import NEUTRAL
from training.pairs import Society

SETS = ("frontier_campaigns/C1", "synthpai/t001", "oasis_harm_groups/x")
GENERATORS = ("frontier-2026", "gpt-4", "llama3")
FAMILIES = ("waves", "drip", "links")


def society(
    seed: int, name: str = "", *, campaigns: int = 3, size: int = 8, crowd: int = 10, people: int = 80
) -> Society:
    """k accounts: members of the campaigns, then an organic crowd, then people.

    Args:
        seed: of everything that is drawn.
        name: of the society.
        campaigns: how many.
        size: members of each.
        crowd: people of the one crowd, who talk about one thing.
        people: others.
    """
    rng = np.random.default_rng(seed)
    members = campaigns * size
    k = members + crowd + people
    campaign = np.r_[np.repeat(np.arange(campaigns), size), np.full(k - members, -1)]
    group = np.r_[np.full(members, -1), np.zeros(crowd, np.int64), np.full(people, -1)]
    together = (campaign[:, None] == campaign) & (campaign >= 0)
    alike = (group[:, None] == group) & (group >= 0)
    nats = rng.exponential(0.3, (len(BUILT_IN), k, k))
    for kind in (LINK, REPOST):
        nats[kind] += together * rng.exponential(4.0, (k, k))
    wording = rng.normal(-0.2, 0.05, (k, k)) + 0.3 * together + 0.1 * alike
    nats, wording = (np.triu(part, 1) + np.swapaxes(np.triu(part, 1), -1, -2) for part in (nats, wording))
    which = [int(number) for number in campaign]
    return Society(
        name or f"made-{seed}", [f"u{n:03d}" for n in range(k)], nats.astype(np.float32), wording.astype(np.float32),
        rng.integers(4, 12, k), np.zeros(k, np.int64), (campaign >= 0).astype(np.int64), campaign, group,
        [FAMILIES[n % 3] if n >= 0 else "" for n in which],
        [SETS[n % 3] if n >= 0 else "people_authors/irc_ubuntu" for n in which],
        [GENERATORS[n % 3] if n >= 0 else "human" for n in which], np.zeros(k, np.bool_),
    )  # fmt: skip


def silent(given: Society) -> Society:
    """The society as if nobody's texts had been compared."""
    return replace(given, wording=np.full_like(given.wording, NEUTRAL))
