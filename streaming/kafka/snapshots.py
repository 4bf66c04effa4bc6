"""Snapshots of `assess` on disk, and from which of them a process may start.

A snapshot is a folder: `state/` as the core writes it, and `place.json` (`SnapshotManifest`), which says what it is a
snapshot of. It gets its name only when it is complete, and it is written only when the tick it holds is committed.

A start is possible from offset 0, or from a snapshot whose positions the log still covers (`starting_points`). These
are pure decisions about what was found (`RecoveryState`). Revisions of alerts must not begin again, so whatever cannot
be explained ends in an error that says what to do.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import msgspec

from detector.errors import LogError, StartError
from streaming.assess.ordering import Ordering
from streaming.assess.outputs import Reranker, RerankRequest, TickOutput
from streaming.kafka.journal import Journal
from streaming.schema.observation import Entry
from streaming.worker_metrics import Metrics

log = logging.getLogger(__name__)

KEPT: Final = 2
"""Snapshots that are kept: the newest, and one more in case it turns out to be damaged."""

PRIVATE: Final = 0o700
"""Mode of the folders: a snapshot holds what strangers have written and what is thought of them."""

ABANDONED_S: Final = 86_400.0
"""An unfinished folder this old belongs to no living process, on whatever machine."""


class Core(Protocol):
    """The state machine, as far as these shells know it. The real one is `AssessCore`; tests have a smaller one."""

    @property
    def ordering(self) -> Ordering:
        """Its events in order, with the counts and watermarks that metrics show."""
        ...

    def feed(self, entry: Entry) -> None: ...

    def next_tick(self) -> int | None:
        """Time of the tick that `advance` would run, ms; None where none is due."""
        ...

    def asked(self) -> RerankRequest | None:
        """What the next tick will have read, known as soon as the last one has run."""
        ...

    def advance(self, reranker: Reranker) -> TickOutput | None: ...

    def ended(self) -> bool: ...

    def snapshot(self) -> Callable[[Path], None]:
        """Copy the state aside; what writes the copy into a folder that does not exist yet, in whatever thread."""
        ...


class SnapshotManifest(msgspec.Struct, frozen=True):
    """What a snapshot is of.

    Args:
        run: the history of outputs it belongs to (`JournalEntry.run`).
        tick_ms: last tick that its state has seen.
        positions: next offset of every partition of the observation log.
        journal: offset of the journal entry that committed `tick_ms`.
        files: name -> SHA-256 of every file of a copy at `[state] url`; empty on disk.
    """

    run: str
    tick_ms: int
    positions: list[int]
    journal: int
    v: int = 1
    files: dict[str, str] = {}


MANIFEST: Final = "place.json"
"""The file that makes a folder a snapshot."""


def read_manifest(body: bytes, name: str) -> SnapshotManifest | None:
    """The manifest in a file, None with a warning where it cannot be understood.

    Args:
        body: of the file.
        name: what the warning calls the snapshot.
    """
    try:
        manifest = msgspec.json.decode(body, type=SnapshotManifest)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        log.warning("snapshot %s cannot be read (%s) and is not used", name, type(error).__name__)
        return None
    return manifest if manifest.v == 1 else None


class Snapshot(msgspec.Struct, frozen=True):
    """A complete snapshot.

    Args:
        folder: where it is, or will be once it has been fetched.
        manifest: what it is of.
        shared: its name at `[state] url` where it is only there.
    """

    folder: Path
    manifest: SnapshotManifest
    shared: str | None = None

    @property
    def state(self) -> Path:
        """What the core restores."""
        return self.folder / "state"


class Shared(Protocol):
    """Copies of snapshots where every process reaches them: `streaming.kafka.shared_snapshots.SharedSnapshots`."""

    def all(self) -> list[tuple[str, SnapshotManifest]]:
        """Name and manifest of every complete copy."""
        ...

    def put(self, snapshot: Snapshot) -> None:
        """Copy a snapshot from disk."""
        ...

    def fetch(self, name: str, manifest: SnapshotManifest, into: Path) -> None:
        """Copy a snapshot to disk.

        Args:
            name: of the copy.
            manifest: that `all` gave.
            into: folder that does not exist yet.
        """
        ...


class SnapshotStore:
    """The snapshots of one deployment under `[state] dir`, and their copies at `[state] url`.

    Args:
        directory: `[state] dir`.
        prefix: of the deployment's topics.
        shared: the copies, None where there are none.
    """

    def __init__(self, directory: Path, prefix: str, shared: Shared | None = None) -> None:
        self._folder = directory / f"{prefix}assess"
        self.shared = shared

    def all(self) -> list[Snapshot]:
        """Complete snapshots, newest tick first. A folder that cannot be understood is skipped with a warning."""
        found = self._on_disk()
        known = {(each.manifest.run, each.manifest.tick_ms) for each in found}
        for name, manifest in self._copies():
            if (manifest.run, manifest.tick_ms) not in known:
                found.append(Snapshot(self._folder / _name_of(manifest), manifest, name))
        return sorted(found, key=lambda each: each.manifest.tick_ms, reverse=True)

    def _on_disk(self) -> list[Snapshot]:
        found = []
        for folder in self._folder.glob("snapshot-*"):
            try:
                manifest = read_manifest((folder / MANIFEST).read_bytes(), folder.name)
            except OSError as error:
                log.warning("snapshot %s cannot be read (%s) and is not used", folder.name, type(error).__name__)
                continue
            if manifest is not None:
                found.append(Snapshot(folder, manifest))
        return found

    def _copies(self) -> list[tuple[str, SnapshotManifest]]:
        try:
            return [] if self.shared is None else self.shared.all()
        except LogError as error:
            log.error("going on with the snapshots on disk: %s", error)
            return []

    def on_disk(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot on this process's disk, fetched where it is only shared.

        Raises:
            LogError: it cannot be fetched.
        """
        if snapshot.shared is None:
            return snapshot
        assert self.shared is not None
        if snapshot.folder.exists():
            shutil.rmtree(snapshot.folder, ignore_errors=True)  # of another run, or damaged
        self.shared.fetch(snapshot.shared, snapshot.manifest, snapshot.folder)
        log.info("snapshot %s fetched from [state] url", snapshot.shared)
        return Snapshot(snapshot.folder, snapshot.manifest)

    def write(self, manifest: SnapshotManifest, save: Callable[[Path], None]) -> Snapshot:
        """Put a new snapshot beside the others, and remove those that are too many.

        Args:
            manifest: what it is of.
            save: writes the core's state into a folder that does not exist yet.

        Raises:
            LogError: the disk does not take it.
        """
        name = _name_of(manifest)
        # Processes on several machines may share the folder, and in containers all have the same process id.
        unfinished = self._folder / f"unfinished-{uuid.uuid4().hex}-{name}"
        final = self._folder / name
        replaces = final.exists()
        try:
            self._folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
            unfinished.mkdir(mode=PRIVATE)
            save(unfinished / "state")
            with (unfinished / MANIFEST).open("wb") as file:
                file.write(msgspec.json.encode(manifest))
                file.flush()
                os.fsync(file.fileno())
            if replaces:
                # Of another run, or damaged; the newest one before it stays until this one has its name.
                shutil.rmtree(final, ignore_errors=True)
            _name(unfinished, final)
            _sync(self._folder)
        except OSError as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise LogError(
                f"snapshot {name} cannot be written to {self._folder}: {error.strerror}; free some space or set "
                "[state] dir to a folder this user may write to"
            ) from error
        self._tidy(manifest.run)
        return Snapshot(final, manifest)

    def _tidy(self, run: str) -> None:
        ours = sorted(
            (each for each in self._on_disk() if each.manifest.run == run), key=lambda each: -each.manifest.tick_ms
        )
        for old in ours[KEPT:]:
            shutil.rmtree(old.folder, ignore_errors=True)
        for folder in self._folder.glob("unfinished-*"):
            try:
                if time.time() - folder.stat().st_mtime > ABANDONED_S:
                    shutil.rmtree(folder, ignore_errors=True)
            except OSError:
                continue


def _name_of(manifest: SnapshotManifest) -> str:
    return f"snapshot-{manifest.tick_ms:015d}"


def _name(unfinished: Path, final: Path) -> None:
    """Give a finished snapshot its name, unless another process has just written the same one.

    Raises:
        OSError: the disk does not take it.
    """
    try:
        unfinished.rename(final)
    except OSError:
        if not (final / MANIFEST).exists():
            raise
        shutil.rmtree(unfinished, ignore_errors=True)


WAIT_S: Final = 20.0
"""Longest wait, where a process ends, for what is being written: within the half minute that supervisors grant."""


class PeriodicSnapshots:
    """Writes a snapshot every so often, where the state has moved on since the last one, while ticks go on.

    The state is copied aside in memory, which holds a tick up for a third of a second with 200,000 accounts; a thread
    writes the copy, and has it copied to `[state] url`. Call `look` at every turn.

    Args:
        store: where to.
        every_s: seconds between them.
        metrics: told of each, and of those that failed.
        clock: seconds, monotonic.
    """

    def __init__(self, store: SnapshotStore, every_s: float, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._store, self._every_s, self._metrics, self._clock = store, every_s, metrics, clock
        self._tick: int | None = None
        self._at = clock()
        self._writing: threading.Thread | None = None
        self._sharing: threading.Thread | None = None
        self._written: SnapshotManifest | None = None

    def begin(self, tick_ms: int | None) -> None:
        """Count from here on; the state comes from a snapshot of this tick, or from none."""
        self._tick, self._at = tick_ms, self._clock()

    @property
    def due(self) -> bool:
        """Whether the last one is old enough, and none is being written."""
        return self._writing is None and self._clock() - self._at >= self._every_s

    def look(self) -> None:
        """See whether what was being written is there."""
        if self._writing is not None and not self._writing.is_alive():
            self._writing = None
            if self._written is not None:
                self._tick, self._written = self._written.tick_ms, None

    def write(self, manifest: SnapshotManifest, core: Core, *, share: bool = True) -> None:
        """Begin to write the state of `core`, if it has moved on and nothing is being written.

        Where the disk does not take it, outputs go on all the same: the last snapshot and the log are still there.

        Args:
            manifest: what it is a snapshot of; its tick is committed.
            core: what is written; it may go on at once.
            share: whether it is to be copied to `[state] url`.
        """
        self.look()
        if self._writing is not None or manifest.tick_ms == self._tick:
            return
        self._at = started = self._clock()
        if core.ordering.open_gaps:
            log.warning("no snapshot while the observation log has a gap: its positions would be beyond the state")
            return
        save = core.snapshot()
        self._metrics.step("assess", "snapshot_copy", self._clock() - started)
        self._writing = threading.Thread(
            target=self._write, args=(manifest, save, share, started), name="snapshot", daemon=True
        )
        self._writing.start()

    def finish(self, wait_s: float = WAIT_S) -> None:
        """Wait for what is being written, and as long as is left for its copy; a process ends afterwards."""
        deadline = self._clock() + wait_s
        if self._writing is not None:
            self._writing.join(max(0.0, deadline - self._clock()))
        if self._sharing is not None:  # the thread before began it
            self._sharing.join(max(0.0, deadline - self._clock()))
        self.look()
        if self._writing is not None:
            log.warning("the last snapshot was not written within %.0f s: a start replays a little more", wait_s)

    def _write(self, manifest: SnapshotManifest, save: Callable[[Path], None], share: bool, started: float) -> None:
        try:
            snapshot = self._store.write(manifest, save)
        except LogError as error:
            log.error("no snapshot of tick %d: %s", manifest.tick_ms, error)
            self._metrics.alarm("snapshot_failed")
            return
        except Exception:
            log.exception("no snapshot of tick %d", manifest.tick_ms)
            self._metrics.alarm("snapshot_failed")
            return
        self._written = manifest
        self._metrics.snapshot(time.time())
        self._metrics.step("assess", "snapshot", self._clock() - started)
        if not share or self._store.shared is None:
            return
        if self._sharing is not None and self._sharing.is_alive():
            log.error("the copy of an earlier snapshot to [state] url is not there yet: this one is on disk only")
            self._metrics.alarm("snapshot_failed")
            return
        self._sharing = threading.Thread(target=self._share, args=(snapshot,), name="snapshot copy", daemon=True)
        self._sharing.start()

    def _share(self, snapshot: Snapshot) -> None:
        assert self._store.shared is not None
        try:
            self._store.shared.put(snapshot)
        except LogError as error:
            log.error("snapshot %s is on disk only: %s", snapshot.folder.name, error)
            self._metrics.alarm("snapshot_failed")


def _sync(folder: Path) -> None:
    """Make a rename survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class RecoveryState:
    """What a process finds on the broker and on disk when it takes over.

    Args:
        journal: read from the offset of the oldest usable snapshot, or from its beginning.
        group_tick_ms: tick in the committed offsets of the group, None where they have none (or have expired).
        firsts, ends: bounds of the partitions of the observation log.
        outputs: whether `alerts` holds any record.
        snapshots: newest first.
        settings: digest of this process's configuration and models.
        begins: where a start without a snapshot begins the log, where that is not offset 0 (a shadow).
    """

    journal: Journal
    group_tick_ms: int | None
    firsts: list[int]
    ends: list[int]
    outputs: bool
    snapshots: list[Snapshot]
    settings: str
    begins: list[int] | None = None

    @property
    def gone(self) -> list[int]:
        """Partitions of which retention has removed what a start without a snapshot needs.

        A shadow begins where it was told to. Where it has begun already and the log begins right there now, what it
        had read before may be gone.
        """
        if self.begins is None:
            return [number for number, first in enumerate(self.firsts) if first > 0]
        if self.journal.last is None:
            return []
        return [n for n, (first, begin) in enumerate(zip(self.firsts, self.begins, strict=True)) if first >= begin > 0]


def check_consistency(found: RecoveryState) -> None:
    """Raise unless the journal, the committed offsets and the log fit together.

    Raises:
        LogError: it does not.
    """
    last = found.journal.last
    over = "start over under another [kafka] topic_prefix"
    if last is None:
        if found.group_tick_ms is not None:
            raise LogError(
                f"outputs are committed up to tick {found.group_tick_ms}, but the journal is empty: it was removed or "
                f"recreated; {over}"
            )
        if found.outputs:
            raise LogError(
                f"there are alerts, but neither journal entries nor committed positions: those were removed; {over}"
            )
        return
    if found.group_tick_ms is None:
        log.warning("the group's committed offsets have expired; going on from the journal")
    elif found.group_tick_ms != last.tick_ms:
        raise LogError(
            f"outputs are committed up to tick {found.group_tick_ms} and the journal ends at {last.tick_ms}: one of "
            f"them was changed; {over}"
        )
    if len(last.positions) != len(found.ends):
        raise LogError(
            f"the journal is of {len(last.positions)} partitions of observations, the topic has {len(found.ends)}: "
            f"{over}"
        )
    for number, (position, end) in enumerate(zip(last.positions, found.ends, strict=True)):
        if position > end:
            raise LogError(
                f"partition {number} of observations ends at {end}, but outputs were committed with what it held up "
                f"to {position}: it was recreated or its broker lost data; {over}"
            )


def starting_points(found: RecoveryState, reasons: list[str]) -> Iterator[Snapshot | None]:
    """Where to start from, best first; None is offset 0, or where a shadow begins.

    Args:
        reasons: why what was tried did not do. The caller adds to it where a snapshot turns out to be damaged, and asks
            for the next.

    Raises:
        StartError: when nothing (more) is left.
    """
    last = found.journal.last
    if last is not None:
        for snapshot in found.snapshots:
            problem = _problem(found, snapshot)
            if problem is None:
                yield snapshot
            else:
                reasons.append(f"{snapshot.folder.name} {problem}")
    gone = found.gone
    if gone:
        reasons.append(f"retention removed the beginning of partition(s) {', '.join(map(str, gone))} of observations")
    elif last is not None and found.journal.first > 0:
        reasons.append("retention removed the beginning of the journal")
    elif last is not None and found.journal.other_settings(None, found.settings):
        reasons.append(
            "committed ticks ran with another configuration or other models, so a replay from 0 would differ"
        )
    else:
        yield None
        return
    raise StartError(
        "assess cannot start without repeating revisions: "
        + "; ".join(reasons)
        + ". Put back a snapshot from a copy of [state] dir, or the configuration it ran with, or start over under "
        "another [kafka] topic_prefix"
    )


def _problem(found: RecoveryState, snapshot: Snapshot) -> str | None:
    """Why a snapshot cannot be started from, None where it can."""
    last, manifest = found.journal.last, snapshot.manifest
    if last is None or manifest.run != last.run:
        return "belongs to another history"
    if manifest.tick_ms > last.tick_ms:
        return "is newer than what is committed"
    if len(manifest.positions) != len(found.firsts):
        return f"is of {len(manifest.positions)} partitions, not {len(found.firsts)}"
    if any(position < first for position, first in zip(manifest.positions, found.firsts, strict=True)):
        return "is older than what retention has left of the log"
    if any(position > end for position, end in zip(manifest.positions, found.ends, strict=True)):
        return "is ahead of the log, which was recreated or lost data"
    if manifest.journal < found.journal.first:
        return "is older than what retention has left of the journal"
    if found.journal.other_settings(manifest.tick_ms, found.settings):
        return "is followed by ticks that ran with another configuration or other models"
    return None
