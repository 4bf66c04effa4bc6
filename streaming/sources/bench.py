"""`python -m streaming.sources.bench`: what putting a recording in order costs.

Writes events in a thoroughly mixed order to a temporary file, reads them by time in another process, as every command
does, and prints the seconds and the memory that took. The order and the number of the events are checked.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from detector.errors import UsageError
from streaming.sources.files import RecordingFiles

START_MS: Final = 1_767_225_600_000

STEP: Final = 7_368_787
"""A prime: multiples of it modulo the number of events, which it does not divide, are all of them in a mixed order."""

EVENT_MS: Final = 100
"""Between two events."""

WORDS: Final = (
    "bus",
    "late",
    "again",
    "today",
    "we",
    "walked",
    "home",
    "through",
    "rain",
    "with",
    "warm",
    "bread",
    "and",
)

_WRITTEN_AT_ONCE: Final = 10_000


class _TimedLine(msgspec.Struct):
    at: int


def write_mixed(path: Path, events: int) -> None:
    """Write posts of some twelve words, each time once, in a mixed order.

    Args:
        path: where to.
        events: how many; no multiple of `STEP`.
    """
    with path.open("wb") as file:
        held: list[bytes] = []
        for number in range(events):
            place = number * STEP % events
            text = " ".join(WORDS[(place * 7 + k * (place % 5 + 1)) % len(WORDS)] for k in range(12))
            held.append(
                b'{"id":"e%d","account":"u%d","at":%d,"kind":"post","text":"%s"}\n'
                % (place, place % 99_991, START_MS + EVENT_MS * place, text.encode())
            )
            if len(held) == _WRITTEN_AT_ONCE:
                file.write(b"".join(held))
                held.clear()
        file.write(b"".join(held))


def read_in_order(path: Path) -> int:
    """Read a recording by time; how many events there are.

    Raises:
        UsageError: they are not in order.
    """
    decoder, last, count = msgspec.json.Decoder(_TimedLine), -1, 0
    with RecordingFiles([path]) as inputs:
        for count, record in enumerate(inputs.by_time(), 1):
            at = decoder.decode(record.value).at
            if at < last:
                raise UsageError(f"event {count:,} of {path} is not in order: this is a fault of the sort")
            last = at
    return count


def main(
    events: Annotated[int, typer.Option(metavar="N", help="events to write and sort")] = 10_000_000,
    folder: Annotated[Path | None, typer.Option(metavar="DIR", help="with room for them twice")] = None,
    recording: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Sort a mixed recording in another process, and print seconds and memory.

    Args:
        events: how many.
        folder: for the recording and for what is sorted on disk; removed again.
        recording: to read, in the process that is measured.
    """
    if recording is not None:
        begun = time.process_time()
        count = read_in_order(recording)
        used, memory = time.process_time() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{count:,} events in order: {used:.0f} s of the processor, {memory:,.0f} MiB at most")
        return
    with tempfile.TemporaryDirectory(prefix="swarmlight-", dir=folder) as place:
        path = Path(place) / "mixed.jsonl"
        write_mixed(path, events)
        print(f"{events:,} events written, {path.stat().st_size / 2**30:.2f} GiB", flush=True)
        command = [sys.executable, "-m", "streaming.sources.bench", "--recording", str(path)]
        begun = time.monotonic()
        done = subprocess.run(command, env=os.environ | {"TMPDIR": place}, check=False)  # noqa: S603 - ours
        if done.returncode:
            raise UsageError("the events were not sorted")
        print(f"{time.monotonic() - begun:.0f} s by the clock")


if __name__ == "__main__":
    typer.run(main)
