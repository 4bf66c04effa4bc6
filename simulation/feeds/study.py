"""The feeds of a published study in the simulated society: engagement, content warning, downrank, remove and replace.

The study (Jia, Lam, Mai, Hancock and Bernstein 2024; figures and where each comes from in `study.toml`) gave partisans
one of several feeds and asked for their animosity towards the other party afterwards. Here the people of a simulated
society are divided among four feeds of one platform. Of a person i, over all posts that it came past, with weight
(1 + place)^-attention:

    dose_i      = weighted mean of rating x (1 - warning_discount if it carried a warning)
    animosity_i = strong_baseline x strong_i + effect x dose_i + normal noise of standard deviation 1
    engaged_i   = propensity_i x weighted mean of appeal
    objection_i = objection_warning x share of posts with a warning + normal noise of standard deviation 1

where effect is `effect_weak`, times `effect_ratio` for strong partisans. Differences from the engagement feed are in
units of the pooled standard deviation (Cohen's d), within weak and within strong partisans and over all.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np

from simulation.feeds.plan import Algorithm, FeedPlan
from simulation.feeds.post_texts import Content
from simulation.feeds.reading import ReaderSettings
from simulation.feeds.scorers import Engagement, Societal
from simulation.feeds.society import FeedSociety
from simulation.population import lognormal
from simulation.population_config import PopulationConfig
from simulation.population_files import preset
from simulation.sampling import Flags, Floats, Ints, stream
from simulation.world import World

FEEDS: Final = ("engagement", "warning", "downrank", "replace")
"""Columns of everything here; the others are held against the first."""

CALIBRATION_SEEDS: Final = range(1000, 1040)
"""Societies that `effect_weak` is calibrated on: d of one varies by 0.1. Those that are reported begin at 0."""

READERS: Final = ("weak", "strong", "all")

OUTCOMES: Final = ("animosity", "engagement", "objections")

DAYS: Final = 0.5
"""Read before people are asked, after the day in which the platform gets going: as short as the study's one sitting
allows in which everybody reads a few pages."""

Status: TypeAlias = Literal["published", "calibrated", "assumed"]


class Number(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A number of the study or of its model, with where it comes from."""

    name: str
    value: float
    status: Status
    about: str


def numbers() -> dict[str, Number]:
    """All numbers of `study.toml`, by name."""
    table: Any = tomllib.loads(files("simulation").joinpath("feeds/study.toml").read_text(encoding="utf-8"))
    return {one.name: one for one in msgspec.convert(table["number"], list[Number])}


@dataclass
class StudyParticipants:
    """What the people of one society came to: all of shape (people,), those only who have read something.

    feed: index of `FEEDS`; strong: whether strong partisans; dose, appeal, warned: weighted means over what was seen.
    """

    feed: Ints
    strong: Flags
    dose: Floats
    appeal: Floats
    warned: Floats
    seed: int

    def outcomes(self, given: dict[str, float]) -> dict[str, Floats]:
        """Animosity, engagement and objections of everybody; the same people for the same seed, whatever `given`."""
        rng = stream(self.seed, "study-people")
        n = len(self.feed)
        noise = rng.normal(size=(2, n))
        propensity = lognormal(1.0, given["propensity_spread"], n, rng)
        effect = given["effect_weak"] * np.where(self.strong, given["effect_ratio"], 1.0)
        return {
            "animosity": given["strong_baseline"] * self.strong + effect * self.dose + noise[0],
            "engagement": propensity * self.appeal,
            "objections": given["objection_warning"] * self.warned + noise[1],
        }


def algorithms(given: dict[str, float]) -> list[Algorithm]:
    """The four feeds, in the order of `FEEDS`."""
    marked = given["marked_from"]
    return [
        Algorithm("engagement", (Engagement(),)),
        Algorithm("warning", (Engagement(),), label_from=marked),
        Algorithm("downrank", (Engagement(), Societal(weight=given["downrank_weight"]))),
        Algorithm("replace", (Engagement(), Societal(weight=0.0, out_from=marked))),
    ]


def population(given: dict[str, float]) -> PopulationConfig:
    """People as many as study 1 had, and nobody else."""
    town = preset("town")
    return msgspec.structs.replace(
        town, accounts=round(given["participants"]), days=DAYS, machines=0.0, operators=(), burn_in_hours=12.0
    )


def simulated(seed: int, given: dict[str, float], reading: ReaderSettings | None = None) -> StudyParticipants:
    """A society of the study.

    Args:
        seed: of everything that is drawn.
        given: values of `numbers` by name.
        reading: how people read.
    """
    settings = ReaderSettings() if reading is None else reading
    world = World(population(given), seed)
    plan = FeedPlan([(each, 1.0) for each in algorithms(given)])
    society = FeedSociety(world, plan, settings, Content(world, given["heated"]))
    n = len(world.people)
    total, dose, appeal, warned, seen = np.zeros((5, n))
    for step in society.steps():
        shown = step.exposures
        weight = (1.0 + shown.place) ** -settings.attention
        effective = shown.rating * (1 - given["warning_discount"] * shown.labelled)
        for sums, values in (
            (total, weight), (dose, weight * effective), (appeal, weight * shown.appeal),
            (warned, shown.labelled.astype(np.float64)), (seen, np.ones(len(shown))),
        ):  # fmt: skip
            sums += np.bincount(shown.reader, values, minlength=n)
    read = np.flatnonzero(seen > 0)
    strong = stream(seed, "partisans").random(n) < given["strong_share"]
    return StudyParticipants(
        society.algorithm_of[read], strong[read], dose[read] / total[read], appeal[read] / total[read],
        warned[read] / seen[read], seed,
    )  # fmt: skip


def cohen_d(values: Floats, treated: Flags, control: Flags) -> float:
    """Difference of means in units of the pooled standard deviation.

    Args:
        values: shape (people,).
        treated, control: which of them.
    """
    a, b = values[treated], values[control]
    pooled = ((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / (len(a) + len(b) - 2)
    return float((a.mean() - b.mean()) / np.sqrt(pooled))


def effects(asked: StudyParticipants, given: dict[str, float]) -> Floats:
    """d of every outcome, kind of reader and feed, against the engagement feed: (outcomes, readers, feeds)."""
    outcomes = asked.outcomes(given)
    masks = (~asked.strong, asked.strong, np.ones(len(asked.strong), bool))
    found = np.zeros((len(OUTCOMES), len(READERS), len(FEEDS)))
    for i, name in enumerate(OUTCOMES):
        for j, mask in enumerate(masks):
            for k in range(1, len(FEEDS)):
                found[i, j, k] = cohen_d(outcomes[name], mask & (asked.feed == k), mask & (asked.feed == 0))
    return found


def calibrated(everybody: Sequence[StudyParticipants], given: dict[str, float]) -> float:
    """The `effect_weak` that brings downranking and replacement, taken together, to the published d of study 1.

    By bisection: the mean over societies of both effects falls as `effect_weak` grows.

    Args:
        everybody: societies to calibrate on; those that are reported are others.
        given: values of `numbers` by name.
    """
    wanted = -(given["downrank_d"] + given["replace_d"]) / 2
    low, high = 0.0, 200.0
    for _ in range(40):
        middle = (low + high) / 2
        mean = np.mean([effects(asked, given | {"effect_weak": middle})[0, 2, 2:].mean() for asked in everybody])
        low, high = (middle, high) if mean > wanted else (low, middle)
    return (low + high) / 2


class Expected(NamedTuple):
    """What the study published of a feed against the engagement feed: its sign (0: no difference), its size or None."""

    sign: int
    size: float | None


def expected(given: dict[str, float]) -> dict[tuple[str, str], Expected]:
    """What was published, by outcome and feed, of all readers; where there is nothing, nothing was found."""
    return {
        ("animosity", "downrank"): Expected(-1, -given["downrank_d"]),
        ("animosity", "replace"): Expected(-1, -given["replace_d"]),
        ("engagement", "warning"): Expected(0, None),
        ("engagement", "downrank"): Expected(0, None),
        ("engagement", "replace"): Expected(0, None),
        ("objections", "warning"): Expected(1, None),
    }


def as_published(found: Floats, expected: Expected, equal_within: float) -> float:
    """Share of societies whose effect has the published sign; of no difference, that is within `equal_within`.

    Args:
        found: shape (societies,), d of each.
        expected: what was published.
        equal_within: largest d that counts as none.
    """
    right = np.abs(found) <= equal_within if expected.sign == 0 else np.sign(found) == expected.sign
    return float(right.mean())


def dose_table(everybody: Sequence[StudyParticipants]) -> Floats:
    """Mean dose and share of posts with a warning in each feed: (2, feeds)."""
    return np.array(
        [
            [np.mean([getattr(asked, name)[asked.feed == k].mean() for asked in everybody]) for k in range(len(FEEDS))]
            for name in ("dose", "warned")
        ]
    )
