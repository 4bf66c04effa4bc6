"""`python -m simulation.redteam`: the detector on every preset, an adaptive operator's curve, one page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from detector.errors import SwarmlightError, UsageError
from simulation.files import PRESETS
from simulation.redteam.adaptive import Game, add_texts, game_of, save
from simulation.redteam.page import page
from simulation.redteam.run import Result, fingerprint, measure, own_posts, sources, together

WORK = Path("build/red-team")


def main(argv: list[str] | None = None) -> int:
    """Measure what the work folder has not yet, and write the page. Exit status 0; 1 an error; 2 unusable arguments."""
    options = _parser().parse_args(argv)
    console = Console(stderr=True)
    try:
        people, machines = sources(options.work, options.people_texts, options.machine_texts)
        key = fingerprint(people, machines, options.models)
        game = game_of(options, options.work / f"adaptive-{key[:16]}-{options.seed}", people, machines, console)
        results = []
        for name in options.presets:
            console.print(f"{name} ...")
            seeds = range(options.seed, options.seed + options.societies)
            found = [measure(name, options.work, key, people, machines, options.models, seed) for seed in seeds]
            results.append(together(found))
        write(options.out, results, game, own_posts() if options.machine_texts is None else None)
    except SwarmlightError as error:
        print(f"red team: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return 0


def write(out: Path, results: list[Result], game: Game, own: int | None) -> None:
    """Write the page and, beside it, its drawing and the game behind it.

    Raises:
        UsageError: a file cannot be written.
    """
    drawing = out.with_suffix(".svg")
    try:
        out.write_text(page(results, game, own=own, plot=drawing.name), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{out}: cannot be written: {error.strerror}") from None
    save(game, None, drawing)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulation.redteam", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/explanation/red-team.md"), metavar="PAGE.md")
    parser.add_argument("--work", type=Path, default=WORK, metavar="DIR", help="what was measured is kept here: a "
                        "broken run goes on; remove it after changing the detector's code")  # fmt: skip
    parser.add_argument("--rounds", dest="adaptive", type=int, default=20, metavar="N", help="of the adaptive operator")
    parser.add_argument("--societies", type=int, choices=range(1, 21), default=2, metavar="N", help="of each preset")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--models", type=Path, metavar="DIR", help="models in place of the shipped ones")
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=list(PRESETS), metavar="NAME")
    add_texts(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
