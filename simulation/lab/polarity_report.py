"""What posters on the reward platform posted, over seeds, beside the published figures: a table, rows and a plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import numpy as np
from scipy.stats import t as student

from simulation.lab.polarity_training import EpisodeRow
from simulation.plots import CAMPAIGNS, CONTROLS, svg
from simulation.population_files import written

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Published(NamedTuple):
    """A published figure: mean absolute polarity of the posts after an episode, and their variance if it is given."""

    episode: int
    polarity: float
    variance: float | None


PUBLISHED: Final = (Published(1, 0.64, 0.53), Published(9, 0.97, None), Published(19, 1.0, 0.0))
"""Rowe's experiment. All posts of episode 19 had one sign."""

LEVEL: Final = 0.95
"""Of intervals over seeds."""

SHOWN_EPISODES: Final = frozenset({1, 2, 3, 5, 7, 9, 11, 13, 15, 17, 19, 20})
"""Rows of the table: the published ones and what lies between; the file of rows has all."""


VARIANT_EPISODE: Final = 9
"""The published figure between the first, which is that of a poster who has not learned, and the last, which is 1."""


class SeedMean(NamedTuple):
    """A mean over seeds with its interval; without one, where there is only one seed, the ends are nan."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.2f} ({self.low:.2f} to {self.high:.2f})" if self.low == self.low else f"{self.mean:.2f}"


def estimate(values: Sequence[float]) -> SeedMean:
    """The mean of seeds' values with Student's interval, which takes seeds for draws of one normal distribution.

    Values that are not numbers, of seeds that posted nothing, are left out.
    """
    known = np.array([value for value in values if value == value])
    if not len(known):
        return SeedMean(float("nan"), float("nan"), float("nan"))
    mean = float(known.mean())
    if len(known) == 1:
        return SeedMean(mean, float("nan"), float("nan"))
    half = float(student.ppf((1 + LEVEL) / 2, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known)))
    return SeedMean(mean, mean - half, mean + half)


def by_episode(rows: Sequence[EpisodeRow]) -> dict[int, list[EpisodeRow]]:
    """Rows of all seeds by episode, in their order."""
    found: dict[int, list[EpisodeRow]] = {}
    for row in sorted(rows, key=lambda each: (each.episode, each.seed)):
        found.setdefault(row.episode, []).append(row)
    return found


def markdown(rows: Sequence[EpisodeRow]) -> str:
    """The table over seeds beside the published figures, in Markdown."""
    lines = [
        "| episode | absolute polarity of posts | published | variance of posts | published | reward | of one sign |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    known = {each.episode: each for each in PUBLISHED}
    for episode, seeds in by_episode(rows).items():
        if episode not in SHOWN_EPISODES:
            continue
        there = known.get(episode)
        polarity = "" if there is None else f"{there.polarity:.2f}"
        variance = "" if there is None or there.variance is None else f"{there.variance:.2f}"
        one_sign = sum(row.one_sign == 1.0 for row in seeds)
        lines.append(
            f"| {episode} | {estimate([row.posts_polarity for row in seeds])} | {polarity} "
            f"| {estimate([row.posts_variance for row in seeds])} | {variance} "
            f"| {np.mean([row.reward for row in seeds]):.0f} | {one_sign} of {len(seeds)} |"
        )
    return "\n".join(lines) + "\n"


def variants_table(rows: Mapping[str, Sequence[EpisodeRow]]) -> str:
    """What each variant does to the measures after episodes 1 and 9, or the last one, in Markdown."""
    lines = [
        "| varied | after episode | absolute polarity of posts | variance of posts | reward |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, mine in rows.items():
        episodes = by_episode(mine)
        for episode in sorted({1, min(VARIANT_EPISODE, max(episodes))}):
            seeds = episodes[episode]
            lines.append(
                f"| {name if episode == 1 or len(episodes) == 1 else ''} | {episode} "
                f"| {estimate([row.posts_polarity for row in seeds])} "
                f"| {estimate([row.posts_variance for row in seeds])} "
                f"| {np.mean([row.reward for row in seeds]):.0f} |"
            )
    known = {each.episode: each for each in PUBLISHED}
    for episode in (1, VARIANT_EPISODE):
        variance = known[episode].variance
        lines.append(
            f"| {'published' if episode == 1 else ''} | {episode} | {known[episode].polarity:.2f} "
            f"| {'' if variance is None else f'{variance:.2f}'} | |"
        )
    return "\n".join(lines) + "\n"


def write_rows(rows: Sequence[EpisodeRow], path: Path) -> None:
    """All rows as CSV, by seed and episode.

    Raises:
        UsageError: the file cannot be written.
    """
    out = io.StringIO(newline="")
    table = csv.writer(out, lineterminator="\n")
    table.writerow(EpisodeRow.__struct_fields__)
    table.writerows(msgspec.structs.astuple(row) for row in sorted(rows, key=lambda each: (each.seed, each.episode)))
    with written(path) as file:
        file.write(out.getvalue().encode())


def drawing(rows: Sequence[EpisodeRow]) -> str:
    """Absolute polarity and variance by episode, each seed thin, their mean thick, published figures as marks. SVG."""
    episodes = by_episode(rows)
    seeds = sorted({row.seed for row in rows})
    shown = (
        ("posts_polarity", "mean absolute polarity of posts", [(each.episode, each.polarity) for each in PUBLISHED]),
        (
            "posts_variance",
            "variance of posts",
            [(each.episode, each.variance) for each in PUBLISHED if each.variance is not None],
        ),
    )

    def draw(figure: Figure) -> None:
        for axes, (name, title, published) in zip(figure.subplots(1, 2), shown, strict=True):
            for seed in seeds:
                mine = [row for row in rows if row.seed == seed]
                axes.plot(
                    [row.episode for row in mine],
                    [getattr(row, name) for row in mine],
                    color=CONTROLS, alpha=0.35, linewidth=0.8, gid=f"{name}-seed-{seed}",
                )  # fmt: skip
            means = [estimate([getattr(row, name) for row in each]).mean for each in episodes.values()]
            axes.plot(list(episodes), means, color=CONTROLS, linewidth=2.2, label=f"mean of {len(seeds)} seeds")
            axes.plot(
                *zip(*published, strict=True),
                linestyle="", marker="D", color=CAMPAIGNS[0], label="published", gid=f"{name}-published",
            )  # fmt: skip
            axes.set_title(title)
            axes.set_xlabel("episode")
            axes.set_ylim(-0.02, 1.05)
            axes.legend(frameon=False)

    return svg(draw, "Polarity on the reward platform", (9.0, 3.6))
