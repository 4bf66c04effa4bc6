"""A wall clock that a test can step while the process runs; seconds that only count up (monotonic) are left alone.

A process whose environment names a folder looks there for a file named after its process id: how many seconds its
clock is ahead. What asks the operating system and not Python (times of files) is not stepped.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

FOLDER: Final = "TEST_CLOCK_FOLDER"
"""The variable that names the folder."""

LOOK_EVERY_S: Final = 0.05
"""How often the file is read: clocks are asked thousands of times a second."""


def step(folder: Path, pid: int, seconds: float) -> None:
    """Set the clock of a process ahead, or back where negative, of what it is."""
    new = folder / f"{pid}.new"
    new.write_text(str(seconds))
    new.rename(folder / str(pid))


def install() -> None:
    """Have `time.time` and `time.time_ns` look at the file, where the environment names a folder."""
    if not (named := os.environ.get(FOLDER)):
        return
    path, real, real_ns = Path(named) / str(os.getpid()), time.time, time.time_ns
    ahead, look_at = 0.0, 0.0

    def now_ahead() -> float:
        nonlocal ahead, look_at
        if time.monotonic() >= look_at:
            look_at = time.monotonic() + LOOK_EVERY_S
            try:
                ahead = float(path.read_text())
            except OSError:
                ahead = 0.0
        return ahead

    time.time = lambda: real() + now_ahead()
    time.time_ns = lambda: real_ns() + round(now_ahead() * 1e9)
