"""The societies in which policies are tried, and what the detector says in each: made once, kept in a folder.

A society is people and look-alike crowds of the simulator who read a feed ranked by engagement, and campaigns whose
plans are drawn from the red team's menu (`simulation.redteam.menu`). It is acted out with texts, the detector of
`swarmlight run` reads the recording, and its alerts become `Finding`s: which accounts were named, and when.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from detector.times import parse_time
from simulation.content.language_models import writer_of
from simulation.feeds.plan import FeedPlan, algorithm
from simulation.feeds.society import FeedSociety
from simulation.output import Renderer
from simulation.population_config import Activity, LookAlike, LookAlikes, PopulationConfig
from simulation.population_files import written
from simulation.redteam.adaptive import family
from simulation.redteam.measure import with_texts
from simulation.redteam.menu import BUDGET, Chance, Plan
from simulation.sampling import stream
from simulation.world import World
from streaming.assess import AlertRevision
from streaming.config import load_config
from streaming.pipeline import run_recording
from streaming.schema.alert import read_alert

ACCOUNTS: Final = 240
"""Of a society: the detector reads one in some twenty seconds of a core."""

DAYS: Final = 2.0
"""Long enough for accounts that begin halfway, and for a queue of reviews that grows overnight."""

PER_DAY: Final = 7.0
"""Events of an account a day."""

SIZES: Final = (4, 8, 16)
"""Accounts of the campaigns of a society: one of each size."""

FEW: Final = 0.025
"""Share of accounts in each look-alike crowd: all crowds are there, in a small society."""

_CROWD: Final = LookAlike(share=FEW, size=(4, 12))

CROWDS: Final = LookAlikes(
    news=_CROWD, fandom=_CROWD, friends=_CROWD, activists=_CROWD, giveaway=_CROWD, live_event=_CROWD,
    share_button=_CROWD, writing_help=LookAlike(share=0.03), second_language=LookAlike(share=0.04),
    declared_bot=LookAlike(share=0.01), brand=LookAlike(share=0.01),
)  # fmt: skip


class SocietySettings(msgspec.Struct, frozen=True, kw_only=True):
    """What all societies of a comparison share. Equal trials and seeds give equal societies."""

    accounts: int = ACCOUNTS
    days: float = DAYS
    per_day: float = PER_DAY
    sizes: tuple[int, ...] = SIZES
    people: str = "none"
    machines: str = "none"
    fingerprint: str = ""  # of texts and models, whose contents the names do not tell


class CampaignPlan(msgspec.Struct, frozen=True):
    """One campaign: its family's name, what it does by the red team's menu, and its accounts."""

    name: str
    plan: Plan
    size: int


class Finding(msgspec.Struct, frozen=True):
    """Accounts that an alert names, newly, at a time (ms since 1970); `alert` is the alert's id."""

    at: int
    kind: str
    alert: str
    accounts: tuple[int, ...]


def planned(trial: SocietySettings, seed: int) -> list[CampaignPlan]:
    """The campaigns of a society: plans that the menu's budget allows, drawn evenly."""
    rng, chooser = stream(seed, "lab-plans"), Chance(BUDGET)
    return [CampaignPlan(f"campaign-{i}", chooser.choose(rng), size) for i, size in enumerate(trial.sizes)]


def population(trial: SocietySettings, seed: int) -> PopulationConfig:
    """The simulated population of one society."""
    campaigns = planned(trial, seed)
    base = PopulationConfig(
        accounts=trial.accounts,
        days=trial.days,
        machines=sum(each.size for each in campaigns) / trial.accounts,
        campaigns=len(campaigns),
        activity=Activity(mean_per_day=trial.per_day),
        lookalikes=CROWDS,
        controls=False,
        operators=tuple(family(each.name, each.plan, each.size, trial.days) for each in campaigns),
    )
    return with_texts(base, trial.people, trial.machines)


def feed_plan() -> FeedPlan:
    """The feed that everybody has where a policy is tried: ranked by engagement."""
    return FeedPlan([(algorithm("engagement"), 1.0)])


def findings(revisions: Iterable[AlertRevision], index: dict[str, int]) -> list[Finding]:
    """What alerts about accounts and campaigns name, in order of time; each account once an alert.

    Groups that are not shown to be machine-driven (`coordination`) are information and name nobody here; an alert that
    is withdrawn later stays a finding, since something was done about it by then.

    Args:
        revisions: of a run, in order.
        index: account's name -> its number.
    """
    found: list[Finding] = []
    named: dict[str, set[int]] = {}
    for revision in revisions:
        if revision.kind == "coordination" or revision.status != "open":
            continue
        record = read_alert(revision.body)
        known = named.setdefault(record.id, set())
        fresh = [index[each.account] for each in record.members if index[each.account] not in known]
        known.update(fresh)
        if fresh:
            at = parse_time(record.at)
            assert at is not None  # written by this program
            found.append(Finding(at, record.kind, record.id, tuple(sorted(fresh))))
    return sorted(found, key=lambda each: (each.at, each.alert))


def detected(trial: SocietySettings, seed: int, target_fpr: float, models: Path | None, folder: Path) -> list[Finding]:
    """What the detector says in a society where nothing is done; kept in `folder`, and found again there.

    Args:
        trial: what societies share.
        seed: of the society.
        target_fpr: share of people that may be flagged.
        models: models directory, the shipped one where None.
        folder: keeps what was found.

    Raises:
        UsageError: texts or the folder cannot be used.
        SwarmlightError: the detector failed.
    """
    kept = folder / f"findings-{seed}-{target_fpr:g}.json"
    if kept.exists():
        return msgspec.json.decode(kept.read_bytes(), type=list[Finding])
    world = World(population(trial, seed), seed)
    society = FeedSociety(world, feed_plan())
    renderer, writer = Renderer(world), writer_of(world, os.environ)
    with tempfile.TemporaryDirectory() as work:
        events = Path(work) / "events.jsonl"
        with written(events) as file:
            for step in society.steps():
                said = writer.texts(step.events) if writer is not None else None
                file.write(renderer.lines(step.events, said))
        config = load_config(None, {"SWARMLIGHT_TARGET_FPR": f"{target_fpr:g}"})
        result = run_recording([events], config=config, models=models)
    found = findings(result.alerts, {name: number for number, name in enumerate(renderer.names)})
    with written(kept) as file:
        file.write(msgspec.json.encode(found))
    return found


def slices(world: World) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    """(accounts,) the slice of each: what sort of people it is of, or its operator."""
    return np.array([str(world.roles.truth(account, "")["slice"]) for account in range(len(world.people))])
