"""The game of an adaptive operator, which is told what was flagged, beside a control, which is not.

In a round both field equally many new accounts in one simulated population: same people, same crowds, same luck. Their
plans come from `simulation.redteam.menu`. The population is acted out, the detector reads it, and each operator learns
which of its own accounts were flagged, and nothing else. A round is kept as a file, so that a broken run goes on where
it was. `adaptive` is `swarmlight simulate --adaptive ROUNDS`; `draw_curve` draws recall over the rounds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import numpy as np
from rich.console import Console

from detector.errors import UsageError
from simulation.plots import require_matplotlib, svg
from simulation.population_config import Operator, PopulationConfig, Tactics
from simulation.population_files import written
from simulation.redteam.measure import (
    ActedPopulation,
    DetectorResult,
    clopper_pearson,
    detect,
    fingerprint,
    record,
    shown,
    sources,
    with_texts,
)
from simulation.redteam.menu import MENU, Chance, OperatorMemory, Plan, option, price, teams
from simulation.sampling import stream

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDES: Final = ("adaptive", "control")

Detect = Callable[[Path, Path | None], DetectorResult]


class GameSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a game's result depends on. Equal settings give equal results."""

    population: PopulationConfig = (
        PopulationConfig()
    )  # its people and crowds; operators, accounts and days are those below
    rounds: int = 20
    accounts: int = 180  # of the simulated population, people and operators
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

    setting: GameSettings
    rounds: tuple[Round, ...]


@dataclass(frozen=True)
class GameFolder:
    """Where a game is kept, and which models it is played against (None: the shipped ones)."""

    folder: Path
    models: Path | None = None


def play(setting: GameSettings, place: GameFolder, told: Callable[[Round], None], detect: Detect = detect) -> Game:
    """Play all rounds, those that the folder has already without acting them out again.

    Args:
        setting: what the result depends on.
        place: folder that keeps the rounds, and the models that are played against.
        told: called with each round, kept ones included.
        detect: reads a recording with models; the detector as it ships.

    Raises:
        UsageError: the folder is another game's, or the models were replaced while it was played.
        SwarmlightError: the detector failed.
    """
    _same(setting, place.folder)
    choosers: dict[str, OperatorMemory | Chance] = {
        "adaptive": OperatorMemory(setting.budget),
        "control": Chance(setting.budget),
    }
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
    setting: GameSettings, number: int, planned: list[tuple[str, Plan, int]], place: GameFolder, detect: Detect = detect
) -> Round:
    """Act out one round and have it read.

    Args:
        setting: of the game.
        number: of the round, from 0; it seeds the population.
        planned: side, plan and number of accounts of each team.
        place: folder for the recording, and the models.
        detect: reads the recording.
    """
    population = with_texts(fielded(setting, planned), setting.people, setting.machines)
    events = place.folder / "round.jsonl"
    acted = record(population, setting.seed * 1000 + number, events)
    found = detect(events, place.models)
    return result(number, planned, acted, found)


def fielded(setting: GameSettings, planned: list[tuple[str, Plan, int]]) -> PopulationConfig:
    """The simulated population of a round: every team is a family of one campaign."""
    machines = sum(accounts for _, _, accounts in planned)
    return msgspec.structs.replace(
        setting.population,
        accounts=setting.accounts,
        days=setting.days,
        machines=machines / setting.accounts,
        campaigns=len(planned),
        activity=msgspec.structs.replace(setting.population.activity, mean_per_day=setting.per_day),
        operators=tuple(
            family(f"{side}-{i:02d}", plan, accounts, setting.days)
            for i, (side, plan, accounts) in enumerate(planned)
        ),
    )  # fmt: skip


def family(name: str, plan: Plan, accounts: int, days: float) -> Operator:
    """A team as the simulator takes it: a family of one campaign.

    Args:
        name: of the family.
        plan: what the team does.
        accounts: of the team.
        days: length of the round; aged and bought accounts begin a share of it into the round.
    """
    tactics: dict[str, object] = {"tasks_per_day": 8.0, "goals": ("link", "tag", "swarm")}
    ways: dict[str, float] = {}
    for question, chosen in zip(MENU, plan, strict=True):
        tactics |= option(question, chosen).tactics
        ways |= option(question, chosen).family
    return Operator(
        name=name, size=(accounts, accounts), tactics=msgspec.convert(tactics, type=Tactics),
        bought=float(ways.get("bought", 0.0)), begin_day=float(ways.get("begin", 0.0)) * days,
    )  # fmt: skip


def result(number: int, planned: list[tuple[str, Plan, int]], acted: ActedPopulation, found: DetectorResult) -> Round:
    """What became of a round: of each team, how many of its accounts that acted were flagged.

    Args:
        number: of the round.
        planned: side, plan and number of accounts of each team, in the order of their campaigns.
        acted: what was simulated.
        found: what the detector said.
    """
    flagged = np.array([name in found.scores and found.scores[name].flagged for name in acted.names])
    by_name = {campaign.family.name: campaign.members for campaign in acted.world.roles.campaigns}
    told = []
    for i, (side, plan, _) in enumerate(planned):
        members = by_name[f"{side}-{i:02d}"]
        live = members[acted.acting[members]]
        told.append(Team(side, plan, len(live), int(flagged[live].sum()), int(acted.joint[live].sum())))
    people = ~acted.world.roles.label & acted.acting
    return Round(
        number, tuple(told), int(people.sum()), int((flagged & people).sum()), acted.events, acted.texts, found.models
    )


def _same(setting: GameSettings, folder: Path) -> None:
    """Keep what this folder is for, and refuse another game's."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "setting.json"
        if file.exists() and msgspec.json.decode(file.read_bytes(), type=GameSettings) != setting:
            raise UsageError(f"{folder}: holds rounds of other settings, texts or models: name an empty folder, or "
                             "remove it")  # fmt: skip
        with written(file) as out:
            out.write(msgspec.json.encode(setting))
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"{folder}: cannot be used as a work folder: {error}; name another") from None


def spent(game: Game, side: str) -> float:
    """Mean price of a side's plans, an account."""
    mine = [(team.acted, price(team.plan)) for each in game.rounds for team in each.teams if team.side == side]
    return sum(acted * cost for acted, cost in mine) / max(sum(acted for acted, _ in mine), 1)


COLOURS: Final = {"adaptive": "#b91c1c", "control": "#1d4ed8"}

WINDOW: Final = 5
"""Rounds that a point of the line sums: a single round has few accounts."""


def recall(game: Game, side: str, first: int, last: int) -> tuple[int, int]:
    """Flagged accounts and accounts that acted in the rounds [first, last).

    Args:
        game: what was played.
        side: `adaptive` or `control`.
        first: first round.
        last: the round after the last.
    """
    totals = [each.total(side) for each in game.rounds[max(first, 0) : last]]
    return sum(total[1] for total in totals), sum(total[0] for total in totals)


def draw_curve(game: Game) -> str:
    """The curve of a game as SVG: recall (share of an operator's accounts that are flagged) against the round.

    For each operator a dot is one round, the line the sum of up to `WINDOW` rounds that end there, and the band around
    the line its exact 95% interval.

    Raises:
        UsageError: matplotlib is not installed.
    """
    return svg(lambda figure: _draw(game, figure), "Recall by round", (7.5, 3.4))


def _draw(game: Game, figure: Figure) -> None:
    axes = figure.subplots()
    n = len(game.rounds)
    numbers = np.arange(1, n + 1)
    for side in SIDES:
        sums = [recall(game, side, i + 1 - WINDOW, i + 1) for i in range(n)]
        bounds = np.array([clopper_pearson(hits, of) for hits, of in sums])
        each = [recall(game, side, i, i + 1) for i in range(n)]
        lines, dots = ([100 * hits / max(of, 1) for hits, of in counts] for counts in (sums, each))
        colour = COLOURS[side]
        axes.fill_between(
            numbers, 100 * bounds[:, 0], 100 * bounds[:, 1], color=colour, alpha=0.12, linewidth=0, gid=f"band-{side}"
        )
        axes.plot(numbers, lines, color=colour, linewidth=1.5, label=side, gid=f"line-{side}")
        axes.plot(numbers, dots, linestyle="", marker="o", markersize=4, color=colour, gid=f"rounds-{side}")
    axes.set_title("Share of an operator's accounts that are flagged, by round")
    axes.set_xlabel("round")
    axes.set_ylabel("flagged, percent")
    axes.set_ylim(-2, 102)
    axes.set_yticks([0, 25, 50, 75, 100])
    axes.set_xticks(range(1, n + 1, 1 if n <= 10 else 5 if n <= 100 else 50))
    axes.grid(axis="y", color="#e5e7eb")
    axes.legend(loc="best", frameon=False)


MOST_ROUNDS: Final = 1000
"""Some hours of one core; more is a slip of the hand."""


class GameOptions(NamedTuple):
    """What a game is played with.

    Args:
        rounds: how many.
        seed: of plans and simulated populations.
        people_texts, machine_texts: sources of texts; the demo's where None.
        models: models directory to play against; the shipped one where None.
    """

    rounds: int
    seed: int = 0
    people_texts: str | None = None
    machine_texts: str | None = None
    models: Path | None = None


def adaptive(
    options: GameOptions,
    population: PopulationConfig,
    console: Console,
    out: Path | None,
    plot: Path | None,
    work: Path | None,
) -> Game:
    """Play the game that the command line asks for: into `work`, or a folder that is removed afterwards.

    Args:
        options: rounds, seed, texts and models.
        population: among whose people and crowds it is played.
        console: told after each round.
        out: file for the game as JSON.
        plot: file for its curve.
        work: folder that keeps its rounds.

    Raises:
        UsageError: an option cannot be used.
        SwarmlightError: the detector failed.
    """
    if plot is not None:
        require_matplotlib()
    with ExitStack() as stack:
        folder = work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        people, machines = sources(folder, options.people_texts, options.machine_texts)
        game = game_of(options, folder, people, machines, console, population)
        save(game, out, plot)
    for side in SIDES:
        console.print(f"{side}: flagged {shown(*recall(game, side, 0, len(game.rounds)))}")
    return game


def game_of(
    options: GameOptions,
    folder: Path,
    people: str,
    machines: str,
    console: Console,
    population: PopulationConfig | None = None,
) -> Game:
    """Play the rounds, or what is left of them, among a simulated population's people and crowds.

    Args:
        options: rounds, seed and models.
        folder: keeps the rounds.
        people, machines: sources of texts.
        console: told after each round.
        population: the game's own where None.

    Raises:
        UsageError: an option cannot be used.
    """
    if not 1 <= options.rounds <= MOST_ROUNDS:
        raise UsageError(f"rounds: a whole number from 1 to {MOST_ROUNDS}")
    if options.seed < 0:
        raise UsageError("--seed is a whole number of at least 0")
    key = fingerprint(people, machines, options.models)
    setting = GameSettings(rounds=options.rounds, seed=options.seed, people=people, machines=machines, fingerprint=key)
    if population is not None:
        setting = msgspec.structs.replace(setting, population=population)
    return play(setting, GameFolder(folder, options.models), teller(options.rounds, console))


def teller(rounds: int, console: Console) -> Callable[[Round], None]:
    """Says after each round what came of it."""

    def tell(done: Round) -> None:
        parts = []
        for side in SIDES:
            acted, flagged, _ = done.total(side)
            parts.append(f"{side} {flagged} of {acted} flagged")
        console.print(f"round {done.number + 1} of {rounds}: {', '.join(parts)}")

    return tell


def save(game: Game, out: Path | None, drawing: Path | None) -> None:
    """Write a game as JSON and its curve as a drawing, where asked for.

    Args:
        game: what was played.
        out: JSON file, None for none.
        drawing: SVG file, None for none.

    Raises:
        UsageError: a file cannot be written, or matplotlib is not installed.
    """
    if out is not None:
        with written(out) as file:
            file.write(msgspec.json.encode(game) + b"\n")
    if drawing is not None:
        curve = draw_curve(game)
        with written(drawing) as file:
            file.write(curve.encode())
