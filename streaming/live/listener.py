"""Follows a public stream: keeps it connected, takes out what came twice, makes post events, hands them on.

Two threads: one reads the connection and puts what comes into a bounded queue, the other settles it. Every record that
was received is one of four: an event, skipped (in order, and no post event), dead, or repeated (it came before, and
came again after a cut). Which events are the same is what the stage `assess` says: account, id and text.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from detector.errors import BrokerError, DeliveryError, EventError, SwarmlightError
from streaming.assess.duplicates import event_key, text_mark
from streaming.live.backlog import BACKLOG_BYTES, Backlog
from streaming.live.base import LiveRecord, LiveSource, Lost, Progress, StreamPosition
from streaming.live.checkpoint import Checkpoint, CheckpointFile
from streaming.live.destinations import Destination, ListenedEvent
from streaming.logs import shown
from streaming.retry import Backoff
from streaming.schema.dead_letter import DeadLetter, dead_letter
from streaming.score import event_of
from streaming.sources.base import SourceRecord

CHUNK: Final = 500
"""Records settled at once: a second of a busy stream, and a fraction of one of work."""

WAIT_S: Final = 0.2
"""Longest wait for records before it is looked whether to stop or to commit."""

FIRST_WAIT_S: Final = 0.5
"""Bound of the first wait before a stream is connected again."""

LONGEST_WAIT_S: Final = 30.0
"""Bound of any: a platform that is back is followed again within half a minute."""

LASTING_TRIES: Final = 3
"""Refusals in a row, of the kind that somebody has to mend, that end a listener that was connected before; one that
never was ends with the first."""

DRAIN_S: Final = 10.0
"""When told to stop: what was received is settled for so long; the rest is fetched again next time."""

JOIN_S: Final = 5.0
"""Longest wait for the thread that reads: it looks twice a second whether to stop."""

WINDOWS: Final = 3
"""Overlaps of time for which marks are remembered: one is asked for again, and another after a restart."""

MARKS_KEPT: Final = 200_000
"""Marks remembered at most, some 40 MB: a stream whose clock stands still must not fill the memory."""


@dataclass
class StreamCounts:
    """What became of the records of a stream, since the listener began.

    Args:
        received: records settled.
        events: post events that were handed on.
        skipped: in order, and no post event, by what they are.
        dead: cannot be made a post event.
        repeated: came again after a cut, and were handed on before.
        cuts: connections that broke.
        rewinds: times that the destination failed and the stream was taken up again at the last commit.
        lost: what a source says cannot be read any more.
    """

    received: int = 0
    events: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    dead: int = 0
    repeated: int = 0
    cuts: int = 0
    rewinds: int = 0
    lost: list[str] = field(default_factory=list)

    def copy(self) -> StreamCounts:
        """As it is now."""
        return StreamCounts(self.received, self.events, Counter(self.skipped), self.dead, self.repeated, self.cuts,
                     self.rewinds, list(self.lost))  # fmt: skip


class Watcher(Protocol):
    """Told how a listener does."""

    def said(self, text: str) -> None:
        """Something that somebody may want to know: one line of printable text."""
        ...

    def advanced(self, tally: StreamCounts, newest_us: int, waiting: int) -> None:
        """How far it is; called several times a second.

        Args:
            tally: of what was settled.
            newest_us: position of the newest record.
            waiting: bytes that were received and are not settled.
        """
        ...


class DeduplicationWindow:
    """Marks of what came lately.

    Args:
        window_us: for how long, in the positions of the stream.
        recent: positions and marks to begin with, in order.
    """

    def __init__(self, window_us: int, recent: Iterable[tuple[int, bytes]] = ()) -> None:
        self._window_us = window_us
        self._order = deque(recent)
        self._marks = {mark for _, mark in self._order}

    def __len__(self) -> int:
        return len(self._order)

    def is_new(self, mark: bytes, position: int, newest: int) -> bool:
        """Remember a mark; whether it was not remembered.

        Args:
            mark: of a record.
            position: of it.
            newest: highest position so far.
        """
        while self._order and (self._order[0][0] < newest - self._window_us or len(self._order) > MARKS_KEPT):
            self._marks.discard(self._order.popleft()[1])
        if mark in self._marks:
            return False
        self._marks.add(mark)
        self._order.append((position, mark))
        return True

    def kept(self) -> list[tuple[int, bytes]]:
        """Positions and marks, in order."""
        return list(self._order)


class _Reader(threading.Thread):
    """Reads the connection into a backlog, and connects again when it breaks."""

    def __init__(
        self, source: LiveSource, place: StreamPosition, backlog: Backlog, backoff: Backoff, told: Watcher
    ) -> None:
        super().__init__(name="listen", daemon=True)
        self._source = source
        self._backlog = backlog
        self._progress = Progress(place, source.overlap_us)
        self._backoff = backoff
        self._told = told
        self._leave = threading.Event()
        self._connected = self._ever = False
        self.cuts = 0
        self.error: BaseException | None = None

    def leave(self) -> None:
        """Stop reading, and wait until that is so."""
        self._leave.set()
        self._backlog.close()
        self._source.interrupt()
        self.join(JOIN_S)

    def run(self) -> None:
        try:
            while not self._leave.is_set():
                try:
                    self._follow()
                except DeliveryError as error:
                    if self._leave.is_set():
                        return
                    self.cuts += self._connected
                    self._connected = False
                    self._wait(error)
        except BaseException as error:
            self.error = error
        finally:
            self._backlog.close()

    def _follow(self) -> None:
        with self._source.connect(self._progress.place) as records:
            self._connected = self._ever = True
            for record in records:
                if isinstance(record, LiveRecord):
                    position = record.position if record.position >= 0 else self._progress.newest
                    self._progress.take(position, record.token)
                    record = record._replace(position=position)
                    self._backoff.succeeded()
                if not self._backlog.put(record):
                    return

    def _wait(self, error: DeliveryError) -> None:
        wait = self._backoff.failed(error.wait_s)
        if error.lasting and (not self._ever or self._backoff.failures >= LASTING_TRIES):
            raise error
        self._told.said(f"{error}; again in {wait:.1f} s")
        self._leave.wait(wait)


class Listener:
    """Follows one stream into one destination.

    Args:
        source: the stream.
        open_destination: opens where events go, given the numbers of the checkpoint.
        file: of the checkpoint.
        watcher: told how it does.
        begin: where to begin where there is no checkpoint.
        clock: seconds, monotonic.
        now_ms: milliseconds since 1970.
        backlog_bytes: bound of what waits.
        backoff: waits between connections.
    """

    def __init__(
        self,
        source: LiveSource,
        open_destination: Callable[[dict[str, int]], Destination],
        file: CheckpointFile,
        watcher: Watcher,
        *,
        begin: StreamPosition | None = None,
        clock: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        backlog_bytes: int = BACKLOG_BYTES,
        backoff: Backoff | None = None,
    ) -> None:
        self._source = source
        self._file = file
        self._watcher = watcher
        self._clock, self._now_ms = clock, now_ms
        self._backlog_bytes = backlog_bytes
        self._backoff = backoff or Backoff(FIRST_WAIT_S, LONGEST_WAIT_S)
        self._kept = file.load(source.identity)
        if begin is not None and self._kept.newest < 0:
            self._kept = msgspec.structs.replace(self._kept, place=begin)
        self.destination = open_destination(self._kept.destination)
        self._convert = source.converting()
        self.tally = StreamCounts()
        self._safe = self.tally.copy()
        self._begin()

    def _begin(self) -> None:
        """Take up the stream at the last commit."""
        kept = self._kept
        self._progress = Progress(kept.place, self._source.overlap_us)
        self._progress.newest = kept.newest
        self._seen = DeduplicationWindow(WINDOWS * self._source.overlap_us, kept.recent)
        self._backlog = Backlog(self._backlog_bytes)
        self._reader = _Reader(self._source, kept.place, self._backlog, self._backoff, self._watcher)
        self._cuts_before = self.tally.cuts
        self._committed_at = self._clock()

    def run(self, stop: Callable[[], bool]) -> StreamCounts:
        """Follow the stream until `stop` says so, or an error that waiting does not mend.

        Returns:
            What became of its records.

        Raises:
            DeliveryError: the platform refuses, and will.
            UsageError: a file cannot be written.
        """
        self._reader.start()
        try:
            while not stop():
                try:
                    self._turn()
                except BrokerError as error:
                    self._rewind(error)
                if self._reader.error is not None and not self._backlog.held:
                    break
            self._finish()
        finally:
            self._reader.leave()
            with suppress(SwarmlightError):
                self.destination.close()
        if self._reader.error is not None:
            raise self._reader.error
        return self.tally

    def _turn(self) -> None:
        taken = self._backlog.take(CHUNK, WAIT_S)
        self.tally.cuts = self._cuts_before + self._reader.cuts
        if taken:
            self._settle(taken)
        self._watcher.advanced(self.tally, self._progress.newest, self._backlog.held)
        if self._clock() - self._committed_at >= self.destination.commit_s:
            self._commit()

    def _finish(self) -> None:
        """Settle what was received, and commit."""
        self._reader.leave()
        deadline = self._clock() + DRAIN_S
        while (taken := self._backlog.take(CHUNK, 0.0)) and self._clock() < deadline:
            self._settle(taken)
        self.tally.cuts = self._cuts_before + self._reader.cuts
        self._commit()
        self._watcher.advanced(self.tally, self._progress.newest, 0)

    def _settle(self, taken: Iterable[LiveRecord | Lost]) -> None:
        events: list[ListenedEvent] = []
        letters: list[DeadLetter] = []
        now_ms = self._now_ms()
        for each in taken:
            if isinstance(each, Lost):
                self.tally.lost.append(each.what)
                self._watcher.said(each.what)
            else:
                self._settle_one(each, now_ms, events, letters)
        self.destination.write(events, letters)

    def _settle_one(
        self, record: LiveRecord, now_ms: int, events: list[ListenedEvent], letters: list[DeadLetter]
    ) -> None:
        tally = self.tally
        tally.received += 1
        self._progress.take(record.position, record.token)
        made = self._convert(record.value)
        if made.skipped:
            if self._is_new(_raw_mark(record.value), record):
                tally.skipped[made.skipped] += 1
            return
        read = SourceRecord(
            max(record.position, 0), -1, made.value, f"{self._source.name}@", oversize=made.oversize,
            problem=made.problem,
        )  # fmt: skip
        try:
            event = event_of(read, now_ms)
        except EventError as error:
            if self._is_new(_raw_mark(record.value), record):
                tally.dead += 1
                letters.append(dead_letter(read, error, now_ms))
            return
        mark = event_key(event.account, event.id) + text_mark(event.text).to_bytes(2, "big")
        if self._is_new(mark, record):
            tally.events += 1
            value = made.value if b"\n" not in made.value else msgspec.json.format(made.value, indent=-1)
            events.append(ListenedEvent(event.account, value))

    def _is_new(self, mark: bytes, record: LiveRecord) -> bool:
        new = self._seen.is_new(mark, record.position, self._progress.newest)
        self.tally.repeated += not new
        return new

    def _commit(self) -> None:
        numbers = self.destination.commit()
        self._kept = Checkpoint(
            source=self._source.identity,
            place=self._progress.place,
            newest=self._progress.newest,
            recent=self._seen.kept(),
            destination=numbers,
        )
        self._file.save(self._kept)
        self._safe = self.tally.copy()
        self._committed_at = self._clock()

    def _rewind(self, error: BrokerError) -> None:
        """Take up the stream at the last commit, once the destination takes something again."""
        wait = self._backoff.failed()
        self._watcher.said(f"{error}; the stream is taken up again at the last commit in {wait:.1f} s")
        self._reader.leave()
        cuts, rewinds = self.tally.cuts, self.tally.rewinds
        self.tally = self._safe.copy()
        self.tally.cuts, self.tally.rewinds = cuts, rewinds + 1
        self._leave_time(wait)
        with suppress(BrokerError):
            self.destination.rewind()
        self._begin()
        self._reader.start()

    def _leave_time(self, seconds: float) -> None:
        time.sleep(seconds)


def _raw_mark(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=14).digest()


def summary(tally: StreamCounts, place: str, cursor: str) -> str:
    """The last line: what became of every record, and where it is.

    Args:
        tally: of the listener.
        place: of the destination.
        cursor: file of the checkpoint.
    """
    from streaming.sources.files import counted

    skipped = f" ({counted(tally.skipped)})" if tally.skipped else ""
    cuts = f" after {tally.cuts:,} cuts" if tally.cuts else ""
    rewinds = f", {tally.rewinds:,} times taken up again at the last commit" if tally.rewinds else ""
    lost = f"; not to be had: {'; '.join(dict.fromkeys(tally.lost))}" if tally.lost else ""
    return (
        f"received {tally.received:,}: {tally.events:,} events, {sum(tally.skipped.values()):,} skipped{skipped}, "
        f"{tally.dead:,} dead, {tally.repeated:,} repeated{cuts}{rewinds}{lost}; events in {shown(place)}, "
        f"the place in the stream in {shown(cursor)}"
    )
