"""How far a long command is, as a bar in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from training.text import ProgressCallback


@contextmanager
def progress_bar(console: Console, task: str) -> Iterator[ProgressCallback]:
    """A bar for one task, from nothing to everything.

    Args:
        console: where it is drawn.
        task: what is done until the callback says something else.
    """
    with Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console) as progress:
        number = progress.add_task(task, total=1.0)

        def say(what: str, share: float) -> None:
            progress.update(number, description=what, completed=share)

        yield say
