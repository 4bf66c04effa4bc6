"""An operator who is told after each round which of its accounts were flagged, beside one who is not.

In a round both field equally many new accounts in one society: same people, same crowds, same luck. The society is
acted out, the detector reads it, and each operator learns which of its own accounts were flagged, and nothing else. A
round is kept as a file, so that a broken run goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from detector.errors import UsageError
from simulation.arrays import stream
from simulation.files import written
from simulation.red_team.detector import Found, detect
from simulation.red_team.recording import Recording, record, with_texts
from simulation.red_team.tactics import MENU, Chance, Learner, Plan, option, price, teams
from simulation.settings import Operator, Society, Tactics

SIDES: Final = ("adaptive", "control")

Detect = Callable[[Path, Path, Path | None], Found]


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a game's result depends on. Equal settings give equal results."""

    society: Society = Society()  # its people and crowds; operators, accounts and days are those below
    rounds: int = 20
    accounts: int = 180  # of the society, people and operators
    each: int = 18  # accounts that each operator fields in a round
    days: float = 1.0  # of a round
    per_day: float = 8.0  # events of an account, on average
    budget: int = 3
    seed: int = 0
    people: str = "none"
    machines: str = "none"
    fingerprint: str = ""  # of texts and models, whose contents the names do not tell


class Team(msgspec.Struct, frozen=True):
    """One team of a round: what it did, how many of its accounts acted, and how many of these were flagged."""

    side: str
    plan: Plan
    acted: int
    flagged: int
    joint: int  # acts that served its goals


class Round(msgspec.Struct, frozen=True):
    """What became of a round. `people`: people who acted; `accused`: those of them that were flagged."""

    number: int
    teams: tuple[Team, ...]
    people: int
    accused: int
    events: int
    texts: int
    models: dict[str, str]

    def total(self, side: str) -> tuple[int, int, int]:
        """Accounts of a side that acted, those flagged, acts that served its goals."""
        mine = [team for team in self.teams if team.side == side]
        return sum(team.acted for team in mine), sum(team.flagged for team in mine), sum(team.joint for team in mine)


class Game(msgspec.Struct, frozen=True):
    """A whole game, as `--out` has it."""

    setting: Setting
    rounds: tuple[Round, ...]


@dataclass(frozen=True)
class Place:
    """Where a game is kept, and which models it is played against (None: the shipped ones)."""

    folder: Path
    models: Path | None = None


def play(setting: Setting, place: Place, told: Callable[[Round], None], detect: Detect = detect) -> Game:
    """Play all rounds, those that the folder has already without acting them out again.

    Raises:
        UsageError: the folder is another game's, or the models were replaced while it was played.
        SwarmlightError: the detector failed.
    """
    _same(setting, place.folder)
    choosers: dict[str, Learner | Chance] = {"adaptive": Learner(setting.budget), "control": Chance(setting.budget)}
    rounds: list[Round] = []
    for number in range(setting.rounds):
        rng = stream(setting.seed, f"round {number}")
        planned = [(side, *team) for side in SIDES for team in teams(choosers[side], setting.each, rng)]
        file = place.folder / f"round-{number:02d}.json"
        if file.exists():
            done = msgspec.json.decode(file.read_bytes(), type=Round)
        else:
            done = one(setting, number, planned, place, detect)
            part = file.with_suffix(".part")
            part.write_bytes(msgspec.json.encode(done))
            part.replace(file)
        if rounds and done.models != rounds[0].models:
            raise UsageError(f"{place.folder}: the models were replaced while the game was played: remove the folder "
                             "and play it against one bundle")  # fmt: skip
        for team in done.teams:
            choosers[team.side].learn(team.plan, team.acted - team.flagged, team.flagged)
        rounds.append(done)
        told(done)
    return Game(setting, tuple(rounds))


def one(
    setting: Setting, number: int, planned: list[tuple[str, Plan, int]], place: Place, detect: Detect = detect
) -> Round:
    """Act out one round and have it read."""
    society = with_texts(fielded(setting, planned), setting.people, setting.machines)
    events = place.folder / "round.jsonl"
    acted = record(society, setting.seed * 1000 + number, events)
    found = detect(events, place.folder, place.models)
    return result(number, planned, acted, found)


def fielded(setting: Setting, planned: list[tuple[str, Plan, int]]) -> Society:
    """The society of a round: every team is a family of one campaign."""
    machines = sum(accounts for _, _, accounts in planned)
    return msgspec.structs.replace(
        setting.society,
        accounts=setting.accounts,
        days=setting.days,
        machines=machines / setting.accounts,
        campaigns=len(planned),
        activity=msgspec.structs.replace(setting.society.activity, mean_per_day=setting.per_day),
        operators=tuple(
            family(f"{side}-{i:02d}", plan, accounts, setting.days)
            for i, (side, plan, accounts) in enumerate(planned)
        ),
    )  # fmt: skip


def family(name: str, plan: Plan, accounts: int, days: float) -> Operator:
    """A team as the simulator takes it."""
    tactics: dict[str, object] = {"tasks_per_day": 8.0, "goals": ("link", "tag", "swarm")}
    ways: dict[str, float] = {}
    for question, chosen in zip(MENU, plan, strict=True):
        tactics |= option(question, chosen).tactics
        ways |= option(question, chosen).family
    return Operator(
        name=name, size=(accounts, accounts), tactics=msgspec.convert(tactics, type=Tactics),
        bought=float(ways.get("bought", 0.0)), begin_day=float(ways.get("begin", 0.0)) * days,
    )  # fmt: skip


def result(number: int, planned: list[tuple[str, Plan, int]], acted: Recording, found: Found) -> Round:
    """What each team is told: which of its accounts that acted were flagged."""
    flagged = np.array([name in found.scores and found.scores[name].flagged for name in acted.names])
    by_name = {campaign.family.name: campaign.members for campaign in acted.world.cast.campaigns}
    told = []
    for i, (side, plan, _) in enumerate(planned):
        members = by_name[f"{side}-{i:02d}"]
        live = members[acted.acting[members]]
        told.append(Team(side, plan, len(live), int(flagged[live].sum()), int(acted.joint[live].sum())))
    people = ~acted.world.cast.label & acted.acting
    return Round(
        number, tuple(told), int(people.sum()), int((flagged & people).sum()), acted.events, acted.texts, found.models
    )


def _same(setting: Setting, folder: Path) -> None:
    """Keep what this folder is for, and refuse another game's."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "setting.json"
        if file.exists() and msgspec.json.decode(file.read_bytes(), type=Setting) != setting:
            raise UsageError(f"{folder}: holds rounds of other settings, texts or models: name an empty folder, or "
                             "remove it")  # fmt: skip
        with written(file) as out:
            out.write(msgspec.json.encode(setting))
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"{folder}: cannot be used as a work folder: {error}") from None


def spent(game: Game, side: str) -> float:
    """Mean price of a side's plans, an account."""
    mine = [(team.acted, price(team.plan)) for each in game.rounds for team in each.teams if team.side == side]
    return sum(acted * cost for acted, cost in mine) / max(sum(acted for acted, _ in mine), 1)
