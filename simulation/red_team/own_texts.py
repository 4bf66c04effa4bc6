"""The texts that the red team uses where the user names none: the demo's.

People's are messages of `chitchat-dataset` (MIT) by people who are kept for the demo: no shipped model has read or been
calibrated on them. Machines' are the posts that were written for the demo's planted accounts.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from simulation.files import written
from streaming.demo.cast import people, planted


def people_corpus(path: Path, seed: int = 0) -> str:
    """Write the people's corpus; the name of the source, as `--people-texts` takes it.

    Raises:
        UsageError: `chitchat-dataset` is not installed, or the file cannot be written.
    """
    rows = [{"author": message.author, "text": message.text, "lang": "en"} for message in people(seed)]
    return _write(path, rows)


def machine_corpus(path: Path) -> str:
    """Write the machines' corpus; the name of the source, as `--machine-texts` takes it.

    Raises:
        UsageError: the file cannot be written.
    """
    rows = [{"author": each.account, "text": text, "lang": "en"} for each in planted() for text in each.posts]
    return _write(path, rows)


def _write(path: Path, rows: list[dict[str, str]]) -> str:
    with written(path) as file:
        file.writelines(msgspec.json.encode(row) + b"\n" for row in rows)
    return f"corpus:{path}"
