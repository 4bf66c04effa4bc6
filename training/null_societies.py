"""How often a campaign is named where there is none, and which are found: many small societies, one after another.

`python -m training.null_societies` acts out societies of people with their crowds, societies with campaigns among them,
and a table of campaigns by size and duration; runs both searches of `graph.search` on each; and counts what would have
an alert. A society takes a second, having no texts: nothing is read. What texts and behaviour would say is drawn
(`training.drawn_evidence`), crowds that text models accuse as a whole included, and what accounts say is compared with
nothing. So this measures the searches and their decoys, not the text models.

Every society's result is a file of the work folder, and is not made again: a broken study goes on where it was.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from detector.errors import UsageError
from detector.models import GRAPH, SHIPPED, SavedWeights
from detector.thresholds import Thresholds
from graph.pair_model import PairModel
from graph.permutation import upper_rate
from graph.search import Accounts, among_all, among_suspects, pair_features
from simulation.population_config import Operator, PopulationConfig
from simulation.redteam.measure import record
from streaming.assess.machine_groups import GroupJudge
from streaming.assess.meaning_reading import SUSPECT_NATS
from streaming.cli import run_function
from streaming.score import Scorer
from training.drawn_evidence import drawn_llr
from training.pairs import CROWD_SHIFT, MOST_CROWDED, remembered
from training.progress import progress_bar
from training.society_plan import CAMPAIGN_SIZE, DAYS, FAMILIES, LONG_DAYS, among_people, between, strong

ACCOUNTS: Final = (250, 500)
"""Accounts of a society: enough for crowds, and a second's work."""

MIXED: Final = (1, 3)
"""Campaigns of a society that has any."""

SIZES: Final = (3, 5, 10, 20, 50, 100, 200)
DURATIONS: Final = (2.0, 7.0, 21.0, 60.0)
"""Of the table of what is found: members of a campaign, and the days in which it does as much."""

STEP_MINUTES: Final = 60.0
BURN_IN_HOURS: Final = 6.0
"""Of the simulation: coarser than for training, where a step's cost does not count."""

PEOPLE_TO_ONE: Final = 4
"""Accounts of others for each member in that table, at least: matched controls are as many as the members."""

HALF: Final = 0.5
"""Share of a campaign's members in an accepted group, and of a group's members of one campaign, from which the one is
found and the other is right."""

TARGET_FDR: Final = 0.05
"""At which groups are accepted: the configuration's default."""

BOUND: Final = 2.0
"""The upper bound should be at most so many times `TARGET_FDR`."""

Kind = Literal["people", "mixture", "table"]

Ints = NDArray[np.int64]


class SocietyFindings(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in one society.

    Args:
        kind: people and their crowds alone; campaigns among them; one campaign of the table.
        seed: of the society.
        accounts: how many acted.
        days: how long.
        sizes: members of each campaign.
        found: for each campaign, whether half of its members are in an alerted campaign.
        seen: for each, whether half of its members are in any accepted group, of whichever search.
        right: alerted campaigns half of whose members are of one campaign.
        wrong: other alerted campaigns.
        crowds: accepted groups without machine evidence that are half of one organic crowd or of one campaign.
        circles: other accepted groups without machine evidence.
        wrong_sizes: members of the wrong ones and of the circles.
        seconds: of the processor.
    """

    kind: Kind
    seed: int
    accounts: int
    days: float
    sizes: list[int]
    found: list[bool]
    seen: list[bool]
    right: int
    wrong: int
    crowds: int
    circles: int
    wrong_sizes: list[int]
    seconds: float


class Task(msgspec.Struct, frozen=True):
    """A society to be looked at: kind, seed, and in the table the campaign's members and days."""

    kind: Kind
    seed: int
    size: int = 0
    days: float = 0.0

    @property
    def name(self) -> str:
        """Of its file."""
        return (
            f"{self.kind}-{self.size}-{self.days:g}-{self.seed}" if self.kind == "table" else f"{self.kind}-{self.seed}"
        )


def population(task: Task, rng: np.random.Generator) -> PopulationConfig:
    """Draw what is acted out.

    Args:
        task: what it is for.
        rng: where chance comes from.
    """
    accounts, days = round(between(rng, ACCOUNTS)), task.days or between(rng, DAYS)
    sizes: list[int] = []
    if task.kind == "mixture":
        sizes = [round(between(rng, CAMPAIGN_SIZE)) for _ in range(int(rng.integers(MIXED[0], MIXED[1] + 1)))]
    elif task.kind == "table":
        sizes = [task.size]
        accounts = max(accounts, (1 + PEOPLE_TO_ONE) * task.size)
    families = rng.permutation(sorted(set(FAMILIES) - {"words-only"})).tolist()
    operators = [
        Operator(name=f"{families[n]}-{n}", size=(size, size), tactics=strong(rng, FAMILIES[families[n]], days))
        for n, size in enumerate(sizes)
    ]
    drawn = among_people(rng, accounts, days, operators)
    step = STEP_MINUTES if days <= LONG_DAYS else 4 * STEP_MINUTES
    return msgspec.structs.replace(drawn, step_minutes=step, burn_in_hours=BURN_IN_HOURS)


class Searcher:
    """Both searches with the shipped models, and the judge of groups; made once a process."""

    def __init__(self) -> None:
        self.model = PairModel.of(SavedWeights.load(SHIPPED / GRAPH))
        self.judge = GroupJudge(Thresholds.load(SHIPPED), TARGET_FDR)
        self.scorer = Scorer(None)


def trial(task: Task, searcher: Searcher) -> SocietyFindings:
    """Act out a society and look for groups in it.

    Args:
        task: which one.
        searcher: models and searches.
    """
    begun = time.process_time()
    rng = np.random.default_rng([task.seed, task.size, round(task.days), len(task.kind)])
    drawn = population(task, rng)
    with tempfile.TemporaryDirectory(prefix="swarmlight-") as folder:
        events = Path(folder) / "events.jsonl"
        truth = {str(row["account"]): row for row in record(drawn, int(rng.integers(2**31)), events).truth}
        accounts, memory, _, _, acts, now = remembered(events, searcher.scorer)
    rows = np.array(sorted(acts, key=accounts.name), np.int64)
    view = memory.view(accounts.name, now, rows)
    names = [accounts.name(row) for row in view.rows.tolist()]
    label = np.array([int(truth[name]["label"]) for name in names], np.int64)
    campaign, campaigns = _numbered([truth[name]["campaign"] for name in names])
    crowd, _ = _numbered([truth[name]["group"] for name in names])
    own, speaks = drawn_llr(label, campaign, crowd, rng)
    for number in range(int(crowd.max(initial=-1)) + 1):
        if rng.random() < MOST_CROWDED:
            own[(crowd == number) & (label == 0)] += CROWD_SHIFT
    own = np.where(speaks, own, 0.0)
    seed = task.seed
    posts = np.array([acts[int(row)] for row in view.rows], np.int64)
    everybody = among_all(view, now, seed, target_fdr=TARGET_FDR)
    together = [g.members for g, q in zip(everybody.groups, everybody.q, strict=True) if q <= TARGET_FDR]
    known = np.zeros(len(names), np.bool_)
    known[[member for members in together for member in members]] = True
    k = np.arange(len(names))
    searched = Accounts(k, own > SUSPECT_NATS, own, posts, np.zeros(len(names), np.int64))
    features, _ = pair_features(view, searched, None, now)
    suspects = among_suspects(features, searched, searcher.model, seed, known)
    groups = [g.members for g, q in zip(suspects.groups, suspects.q, strict=True) if q <= TARGET_FDR]
    alerted = [members for members in groups if searcher.judge.judge(own[members][speaks[members]]).machine]
    informed = [members for members in [*groups, *together] if members not in alerted]
    right = [members for members in alerted if _mostly(campaign[members])]
    crowds = [members for members in informed if _mostly(campaign[members]) or _mostly(crowd[members])]
    wrong = [members for members in alerted if members not in right]
    circles = [members for members in informed if members not in crowds]
    size = [int((campaign == n).sum()) for n in range(len(campaigns))]
    return SocietyFindings(
        kind=task.kind, seed=task.seed, accounts=len(names), days=drawn.days, sizes=size,
        found=_found(alerted, campaign, size), seen=_found([*groups, *together], campaign, size),
        right=len(right), wrong=len(wrong), crowds=len(crowds), circles=len(circles),
        wrong_sizes=[len(members) for members in [*wrong, *circles]], seconds=round(time.process_time() - begun, 2),
    )  # fmt: skip


def _numbered(names: Sequence[object]) -> tuple[Ints, list[str]]:
    """A number for each account's name of something, -1 for none, and the names by number."""
    known = sorted({str(name) for name in names if name})
    place = {name: n for n, name in enumerate(known)}
    return np.array([place[str(name)] if name else -1 for name in names], np.int64), known


def _mostly(of: Ints) -> bool:
    """Whether at least half of some accounts are of one thing; -1 is none."""
    inside = of[of >= 0]
    return bool(len(inside)) and int(np.bincount(inside).max()) >= HALF * len(of)


def _found(groups: Sequence[list[int]], campaign: Ints, sizes: Sequence[int]) -> list[bool]:
    """Of each campaign whether half of it is in one group that is mostly its own."""
    inside = [np.bincount(mine[mine >= 0], minlength=len(sizes)) for mine in (campaign[members] for members in groups)]
    return [
        any(
            counts[n] >= HALF * size and counts[n] >= HALF * len(members)
            for counts, members in zip(inside, groups, strict=True)
        )
        for n, size in enumerate(sizes)
    ]


def tasks(societies: int, each: int, seed: int) -> list[Task]:
    """What a study looks at, in an order in which a part of it is a smaller study.

    Args:
        societies: of people, and as many with campaigns.
        each: of every size and duration.
        seed: of the first.
    """
    kinds: tuple[Kind, ...] = ("people", "mixture")
    plain = [Task(kind, seed + n) for n in range(societies) for kind in kinds]
    cells = [
        Task("table", seed + n, size, days) for n in range(each) for size in SIZES for days in DURATIONS
    ]  # fmt: skip
    return plain + cells


def study(
    wanted: Sequence[Task], work: Path, processes: int, minutes: float, say: Callable[[str, float], None]
) -> list[SocietyFindings]:
    """The trials of the tasks, those of the work folder not made again; fewer where time is over.

    Args:
        wanted: societies to look at.
        work: folder with a file for each that is done.
        processes: that work side by side.
        minutes: after which no other society is begun.
        say: told what is done and which share of it.

    Raises:
        UsageError: the folder cannot be used.
    """
    try:
        work.mkdir(parents=True, exist_ok=True)
        files = {task.name: work / f"{task.name}.json" for task in wanted}
        done = {
            name: msgspec.json.decode(file.read_bytes(), type=SocietyFindings)
            for name, file in files.items()
            if file.exists()
        }
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"{work}: cannot be used as a work folder ({error}): name another") from None
    left = [task for task in wanted if task.name not in done]
    until = time.monotonic() + 60 * minutes
    with ProcessPoolExecutor(processes, initializer=_begin) as pool:
        while left and time.monotonic() < until:
            portion, left = left[: 2 * processes], left[2 * processes :]
            for task, found in zip(portion, pool.map(_work, portion), strict=True):
                part = files[task.name].with_suffix(".part")
                part.write_bytes(msgspec.json.encode(found))
                part.replace(files[task.name])
                done[task.name] = found
            say(f"{len(done)} of {len(wanted)} societies", len(done) / len(wanted))
    return [done[task.name] for task in wanted if task.name in done]


_SEARCHER: list[Searcher] = []
"""Of this process, where it is one of a study's."""


def _begin() -> None:
    _SEARCHER.append(Searcher())


def _work(task: Task) -> SocietyFindings:
    return trial(task, _SEARCHER[0])


def report(trials: Sequence[SocietyFindings]) -> str:
    """What a study found, as Markdown.

    Args:
        trials: of it.
    """
    header = (
        "societies", "with a campaign named wrongly", "at most (95%)", "campaigns found", "in any group",
        "right, wrong campaigns", "groups for information: of a crowd or campaign, others",
    )  # fmt: skip
    lines = [f"| {' | '.join(header)} |", "| --- " * len(header) + "|"]
    for kind, words in (("people", "of people"), ("mixture", "with campaigns")):
        mine = [each for each in trials if each.kind == kind]
        if mine:
            lines.append(_row(f"{len(mine)} {words}", mine))
    every = [each for each in trials if each.kind != "table"]
    if every:
        lines.append(_row(f"{len(every)} together", every))
        bad = sum(each.wrong > 0 for each in every)
        bound = upper_rate(bad, len(every))
        holds = "holds" if bound <= BOUND * TARGET_FDR else "is not shown"
        said = f"At most {BOUND:g} x {TARGET_FDR:g} of societies with a campaign named wrongly: {holds}"
        lines += ["", f"{said} ({bound:.3f} at 95%, Clopper-Pearson)."]
    cells = [each for each in trials if each.kind == "table"]
    if cells:
        days = sorted({each.days for each in cells})
        durations = " | ".join(f"{each:g} days" for each in days)
        lines += ["", "Campaigns found, and in any accepted group, by members (rows) and days:", ""]
        lines += [f"| members | {durations} |", "| --- " * (len(days) + 1) + "|"]
        for size in sorted({each.sizes[0] for each in cells if each.sizes}):
            texts = [_cell([each for each in cells if each.sizes == [size] and each.days == day]) for day in days]
            lines.append(f"| {size} | " + " | ".join(texts) + " |")
    seconds = sum(each.seconds for each in trials)
    sizes = Counter(size for each in trials for size in each.wrong_sizes)
    lines += ["", f"{seconds:.0f} s of the processor, {seconds / max(len(trials), 1):.1f} a society."]
    lines += [f"Members of groups that are of no crowd and no campaign: {_counted(sizes)}."]
    return "\n".join(lines) + "\n"


def _row(name: str, trials: Sequence[SocietyFindings]) -> str:
    bad = sum(each.wrong > 0 for each in trials)
    campaigns = sum(len(each.sizes) for each in trials)
    found, seen = (
        sum(sum(flags) for flags in column) for column in ([t.found for t in trials], [t.seen for t in trials])
    )
    return (
        f"| {name} | {bad} | {upper_rate(bad, len(trials)):.3f} | {found} of {campaigns} | {seen} of {campaigns} | "
        f"{sum(t.right for t in trials)}, {sum(t.wrong for t in trials)} | "
        f"{sum(t.crowds for t in trials)}, {sum(t.circles for t in trials)} |"
    )


def _cell(trials: Sequence[SocietyFindings]) -> str:
    if not trials:
        return "-"
    return f"{sum(t.found[0] for t in trials)}, {sum(t.seen[0] for t in trials)} of {len(trials)}"


def _counted(sizes: Mapping[int, int]) -> str:
    return ", ".join(f"{count} of {size}" for size, count in sorted(sizes.items())) or "none"


def null_societies(
    societies: Annotated[int, typer.Option(metavar="N", help="of people, and as many with campaigns")] = 100,
    each: Annotated[int, typer.Option(metavar="N", help="of every size and duration of a campaign")] = 2,
    work: Annotated[Path, typer.Option(metavar="DIR", help="results by society; a broken study goes on")] = Path(
        "build/null-societies"
    ),
    processes: Annotated[int, typer.Option(metavar="N", help="side by side")] = 2,
    minutes: Annotated[float, typer.Option(metavar="M", help="after which no other society is begun")] = 60.0,
    seed: Annotated[int, typer.Option(metavar="N", help="of the first society")] = 0,
) -> int:
    """Count campaigns named wrongly and campaigns found in small societies, and print tables.

    Args:
        societies: of people, and as many with campaigns.
        each: societies for every size and duration.
        work: folder of results; remove it after a change of the code.
        processes: that work side by side.
        minutes: limit of the whole study; what is there is reported.
        seed: of the first society.

    Raises:
        UsageError: numbers below what makes sense, or a folder that cannot be used.
    """
    if min(societies, each, seed) < 0 or processes < 1 or minutes < 0:
        raise UsageError("--societies, --each, --seed and --minutes are at least 0, --processes at least 1")
    with progress_bar(Console(stderr=True), "societies") as say:
        found = study(tasks(societies, each, seed), work, processes, minutes, say)
    if not found:
        raise UsageError("no society was looked at: give more --minutes, or --societies above 0")
    print(report(found), end="")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run it as a program. Exit status 0; 1 an error; 2 unusable arguments."""
    return run_function(null_societies, "python -m training.null_societies", argv)


if __name__ == "__main__":
    sys.exit(main())
