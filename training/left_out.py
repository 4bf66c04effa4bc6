"""False flags of people who had no part in calibration: every population left out of the thresholds in turn.

`gather_people` runs the whole system over everybody there is and `left_out` holds each population against thresholds
of the others, so that the table says how far a threshold carries to people it was not set on. A population passes with
at most `MOST` of its accounts flagged, or where nobody calibrated its language: it is ranked then and not flagged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from detector.errors import UsageError
from detector.threshold_groups import passing
from detector.thresholds import Thresholds
from streaming.assess import AssessSettings
from training.account_data import read_stream, read_truth
from training.account_training_set import known_texts
from training.calibrate import (
    Person,
    Recorded,
    account_of,
    calibration_recordings,
    looks_of,
    pauses_of,
    population_recording,
    read_people,
    thresholds_of,
)
from training.metrics import share_interval
from training.populations import POPULATIONS, is_there, population_people
from training.system import run_system

MOST: Final = 0.05
"""Share of a population left out that may be flagged at a target of one in a hundred: five times what was promised to
people like those calibrated on, and still few enough to look at."""

FEWEST: Final = 20
"""People by whom a share is taken at its word; with fewer the lower end of its interval is."""

People = dict[str, Person]

OPERATION: Final = "ira-dev"
"""A real operation of people, who are no language models: every flag is false."""

MEASURED: Final = tuple(each.name for each in POPULATIONS if each.mixed or each.name == "sms-zh")
"""Populations that never calibrate: bags of several people's texts, and a language that no text model reads."""


@dataclass(frozen=True)
class Audited:
    """A population, or a part of one, against thresholds that it has no part in.

    Args:
        name: of the population, with what is told apart within it.
        people: with enough texts to be flagged.
        ranked_only: of them, those in a language that the others do not calibrate.
        flagged: of those that could be.
        mixed: whether they are bags of several people.
    """

    name: str
    people: int
    ranked_only: int
    flagged: int
    mixed: bool = False

    @property
    def judged(self) -> int:
        """People who could be flagged."""
        return self.people - self.ranked_only

    @property
    def share(self) -> float:
        """Share flagged of those who could be; 0 where nobody could."""
        return self.flagged / self.judged if self.judged else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Exact 95% interval of the share."""
        return share_interval(self.flagged, self.judged)

    @property
    def passes(self) -> bool:
        """Whether no more than `MOST` are flagged, as far as so many people can tell."""
        if not self.judged:
            return True
        return self.share <= MOST if self.judged >= FEWEST else self.interval[0] <= MOST


Parts = Callable[[str], str]
"""Account -> what it belongs to within its population, "" for nothing."""


def left_out(
    populations: Mapping[str, People],
    measured: Mapping[str, People],
    target_fpr: float,
    *,
    parts: Parts = lambda account: "",
    min_texts: int | None = None,
) -> Iterator[Audited]:
    """Every population against thresholds of the others, and those that only measure against thresholds of all.

    Args:
        populations: that calibrate: name -> people by account.
        measured: that never do.
        target_fpr: rate asked for.
        parts: what is told apart within a population.
        min_texts: from how many texts on an account may be flagged; by default as in a run.
    """
    least = AssessSettings().min_texts if min_texts is None else min_texts
    for name, people in populations.items():
        others = {other: each for other, each in populations.items() if other != name}
        yield from audited(name, people, thresholds_of(others, {}, least), target_fpr, parts)
    made = thresholds_of(populations, {}, least)
    for name, people in measured.items():
        for row in audited(name, people, made, target_fpr, parts):
            mixed = any(each.mixed for each in POPULATIONS if each.name == name)
            yield Audited(row.name, row.people, row.ranked_only, row.flagged, mixed)


def audited(
    name: str, people: Mapping[str, Person], made: Thresholds, target_fpr: float, parts: Parts = lambda account: ""
) -> Iterator[Audited]:
    """A population against thresholds, and its parts: main languages, and what `parts` tells apart.

    Args:
        name: of the population.
        people: by account.
        made: thresholds that they have no part in.
        target_fpr: rate asked for.
        parts: what is told apart.
    """
    groups = made.by_group(target_fpr)
    able = {account: person for account, person in people.items() if person.texts >= made.min_texts}
    looks = looks_of(able.values(), made.horizon_posts, made.min_texts)
    kept = [account for account, person in able.items() if person.within(made.horizon_posts, made.min_texts)]
    flagged = passing(looks, groups, made.languages) if kept else np.zeros(0, np.bool_)
    ranked = np.array([able[account].language not in made.languages for account in kept], np.bool_)
    belongs = [tuple(part for part in (able[account].language, parts(account)) if part) for account in kept]

    def row(title: str, chosen: NDArray[np.bool_]) -> Audited:
        # Who wrote some texts in another language and was flagged there, could be flagged.
        apart = ranked & ~flagged & chosen
        return Audited(title, int(chosen.sum()), int(apart.sum()), int((flagged & chosen).sum()))

    yield row(name, np.ones(len(kept), np.bool_))
    for part in sorted({part for each in belongs for part in each}):
        chosen = np.array([part in each for each in belongs])
        if not chosen.all() and chosen.sum() >= _FEWEST_SHOWN:
            yield row(f"{name}: {part}", chosen)


_FEWEST_SHOWN: Final = 10
"""People by which a part is told of."""


@dataclass(frozen=True)
class Gap:
    """How much more often one population stands above a threshold than another.

    Args:
        share: of the first.
        other: of the second.
        interval: 95% interval of the difference (Newcombe 1998, method 10).
    """

    share: float
    other: float
    interval: tuple[float, float]


def gap(first: Audited, second: Audited) -> Gap:
    """The difference between two populations' shares.

    Raises:
        UsageError: one of them has nobody who could be flagged.
    """
    if not first.judged or not second.judged:
        raise UsageError(f"{first.name} against {second.name}: nobody is left to compare")
    a, b = first.share, second.share
    (low_a, high_a), (low_b, high_b) = (_wilson(each.flagged, each.judged) for each in (first, second))
    low = a - b - np.hypot(a - low_a, high_b - b)
    high = a - b + np.hypot(high_a - a, b - low_b)
    return Gap(a, b, (float(low), float(high)))


def _wilson(count: int, total: int) -> tuple[float, float]:
    z = float(norm.ppf(0.975))
    share = count / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * float(np.sqrt(share * (1 - share) / total + z * z / (4 * total * total)))
    return middle - half, middle + half


def gather_people(
    data: Path, models: Path, work: Path, table: pd.DataFrame, say: Callable[[str, float], None]
) -> tuple[dict[str, People], dict[str, People], dict[str, str]]:
    """The people who calibrate, those who only measure, and what each account belongs to within its population.

    Args:
        data: folder with `text/` and `streams/`.
        models: the bundle.
        work: folder for recordings and runs; a run that is there already is used again.
        table: what the text models were trained on; its authors are left out.
        say: progress.
    """
    work.mkdir(parents=True, exist_ok=True)
    calibrating = calibration_recordings(data, work, table)
    measuring, groups = measured_recordings(data, work, table)
    found: dict[str, People] = {}
    together = {**calibrating, **measuring}
    for number, (name, (recording, chosen)) in enumerate(together.items()):
        say(name, number / len(together))
        runs = work / f"{name}.trajectories"
        if not runs.exists():
            run_system([recording], models, trajectories=runs)
        found[name] = read_people(runs, chosen)
    return (
        {name: found[name] for name in calibrating if found[name]},
        {name: found[name] for name in measuring if found[name]},
        groups,
    )


def measured_recordings(data: Path, work: Path, table: pd.DataFrame) -> tuple[dict[str, Recorded], dict[str, str]]:
    """Recordings of those who only measure, and what accounts of text messages belong to.

    Args:
        data: folder with `text/` and `streams/`.
        work: folder in which recordings are written.
        table: what the text models were trained on.
    """
    known, streams = known_texts(table), data / "streams"
    contest = read_truth(streams / "contest-dev.truth.jsonl")
    people = {name for name, record in contest.items() if record["label"] == 0}
    pauses = pauses_of(read_stream(streams / "contest-dev.jsonl.gz"), people.__contains__)
    recordings: dict[str, Recorded] = {}
    for name in (each.name for each in POPULATIONS if each.name in MEASURED and is_there(data, each)):
        texts = population_people(data, None, names=[name], known_texts=known)
        texts = texts[(texts["role"] != "train") & _enough(texts)]
        if len(texts):
            population_recording(texts, pauses, work / f"{name}.jsonl")
            recordings[name] = (work / f"{name}.jsonl", _anybody)
    operation = streams / f"{OPERATION}.jsonl.gz"
    if operation.is_file():
        recordings[OPERATION] = (operation, _anybody)
    asked = [each.name for each in POPULATIONS if each.group is not None and is_there(data, each)]
    return recordings, speakers(population_people(data, None, names=asked))


def _enough(texts: pd.DataFrame) -> pd.Series[bool]:
    sizes: pd.Series[bool] = texts.groupby("author_id")["text"].transform("size") >= AssessSettings().min_texts
    return sizes


def speakers(people: pd.DataFrame) -> dict[str, str]:
    """Account in a recording -> `native`, `second language` or `unknown`, of people of whom it was asked."""
    rows = people.drop_duplicates(["population", "author_id"])
    named = zip(rows["population"], rows["author_id"], rows["group"], strict=True)
    return {account_of(population, author): group for population, author, group in named if group}


def _anybody(name: str) -> bool:
    return True


def failing(rows: Sequence[Audited]) -> list[Audited]:
    """Those that do not pass, bags of several people left out: they are no accounts of anybody."""
    return [row for row in rows if not row.passes and not row.mixed]
