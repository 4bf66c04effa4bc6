"""The commands `swarmlight study ...`: figures that answer one question each, as tables of the pages.

What they do is in the other modules of this folder. Tables go to standard output as Markdown, progress to standard
error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from detector.models import SHIPPED
from training.studies.text_attacks import attack_costs

app: typer.Typer = typer.Typer(
    help="Study the system: attacks, hard cases, explanations, rivals.",
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=False,
)

Data = Annotated[Path, typer.Option("--data", metavar="DIR", help="folder with text/ and streams/")]
ModelsDir = Annotated[Path | None, typer.Option("--models", metavar="DIR", help="models directory (the shipped one)")]
Accounts = Annotated[int, typer.Option("--accounts", metavar="N", min=1, help="accounts of each set, at most")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="of the draws")]


@app.callback()
def study() -> None:
    """Study the system: attacks, hard cases, explanations, rivals."""


@app.command("attacks", short_help="what attacks on characters and words cost")
def study_attacks_command(data: Data, models: ModelsDir = None, accounts: Accounts = 60, seed: Seed = 0) -> int:
    """Attack machines' posts as RAID does, and print what each attack costs.

    People's posts stay as they are, and are of people whom no model learned from.

    Args:
        data: text sets, and the stream whose pauses are drawn from.

    Raises:
        UsageError: the text sets are not there.
        ModelError: the models cannot be used.
    """
    with Console(stderr=True).status("running the system over attacked posts"):
        table = attack_costs(data, models or SHIPPED, accounts, seed)
    print(table)
    return 0
