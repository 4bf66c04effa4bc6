"""`swarmlight simulate --adaptive ROUNDS`, and what it shares with the red team's page."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.console import Console

from detector.errors import UsageError
from simulation.files import written
from simulation.red_team.curve import recall, svg
from simulation.red_team.intervals import shown
from simulation.red_team.rounds import SIDES, Game, Place, Round, Setting, play
from simulation.red_team.work import fingerprint, sources
from simulation.settings import Society

MOST_ROUNDS = 1000


def adaptive(options: argparse.Namespace, society: Society, console: Console) -> Game:
    """Play the game that the command line asks for: into `--work`, or a folder that is removed afterwards.

    Raises:
        UsageError: an option cannot be used.
        SwarmlightError: the detector failed.
    """
    if options.work is not None:
        return _into(options, society, options.work, console)
    with tempfile.TemporaryDirectory() as folder:
        return _into(options, society, Path(folder), console)


def _into(options: argparse.Namespace, society: Society, folder: Path, console: Console) -> Game:
    people, machines = sources(folder, options.people_texts, options.machine_texts)
    game = game_of(options, folder, people, machines, console, society)
    save(game, options.out, options.plot)
    for side in SIDES:
        console.print(f"{side}: flagged {shown(*recall(game, side, 0, len(game.rounds)))}")
    return game


def game_of(
    options: argparse.Namespace, folder: Path, people: str, machines: str, console: Console,
    society: Society | None = None,
) -> Game:  # fmt: skip
    """Play `options.adaptive` rounds, or what is left of them, in `folder`, among a society's people and crowds."""
    if not 1 <= options.adaptive <= MOST_ROUNDS:
        raise UsageError(f"rounds: a whole number from 1 to {MOST_ROUNDS}")
    if options.seed < 0:
        raise UsageError("--seed is a whole number of at least 0")
    key = fingerprint(people, machines, options.models)
    setting = Setting(rounds=options.adaptive, seed=options.seed, people=people, machines=machines, fingerprint=key)
    if society is not None:
        setting = msgspec.structs.replace(setting, society=society)
    return play(setting, Place(folder, options.models), teller(options.adaptive, console))


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

    Raises:
        UsageError: a file cannot be written.
    """
    if out is not None:
        with written(out) as file:
            file.write(msgspec.json.encode(game) + b"\n")
    if drawing is not None:
        with written(drawing) as file:
            file.write(svg(game).encode())


def add_texts(parser: argparse.ArgumentParser) -> None:
    """The options that name sources of texts."""
    parser.add_argument("--people-texts", metavar="SOURCE", help="corpus:FILE; in its place the demo's people")
    parser.add_argument("--machine-texts", metavar="SOURCE", help="as `swarmlight simulate` takes it; in its place the "
                        "demo's planted posts")  # fmt: skip
