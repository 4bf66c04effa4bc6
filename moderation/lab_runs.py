"""Runs of the policy lab that the console lists: folders of `swarmlight lab run --out`, below `[feed] lab_runs`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from detector.errors import FeedError, RecordError
from streaming.schema.lab_run import LARGEST_LAB_RUN, LabRunRecord, read_lab_run

REPORT: Final = "report.html"
RECORD: Final = "run.json"

LARGEST_REPORT: Final = 16 * 1024 * 1024
"""Bytes; a report of a hundred policies has one or two million."""

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
"""Of a run's folder: what fits into an address and climbs nowhere."""


@dataclass(frozen=True)
class LabRun:
    """One finished run.

    Args:
        name: of its folder.
        at_ms: when its report was written, ms since 1970.
        record: what it says.
    """

    name: str
    at_ms: int
    record: LabRunRecord


def lab_runs(folder: Path | None) -> list[LabRun]:
    """The finished runs, the newest first. A folder without a whole result is a run that goes on, and not listed.

    Args:
        folder: `[feed] lab_runs`; None where none is named.

    Raises:
        FeedError: `not_found`: the folder cannot be read.
    """
    if folder is None:
        return []
    try:
        places = sorted(folder.iterdir())
    except OSError as error:
        raise FeedError(
            "not_found", f"the folder of the policy lab's runs cannot be read ({error.strerror}): see [feed] lab_runs"
        ) from None
    found = [run for place in places if (run := _run(folder, place.name)) is not None]
    return sorted(found, key=lambda run: (-run.at_ms, run.name))


def lab_report(folder: Path | None, name: str) -> bytes:
    """The report of a run, a whole HTML page.

    Args:
        folder: as of `lab_runs`.
        name: of the run.

    Raises:
        FeedError: `not_found`: there is no such run.
    """
    if folder is None or _run(folder, name) is None:
        raise FeedError("not_found", "there is no such run of the policy lab: load the list again")
    body = _bytes(folder / name / REPORT, LARGEST_REPORT)
    if body is None:
        raise FeedError("not_found", "the report of this run cannot be read: run it again")
    return body


def _run(folder: Path, name: str) -> LabRun | None:
    if not NAME.fullmatch(name):
        return None
    place = folder / name
    body = _bytes(place / RECORD, LARGEST_LAB_RUN)
    try:
        # What a link points at elsewhere is not this folder's to show.
        inside = place.resolve().parent == folder.resolve() and not (place / REPORT).is_symlink()
        at_ms = (place / REPORT).stat().st_mtime_ns // 1_000_000
        return LabRun(name, at_ms, read_lab_run(body)) if body is not None and inside else None
    except (OSError, RecordError):
        return None


def _bytes(path: Path, largest: int) -> bytes | None:
    """What a file holds; None where it cannot be read or is larger."""
    try:
        with path.open("rb") as file:
            body = file.read(largest + 1)
    except OSError:
        return None
    return body if len(body) <= largest else None
