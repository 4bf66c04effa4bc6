"""Snapshots of `assess` on disk: which there are, which may be started from, and how a new one is put beside them.

A snapshot is a folder: `state/` as the core writes it, and `place.json`, which says what it is a snapshot of. It gets
its name only when it is complete, and it is written only when the tick it holds is committed.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from detector.errors import LogError

log = logging.getLogger(__name__)

KEPT: Final = 2
"""Snapshots that are kept: the newest, and one more in case it turns out to be damaged."""

ABANDONED_S: Final = 86_400.0
"""An unfinished folder this old belongs to no living process, on whatever machine."""


class Place(msgspec.Struct, frozen=True):
    """What a snapshot is of.

    Args:
        run: the history of outputs it belongs to (`JournalEntry.run`).
        tick_ms: last tick that its state has seen.
        positions: next offset of every partition of the observation log.
        journal: offset of the journal entry that committed `tick_ms`.
    """

    run: str
    tick_ms: int
    positions: list[int]
    journal: int
    v: int = 1


class Snapshot(msgspec.Struct, frozen=True):
    """A complete snapshot."""

    folder: Path
    place: Place

    @property
    def state(self) -> Path:
        """What the core restores."""
        return self.folder / "state"


class Snapshots:
    """The snapshots of one deployment under `[state] dir`."""

    def __init__(self, directory: Path, prefix: str) -> None:
        self._folder = directory / f"{prefix}assess"

    def all(self) -> list[Snapshot]:
        """Complete snapshots, newest tick first. A folder that cannot be understood is skipped with a warning."""
        found = []
        for folder in self._folder.glob("snapshot-*"):
            try:
                place = msgspec.json.decode((folder / "place.json").read_bytes(), type=Place)
            except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
                log.warning("snapshot %s cannot be read (%s) and is not used", folder.name, type(error).__name__)
                continue
            if place.v == 1:
                found.append(Snapshot(folder, place))
        return sorted(found, key=lambda each: each.place.tick_ms, reverse=True)

    def write(self, place: Place, save: Callable[[Path], None]) -> None:
        """Put a new snapshot beside the others, and remove those that are too many.

        Args:
            save: writes the core's state into a folder that does not exist yet.

        Raises:
            LogError: the disk does not take it.
        """
        name = f"snapshot-{place.tick_ms:015d}"
        unfinished = self._folder / f"unfinished-{os.getpid()}-{name}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            save(unfinished / "state")
            with (unfinished / "place.json").open("wb") as file:
                file.write(msgspec.json.encode(place))
                file.flush()
                os.fsync(file.fileno())
            final = self._folder / name
            if final.exists():
                # Of another run, or damaged; the newest one before it stays until this one has its name.
                shutil.rmtree(final)
            unfinished.rename(final)
            _sync(self._folder)
        except OSError as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise LogError(
                f"snapshot {name} cannot be written to {self._folder}: {error.strerror}; free some space or set "
                "[state] dir to a folder this user may write to"
            ) from error
        self._tidy(place.run)

    def _tidy(self, run: str) -> None:
        ours = [each for each in self.all() if each.place.run == run]
        for old in ours[KEPT:]:
            shutil.rmtree(old.folder, ignore_errors=True)
        for folder in self._folder.glob("unfinished-*"):
            try:
                if time.time() - folder.stat().st_mtime > ABANDONED_S:
                    shutil.rmtree(folder, ignore_errors=True)
            except OSError:
                continue


def _sync(folder: Path) -> None:
    """Make a rename survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
