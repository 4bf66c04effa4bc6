"""The societies that the graph model learns from, sorted by what they are for; made once and kept in a work folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from graph.touches import HOUR_MS
from training.graph_data import Example, read_examples
from training.societies import account_graphs, shuffled, simulate, society_toml
from training.text import Say

MATURE_MS: Final = 11 * HOUR_MS
"""Graphs are learned from when they are this much older than the first: younger ones hardly have campaigns in them."""


@dataclass
class Societies:
    """Graphs of societies by what they are for; `broken` are the test societies' with accounts exchanged."""

    train: list[Example]
    calibrate: list[Example]
    test: list[Example]
    broken: list[Example]
    count: dict[str, int]


def gather(
    work: Path, count: int, own: Sequence[tuple[str, str]], models: Path | None, seed: int, say: Say
) -> Societies:
    """Make, or find in `work`, the societies and their graphs.

    Args:
        count: of simulated ones.
        own: events and truth of the user's, besides.
        models: bundle that runs over them; the shipped one where None.
    """
    wanted = count + len(own)
    held = max(wanted * 3 // 16, 1)
    found: list[list[Example]] = []
    broken: list[Example] = []
    for i in range(wanted):
        place = work / f"s{i:02d}"
        place.mkdir(parents=True, exist_ok=True)
        say(f"society {i + 1} of {wanted}", i / wanted)
        if i < count:
            events, truth = place / "events.jsonl", place / "truth.jsonl"
            if not truth.exists():
                toml = society_toml(np.random.default_rng([seed, i]))
                simulate(toml, seed * 1000 + i, events, truth)
        else:
            events, truth = map(Path, own[i - count])
        held_out = i >= wanted - 2 * held
        if not list((place / "graphs").glob("*.json")):
            account_graphs(events, place / "graphs", models, coordination=held_out)
        found.append(read_examples(place / "graphs", truth, f"s{i:02d}"))
        if i >= wanted - held:
            if not list((place / "broken").glob("*.json")):
                mixed = place / "broken.jsonl"
                shuffled(events, mixed, i)
                account_graphs(mixed, place / "broken", models, coordination=False)
            broken.append(read_examples(place / "broken", truth, f"s{i:02d}")[-1])
    cut = wanted - 2 * held
    train_on = [one for each in found[:cut] for one in _mature(each)]
    calibrate_on = [one for each in found[cut : cut + held] for one in _mature(each)]
    counts = {"train": cut, "calibrate": held, "test": held}
    return Societies(train_on, calibrate_on, [each[-1] for each in found[cut + held :]], broken, counts)


def _mature(examples: Sequence[Example]) -> list[Example]:
    return [one for one in examples if one.tick_ms >= examples[0].tick_ms + MATURE_MS] or list(examples[-1:])
