"""`make listen-soak`: `swarmlight listen` for minutes against a local Jetstream that cuts and sends rubbish.

The listener is a process of its own, whose memory and time are looked at from outside. What it wrote is then held
against what the server sent: every event once, in order, and every message accounted for.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

from tests.streaming.live.platforms import JetstreamServer

LOOK_S: Final = 2.0
"""Between two looks at the listener's memory."""

WARM_S: Final = 30.0
"""After which memory is expected to stand: imports are done, and the marks of the first window are there."""

SLACK_S: Final = 300.0
"""How much longer than planned it may take on a machine that is busy with something else."""


class Soaked(NamedTuple):
    """What a soak showed.

    Args:
        events: the server had.
        written: lines in the file.
        missing, twice: events that are not in the file, or more than once.
        dead: dead letters.
        rubbish: messages that the server sent and no event can be made of.
        cuts: connections that were cut.
        last_line: what the listener said at its end.
        status: its exit status.
        wall_s: how long it took.
        cpu_s: processor time of the listener.
        memory_mib: (seconds, MiB) of its resident memory.
    """

    events: int
    written: int
    missing: int
    twice: int
    dead: int
    rubbish: int
    cuts: int
    last_line: str
    status: int
    wall_s: float
    cpu_s: float
    memory_mib: list[tuple[float, float]]

    @property
    def growth(self) -> float:
        """Memory at the end over memory once it was warm."""
        warm = [mib for at, mib in self.memory_mib if at >= WARM_S] or [self.memory_mib[-1][1]]
        tail = warm[-max(1, len(warm) // 10) :]
        head = warm[: max(1, len(warm) // 10)]
        return (sum(tail) / len(tail)) / (sum(head) / len(head))


def soak(folder: Path, *, seconds: float, rate: float, cuts: int, rubbish_every: int) -> Soaked:
    """Run a listener against a server, and look at what it wrote.

    Args:
        folder: for its files.
        seconds: of the stream.
        rate: events a second.
        cuts: of the connection, spread over the stream.
        rubbish_every: one message of rubbish before every so many-th event.
    """
    events = round(seconds * rate)
    places = tuple(events * (number + 1) // (cuts + 1) for number in range(cuts))
    out, dead, cursor = folder / "out.jsonl.gz", folder / "dead.jsonl", folder / "cursor.json"
    begun, memory = time.monotonic(), list[tuple[float, float]]()
    with JetstreamServer(events, rate=rate, cuts=places, rubbish_every=rubbish_every) as server:
        command = [sys.executable, "-m", "streaming", "listen", "bluesky", "--host", server.url, "--to", str(out)]
        command += ["--dead-letters", str(dead), "--cursor", str(cursor)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and time.monotonic() - begun < seconds + SLACK_S:
            time.sleep(LOOK_S)
            memory.append((time.monotonic() - begun, _resident_mib(process.pid)))
            if cursor.exists() and json.loads(cursor.read_text())["newest"] >= server.time_us(events - 1):
                break
        wall_s, cpu_s = time.monotonic() - begun, _cpu_s(process.pid)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
        cuts_left = server.cuts_left
    seen = bytearray(events)
    written = twice = 0
    with gzip.open(out) as lines:
        for line in lines:
            number = int(json.loads(line)["id"].rpartition("/k")[2])
            written += 1
            twice += seen[number]
            seen[number] = 1
    return Soaked(
        events, written, seen.count(0), twice, len(dead.read_bytes().splitlines()),
        -(-events // rubbish_every) if rubbish_every else 0, cuts - cuts_left, said.splitlines()[-1],
        process.returncode, wall_s, cpu_s, memory,
    )  # fmt: skip


def faults(soaked: Soaked) -> list[str]:
    """What is wrong, in words."""
    found = []
    if soaked.missing or soaked.twice or soaked.written != soaked.events:
        found.append(f"{soaked.missing} events are missing and {soaked.twice} are there more than once")
    told = re.match(
        r"received ([\d,]+): ([\d,]+) events, ([\d,]+) skipped[^;]*?, ([\d,]+) dead, ([\d,]+) repeated",
        soaked.last_line,
    )
    if told is None:
        found.append(f"it ended with {soaked.last_line!a}")
    else:
        received, *parts = (int(each.replace(",", "")) for each in told.groups())
        if received != sum(parts) or parts[0] != soaked.written or parts[2] != soaked.dead:
            found.append(f"the last line does not add up: {soaked.last_line!a}")
    if soaked.dead != soaked.rubbish:
        found.append(f"{soaked.rubbish} messages were rubbish, and {soaked.dead} are dead letters")
    if soaked.status:
        found.append(f"it ended with status {soaked.status}")
    if soaked.growth > 1.1:
        found.append(f"memory grew by a factor of {soaked.growth:.2f}")
    return found


def _resident_mib(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/statm").read_text()
    except OSError:
        return 0.0
    return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Soak, print what it showed; 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--cuts", type=int, default=10)
    parser.add_argument("--rubbish-every", type=int, default=1000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="swarmlight-soak-") as folder:
        soaked = soak(
            Path(folder), seconds=given.seconds, rate=given.rate, cuts=given.cuts, rubbish_every=given.rubbish_every
        )
    warm = [mib for at, mib in soaked.memory_mib if at >= WARM_S] or [0.0]
    print(soaked.last_line)
    rate = soaked.events / soaked.wall_s
    print(
        f"{soaked.events:,} events in {soaked.wall_s:.0f} s ({rate:,.0f}/s) with {soaked.cuts} "
        f"cuts: {soaked.missing} missing, {soaked.twice} twice, {soaked.dead:,} dead; memory {warm[0]:.0f} MiB after "
        f"{WARM_S:.0f} s, {warm[-1]:.0f} MiB at the end, {max(warm):.0f} MiB at most; {soaked.cpu_s:.0f} s of processor"
    )
    wrong = faults(soaked)
    for fault in wrong:
        print(f"WRONG: {fault}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
