"""The texts that the red team uses where the user names none, as files: the demo's (`simulation.texts.demo`)."""

from __future__ import annotations

from pathlib import Path

import msgspec

from simulation.files import written
from simulation.texts.corpus import Row
from simulation.texts.demo import rows


def people_corpus(path: Path, seed: int = 0) -> str:
    """Write the people's corpus; the name of the source, as `--people-texts` takes it.

    Raises:
        UsageError: `chitchat-dataset` is not installed, or the file cannot be written.
    """
    return _write(path, rows(machines=False, seed=seed))


def machine_corpus(path: Path) -> str:
    """Write the machines' corpus; the name of the source, as `--machine-texts` takes it.

    Raises:
        UsageError: the file cannot be written.
    """
    return _write(path, rows(machines=True))


def _write(path: Path, table: list[Row]) -> str:
    names = ("author", "text", "lang")
    with written(path) as file:
        file.writelines(msgspec.json.encode(dict(zip(names, row, strict=True))) + b"\n" for row in table)
    return f"corpus:{path}"
