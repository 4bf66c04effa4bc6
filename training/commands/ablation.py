"""`python -m training.commands.ablation`: what each part of the evidence adds, on one page.

On societies of operators that the graph model has never seen, and on recordings with truth; with texts and without.
What the work folder has is not made again: remove it after a change of the code. Models of the bundle may be replaced.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any, Final

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from detector.errors import SwarmlightError, UsageError
from training.ablation import EXCHANGED, SIZES, folds, measure_all
from training.cards import rows

FIGURES: Final = {"auroc": "AUROC", "ap": "Average precision", "tpr": "TPR at 1% FPR"}

WIDTH: Final = 120
"""Characters of a line of the page, tables left aside."""

INTRO: Final = """# What each part adds

Text, behaviour, coordination and graph, one after another. This page is written by `make ablation DATA=folder`; do not
edit it. Intervals are 95%, by bootstrap over campaigns, with people drawn one by one. *Adds* is the gain in AUROC over
the column before, drawn together with it; bold where its interval leaves out 0.

**Held-out societies** ({societies}) have operators of two families alone. Their graph model was fitted and calibrated
without any account of these families; the other parts are those of the bundle: {models}. They have {low:,} to {high:,}
accounts and about two days, drawn as in `training/societies.py`, and the demo's texts, which are enough for a part of
the events: the text part says something of {spoke:,} of their {accounts:,} accounts. Machines' texts are posts written
for other campaigns, the demo's, so that the level of text evidence is the demo's; what is added to it is the point.
Recordings named by their file are judged by the bundle as it is.
"""

ABOUT: Final = {
    "with text": "## With text",
    "without text": "## Without text\n\nThe same recordings with `--without text`.",
    EXCHANGED: "## Without text, accounts exchanged\n\nThe same societies, in which accounts "
    "have exchanged what they did within six hours and kinds of event: everybody does as much, and who acts with whom "
    "is chance. What the graph model still gains here, it has not learned from joint action.",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the page. Exit status 0; 1 an error; 2 unusable arguments."""
    given = _parser().parse_args(argv)
    torch.set_num_threads(1)  # sums in another order would be another model
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=Console(stderr=True)) as progress, tempfile.TemporaryDirectory() as scratch:
            task = progress.add_task("ablation", total=1.0)

            def say(what: str, share: float) -> None:
                progress.update(task, description=what, completed=share)

            found = measure_all(given, given.work or Path(scratch), say)
        text = page(found)
        try:
            given.out.write_text(text, encoding="utf-8")
            if given.json is not None:
                given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{given.out}: cannot be written: {error.strerror}") from None
    except SwarmlightError as error:
        print(f"ablation: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return 0


def page(found: Mapping[str, Any]) -> str:
    """The page of what `measure_all` found."""
    models = ", ".join(f"`{name}`" for name in found["models"].values())
    told = {"societies": found["societies"], "models": models, "low": SIZES[0], "high": SIZES[1]}
    parts = [INTRO.format(**told, spoke=found["spoke"], accounts=found["accounts"])]
    for condition, measured in found["figures"].items():
        if measured:
            tables = [_areas(measured), _graph(measured)]
            if condition != EXCHANGED:
                tables += [_others(measured, key) for key in ("ap", "tpr")]
            parts += [ABOUT[condition], *tables]
    return "\n\n".join(_wrapped(part) for part in parts) + "\n"


def _wrapped(part: str) -> str:
    """Paragraphs in lines of `WIDTH`; tables and headings as they are."""
    return "\n\n".join(
        text if text.startswith(("|", "#")) else fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
        for text in part.strip().split("\n\n")
    )


def _short(measured: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """The rows of the ablation, in full and as heads of columns."""
    nested = list(measured[0]["rows"])
    return nested, [nested[0], *(f"+ {row.rsplit(' + ', 1)[1]}" for row in nested[1:])]


def _areas(measured: Sequence[Mapping[str, Any]]) -> str:
    nested, short = _short(measured)
    added = [row.removeprefix("+ ") for row in short[1:]]
    head = ["on", "people, machines, campaigns", *short, *(f"{part} adds" for part in added)]
    lines = [
        [
            one["name"],
            f"{one['people']:,}, {one['machines']:,}, {one['campaigns']:,}",
            *(_figure(one["rows"][row]["auroc"]) for row in nested),
            *(_gain(one["adds"][part]) for part in added),
        ]
        for one in measured
    ]
    return f"{FIGURES['auroc']}:\n\n{rows(head, lines)}"


def _others(measured: Sequence[Mapping[str, Any]], key: str) -> str:
    nested, short = _short(measured)
    lines = [[one["name"], *(_figure(one["rows"][row][key]) for row in nested)] for one in measured]
    return f"{FIGURES[key]}:\n\n{rows(['on', *short], lines)}"


def _graph(measured: Sequence[Mapping[str, Any]]) -> str:
    """What the graph model does, in words, where an interval says it."""
    sorts: dict[str, list[str]] = {"adds": [], "takes away": [], "is not shown to do either": []}
    for one in measured:
        _, low, high = one["adds"]["graph"]
        sorts["adds" if low > 0 else "takes away" if high < 0 else "is not shown to do either"].append(one["name"])
    return (
        "The graph part " + "; ".join(f"{what} on: {' / '.join(names)}" for what, names in sorts.items() if names) + "."
    )


def _figure(values: Sequence[float]) -> str:
    value, low, high = values
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _gain(values: Sequence[float]) -> str:
    value, low, high = values
    text = f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
    return f"**{text}**" if low > 0 or high < 0 else text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.commands.ablation",
        description=__doc__,
        epilog=f"Families left out together: {'; '.join(', '.join(each) for each in folds())}.",
    )
    parser.add_argument(
        "--stream", nargs=2, action="append", default=[], metavar=("EVENTS", "TRUTH"), help="a recording with truth"
    )
    parser.add_argument("--out", type=Path, default=Path("docs/ablation.md"), metavar="PAGE.md")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--models", type=Path, metavar="DIR", help="bundle, all but its graph model (the shipped one)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep societies and refitted models here")
    parser.add_argument("--societies", type=int, default=16, metavar="N", help="as in train graph")
    parser.add_argument("--held-out", type=int, default=2, metavar="N", help="societies of each pair of families")
    parser.add_argument("--draws", type=int, default=200, help="bootstrap draws")
    parser.add_argument("--seed", type=int, default=0, help="of societies, weights and the bootstrap")
    return parser


if __name__ == "__main__":
    sys.exit(main())
