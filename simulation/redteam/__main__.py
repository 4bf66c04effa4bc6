"""`python -m simulation.redteam`: runs the detector on every preset and against an adaptive operator, writes the page.

In: the models, sources of texts, and a work folder with what was measured before. Out: `docs/explanation/red-team.md`
and, beside it, the drawing of recall by round.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from detector.errors import UsageError
from simulation.plots import require_matplotlib
from simulation.redteam.adaptive import Game, GameOptions, game_of, save
from simulation.redteam.measure import PRESETS, PresetResult, fingerprint, measure, own_posts, sources, together
from simulation.redteam.page import page
from streaming.cli import among, run_function

WORK: Final = Path("build/red-team")
PAGE: Final = Path("docs/explanation/red-team.md")


def red_team(
    out: Annotated[Path, typer.Option(metavar="PAGE.md", help="page to write")] = PAGE,
    work: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="what was measured is kept here: a broken run goes on; remove it after changing the detector's code",
        ),
    ] = WORK,
    rounds: Annotated[int, typer.Option(metavar="N", help="of the adaptive operator")] = 20,
    societies: Annotated[int, typer.Option(metavar="N", min=1, max=20, help="of each preset")] = 2,
    seed: Annotated[int, typer.Option(metavar="N", help="of simulated populations and plans")] = 0,
    models: Annotated[Path | None, typer.Option(metavar="DIR", help="models in place of the shipped ones")] = None,
    presets: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME...", help="presets to measure; all of them", callback=among(tuple(PRESETS))),
    ] = None,
    people_texts: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="corpus:FILE; in its place the demo's people")
    ] = None,
    machine_texts: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="as `swarmlight simulate` takes it; in its place the demo's planted posts"),
    ] = None,
) -> int:
    """Run the detector on simulated populations and against an operator who learns, and write a page about it.

    What the work folder holds already is not measured again.

    Args:
        out: the page; its drawing goes beside it.
        work: folder that keeps what was measured.
        rounds: of the adaptive operator's game.
        societies: simulated populations of each preset, which differ in their seed.
        seed: of the first of them, and of the game.
        models: models directory; the shipped one where None.
        presets: names; all but the demo where None.
        people_texts, machine_texts: sources of texts; the demo's where None.

    Raises:
        UsageError: an option cannot be used, or matplotlib is not installed.
        SwarmlightError: the detector failed.
    """
    require_matplotlib()
    console = Console(stderr=True)
    people, machines = sources(work, people_texts, machine_texts)
    key = fingerprint(people, machines, models)
    options = GameOptions(rounds, seed, people_texts, machine_texts, models)
    game = game_of(options, work / f"adaptive-{key[:16]}-{seed}", people, machines, console)
    results = []
    for name in presets or PRESETS:
        console.print(f"{name} ...")
        seeds = range(seed, seed + societies)
        results.append(together([measure(name, work, key, people, machines, models, each) for each in seeds]))
    write(out, results, game, own_posts() if machine_texts is None else None)
    return 0


def write(out: Path, results: list[PresetResult], game: Game, own: int | None) -> None:
    """Write the page and, beside it, the drawing that it shows.

    Args:
        out: the page; the drawing has its name and ends in `.svg`.
        results: one a preset.
        game: the adaptive operator's.
        own: how many posts the project's own machine corpus has, None where texts were given.

    Raises:
        UsageError: a file cannot be written.
    """
    drawing = out.with_suffix(".svg")
    try:
        out.write_text(page(results, game, own=own, plot=drawing.name), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{out}: cannot be written: {error.strerror}; name another file") from None
    save(game, None, drawing)


def main(argv: list[str] | None = None) -> int:
    """Run it as a program. Exit status 0; 1 an error; 2 unusable arguments."""
    return run_function(red_team, "python -m simulation.redteam", argv)


if __name__ == "__main__":
    sys.exit(main())
